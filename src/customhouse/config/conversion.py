"""From values that know their place to the typed structs of the tree: every mistake becomes a finding, none stops the reading.

What fits is described by the types alone (`msgspec.inspect`), and by rules: sentences about several values of one struct. A rule is
asked only if the values it rests on were read, so that one mistake is not reported twice.

The unit stands in a field's name. A quantity (`..._seconds`, `..._bytes`, `max_...`) without a range of its own is greater than
zero: zero never means unlimited.
"""

import difflib
import functools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

import msgspec.inspect as mi

from customhouse.config.document import Broken, Entry, Fields, Items, Node, Scalar, Value
from customhouse.config.findings import Finding, Key, Place, found


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a rule finds wrong; `key` counts from the struct that the rule is about."""

    key: Key
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A sentence about the values of one struct."""

    rests_on: tuple[Key, ...]
    """The keys that the rule reads, from the struct on. It is not asked while one of them has a finding."""
    complaints: Callable[[Any], Iterable[Complaint]]
    spoils: bool = False
    """Whether the values complained of say nothing to the rules that follow."""


Rules = Mapping[type, tuple[Rule, ...]]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What came out. `value` may be used only if there are no findings."""

    value: Any
    findings: tuple[Finding, ...]
    places: Mapping[Key, Place]
    """Where each value that was given stands."""

    def place_of(self, key: Key) -> Place:
        """The place of a key, or of the nearest table around it that was written down."""
        return next(self.places[key[:length]] for length in range(len(key), -1, -1) if key[:length] in self.places)


def converted(root: Node, to: type, rules: Rules) -> Conversion:
    """The struct `to` from a document's root; an empty document is a table without keys."""
    empty = isinstance(root, Scalar) and root.value is None
    walk = _Walk(rules)
    value = walk.value(Fields((), root.place) if empty else root, _Spot((), _type_info(to)))
    return Conversion(None if value is INVALID else value, tuple(walk.findings), walk.places)


@functools.cache
def _type_info(to: type) -> mi.Type:
    return mi.type_info(to)


class _Invalid:
    """The type of the mark below."""


INVALID: Final = _Invalid()
"""Stands for a value that could not be made; a finding says why."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where in the tree a value goes, and what may stand there."""

    key: Key
    kind: mi.Type

    @property
    def name(self) -> str:
        """The nearest name around the value; it carries the unit."""
        return next((part for part in reversed(self.key) if isinstance(part, str)), "")


