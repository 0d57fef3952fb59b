"""Generated contents of servers, sound and broken, and pictures made of them."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from customhouse.core.content import Content, PolicyContent, Portal, PortalContent, ServerContent, decode_content, stated
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, canonical_bytes, digest_of
from customhouse.core.review import Kind, State, Version, content_digest
from customhouse.core.verdict import Verdict, judged

SCHEMAS: tuple[Any, ...] = (
    {"type": "object"},
    {"type": "object", "properties": {"title": {"type": "string"}, "count": {"type": "integer"}}, "required": ["title"]},
    {"type": "object", "properties": {"tags": {"type": "array", "items": {"type": "string"}}}},
    {"type": "object", "$ref": "https://elsewhere.example/schema"},
    {"type": "object", "properties": {"x": {"type": "string", "pattern": "(?=a)b"}}},
    {"type": "array"},
    {"type": 7},
)
NAMES = ("a", "b", "c", "A", "\u0430", "z\u200b")
"""Two of them look like a third, and one hides a character."""
EFFECTS = tuple(Effect)

_names = st.sampled_from(NAMES)
_words = st.sampled_from(("", "Plain words.", "Hidden\u202e words."))
_tools = st.lists(
    st.fixed_dictionaries(
        {"name": _names, "inputSchema": st.sampled_from(SCHEMAS)},
        optional={"description": _words, "outputSchema": st.sampled_from((*SCHEMAS, True, 3)), "title": st.just(1)},
    ),
    max_size=4,
)
_prompts = st.lists(st.fixed_dictionaries({"name": _names}, optional={"arguments": st.sampled_from(([], [{"name": "x"}], 1))}), max_size=2)
_resources = st.lists(st.fixed_dictionaries({"uri": st.sampled_from(("n://a", "n://b", "n://c\u200b")), "name": _names}), max_size=3)
_templates = st.lists(
    st.fixed_dictionaries({"name": _names}, optional={"uriTemplate": st.sampled_from(("n://{x}", "n://{", 7))}), max_size=2
)
_reviews = st.dictionaries(_names, st.builds(ToolReview, st.sampled_from(EFFECTS), idempotent=st.booleans()), max_size=len(NAMES))


@st.composite
def contents(draw: st.DrawFn, name: str = "n") -> ServerContent:
    """A server with a pin that may hold what cannot be served, or with none."""
    definition = ServerDefinition(
        name=name, owner="team", contact="c", tenant="acme", url="http://127.0.0.1:1/", tools=draw(_reviews), description=draw(_words)
    )
    if draw(st.integers(0, 9)) == 0:
        return ServerContent(definition=definition)
    said = Manifest(
        server_info={"name": draw(_names)},
        capabilities={"tools": {}, "resources": {}},
        instructions=draw(_words),
        tools=tuple(draw(_tools)),
        prompts=tuple(draw(_prompts)),
        resources=tuple(draw(_resources)),
        resource_templates=tuple(draw(_templates)),
    )
    return ServerContent(definition=definition, pin=Pin(server=name, revision="2026-07-28", digest=digest_of(said), manifest=said))


RULES = (
    '@id("read") permit (principal in Group::"acme/readers", action in Action::"read", resource);',
    '@id("write") permit (principal in Group::"acme/writers", action in Action::"write", resource in Server::"s0");',
    """@id("titled") forbid (principal, action in Action::"read", resource)
    when { context has arguments && context.arguments has title && context.arguments.title == "no" };""",
)


@st.composite
def served(draw: st.DrawFn) -> list[tuple[Version, bytes]]:
    """What a register serves: servers, some of them with an older version beside, policies and a portal."""
    found: list[tuple[Version, bytes]] = []
    count = draw(st.integers(1, 3))
    for number in range(count):
        name = f"s{number}"
        found.append(version(Kind.SERVER, name, draw(contents(name)), 2))
        if draw(st.booleans()):
            found.append(version(Kind.SERVER, name, draw(contents(name)), 1, State.DEPRECATED))
    for number, text in enumerate(draw(st.sets(st.sampled_from(RULES)))):
        found.append(version(Kind.POLICY, f"p{number}.cedar", PolicyContent(text=text), 1))
    if draw(st.booleans()):
        found.append(version(Kind.PORTAL, "some", PortalContent(portal=Portal(servers=("s0", "s2"))), 1))
    return found


def version(kind: Kind, name: str, content: Content, number: int, state: State = State.ACTIVE) -> tuple[Version, bytes]:
    """A version of a content, with how it is written down."""
    value = stated(content)
    one = Version(
        kind=kind,
        name=name,
        number=number,
        tenant="acme",
        digest=content_digest(kind, name, value),
        state=state,
        proposer="acme/ann",
        reviewers_needed=1,
        proposed_at=1.0,
    )
    return one, canonical_bytes(value)


def verdicts(found: list[tuple[Version, bytes]]) -> Mapping[str, Verdict]:
    """What a control process keeps about the servers among them."""
    read = {one.digest: decode_content(one.kind, written) for one, written in found}
    return {digest: judged(content) for digest, content in read.items() if isinstance(content, ServerContent)}
