"""What would change: the things that files describe against those that are stored, by what they mean.

Digests are compared first; what has the same one is the same. The rest is compared as values: comments, the order of keys and the spelling
of YAML never reach this place, rules of Cedar are compared by their ids and syntax, and what a server offers by `drift`. So nothing that
means the same is a change, and everything else is a row with a JSON pointer, what was and what will be.
"""

import enum
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from customhouse.core.content import Content, PolicyContent, PortalContent, ServerContent, reviewers_needed, stated, unanswered
from customhouse.core.drift import Change as Drifted
from customhouse.core.drift import drift
from customhouse.core.manifest import Manifest, Pin, in_order
from customhouse.core.planwords import Tools, sentence_of
from customhouse.core.pointer import below, shown_key
from customhouse.core.policyrules import Rule, read_rules
from customhouse.core.review import Kind, content_digest

Thing = tuple[Kind, str]
"""What is governed, by kind and name."""

NOTHING: Final = msgspec.UNSET
"""Stands where there was nothing before, or will be nothing after."""


class What(enum.Enum):
    """What happens to a thing."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One difference in meaning."""

    pointer: str
    """JSON pointer into the content; entries of a pin stand under their names, rules of a policy under their ids."""
    before: Any = NOTHING
    """JSON value; absent where there was none."""
    after: Any = NOTHING
    """JSON value; absent where there will be none."""
    sentence: str = ""
    """What that means, where it is more than the new value says."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What would happen to one thing."""

    kind: Kind
    name: str
    what: What
    rows: tuple[Row, ...]
    digest: str = ""
    """Of the content that would be proposed; empty for what goes."""
    stored_digest: str = ""
    """Of the content that is stored; empty for what is new."""
    reviewers_needed: int = 0
    """How many people have to accept it; 0 for what goes."""
    unanswered: tuple[str, ...] = ()
    """Fields that say who answers for a server and are blank or overdue."""


def differing(files: Mapping[Thing, str], stored: Mapping[Thing, str]) -> tuple[Thing, ...]:
    """The things whose digests are not the same on both sides, in order of kind and name."""
    return tuple(sorted((thing for thing in files.keys() | stored.keys() if files.get(thing) != stored.get(thing)), key=_in_order))


def plan(files: Mapping[Thing, Content], stored: Mapping[Thing, Content], today: str) -> tuple[Change, ...]:
    """What would change if the files were applied, in order of kind and name; `today` is YYYY-MM-DD.

    Only things that `differing` names need be in the two mappings: what is equal is left out anyway.
    """
    changes = (_change(thing, stored.get(thing), files.get(thing), today) for thing in sorted(files.keys() | stored.keys(), key=_in_order))
    return tuple(change for change in changes if change is not None)


def same_policy(one: str, other: str) -> bool:
    """Whether two texts of Cedar hold the same rules; texts that cannot be read are the same only to the letter."""
    return one == other or not any(_policy_rows(PolicyContent(text=one), PolicyContent(text=other)))


_KINDS: Final = tuple(Kind)


def _in_order(thing: Thing) -> tuple[int, str]:
    return _KINDS.index(thing[0]), thing[1]


def _change(thing: Thing, before: Content | None, after: Content | None, today: str) -> Change | None:
    kind, name = thing
    stored_digest, digest = (content_digest(kind, name, stated(one)) if one is not None else "" for one in (before, after))
    if stored_digest == digest:
        return None
    rows = tuple(_rows(before, after))
    if not rows and before is not None and after is not None:
        return None
    return Change(
        kind=kind,
        name=name,
        what=What.ADD if before is None else What.REMOVE if after is None else What.CHANGE,
        rows=rows,
        digest=digest,
        stored_digest=stored_digest,
        reviewers_needed=reviewers_needed(kind, after) if after is not None else 0,
        unanswered=unanswered(after.definition, today) if isinstance(after, ServerContent) else (),
    )


