"""A call between a client and a server of different revisions: parameters, results and errors, a row per rule of the matrix.

The ids name rows of the matrix of translations: A is an older client in front of a newer server, B the other way round.
"""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import methods

from customhouse.core.manifest import Era
from customhouse.core.protocol.content import SINCE
from customhouse.core.protocol.reading import read_members
from customhouse.core.protocol.results import relayed, relayed_error
from customhouse.core.protocol.revisions import ERA_OF, LEGACY_REVISIONS, NEWEST_MODERN, PREFIX
from customhouse.core.protocol.translation import known_to, translated_error, translated_params, translated_result

M, L4, L3, L2, L1 = NEWEST_MODERN, *LEGACY_REVISIONS
REVISIONS = st.sampled_from(sorted(ERA_OF))
INFO = {"name": "customhouse", "version": "1"}
TEXT = {"type": "text", "text": "hello"}
AUDIO = {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav", "_meta": {"com.example/x": None}, "annotations": {"priority": 1}}
LINK = {"type": "resource_link", "uri": "file:///a", "name": "a", "title": "The file", "description": "What it is.", "size": 3, "x": None}
AUDIO_SAID = "[Audio (audio/wav), left out: the protocol revision of this client has no audio.]"
LINK_SAID = "[The file: file:///a] What it is."
AUDIO_AS_TEXT = {"_meta": {"com.example/x": None}, "annotations": {"priority": 1}, "type": "text", "text": AUDIO_SAID}
LINK_AS_TEXT = {"x": None, "type": "text", "text": LINK_SAID}
STRANGE = {"type": "hologram", "data": None, "x-vendor": [1.0, None]}


def translated(result: dict[str, Any], server: str, client: str, method: str = "tools/call") -> dict[str, Any]:
    value: dict[str, Any] = json.loads(
        msgspec.json.encode(translated_result(read_members(json.dumps(result).encode()), method, server, client))
    )
    return value


def whole(result: dict[str, Any], server: str, client: str, method: str = "tools/call") -> dict[str, Any]:
    """What the client gets: translated, then stamped for its era."""
    members = translated_result(read_members(json.dumps(result).encode()), method, server, client)
    value: dict[str, Any] = json.loads(msgspec.json.encode(relayed(members, ERA_OF[client], method, INFO)[0]))
    return value


RESULTS = [
    pytest.param("tools/call", M, L1, {"content": [TEXT, AUDIO, LINK]}, {"content": [TEXT, AUDIO_AS_TEXT, LINK_AS_TEXT]}, id="TM-05-A-all"),
    pytest.param("tools/call", M, L2, {"content": [AUDIO, LINK]}, {"content": [AUDIO, LINK_AS_TEXT]}, id="TM-05-A-audio-is-known"),
    pytest.param("tools/call", M, L3, {"content": [AUDIO, LINK]}, {"content": [AUDIO, LINK]}, id="TM-05-A-both-are-known"),
    pytest.param("tools/call", L4, L1, {"content": [AUDIO, STRANGE]}, {"content": [AUDIO_AS_TEXT, STRANGE]}, id="TM-05-legacy-both-sides"),
    pytest.param("tools/call", L1, L4, {"content": [AUDIO]}, {"content": [AUDIO]}, id="TM-05-an-older-server-may-mean-its-own-audio"),
    pytest.param(
        "tools/call", M, L4, {"content": [TEXT], "structuredContent": [1]}, {"content": [TEXT]}, id="TM-05-A-a-list-is-not-structured"
    ),
    pytest.param("tools/call", M, L4, {"content": [TEXT], "structuredContent": None}, {"content": [TEXT]}, id="TM-05-A-nor-is-null"),
    pytest.param(
        "tools/call",
        M,
        L4,
        {"content": [], "structuredContent": [1, "é"]},
        {"content": [{"type": "text", "text": '[1, "\\u00e9"]'}]},
        id="TM-05-A-what-was-not-repeated-as-text-is",
    ),
    pytest.param(
        "tools/call",
        M,
        L4,
        {"content": [], "structuredContent": {"a": None}},
        {"content": [], "structuredContent": {"a": None}},
        id="TM-05-A-an-object-stays",
    ),
    pytest.param(
        "tools/call",
        M,
        L2,
        {"structuredContent": {"a": 1}},
        {"structuredContent": {"a": 1}, "content": [{"type": "text", "text": '{"a": 1}'}]},
        id="TM-05-A-an-object-for-those-who-do-not-look-there",
    ),
    pytest.param("tools/call", L4, M, {"content": [], "structuredContent": None}, {"content": [], "structuredContent": None}, id="TM-05-B"),
    pytest.param(
        "prompts/get",
        M,
        L1,
        {"messages": [{"role": "user", "content": AUDIO, "x": 1}]},
        {"messages": [{"role": "user", "content": AUDIO_AS_TEXT, "x": 1}]},
        id="TM-04-A-prompt",
    ),
    pytest.param(
        "prompts/get",
        L3,
        L2,
        {"messages": [{"role": "user", "content": LINK}, {"role": "user", "content": TEXT}]},
        {"messages": [{"role": "user", "content": LINK_AS_TEXT}, {"role": "user", "content": TEXT}]},
        id="TM-04-legacy-prompt",
    ),
    pytest.param(
        "prompts/get",
        L4,
        M,
        {"messages": [{"role": "user", "content": AUDIO}]},
        {"messages": [{"role": "user", "content": AUDIO}]},
        id="TM-04-B-prompt",
    ),
    pytest.param(
        "resources/read",
        M,
        L1,
        {"contents": [{"uri": "a", "text": "", "x": None}]},
        {"contents": [{"uri": "a", "text": "", "x": None}]},
        id="TM-04-A-resource",
    ),
    pytest.param("completion/complete", M, L1, {"completion": {"values": []}}, {"completion": {"values": []}}, id="TM-16-A"),
]


@pytest.mark.parametrize(("method", "server", "client", "said", "heard"), RESULTS)
def test_a_result_reaches_the_client_in_its_revision(method: str, server: str, client: str, said: Any, heard: Any) -> None:  # GW-86
    assert translated(said, server, client, method) == heard


@pytest.mark.parametrize("content", [[[]], {"type": "audio"}, "audio", [{"type": 3}], [1], None])
def test_content_that_no_revision_knows_is_for_the_client_to_judge(content: Any) -> None:
    assert translated({"content": content}, M, L1) == {"content": content}
    assert translated({"messages": content}, M, L1, "prompts/get") == {"messages": content}


@pytest.mark.parametrize("content", [{}, "x", None])
def test_structured_content_takes_the_place_of_no_content_alone(content: Any) -> None:
    assert translated({"content": content, "structuredContent": {"a": 1}}, M, L1) == {"content": content, "structuredContent": {"a": 1}}


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ({"type": "audio"}, "[Audio (unknown format), left out: the protocol revision of this client has no audio.]"),
        ({"type": "audio", "mimeType": 3}, "[Audio (unknown format), left out: the protocol revision of this client has no audio.]"),
        ({"type": "resource_link", "uri": "file:///a", "name": "a"}, "[a: file:///a]"),
        ({"type": "resource_link", "uri": "file:///a"}, "[Resource: file:///a]"),
    ],
)
def test_what_became_text_says_what_was_there(block: dict[str, Any], said: str) -> None:
    assert translated({"content": [block]}, M, L1) == {"content": [{"type": "text", "text": said}]}


