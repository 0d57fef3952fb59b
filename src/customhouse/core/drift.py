"""What changed between the approved manifest and what the server says now.

Every field counts: title, description, both schemas, annotations, icons, `_meta`, `x-mcp-header` and fields nobody knows (a description
that changes after approval is how tools are poisoned, threat class T2). What carries no meaning never counts: white space, the order of
keys, of entries, of a prompt's arguments, and of the schema lists that are sets (`required`, `enum`, `type`, `anyOf`, `oneOf`, `allOf`),
and the spelling of a number (1 and 1.0, RFC 8785).

What a change means is said twice. Its grades tell a reviewer what kind of change it is; its compatibility tells whether callers of the
approved entry are still right. Compatible drift blocks nothing: clients keep seeing the approved words, calls are judged by the approved
schema, and the server's new words reach nobody before a review (decision 017). Incompatible drift blocks the entry, and so do grades that
say that somebody may be deceived. New entries arrive disabled and block nothing; the server's own fields are served from the pin and block
nothing.

Both manifests have canonical forms: a captured one has once `limits.defects` took out what has none.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from customhouse.core.compatibility import Compatibility, as_schema, entries_compatibility, field_compatibility
from customhouse.core.confusable import posing_in
from customhouse.core.entries import ENTRY_KINDS, SERVER_FIELDS, Pair, differing
from customhouse.core.equality import same
from customhouse.core.hidden import hidden_in
from customhouse.core.manifest import Manifest
from customhouse.core.pointer import below
from customhouse.core.resemblance import Elsewhere
from customhouse.core.schemadrift import Grade, schema_grades
from customhouse.core.texts import is_plain

__all__ = ["Change", "Grade", "blocking", "drift", "verdict"]

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
    grades: frozenset[Grade] = frozenset()
    """Everything that changed, the gravest among it."""
    compatibility: Compatibility = Compatibility.MAJOR
    """What it means to those who call. Unless somebody judged it, the worst."""


def drift(pinned: Manifest, live: Manifest, elsewhere: Iterable[tuple[str, str]] = ()) -> tuple[Change, ...]:
    """The changes, by kind and name; empty if the server says what was approved.

    `elsewhere` holds server and name of the tools that other servers have: a new tool is graded `resembles_another` if a reader could take
    it for one of those.
    """
    pairs = list(differing(pinned, live))
    names = Elsewhere(elsewhere if any(pair.kind == "tool" and not pair.old for pair in pairs) else ())
    fields = [change for field in SERVER_FIELDS for change in _field(field, getattr(pinned, field), getattr(live, field))]
    return (*[_entry(pair, names) for pair in pairs], *fields)


def blocking(change: Change, *, serve_compatible: bool = True) -> bool:
    """Whether calls must be refused until somebody approved the change. With `serve_compatible` off, every change of an approved entry."""
    if change.kind not in ENTRY_KINDS or Grade.NEW in change.grades | {change.grade}:
        return False
    deceives = not _DECEIVING.isdisjoint(change.grades | {change.grade})
    return deceives or change.compatibility is Compatibility.MAJOR or not serve_compatible


def verdict(change: Change, *, serve_compatible: bool = True) -> str:
    """What becomes of the entry until somebody reviews the change: `blocked`, `served` as approved, or `disabled` since it is new."""
    if change.kind in ENTRY_KINDS and Grade.NEW in change.grades | {change.grade}:
        return "disabled"
    return "blocked" if blocking(change, serve_compatible=serve_compatible) else "served"


_DECEIVING: Final = frozenset({Grade.HIDDEN_CHARACTERS, Grade.LOOK_ALIKE_CHARACTERS, Grade.ANNOTATION_FLIP})
"""Grades that block whatever they mean to callers: somebody may be led to believe what is not so."""


def _entry(pair: Pair, names: Elsewhere) -> Change:
    compatibility = entries_compatibility(pair.kind, pair.old, pair.new)
    if not pair.old or not pair.new:
        grades = {Grade.GONE if pair.old else Grade.NEW, *_newly_unseen((), pair.new)}
        if pair.kind == "tool" and not pair.old and names.resembling(pair.name):
            grades.add(Grade.RESEMBLES_ANOTHER)
        return _change(pair.kind, pair.name, grades, (), compatibility)
    if len(pair.old) > 1 or len(pair.new) > 1:
        return _change(pair.kind, pair.name, {Grade.SCHEMA_BREAKING, *_newly_unseen(pair.old, pair.new)}, ("",), compatibility)
    (old,), (new,) = pair.old, pair.new
    return _change(pair.kind, pair.name, _grades(pair.kind, old, new), tuple(_differences(old, new))[:_MAX_PATHS], compatibility)


def _change(kind: str, name: str, grades: set[Grade], paths: tuple[str, ...], compatibility: Compatibility) -> Change:
    return Change(kind, name, min(grades, key=_GRAVITY.index), paths, frozenset(grades), compatibility)


def _field(kind: str, old: Any, new: Any) -> Iterator[Change]:
    if not same(old, new):
        grades = {Grade.REWORDED if isinstance(old, str) else Grade.OTHER, *_newly_unseen(old, new)}
        yield _change(kind, "", grades, tuple(_differences(old, new))[:_MAX_PATHS], field_compatibility(kind, old, new))


def _grades(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> set[Grade]:
    """What kinds of change there are between two entries of one name."""
    grades = _newly_unseen(old, new)
    for field in old.keys() | new.keys():
        before, after = old.get(field), new.get(field)
        if (field in old) != (field in new) or not same(before, after):
            judge = _of_content if field == "annotations" and kind in _CONTENT else _FIELD_GRADES.get(field, _other)
            grades |= judge(before, after)
    return grades


def _newly_unseen(old: Any, new: Any) -> set[Grade]:
    """Characters that were not approved where they stand and that a reader does not see, or sees as others."""
    if is_plain(new):
        return set()
    grades = {Grade.HIDDEN_CHARACTERS} if set(hidden_in(new)) - set(hidden_in(old)) else set()
    return grades | ({Grade.LOOK_ALIKE_CHARACTERS} if set(posing_in(new)) - set(posing_in(old)) else set())


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
    return {Grade.REWORDED if same(without[0] or {}, without[1] or {}) else Grade.ANNOTATION_FLIP}


_CONTENT: Final = frozenset({"resource", "template"})


def _of_content(_: Any, __: Any) -> set[Grade]:
    """Annotations of a resource say for whom it is and how fresh, nothing about effects."""
    return {Grade.OTHER}


def _arguments(old: Any, new: Any) -> set[Grade]:
    """A prompt's arguments, judged as the schema they amount to."""
    return schema_grades(as_schema(old), as_schema(new)) or {Grade.OTHER}


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
    Grade.LOOK_ALIKE_CHARACTERS,
    Grade.RESEMBLES_ANOTHER,
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


def _differences(old: Any, new: Any, pointer: str = "") -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            if key not in old or key not in new:
                yield below(pointer, key)
            else:
                yield from _differences(old[key], new[key], below(pointer, key))
    elif not same(old, new):
        yield pointer