def _rows(before: Content | None, after: Content | None) -> Iterator[Row]:
    match before, after:
        case (PolicyContent() | None, PolicyContent() | None):
            yield from _policy_rows(before, after)
        case (PortalContent() | None, PortalContent() | None):
            yield from _portal_rows(before, after)
        case (ServerContent() | None, ServerContent() | None):
            yield from _server_rows(before, after)
        case _:
            yield from _value_rows("", stated(before) if before else {}, stated(after) if after else {})


# --- Servers ------------------------------------------------------------------------------------------------------------


def _server_rows(before: ServerContent | None, after: ServerContent | None) -> Iterator[Row]:
    tools = Tools(_classes(before), _classes(after), _pinned(before), _pinned(after))
    old, new = (stated(ServerContent(definition=one.definition))["definition"] if one else {} for one in (before, after))
    yield from _waiver_rows(old.pop("waivers", []), new.pop("waivers", []))
    for row in _value_rows("/definition", old, new):
        yield msgspec.structs.replace(row, sentence=sentence_of(row.pointer, row.before, row.after, tools))
    yield from _pin_rows(before.pin if before else None, after.pin if after else None, tools)


def _classes(content: ServerContent | None) -> Mapping[str, str]:
    return {name: review.effect.value for name, review in content.definition.tools.items()} if content else {}


def _pinned(content: ServerContent | None) -> frozenset[str]:
    pin = content.pin if content else None
    return frozenset(str(tool.get("name")) for tool in pin.manifest.tools) if pin else frozenset()


def _waiver_rows(before: list[dict[str, str]], after: list[dict[str, str]]) -> Iterator[Row]:
    for waiver in before:
        if waiver not in after:
            yield Row(pointer="/definition/waivers", before=waiver, sentence=f"The waiver `{waiver['rule']}` is taken back.")
    for waiver in after:
        if waiver not in before:
            sentence = (
                f"A waiver is added: `{waiver['rule']}` no longer holds for this server (granted by {shown_key(waiver['granted_by'])})."
            )
            yield Row(pointer="/definition/waivers", after=waiver, sentence=sentence)
    if before != after and sorted(map(str, before)) == sorted(map(str, after)):
        yield Row(pointer="/definition/waivers", before=before, after=after)


_EMPTY: Final = Manifest(server_info={}, capabilities={})
_PARTS: Final[Mapping[str, tuple[str, str]]] = {
    "tool": ("tools", "name"),
    "prompt": ("prompts", "name"),
    "resource": ("resources", "uri"),
    "template": ("resource_templates", "uriTemplate"),
}
"""Kind of an entry to the list it stands in and the field that names it."""


def _pin_rows(before: Pin | None, after: Pin | None, tools: Tools) -> Iterator[Row]:
    if before is None and after is None:
        return
    if before is None or after is None:
        sentence = "A first pin: from now on something of the server is served." if before is None else "The pin goes: nothing is served."
        digests = {"before": before.digest} if before else {"after": after.digest} if after else {}
        yield Row(pointer="/pin/digest", sentence=sentence, **digests)
    else:
        same = in_order(before.manifest) == in_order(after.manifest)
        for field in ("server", "revision", "digest_formula", *(("digest",) if same else ())):
            yield from _value_rows(f"/pin/{field}", getattr(before, field), getattr(after, field))
        if same and before.digest == after.digest:
            return
    old, new = (pin.manifest if pin else _EMPTY for pin in (before, after))
    for drifted in drift(old, new):
        yield from _drift_rows(drifted, old, new, tools)


def _drift_rows(drifted: Drifted, old: Manifest, new: Manifest, tools: Tools) -> Iterator[Row]:
    """A row that says what happened to an entry, then one for each place in it."""
    if drifted.kind not in _PARTS:
        part = drifted.kind
        before, after = getattr(old, part), getattr(new, part)
        pointer = f"/pin/manifest/{part}"
        yield Row(
            pointer=pointer, before=before or NOTHING, after=after or NOTHING, sentence=f"{part} of the server: {drifted.grade.value}."
        )
        return
    part, key = _PARTS[drifted.kind]
    pointer = below(f"/pin/manifest/{part}", drifted.name)
    before, after = (_entry(getattr(side, part), key, drifted.name) for side in (old, new))
    sentence = tools.pinned(drifted.kind, drifted.name, drifted.grade.value, is_new=before is NOTHING, is_gone=after is NOTHING)
    if before is NOTHING or after is NOTHING:
        yield Row(pointer=pointer, before=before, after=after, sentence=sentence)
        return
    yield Row(pointer=pointer, sentence=sentence)
    for path in drifted.paths:
        yield Row(pointer=pointer + path, before=_at(before, path), after=_at(after, path))