def test_a_type_that_is_spelled_with_escapes_is_the_same_type() -> None:
    members = read_members(b'{"content":[{"typ\\u0065":"\\u0061udio"}],"messages":[{"content":{"type":"a\\u0075dio"}}]}')
    for method, part in (("tools/call", "content"), ("prompts/get", "messages")):
        heard = translated_result(members, method, M, L1)
        assert b"left out" in bytes(heard[part])


def test_what_needs_no_change_is_not_even_spelled_anew() -> None:
    members = read_members(b'{"content":[ {"type":"text","text":"\\u0041"} ],"structuredContent":{ "a":1.50e1},"x":null}')
    for server in ERA_OF:
        for client in ERA_OF:
            assert msgspec.json.encode(translated_result(members, "tools/call", server, client)) == msgspec.json.encode(members)


MODERN_CLIENT = [
    pytest.param("tools/call", {"content": []}, {"resultType": "complete"}, id="TM-05-B-resultType"),
    pytest.param("prompts/get", {"messages": []}, {"resultType": "complete"}, id="TM-04-B-resultType"),
    pytest.param("completion/complete", {"completion": {"values": []}}, {"resultType": "complete"}, id="TM-16-B"),
    pytest.param("resources/read", {"contents": []}, {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}, id="TM-04-B-caching"),
]


