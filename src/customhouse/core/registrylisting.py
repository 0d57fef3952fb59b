"""What the registry API says of the servers behind the gateway: entries, pages, versions.

Sources: modelcontextprotocol/registry, docs/reference/api/openapi.yaml (paths, parameters, `ServerList`, `ServerResponse`) and
docs/modelcontextprotocol-io/versioning.mdx (the newest version: the flag, then semantic versions, then the date); server.json, schema
2025-12-11. A sub-registry puts its own facts under a key of its own. Clients are given the gateway's address alone, never the server's.
"""

import base64
import binascii
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from customhouse.core.catalogue import server_path
from customhouse.core.content import ServerContent
from customhouse.core.instants import instant_text
from customhouse.core.manifest import Effect
from customhouse.core.review import State, Version

SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
OFFICIAL = "io.modelcontextprotocol.registry/official"
OWN = "dev.customhouse/registry"
MAX_PAGE = 100
LATEST = "latest"

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAMESPACE = re.compile(rf"(?=.{{3,150}}\Z){_LABEL}(?:\.{_LABEL})+")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,49}")
_URL = re.compile(r"https?://[^\s{}]+")
_RANGE = re.compile(r"[\^~<>=*|\s]|(?:^|\.)[xX](?:\.|$)")
_NUMBER = r"(?:0|[1-9][0-9]*)"
_SEMANTIC = re.compile(rf"({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")

Status = Literal["active", "deprecated", "deleted"]


class ListedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a server, as the registry tells it to everybody who may ask. Making one that cannot be told raises `ValueError`."""

    name: str
    """The server's name here; the registry's name is the namespace, a slash and this."""
    title: str = ""
    description: str = ""
    version: str
    """Exact; not `latest`, not a range."""
    status: Status = "active"
    status_message: str = ""
    published_at: float
    """Unix seconds, as the next two."""
    updated_at: float
    status_changed_at: float | None = None
    """Absent: with the last update."""
    is_latest: bool = False
    url: str
    """The gateway's endpoint."""
    digest: str
    """Of the pin."""
    owner: str
    classes: Mapping[str, int] = {}
    """How many tools there are of each class."""

    def __post_init__(self) -> None:
        if _NAME.fullmatch(self.name) is None:
            raise ValueError(f"{self.name!a} cannot be the name of a server in a registry.")
        if not 0 < len(self.version) <= 255 or self.version == LATEST or _RANGE.search(self.version):
            raise ValueError(f"{self.version!a} is not an exact version.")
        if _URL.fullmatch(self.url) is None:
            raise ValueError(f"{self.url!a} is not the address of an endpoint.")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is asked for."""

    search: str = ""
    """A part of the name, in either case."""
    version: str = ""
    """`latest`, or an exact one."""
    updated_since: float | None = None
    """Unix seconds; deleted versions are told then too, so that a copy of the list can follow."""
    include_deleted: bool = False
    cursor: str = ""
    limit: int = 30


class UnreadableCursor(ValueError):
    """A cursor that no list gave out."""


_STATUS: Mapping[State, Status] = {
    State.ACTIVE: "active",
    State.DEPRECATED: "deprecated",
    State.QUARANTINED: "deleted",
    State.RETIRED: "deleted",
}
"""What is suspended is gone for clients, and back as soon as it is active again."""


_STATUS_MESSAGE: Mapping[State, str] = {
    State.DEPRECATED: "Another version takes its place.",
    State.QUARANTINED: "It is not served at present.",
    State.RETIRED: "It is not served any more.",
}
"""What operators wrote as a reason is for operators: these words are told to everybody."""


def listed_version(version: Version, content: ServerContent, public_url: str, changed_at: float) -> ListedVersion | None:
    """How the registry tells a version of a server whose state changed last at `changed_at`; None if it was never served.

    Numbers become semantic versions, `3` is `3.0.0`, since registries order those and trust no others.
    """
    definition, pin = content.definition, content.pin
    if pin is None or version.activated_at == 0 or version.state not in _STATUS:
        return None
    pinned = {tool["name"] for tool in pin.manifest.tools}
    classes = Counter(review.effect.value for name, review in definition.tools.items() if name in pinned)
    title = pin.manifest.server_info.get("title", "")
    return ListedVersion(
        name=version.name,
        title=title if isinstance(title, str) else "",
        description=definition.description,
        version=f"{version.number}.0.0",
        status=_STATUS[version.state],
        status_message=_STATUS_MESSAGE.get(version.state, ""),
        published_at=version.activated_at,
        updated_at=changed_at,
        is_latest=version.state is State.ACTIVE,
        url=public_url + server_path(version.name, version.number if version.state is State.DEPRECATED else 0),
        digest=pin.digest,
        owner=definition.owner,
        classes={effect.value: classes[effect.value] for effect in Effect},
    )


def check_namespace(text: str) -> str:
    """The namespace. Raises `ValueError` unless it is a domain name in reverse, such as `com.example.gateway`."""
    if _NAMESPACE.fullmatch(text) is None:
        raise ValueError("The namespace of a registry is a domain name in reverse, such as com.example.gateway.")
    return text


def page(namespace: str, versions: Sequence[ListedVersion], query: Query) -> dict[str, Any]:
    """A `ServerList`: by name, then by date. Raises `UnreadableCursor`."""
    after = _position(query.cursor) if query.cursor else None
    newest = latest(versions) if query.version == LATEST else frozenset()
    matching = sorted((one for one in versions if _matches(namespace, one, query, newest)), key=_key)
    rest = [one for one in matching if after is None or _key(one) > after]
    shown = rest[: min(query.limit, MAX_PAGE)]
    names = {one.name for one in shown}
    newest = newest or latest(one for one in versions if one.name in names)
    metadata: dict[str, Any] = {"count": len(shown)}
    if len(rest) > len(shown):
        metadata["nextCursor"] = _cursor(_key(shown[-1]))
    return {"servers": [_response(namespace, one, newest) for one in shown], "metadata": metadata}


def versions_of(namespace: str, versions: Sequence[ListedVersion], name: str, *, include_deleted: bool) -> dict[str, Any] | None:
    """All versions of a server, the newest date first, or None if there is nothing to tell."""
    newest = latest(versions)
    found = sorted(_named(namespace, versions, name, include_deleted), key=lambda one: (-one.published_at, one.version))
    return {"servers": [_response(namespace, one, newest) for one in found], "metadata": {"count": len(found)}} if found else None


def version_of(
    namespace: str, versions: Sequence[ListedVersion], name: str, version: str, *, include_deleted: bool
) -> dict[str, Any] | None:
    """One version of a server by its text or as `latest`, or None."""
    newest = latest(versions)
    found = _named(namespace, versions, name, include_deleted)
    wanted = [one for one in found if (_identity(one) in newest if version == LATEST else one.version == version)]
    return _response(namespace, wanted[0], newest) if wanted else None


def latest(versions: Iterable[ListedVersion]) -> frozenset[tuple[str, str]]:
    """For each name the version that is the latest: one that is not deleted goes before, then the flagged one, then by precedence."""
    best: dict[str, ListedVersion] = {}
    for one in versions:
        if one.name not in best or _precedence(one) > _precedence(best[one.name]):
            best[one.name] = one
    return frozenset(_identity(one) for one in best.values())


def server_json(namespace: str, one: ListedVersion) -> dict[str, Any]:
    """The server.json of a version."""
    title = {"title": _shortened(one.title)} if one.title.strip() else {}
    return {
        "$schema": SCHEMA,
        "name": f"{namespace}/{one.name}",
        **title,
        "description": _shortened(one.description) or _shortened(f"{one.title or one.name}, by {one.owner}"),
        "version": one.version,
        "remotes": [{"type": "streamable-http", "url": one.url}],
    }


def _response(namespace: str, one: ListedVersion, newest: frozenset[tuple[str, str]]) -> dict[str, Any]:
    message = {"statusMessage": one.status_message[:500]} if one.status_message else {}
    changed_at = one.updated_at if one.status_changed_at is None else one.status_changed_at
    official = {
        "status": one.status,
        **message,
        "statusChangedAt": instant_text(changed_at),
        "publishedAt": instant_text(one.published_at),
        "updatedAt": instant_text(one.updated_at),
        "isLatest": _identity(one) in newest,
    }
    own = {"owner": one.owner, "digest": one.digest, "tools": dict(one.classes)}
    return {"server": server_json(namespace, one), "_meta": {OFFICIAL: official, OWN: own}}


def _matches(namespace: str, one: ListedVersion, query: Query, newest: frozenset[tuple[str, str]]) -> bool:
    if one.status == "deleted" and not query.include_deleted and query.updated_since is None:
        return False
    if query.updated_since is not None and one.updated_at < query.updated_since:
        return False
    if query.version == LATEST and _identity(one) not in newest:
        return False
    if query.version not in ("", LATEST, one.version):
        return False
    return query.search.lower() in f"{namespace}/{one.name}".lower()


def _named(namespace: str, versions: Sequence[ListedVersion], name: str, include_deleted: bool) -> list[ListedVersion]:
    return [one for one in versions if f"{namespace}/{one.name}" == name and (include_deleted or one.status != "deleted")]


def _identity(one: ListedVersion) -> tuple[str, str]:
    return one.name, one.version


def _precedence(one: ListedVersion) -> tuple[bool, bool, tuple[Any, ...], float, str]:
    return one.status != "deleted", one.is_latest, semantic(one.version), one.published_at, one.version


def semantic(version: str) -> tuple[Any, ...]:
    """A key that orders semantic versions by their precedence (semver.org 2.0.0, section 11), all others below them."""
    fits = _SEMANTIC.fullmatch(version)
    if fits is None:
        return (0,)
    before = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in fits[4].split(".")) if fits[4] else ()
    return (1, int(fits[1]), int(fits[2]), int(fits[3]), not before, before)


def _shortened(text: str, most: int = 100) -> str:
    """In one line of at most `most` characters, cut between words where that loses little."""
    line = " ".join(text.split())
    if len(line) <= most:
        return line
    cut = line[: most - 1]
    words = cut.rsplit(" ", 1)[0]
    return (words if len(words) > most // 2 else cut).rstrip(" ,;:") + "…"


_Key = tuple[str, float, str]


def _key(one: ListedVersion) -> _Key:
    return one.name, one.published_at, one.version


def _cursor(key: _Key) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def _position(cursor: str) -> _Key:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        key: _Key = msgspec.json.decode(text, type=_Key)
    except (binascii.Error, ValueError, msgspec.MsgspecError) as unreadable:
        raise UnreadableCursor("The cursor is not one that a list gave out.") from unreadable
    return key
