"""What a change of a server means to those who call it, in the words of Semantic Versioning.

`major`: a call or a reader that was right for the old definition can be wrong for the new one. `minor`: nothing that was right is wrong,
and more is possible or promised. `patch`: words. `none`: form alone (order of keys, of entries and of lists that are sets; 1 and 1.0).

An input schema is judged by what it accepts, an output schema the other way round: who reads results is right as long as every new result
fits what was promised before. Effects that a tool claims (annotations) are judged with the defaults of MCP 2026-07-28, server/tools: a tool
that says nothing may write, destroy, repeat and reach out.

The law behind `minor` and `patch`: every argument object made of declared members that the old input schema accepts, the new one accepts.
It holds for the keywords of 2020-12; schemas in which a wider part can make the whole narrower are judged as `major` if anything but words
changed in them. What nobody knows (a field of a later revision) is `major`: it cannot be called compatible.
"""

import enum
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from customhouse.core.entries import SERVER_FIELDS, differing
from customhouse.core.equality import same
from customhouse.core.manifest import Manifest
from customhouse.core.schemadrift import Grade, in_canonical_order, schema_grades
from customhouse.core.subschemas import parts


class Compatibility(enum.Enum):
    """What a change means to callers, mildest first."""

    NONE = "none"
    PATCH = "patch"
    MINOR = "minor"
    MAJOR = "major"


_IN_ORDER: Final = tuple(Compatibility)
NONE, PATCH, MINOR, MAJOR = _IN_ORDER
Entry = Mapping[str, Any]


def worst(classes: Iterable[Compatibility]) -> Compatibility:
    """The gravest of several; `none` if there are none."""
    return max(classes, key=_IN_ORDER.index, default=NONE)


def manifest_compatibility(old: Manifest, new: Manifest) -> Compatibility:
    """The gravest of everything that differs between two manifests."""
    entries = [entries_compatibility(pair.kind, pair.old, pair.new) for pair in differing(old, new)]
    return worst([*entries, *[field_compatibility(field, getattr(old, field), getattr(new, field)) for field in SERVER_FIELDS]])


def entries_compatibility(kind: str, old: tuple[Entry, ...], new: tuple[Entry, ...]) -> Compatibility:
    """The class of what stands under one name; more than one entry under it can mean anything."""
    if len(old) > 1 or len(new) > 1:
        return NONE if same(old, new) else MAJOR
    return entry_compatibility(kind, old[0] if old else None, new[0] if new else None)


def entry_compatibility(kind: str, old: Entry | None, new: Entry | None) -> Compatibility:
    """The class of a change of one entry of a kind; None where there is no such entry."""
    if old is None or new is None:
        return NONE if old is new else MINOR if old is None else MAJOR
    rules = _FIELDS[kind]
    differ = [field for field in old.keys() | new.keys() if (field in old) != (field in new) or not same(old[field], new[field])]
    return worst(rules.get(field, _unknown)(old.get(field), new.get(field)) for field in differ)


def field_compatibility(field: str, old: Any, new: Any) -> Compatibility:
    """The class of a change of what a manifest says of the server itself."""
    if same(old, new):
        return NONE
    return _capability(old, new) if field == "capabilities" else PATCH


def _unknown(_: Any, __: Any) -> Compatibility:
    return MAJOR


def _words(_: Any, __: Any) -> Compatibility:
    return PATCH


# Schemas

_CLASS_OF: Final = {Grade.WIDENED: MINOR, Grade.NARROWED: MAJOR, Grade.SCHEMA_BREAKING: MAJOR, Grade.REWORDED: PATCH, Grade.OTHER: PATCH}


def _input(old: Any, new: Any) -> Compatibility:
    """What was accepted has to be accepted. A schema that is absent had accepted anything."""
    before, after = (in_canonical_order({} if schema is None else schema) for schema in (old, new))
    if same(before, after):
        return NONE if (old is None) == (new is None) else PATCH
    return _judged(before, after)


def _output(old: Any, new: Any) -> Compatibility:
    """What is sent has to fit what was promised."""
    if old is None or new is None:
        return MINOR if old is None else MAJOR
    before, after = (in_canonical_order(schema) for schema in (old, new))
    if same(before, after):
        return NONE
    promised, sent = _without_defaults(before), _without_defaults(after)
    known = _known_part(sent, promised)
    return worst([PATCH if same(known, sent) else MINOR, NONE if same(promised, known) else _judged(known, promised)])


def _judged(before: Any, after: Any) -> Compatibility:
    """Whether whatever fits the first schema fits the second."""
    grades = schema_grades(before, after) or {Grade.OTHER}
    if not grades <= {Grade.REWORDED} and (_tangled(before) or _tangled(after)):
        return MAJOR
    return worst(_CLASS_OF[grade] for grade in grades)


_PLAIN_REFERENCE: Final = re.compile(r"#(/(\$defs|definitions)/[^/]+)?")
_TURNS_ROUND: Final = frozenset({"not", "if", "oneOf", "contains"})


def _tangled(schema: Any) -> bool:
    """Whether a part that grows can make the whole shrink: it counts what other parts left over, or is looked up where that is so."""
    return isinstance(schema, dict) and (
        not {"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef"}.isdisjoint(schema)
        or ("$ref" in schema and not _PLAIN_REFERENCE.fullmatch(str(schema["$ref"])))
        or any(_tangled(part.schema) or (part.keyword in _TURNS_ROUND and _refers(part.schema)) for part in parts(schema))
    )


def _refers(schema: Any) -> bool:
    return isinstance(schema, dict) and ("$ref" in schema or any(_refers(part.schema) for part in parts(schema)))


