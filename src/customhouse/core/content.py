"""What a version holds: a server's definition with its pin, the text of a policy, or a portal, as a JSON value.

A field at its default is left out, so a later release that adds a field changes no digest, and what is written down is what somebody
decided; the default of a field therefore never changes. Reading is strict: what this release does not know is refused, never dropped.
"""

import functools
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, in_order
from customhouse.core.policygrants import WrittenGrant
from customhouse.core.review import Kind


class Portal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set of servers that is offered as one endpoint."""

    servers: tuple[str, ...]
    """Names of servers."""
    description: str = ""
    """One sentence for listings."""


class ServerContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server as it is reviewed: what it is, and what it said it offers."""

    definition: ServerDefinition
    pin: Pin | None = None
    """Absent: nothing of it is served yet."""


class PolicyContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of Cedar rules."""

    text: str


class GrantsContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file of grants."""

    grants: tuple[WrittenGrant, ...]


class PortalContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A portal as it is reviewed."""

    portal: Portal


Content = ServerContent | PolicyContent | GrantsContent | PortalContent

_TYPES: Final[Mapping[Kind, type[ServerContent] | type[PolicyContent] | type[GrantsContent] | type[PortalContent]]] = {
    Kind.SERVER: ServerContent,
    Kind.POLICY: PolicyContent,
    Kind.GRANT: GrantsContent,
    Kind.PORTAL: PortalContent,
}


_DECODERS: Final[Mapping[Kind, msgspec.json.Decoder[Content]]] = {kind: msgspec.json.Decoder(of) for kind, of in _TYPES.items()}


def stated(content: Content) -> dict[str, Any]:
    """The JSON value of a content, without what is at its default."""
    if isinstance(content, ServerContent) and content.pin is not None:
        pin = msgspec.structs.replace(content.pin, manifest=in_order(content.pin.manifest))
        content = msgspec.structs.replace(content, pin=pin)
    plain: dict[str, Any] = _stated(content)
    return plain


def read_content(kind: Kind, value: object) -> Content:
    """The content of a JSON value. Raises `msgspec.ValidationError`, which says where."""
    return msgspec.convert(value, _TYPES[kind])


def decode_content(kind: Kind, written: bytes | msgspec.Raw) -> Content:
    """The content that was written down as JSON. Raises `msgspec.ValidationError`, which says where."""
    return _DECODERS[kind].decode(written)


def reviewers_needed(kind: Kind, content: Content) -> int:
    """Two people for what can change things in the world, which a policy always can, and a grant unless it is of reads; one for the
    rest."""
    if isinstance(content, ServerContent):
        return 2 if any(review.effect.changes_things for review in content.definition.tools.values()) else 1
    if isinstance(content, GrantsContent):
        return 1 if all(set(grant.on.classes) == {Effect.READ} for grant in content.grants) else 2
    return 2 if kind is Kind.POLICY else 1


_ANSWERS: Final = ("owner", "contact", "on_call", "classification", "runbook", "review_by")


def unanswered(definition: ServerDefinition, today: str) -> tuple[str, ...]:
    """The fields that say who answers for a server and are blank, and `review_by` where that day is over; `today` is YYYY-MM-DD."""
    missing = [name for name in _ANSWERS if not (getattr(definition, name) or "").strip()]
    if definition.review_by and definition.review_by < today:
        missing.append("review_by")
    return tuple(missing)


@functools.cache
def _fields(struct: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a struct, looked up once: annotations are evaluated each time otherwise."""
    return msgspec.structs.fields(struct)


def _stated(value: Any) -> Any:
    """A value as JSON, fields of structs left out where they are at their default."""
    if isinstance(value, Manifest):  # JSON already
        return {name: part for name, part in msgspec.structs.asdict(value).items() if part or name in _SAID_BY_EVERY_SERVER}
    if isinstance(value, msgspec.Struct):
        return {
            field.encode_name: _stated(getattr(value, field.name))
            for field in _fields(type(value))
            if not _at_default(field, getattr(value, field.name))
        }
    if isinstance(value, Mapping):
        return {key: _stated(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_stated(each) for each in value]
    return msgspec.to_builtins(value)


_SAID_BY_EVERY_SERVER: Final = frozenset({"server_info", "capabilities"})


def _at_default(field: msgspec.structs.FieldInfo, value: object) -> bool:
    if field.name == "digest_formula":  # names the formula of its day, whatever a later release computes
        return False
    if field.default is not msgspec.NODEFAULT:
        return bool(field.default == value)
    return field.default_factory is not msgspec.NODEFAULT and bool(field.default_factory() == value)