@pytest.mark.parametrize(("method", "said", "added"), MODERN_CLIENT)
@pytest.mark.parametrize("server", LEGACY_REVISIONS)
def test_a_modern_client_gets_a_valid_modern_result_of_a_legacy_server(server: str, method: str, said: Any, added: Any) -> None:  # GW-27
    heard = whole(said, server, M, method)
    assert {key: value for key, value in heard.items() if key != "_meta"} == {**said, **added}
    methods.validate_server_result(method, M, heard)


MODERN_SERVER = [
    pytest.param("tools/call", {"content": [TEXT, AUDIO, LINK], "structuredContent": ["x"]}, id="TM-05-A-valid"),
    pytest.param("tools/call", {"content": [TEXT], "structuredContent": {"x": 1}, "isError": True}, id="TM-05-A-error"),
    pytest.param("prompts/get", {"messages": [{"role": "assistant", "content": LINK}]}, id="TM-04-A-valid-prompt"),
    pytest.param(
        "resources/read", {"contents": [{"uri": "file:///a", "text": "x"}], "ttlMs": 1, "cacheScope": "public"}, id="TM-04-A-valid-resource"
    ),
    pytest.param("completion/complete", {"completion": {"values": ["a"]}}, id="TM-16-A-valid"),
]


@pytest.mark.parametrize(("method", "said"), MODERN_SERVER)
@pytest.mark.parametrize("client", LEGACY_REVISIONS)
def test_a_legacy_client_gets_a_valid_legacy_result_of_a_modern_server(client: str, method: str, said: Any) -> None:
    forged = {PREFIX + "serverInfo": {"name": "x"}, "com.example/y": 1}
    heard = whole({**said, "resultType": "complete", "_meta": forged}, M, client, method)
    methods.validate_server_result(method, client, heard)
    assert not {"resultType", "ttlMs", "cacheScope"} & set(heard)
    assert heard["_meta"] == {"com.example/y": 1}
    kinds = {block["type"] for block in heard.get("content", []) + [message["content"] for message in heard.get("messages", [])]}
    assert not {kind for kind in kinds if SINCE.get(kind, "") > client}


# Laws of results

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4).filter(str.isprintable), inner, max_size=3),
    max_leaves=8,
)
OWN = {"content", "structuredContent", "messages", "isError", "resultType", "ttlMs", "cacheScope", "_meta"}
VENDOR = st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda key: key.isprintable() and key not in OWN), VALUES, max_size=3)
STRANGE_BLOCKS = VENDOR.map(lambda block: {**block, "type": "x-" + str(block.get("type"))})
KNOWN_BLOCKS = st.sampled_from([TEXT, AUDIO, LINK, {"type": "image", "data": "", "mimeType": "image/png"}])
CALL_RESULTS = st.builds(
    lambda vendor, content, structured: {**vendor, "content": content, **structured},
    VENDOR,
    st.lists(STRANGE_BLOCKS | KNOWN_BLOCKS, max_size=3),
    st.just({}) | VALUES.map(lambda value: {"structuredContent": value}),
)


@given(VENDOR, st.lists(STRANGE_BLOCKS, max_size=3), REVISIONS, REVISIONS, st.sampled_from(["tools/call", "prompts/get", "x"]))
def test_unknown_members_unknown_content_and_explicit_nulls_survive(  # GW-63
    vendor: dict[str, Any], blocks: list[Any], server: str, client: str, method: str
) -> None:
    messages = [{"role": "user", "content": block, "x": None} for block in blocks]
    said = {**vendor, "content": blocks, "messages": messages, "x": None}
    assert translated(said, server, client, method) == said


@given(CALL_RESULTS, REVISIONS, st.sampled_from(["tools/call", "prompts/get", "resources/read", "completion/complete", "x"]))
def test_between_equal_revisions_the_very_members_are_handed_back(result: dict[str, Any], revision: str, method: str) -> None:
    members = read_members(json.dumps(result).encode())
    assert translated_result(members, method, revision, revision) is members


@given(CALL_RESULTS, REVISIONS, REVISIONS)
def test_translating_twice_is_translating_once(result: dict[str, Any], server: str, client: str) -> None:
    once = translated(result, server, client)
    assert translated(once, server, client) == once


@given(CALL_RESULTS, REVISIONS, REVISIONS)
def test_no_content_reaches_a_client_whose_revision_came_before_it(result: dict[str, Any], server: str, client: str) -> None:
    kinds = [block["type"] for block in translated(result, server, client)["content"]]
    assert not [kind for kind in kinds if kind in SINCE and client < SINCE[kind] <= server]