def _without_defaults(schema: Any) -> Any:
    """A default says what a caller may leave out; of a result it says nothing."""
    return _mapped(schema, lambda one: {keyword: value for keyword, value in one.items() if keyword != "default"})


def _mapped(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """The schema with a change made to it and to what its members and elements are."""
    if not isinstance(schema, dict):
        return schema
    changed = change(schema)
    for keyword in ("properties", "$defs", "definitions"):
        if isinstance(changed.get(keyword), dict):
            changed[keyword] = {name: _mapped(inner, change) for name, inner in changed[keyword].items()}
    if isinstance(changed.get("items"), dict):
        changed["items"] = _mapped(changed["items"], change)
    return changed


def _known_part(sent: Any, promised: Any) -> Any:
    """What is sent without the members that an open promise says nothing about: who reads results is not disturbed by them."""
    if not isinstance(sent, dict) or not isinstance(promised, dict):
        return sent
    known = dict(sent)
    for keyword in ("properties", "$defs", "definitions"):
        told, inner = promised.get(keyword), known.get(keyword)
        if isinstance(inner, dict):
            there = told if isinstance(told, dict) else {}
            drops = keyword == "properties" and _open(promised)
            known[keyword] = {name: _known_part(one, there.get(name)) for name, one in inner.items() if name in there or not drops}
    if isinstance(known.get("items"), dict):
        known["items"] = _known_part(known["items"], promised.get("items"))
    return known


def _open(schema: Mapping[str, Any]) -> bool:
    return schema.get("additionalProperties", True) in (True, {}) and not schema.get("patternProperties") and "propertyNames" not in schema


# Fields beside schemas


def _hints(old: Any, new: Any) -> Compatibility:
    before, after = (one if isinstance(one, dict) else None for one in ({} if old is None else old, {} if new is None else new))
    if before is None or after is None:
        return MAJOR
    told = [_WORDS_OF_ANNOTATIONS.get(key, MAJOR) for key in _changed(before, after) if key not in _HINTS]
    claims = [NONE if was is now else MAJOR if now else MINOR for was, now in zip(_effects(before), _effects(after), strict=True)]
    malformed = [MAJOR for key in _changed(before, after) & _HINTS.keys() if not isinstance(after.get(key, False), bool)]
    return worst([PATCH, *told, *claims, *malformed])


_HINTS: Final = {"readOnlyHint": False, "destructiveHint": True, "idempotentHint": False, "openWorldHint": True}
"""What a tool that does not say is taken for."""
_WORDS_OF_ANNOTATIONS: Final = {"title": PATCH, "audience": PATCH, "priority": PATCH, "lastModified": PATCH}


def _effects(annotations: Entry) -> Iterator[bool]:
    """What may happen, by the tool's own word: it changes things, destroys them, cannot be repeated, reaches out."""
    said = {hint: annotations.get(hint, default) is True for hint, default in _HINTS.items()}
    changes = not said["readOnlyHint"]
    yield changes
    yield changes and said["destructiveHint"]
    yield changes and not said["idempotentHint"]
    yield said["openWorldHint"]


def _changed(before: Entry, after: Entry) -> set[str]:
    return {key for key in before.keys() | after.keys() if (key in before) != (key in after) or not same(before[key], after[key])}


def _arguments(old: Any, new: Any) -> Compatibility:
    return _input(as_schema(old), as_schema(new))


def as_schema(arguments: Any) -> dict[str, Any]:
    """A prompt's arguments as the schema they amount to."""
    named = [one for one in arguments or [] if isinstance(one, dict)] if isinstance(arguments, list | None) else []
    return {
        "properties": {
            str(one.get("name")): {key: value for key, value in one.items() if key not in {"name", "required"}} for one in named
        },
        "required": [str(one.get("name")) for one in named if one.get("required") is True],
        "additionalProperties": False,
    }


def _media_type(old: Any, _: Any) -> Compatibility:
    """Who reads a resource goes by its type; one that is first named names what had been there."""
    return PATCH if old is None else MAJOR


_TASKS: Final = {("forbidden", "optional"): MINOR, ("required", "optional"): MINOR}


def _execution(old: Any, new: Any) -> Compatibility:
    """How a tool may be run (2025-11-25, `taskSupport`; absent is forbidden)."""
    before, after = (one if isinstance(one, dict) else {} for one in (old, new))
    if _changed(before, after) - {"taskSupport"}:
        return MAJOR
    was, now = (str(one.get("taskSupport", "forbidden")) for one in (before, after))
    return PATCH if was == now else _TASKS.get((was, now), MAJOR)


def _capability(old: Any, new: Any) -> Compatibility:
    """What a server can do. That it tells of changes is a convenience."""
    before, after = (one if isinstance(one, dict) else {} for one in (old, new))
    return worst(PATCH if key == "listChanged" else _one_capability(before.get(key), after.get(key)) for key in _changed(before, after))


def _one_capability(was: Any, now: Any) -> Compatibility:
    if isinstance(was, dict) and isinstance(now, dict):
        return _capability(was, now)
    return MINOR if was in (None, False) else MAJOR


_ALL: Final = dict.fromkeys(("title", "description", "icons", "_meta"), _words)
_CONTENT: Final = {**_ALL, "name": _words, "size": _words, "mimeType": _media_type, "annotations": _hints}
_FIELDS: Final[Mapping[str, Mapping[str, Callable[[Any, Any], Compatibility]]]] = {
    "tool": {**_ALL, "inputSchema": _input, "outputSchema": _output, "annotations": _hints, "execution": _execution},
    "prompt": {**_ALL, "arguments": _arguments},
    "resource": _CONTENT,
    "template": _CONTENT,
}
"""How a field of an entry of a kind is judged; a field that is not here is `major`."""
