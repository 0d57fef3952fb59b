"""What changed between the approved manifest and what the server says now.

Every field counts: title, description, both schemas, annotations, icons, `_meta`, `x-mcp-header` and fields nobody knows (a description
that changes after approval is how tools are poisoned, threat class T2). What carries no meaning never counts: white space, the order of
keys, of entries, of a prompt's arguments, and of the schema lists that are sets (`required`, `enum`, `type`, `anyOf`, `oneOf`, `allOf`),
and the spelling of a number (1 and 1.0, RFC 8785).

Any change of an approved entry blocks it until it is approved again, a compatible one too: the words are what a model obeys, and a
parameter that nobody reviewed is where data leaves. The grade tells the reviewer what kind of change it is. New entries arrive disabled and
block nothing; the server's own fields are served from the pin and block nothing.

Both manifests have canonical forms: a captured one has once `limits.defects` took out what has none.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from customhouse.core.hidden import hidden_in
from customhouse.core.manifest import Manifest, canonical_bytes
from customhouse.core.pointer import below
from customhouse.core.schemadrift import Grade, in_canonical_order, schema_grades

__all__ = ["Change", "Grade", "blocking", "drift"]

_MAX_PATHS = 50


@dataclass(frozen=True, slots=True)
class Change:
    """One entry, or one field of the server itself, that is not as it was approved."""

    kind: str
    """`tool`, `prompt`, `resource`, `template`, `instructions`, `capabilities` or `server_info`."""
    name: str
    """Name, URI or template; empty for the server's own fields."""
    grade: Grade
    """The gravest of everything that changed."""
    paths: tuple[str, ...]
    """JSON pointers into the entry, sorted, at most 50; an array that changed is one path."""


_PARTS: Final = (
    ("tool", "tools", "name"),
    ("prompt", "prompts", "name"),
    ("resource", "resources", "uri"),
    ("template", "resource_templates", "uriTemplate"),
)
_ENTRY_KINDS: Final = frozenset(kind for kind, _, _ in _PARTS)


def drift(pinned: Manifest, live: Manifest) -> tuple[Change, ...]:
    """The changes, by kind and name; empty if the server says what was approved."""
    changes: list[Change] = []
    for kind, part, key in _PARTS:
        changes.extend(_entries(kind, _by_name(kind, getattr(pinned, part), key), _by_name(kind, getattr(live, part), key)))
    for kind in ("instructions", "capabilities", "server_info"):
        changes.extend(_field(kind, getattr(pinned, kind), getattr(live, kind)))
    return tuple(changes)


def blocking(change: Change) -> bool:
    """Whether calls must be refused until somebody approved the change."""
    return change.kind in _ENTRY_KINDS and change.grade is not Grade.NEW


_Named = dict[str, list[dict[str, Any]]]


def _by_name(kind: str, entries: tuple[dict[str, Any], ...], key: str) -> _Named:
    """Entries by name, in canonical order; more than one under a name only if the server broke the rules."""
    named: _Named = {}
    for entry in sorted([_canonical_entry(kind, entry) for entry in entries], key=canonical_bytes):
        named.setdefault(str(entry.get(key)), []).append(entry)
    return named


def _canonical_entry(kind: str, entry: dict[str, Any]) -> dict[str, Any]:
    """The entry with everything in order whose order says nothing."""
    ordered = {field: in_canonical_order(value) if field in _SCHEMAS else value for field, value in entry.items()}
    if kind == "prompt" and isinstance(ordered.get("arguments"), list):
        ordered["arguments"] = sorted(ordered["arguments"], key=canonical_bytes)
    return ordered


def _entries(kind: str, pinned: _Named, live: _Named) -> Iterator[Change]:
    for name in sorted(pinned.keys() | live.keys()):
        old, new = pinned.get(name, []), live.get(name, [])
        if not old or not new:
            yield Change(kind, name, _worst({Grade.GONE if old else Grade.NEW, *_newly_hidden([], new)}), ())
        elif len(old) > 1 or len(new) > 1:
            if not _same(old, new):
                yield Change(kind, name, Grade.SCHEMA_BREAKING, ("",))
        elif not _same(old[0], new[0]):
            yield Change(kind, name, _worst(_grades(old[0], new[0])), tuple(_differences(old[0], new[0]))[:_MAX_PATHS])