@given(
    CALL_RESULTS,
    st.dictionaries(st.sampled_from([PREFIX + "serverInfo", PREFIX + "x", "progressToken", "traceparent"]), VALUES),
    REVISIONS,
    REVISIONS,
)
def test_no_connection_key_of_a_server_reaches_a_client(
    result: dict[str, Any], meta: dict[str, Any], server: str, client: str
) -> None:  # GW-88
    heard = whole({**result, "_meta": meta}, server, client).get("_meta", {})
    stamped = {PREFIX + "serverInfo": INFO} if ERA_OF[client] is Era.MODERN else {}
    assert {key: value for key, value in heard.items() if key.startswith(PREFIX)} == stamped


# Parameters

PARAMS = [
    pytest.param("completion/complete", {"ref": {}, "context": {"arguments": {}}}, L2, M, {"ref": {}}, id="TM-16-B-context"),
    pytest.param("completion/complete", {"context": {}}, L1, L3, {}, id="TM-16-legacy-context"),
    pytest.param("completion/complete", {"context": {}}, L3, M, {"context": {}}, id="TM-16-B-context-is-known"),
    pytest.param("completion/complete", {"context": {}}, M, L3, {"context": {}}, id="TM-16-A-context"),
    pytest.param("completion/complete", {"context": {}}, M, L1, {"context": {}}, id="TM-16-A-context-of-the-clients-own"),
    pytest.param("tools/call", {"name": "a", "context": {}}, L1, M, {"name": "a", "context": {}}, id="TM-16-context-elsewhere"),
    pytest.param("tools/call", {"name": "a", "task": {"ttl": 1}}, M, L4, {"name": "a"}, id="TM-15-A-task"),
    pytest.param("tools/call", {"name": "a", "task": {}}, L4, M, {"name": "a"}, id="TM-15-B-task"),
    pytest.param("tools/call", {"name": "a", "task": {}}, L3, L4, {"name": "a"}, id="TM-15-legacy-task"),
    pytest.param("tools/call", {"name": "a", "task": {}}, L3, L2, {"name": "a", "task": {}}, id="TM-15-unknown-to-both"),
    pytest.param("tools/call", {"inputResponses": {}, "requestState": "s", "x": None}, L4, M, {"x": None}, id="TM-12-B-answers"),
    pytest.param("tools/call", {"inputResponses": {}, "requestState": "s", "x": None}, M, L4, {"x": None}, id="TM-12-A-answers"),
]


@pytest.mark.parametrize(("method", "said", "server", "client", "heard"), PARAMS)
def test_a_server_gets_the_parameters_of_its_revision(method: str, said: Any, server: str, client: str, heard: Any) -> None:
    assert translated_params(said, method, server, client) == heard


@pytest.mark.parametrize(
    ("method", "server", "left_out"),
    [
        ("completion/complete", L1, {"task", "context", "inputResponses", "requestState"}),
        ("tools/call", L1, {"task", "inputResponses", "requestState"}),
        ("completion/complete", L3, {"task", "inputResponses", "requestState"}),
        ("tools/call", L4, {"inputResponses", "requestState"}),
        ("completion/complete", M, {"task"}),
    ],
)
def test_a_server_gets_nothing_that_means_something_in_other_revisions_alone(method: str, server: str, left_out: set[str]) -> None:
    params = dict.fromkeys(("name", "context", "task", "inputResponses", "requestState", "x"))
    assert params.keys() - known_to(params, method, server).keys() == left_out
    plain = {"name": "a", "x": None}
    assert known_to(plain, method, server) is plain


@given(VENDOR, REVISIONS, REVISIONS, st.sampled_from(["tools/call", "completion/complete"]))
def test_parameters_that_nobody_knows_are_handed_on_as_they_are(params: dict[str, Any], server: str, client: str, method: str) -> None:
    params = {"x-" + name: value for name, value in params.items()}
    assert translated_params(params, method, server, client) is params


@given(VENDOR, REVISIONS)
def test_between_equal_revisions_every_parameter_is_handed_on(params: dict[str, Any], revision: str) -> None:
    params |= {"task": {}, "context": {}, "inputResponses": {}}
    assert translated_params(params, "completion/complete", revision, revision) is params


# Errors