@dataclass(slots=True)
class _Walk:
    """One conversion on its way through the document."""

    rules: Rules
    findings: list[Finding] = field(default_factory=list)
    unsound: list[Key] = field(default_factory=list)
    """Keys whose values could not be used."""
    places: dict[Key, Place] = field(default_factory=dict)

    def value(self, node: Node, spot: _Spot) -> object:
        self.places[spot.key] = node.place
        if isinstance(node, Broken):
            self.unsound.append(spot.key)
            return INVALID
        return _KINDS[type(spot.kind)](self, node, spot)

    def struct(self, node: Node, spot: _Spot) -> object:
        kind = spot.kind
        if not isinstance(kind, mi.StructType) or not isinstance(node, Fields):
            return self._misfit(node, spot)
        fields = {known.encode_name: known for known in kind.fields}
        given: dict[str, object] = {}
        for entry in node.entries:
            if known := fields.get(entry.key):
                given[known.name] = self.value(entry.node, _Spot((*spot.key, entry.key), known.type))
            else:
                self._report_unknown(entry, spot.key, fields)
        self._report_missing(node, spot.key, [known for known in kind.fields if known.required and known.name not in given])
        usable = {name: value for name, value in given.items() if value is not INVALID}
        if any(known.required and known.name not in usable for known in kind.fields):
            return INVALID
        made = kind.cls(**usable)
        self._ask_rules(made, spot.key)
        return made

    def items(self, node: Node, spot: _Spot) -> object:
        if not isinstance(spot.kind, mi.VarTupleType) or not isinstance(node, Items):
            return self._misfit(node, spot)
        item_type = spot.kind.item_type
        values = [self.value(inner, _Spot((*spot.key, index), item_type)) for index, inner in enumerate(node.nodes)]
        return tuple(value for value in values if value is not INVALID)

    def table(self, node: Node, spot: _Spot) -> object:
        if not isinstance(spot.kind, mi.DictType) or not isinstance(node, Fields):
            return self._misfit(node, spot)
        value_type = spot.kind.value_type
        values = {entry.key: self.value(entry.node, _Spot((*spot.key, entry.key), value_type)) for entry in node.entries}
        return {name: value for name, value in values.items() if value is not INVALID}

    def optional(self, node: Node, spot: _Spot) -> object:
        if isinstance(node, Scalar) and node.value is None:
            return None
        return self.value(node, _Spot(spot.key, given_type(spot.kind)))

    def text(self, node: Node, spot: _Spot) -> object:
        if not isinstance(spot.kind, mi.StrType) or not isinstance(node, Scalar) or not isinstance(node.value, str):
            return self._misfit(node, spot)
        if odd := next((character for character in node.value if unicodedata.category(character) in {"Cc", "Cs"}), None):
            return self._report(
                node, spot, f"The text holds the control character U+{ord(odd):04X}.", "Write it on one line of plain text."
            )
        if spot.kind.min_length and not node.value.strip():
            return self._report(node, spot, "The text is blank.", "Write it out, or leave the key out.")
        return node.value

    def flag(self, node: Node, spot: _Spot) -> object:
        if not isinstance(node, Scalar) or not isinstance(node.value, bool):
            return self._misfit(node, spot)
        return node.value

    def whole(self, node: Node, spot: _Spot) -> object:
        if not isinstance(node, Scalar) or isinstance(node.value, bool) or not isinstance(node.value, int):
            return self._misfit(node, spot)
        return self._in_range(node, node.value, spot)

    def number(self, node: Node, spot: _Spot) -> object:
        if not isinstance(node, Scalar) or isinstance(node.value, bool) or not isinstance(node.value, int | float):
            return self._misfit(node, spot)
        return self._in_range(node, float(node.value), spot)

    def choice(self, node: Node, spot: _Spot) -> object:
        values = _choices(spot.kind)
        if not isinstance(node, Scalar) or node.value not in values:
            return self._misfit(node, spot)
        return values[node.value]

    def _in_range(self, node: Scalar, number: float, spot: _Spot) -> object:
        low, low_included, high = _range(spot)
        if math.isfinite(number) and (number > low or (low_included and number == low)) and number <= high:
            return number
        least = f"{low:g}" if low_included else f"more than {low:g}"
        bounds = f"from {least} to {high:.15g}" if high < math.inf else f"of {least}"
        never = " There is no value for unlimited." if number < max(low, 1) else ""
        return self._report(node, spot, f"{_shown(node.value)} is out of range.", f"Write {_expected(spot)[0]} {bounds}.{never}")

    def _misfit(self, node: Node, spot: _Spot) -> object:
        expected, example = _expected(spot)
        return self._report(
            node, spot, f"{_described(node, spot.kind)} stands where {expected} belongs.", _remedy(node, spot, expected, example)
        )

    def _report(self, node: Node, spot: _Spot, problem: str, remedy: str) -> object:
        self._find(node.place, spot.key, problem, remedy)
        return INVALID

    def _report_unknown(self, entry: Entry, key: Key, fields: Iterable[str]) -> None:
        self._find(entry.place, (*key, entry.key), "There is no such key.", near(entry.key, fields))

    def _report_missing(self, node: Fields, key: Key, missing: Iterable[mi.Field]) -> None:
        for known in missing:
            spot = _Spot((*key, known.encode_name), known.type)
            self._find(node.place, spot.key, "The key is missing.", f"Add it: it holds {_expected(spot)[0]}.")

    def _ask_rules(self, made: object, key: Key) -> None:
        conversion = Conversion(made, (), self.places)
        for rule in self.rules.get(type(made), ()):
            if any(self._is_unsound((*key, *part)) for part in rule.rests_on):
                continue
            for complaint in rule.complaints(made):
                whole_key = (*key, *complaint.key)
                self.findings.append(found(conversion.place_of(whole_key), whole_key, complaint.problem, complaint.remedy))
                if rule.spoils:
                    self.unsound.append(whole_key)

    def _is_unsound(self, key: Key) -> bool:
        return any(bad[: len(key)] == key[: len(bad)] for bad in self.unsound)

    def _find(self, place: Place, key: Key, problem: str, remedy: str) -> None:
        self.findings.append(found(place, key, problem, remedy))
        self.unsound.append(key)


_KINDS: Final[Mapping[type[mi.Type], Callable[[_Walk, Node, _Spot], object]]] = {
    mi.StructType: _Walk.struct,
    mi.VarTupleType: _Walk.items,
    mi.DictType: _Walk.table,
    mi.UnionType: _Walk.optional,
    mi.StrType: _Walk.text,
    mi.BoolType: _Walk.flag,
    mi.IntType: _Walk.whole,
    mi.FloatType: _Walk.number,
    mi.EnumType: _Walk.choice,
    mi.LiteralType: _Walk.choice,
}


def given_type(kind: mi.Type) -> mi.Type:
    """The type of a value that is there: of `X | None` the X."""
    return next(member for member in kind.types if not isinstance(member, mi.NoneType)) if isinstance(kind, mi.UnionType) else kind


_SECRETIVE = re.compile("token|secret|passw|api_?key|bearer|credential", re.IGNORECASE)


_MOST_NAMES_SHOWN = 20