def _entry(entries: tuple[dict[str, Any], ...], key: str, name: str) -> Any:
    return next((entry for entry in entries if str(entry.get(key)) == name), NOTHING)


def _at(value: Any, pointer: str) -> Any:
    """What a pointer leads to; nothing where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(value, Mapping) or key not in value:
            return NOTHING
        value = value[key]
    return value


# --- Portals and policies -------------------------------------------------------------------------------------------------


def _portal_rows(before: PortalContent | None, after: PortalContent | None) -> Iterator[Row]:
    old, new = (list(one.portal.servers) if one else [] for one in (before, after))
    for name in old:
        if name not in new:
            yield Row(pointer="/portal/servers", before=name, sentence=f"The portal loses server `{shown_key(name)}`.")
    for name in new:
        if name not in old:
            yield Row(pointer="/portal/servers", after=name, sentence=f"The portal gains server `{shown_key(name)}`.")
    if old != new and sorted(old) == sorted(new):
        yield Row(pointer="/portal/servers", before=old, after=new)
    descriptions = [(one.portal.description or NOTHING) if one else NOTHING for one in (before, after)]
    yield from _value_rows("/portal/description", *descriptions)


def _policy_rows(before: PolicyContent | None, after: PolicyContent | None) -> Iterator[Row]:
    old, new = (_rules(one) for one in (before, after))
    if old is None or new is None:
        texts = [one.text if one else NOTHING for one in (before, after)]
        yield Row(pointer="/text", before=texts[0], after=texts[1], sentence="The text cannot be read as rules, so it is compared as text.")
        return
    for rule_id in sorted(old.keys() | new.keys()):
        was, will_be = old.get(rule_id, ()), new.get(rule_id, ())
        if [rule.syntax for rule in was] != [rule.syntax for rule in will_be]:
            yield Row(pointer=below("/rules", rule_id), before=_texts(was), after=_texts(will_be), sentence=_ruled(rule_id, was, will_be))


def _rules(content: PolicyContent | None) -> dict[str, tuple[Rule, ...]] | None:
    """The rules of a text by id; None: it cannot be read."""
    if content is None:
        return {}
    read, findings = read_rules({"policy": content.text})
    if findings:
        return None
    rules: dict[str, tuple[Rule, ...]] = {}
    for rule in read:
        if not rule.shipped:
            rules[rule.id] = (*rules.get(rule.id, ()), rule)
    return rules


def _texts(rules: tuple[Rule, ...]) -> Any:
    return "\n".join(rule.text for rule in rules) if rules else NOTHING


def _ruled(rule_id: str, before: tuple[Rule, ...], after: tuple[Rule, ...]) -> str:
    happens = "added" if not before else "removed" if not after else "changed"
    effect = "permit" if (after or before)[0].permits else "forbid"
    return f"The policy rule `{shown_key(rule_id)}` ({effect}) is {happens}."


# --- Values ---------------------------------------------------------------------------------------------------------------


def _value_rows(pointer: str, before: Any, after: Any) -> Iterator[Row]:
    """A row for every single value that differs; a list is one value."""
    if before == after and isinstance(before, bool) is isinstance(after, bool):
        return
    old, new = ({} if one is NOTHING else one for one in (before, after))
    if isinstance(old, dict) and isinstance(new, dict) and (old or new):
        for key in sorted(old.keys() | new.keys()):
            yield from _value_rows(below(pointer, key), old.get(key, NOTHING), new.get(key, NOTHING))
    else:
        yield Row(pointer=pointer, before=before, after=after)