def _field(kind: str, old: Any, new: Any) -> Iterator[Change]:
    if not _same(old, new):
        grade = Grade.REWORDED if isinstance(old, str) else Grade.OTHER
        yield Change(kind, "", _worst({grade, *_newly_hidden(old, new)}), tuple(_differences(old, new))[:_MAX_PATHS])


def _grades(old: Mapping[str, Any], new: Mapping[str, Any]) -> set[Grade]:
    """What kinds of change there are between two entries of one name."""
    grades = _newly_hidden(old, new)
    for field in old.keys() | new.keys():
        before, after = old.get(field), new.get(field)
        if (field in old) != (field in new) or not _same(before, after):
            grades |= _FIELD_GRADES.get(field, _other)(before, after)
    return grades


def _newly_hidden(old: Any, new: Any) -> set[Grade]:
    """Hidden characters that were not approved where they stand."""
    return {Grade.HIDDEN_CHARACTERS} if set(hidden_in(new)) - set(hidden_in(old)) else set()


def _other(_: Any, __: Any) -> set[Grade]:
    return {Grade.OTHER}


def _reworded(_: Any, __: Any) -> set[Grade]:
    return {Grade.REWORDED}


def _schema(old: Any, new: Any) -> set[Grade]:
    """A schema that appears or goes counts as one that had said nothing."""
    return schema_grades({} if old is None else old, {} if new is None else new) or {Grade.OTHER}


def _annotations(old: Any, new: Any) -> set[Grade]:
    """A display title is a text; every other annotation says something about the effect of the tool."""
    without = [{key: value for key, value in one.items() if key != "title"} if isinstance(one, dict) else one for one in (old, new)]
    return {Grade.REWORDED if _same(without[0] or {}, without[1] or {}) else Grade.ANNOTATION_FLIP}


def _arguments(old: Any, new: Any) -> set[Grade]:
    """A prompt's arguments, judged as the schema they amount to."""
    return schema_grades(_as_schema(old), _as_schema(new)) or {Grade.OTHER}


def _as_schema(arguments: Any) -> Any:
    named = [one for one in arguments or [] if isinstance(one, dict)] if isinstance(arguments, list | None) else []
    return {
        "properties": {
            str(one.get("name")): {key: value for key, value in one.items() if key not in {"name", "required"}} for one in named
        },
        "required": [str(one.get("name")) for one in named if one.get("required") is True],
        "additionalProperties": False,
    }


_SCHEMAS: Final = frozenset({"inputSchema", "outputSchema"})
_FIELD_GRADES: Final[Mapping[str, Callable[[Any, Any], set[Grade]]]] = {
    "title": _reworded,
    "description": _reworded,
    "inputSchema": _schema,
    "outputSchema": _schema,
    "annotations": _annotations,
    "arguments": _arguments,
}
"""How a field of an entry is judged; the others are `other`."""

_GRAVITY: Final = (
    Grade.HIDDEN_CHARACTERS,
    Grade.SCHEMA_BREAKING,
    Grade.GONE,
    Grade.ANNOTATION_FLIP,
    Grade.NARROWED,
    Grade.WIDENED,
    Grade.NEW,
    Grade.OTHER,
    Grade.REWORDED,
)
"""Gravest first."""


def _worst(grades: set[Grade]) -> Grade:
    return min(grades, key=_GRAVITY.index)


def _same(old: Any, new: Any) -> bool:
    """Equality of JSON values as RFC 8785 writes them: 1 is 1.0, and true is not 1."""
    if isinstance(old, dict) and isinstance(new, dict):
        return old.keys() == new.keys() and all(_same(value, new[key]) for key, value in old.items())
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_same, old, new))
    return isinstance(old, bool) is isinstance(new, bool) and bool(old == new)


def _differences(old: Any, new: Any, pointer: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old or key not in new:
                yield below(pointer, key)
            else:
                yield from _differences(old[key], new[key], below(pointer, key))
    elif not _same(old, new):
        yield pointer