def near(word: str, known: Iterable[str]) -> str:
    """What somebody who wrote this word may have meant."""
    names = sorted(known)
    if _SECRETIVE.search(word) and "credential" not in names:
        return (
            "Secrets do not stand in this file: callers bring tokens of an issuer under `identity.issuers`, "
            "and a server definition names its credential by reference."
        )
    folded = {name.lower(): name for name in names}
    if close := difflib.get_close_matches(word.lower(), folded, 1, 0.7):
        return f"Did you mean `{folded[close[0]]}`?"
    return f"Known here: {', '.join(names)}." if len(names) <= _MOST_NAMES_SHOWN else "`customhouse config explain` lists what there is."


def _choices(kind: mi.Type) -> dict[object, object]:
    if isinstance(kind, mi.EnumType):
        return {member.value: member for member in kind.cls}
    return {value: value for value in kind.values} if isinstance(kind, mi.LiteralType) else {}


def _range(spot: _Spot) -> tuple[float, bool, float]:
    """Least value, whether it is allowed itself, and greatest value."""
    kind = cast("mi.IntType | mi.FloatType", spot.kind)
    high = math.inf if kind.le is None else kind.le
    if kind.ge is not None:
        return kind.ge, True, high
    quantity = spot.name.endswith(("_seconds", "_bytes")) or spot.name.startswith("max_")
    return (0.0 if kind.gt is None and quantity else -math.inf if kind.gt is None else kind.gt), False, high


def _expected(spot: _Spot) -> tuple[str, str]:
    """What belongs here, in words, and an example."""
    kind = given_type(spot.kind)
    if isinstance(kind, mi.EnumType | mi.LiteralType):
        return f"one of {', '.join(str(value) for value in _choices(kind))}", ""
    if isinstance(kind, mi.IntType | mi.FloatType) and spot.name.endswith("_seconds"):
        return "a number of seconds", "30"
    if isinstance(kind, mi.IntType) and spot.name.endswith("_bytes"):
        return "a whole number of bytes", "1048576"
    if isinstance(kind, mi.StructType):
        required = ", ".join(f"{known.encode_name}: ..." for known in kind.fields if known.required)
        return "a table of keys", f"{{{required}}}" if required else ""
    return _EXPECTED[type(kind)]


_EXPECTED: Final[Mapping[type[mi.Type], tuple[str, str]]] = {
    mi.DictType: ("a table of keys", ""),
    mi.VarTupleType: ("a list", "[a, b]"),
    mi.StrType: ("text", ""),
    mi.BoolType: ("true or false", ""),
    mi.IntType: ("a whole number", "100"),
    mi.FloatType: ("a number", "100"),
}

_LONGEST_TEXT_SHOWN = 16
"""A longer text in the wrong place may be a secret."""


def _shown(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"The text {value!a}" if len(value) <= _LONGEST_TEXT_SHOWN else "A text"
    return "Nothing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _described(node: Node, kind: mi.Type) -> str:
    if isinstance(node, Scalar):
        # Text where a table or a list belongs may be a secret of any length.
        guarded = isinstance(node.value, str) and isinstance(kind, mi.StructType | mi.DictType | mi.VarTupleType)
        return "A text" if guarded else _shown(node.value)
    return "A list" if isinstance(node, Items) else "A table"


_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "_seconds": {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3_600, "d": 86_400},
    "_bytes": {
        "b": 1,
        "k": 1_024,
        "kb": 1_000,
        "kib": 1_024,
        "m": 1_048_576,
        "mb": 1_000_000,
        "mib": 1_048_576,
        "g": 1_073_741_824,
        "gb": 1_000_000_000,
        "gib": 1_073_741_824,
    },
}
_WITH_UNIT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,3})?) ?([A-Za-z]{1,3})")


def _remedy(node: Node, spot: _Spot, expected: str, example: str) -> str:
    value = node.value if isinstance(node, Scalar) else node
    if value is None:
        return f"Write {expected}, or leave the key out."
    if isinstance(given_type(spot.kind), mi.StrType) and isinstance(value, bool | int | float):
        return "Put it in quotes if it is meant as text."
    if isinstance(value, str) and isinstance(spot.kind, mi.VarTupleType):
        return "Write a list, in brackets or with a dash before each item."
    if isinstance(node, Items | Fields):
        return f"Write {expected}."
    if isinstance(value, str):
        example = _without_unit(value, spot.name) or example
    return f"Write {expected}, for example {example}." if example else f"Write {expected}."


def _without_unit(text: str, name: str) -> str:
    """The number that somebody meant who wrote a unit behind it: 30 for `30s`."""
    written = _WITH_UNIT.fullmatch(text)
    factors = next((factors for suffix, factors in _UNITS.items() if name.endswith(suffix)), {})
    factor = factors.get(written[2].lower()) if written else None
    return f"{float(written[1]) * factor:.15g}" if written and factor else ""