GONE = {"code": -32002, "message": "m"}
ASKS = {"code": -32042, "message": "m", "data": {"elicitations": [{"url": "https://example.com"}]}}
ERRORS = [
    pytest.param("resources/read", GONE, L4, M, {"code": -32602, "message": "m", "data": {"uri": "file:///a"}}, id="TM-17-B-missing"),
    pytest.param(
        "resources/read",
        {**GONE, "data": {"x": None}},
        L4,
        M,
        {"code": -32602, "message": "m", "data": {"uri": "file:///a", "x": None}},
        id="TM-17-B-data",
    ),
    pytest.param("resources/read", {**GONE, "data": "x"}, L4, M, {"code": -32602, "message": "m", "data": "x"}, id="TM-17-B-text"),
    pytest.param(
        "resources/read",
        {"code": -32602, "message": "m", "data": {"uri": "file:///a", "x": None}},
        M,
        L1,
        {"code": -32002, "message": "m", "data": {"uri": "file:///a", "x": None}},
        id="TM-17-A-missing",
    ),
    pytest.param(
        "resources/read",
        {"code": -32602, "message": "m", "data": {"uri": "b"}},
        M,
        L1,
        {"code": -32602, "message": "m", "data": {"uri": "b"}},
        id="TM-17-A-another",
    ),
    pytest.param("tools/call", {"code": -32602, "message": "m"}, M, L1, {"code": -32602, "message": "m"}, id="TM-17-A-parameters"),
    pytest.param("tools/call", ASKS, L4, M, {"code": -32603, "message": "m"}, id="TM-13-B-nobody-to-ask"),
    pytest.param("tools/call", ASKS, L4, L3, {"code": -32603, "message": "m"}, id="TM-13-legacy-before-pages"),
    pytest.param("tools/call", ASKS, M, L4, {"code": -32603, "message": "m"}, id="TM-13-A-not-a-modern-code"),
    *[
        pytest.param(
            "tools/call",
            {"code": code, "message": "m", "data": {"supported": []}},
            M,
            L4,
            {"code": -32603, "message": "m"},
            id=f"TM-17-A-{code}",
        )
        for code in (-32020, -32021, -32022)
    ],
    pytest.param(
        "tools/call",
        {"code": -32050, "message": "m", "data": 1},
        L4,
        M,
        {"code": -32603, "message": "m", "data": 1},
        id="TM-17-B-not-defined",
    ),
    pytest.param("tools/call", {"code": -32050, "message": "m"}, L4, L1, {"code": -32050, "message": "m"}, id="TM-17-legacy-own"),
    pytest.param("tools/call", {"code": -32601, "message": "m"}, L4, M, {"code": -32601, "message": "m"}, id="TM-17-B-method"),
    pytest.param(
        "tools/call", {"code": 7, "message": "m", "data": None}, L4, M, {"code": 7, "message": "m", "data": None}, id="TM-17-B-own"
    ),
]


@pytest.mark.parametrize(("method", "said", "server", "client", "heard"), ERRORS)
def test_an_error_reaches_the_client_in_its_revision(method: str, said: Any, server: str, client: str, heard: Any) -> None:
    assert translated_error(said, method, server, client, "file:///a") == heard


@given(st.integers(-33000, 100), st.booleans(), REVISIONS, REVISIONS)
def test_a_code_that_the_clients_revision_has_no_meaning_for_never_leaves(
    code: int, reads: bool, server: str, client: str
) -> None:  # GW-28
    method = "resources/read" if reads else "tools/call"
    error = translated_error({"code": code, "message": "m"}, method, server, client, "file:///a")
    _, error = relayed_error(error, ERA_OF[client])
    if ERA_OF[client] is Era.LEGACY:
        assert error["code"] not in (-32020, -32021, -32022)
    elif server != client:
        assert error["code"] not in range(-32099, -32019)
    assert ERA_OF[client] is Era.LEGACY or error["code"] not in (-32002, -32042)


@given(st.integers(-33000, 100), VALUES, REVISIONS, REVISIONS)
def test_an_error_translated_twice_is_translated_once_and_between_equals_not_at_all(code: int, data: Any, server: str, client: str) -> None:
    error = {"code": code, "message": "m", "data": data}
    once = translated_error(error, "resources/read", server, client, "file:///a")
    assert translated_error(once, "resources/read", server, client, "file:///a") == once
    assert translated_error(error, "resources/read", server, server, "file:///a") is error


@pytest.mark.parametrize("server", LEGACY_REVISIONS)
def test_a_method_that_a_legacy_server_lacks_is_404_to_a_modern_client(server: str) -> None:
    assert relayed_error(translated_error({"code": -32601, "message": "m"}, "tools/call", server, M), Era.MODERN)[0] == 404
    assert relayed_error(translated_error({"code": -32601, "message": "m"}, "tools/call", M, server), Era.LEGACY)[0] == 200
