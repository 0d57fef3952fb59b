"""What leaves: a server's result with its content untouched, stamped for the client's era; errors and refusals with their codes."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.manifest import Era
from customhouse.core.protocol.reading import MAX_SAFE_INTEGER, read_members
from customhouse.core.protocol.results import answer_bytes, refusal, relayed, relayed_error, stamped, tool_error
from customhouse.core.protocol.revisions import CACHEABLE, META_RELATED_TASK, META_SERVER
from customhouse.core.refusal import Reason, Refused

INFO = {"name": "customhouse", "version": "1"}
EITHER = pytest.mark.parametrize("era", list(Era))


def relay(result: dict[str, Any], era: Era = Era.MODERN, method: str = "tools/call") -> tuple[dict[str, Any], bool]:
    value, is_error = relayed(read_members(json.dumps(result).encode()), era, method, INFO)
    return json.loads(msgspec.json.encode(value)), is_error


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4).filter(str.isprintable), inner, max_size=3),
    max_leaves=8,
)
STAMPED = {"resultType", "ttlMs", "cacheScope", "_meta", "isError"}


@given(
    st.dictionaries(st.text(max_size=6).filter(lambda key: key.isprintable() and key not in STAMPED), VALUES, max_size=4),
    st.sampled_from(Era),
)
def test_whatever_else_a_result_holds_survives_json_equal(members: dict[str, Any], era: Era) -> None:  # GW-63
    value, _ = relay(members, era)
    assert {key: inner for key, inner in value.items() if key not in STAMPED} == members


@EITHER
def test_unknown_content_explicit_nulls_and_vendor_fields_survive(era: Era) -> None:  # GW-63
    result = {
        "content": [{"type": "hologram", "data": None, "x-vendor": {"a": [1.0, 1e3]}}, {"type": "text", "text": "", "annotations": None}],
        "structuredContent": None,
        "x": None,
    }
    value, is_error = relay(result, era)
    assert not is_error
    assert {key: value[key] for key in result} == result


def test_content_is_not_even_spelled_anew() -> None:
    value, _ = relayed(read_members(b'{"content":[ {"n":1.50e1} ]}'), Era.LEGACY, "tools/call", INFO)
    assert msgspec.json.encode(value) == b'{"content":[ {"n":1.50e1} ]}'


@EITHER
def test_forged_connection_keys_are_stripped_and_vendor_and_trace_keys_kept(era: Era) -> None:  # GW-88
    forged = {
        META_SERVER: {"name": "forged"},
        "io.modelcontextprotocol/subscriptionId": "s",
        META_RELATED_TASK: {"taskId": "t"},
        "com.example/x": None,
        "traceparent": "t",
    }
    value, _ = relay({"content": [], "_meta": forged}, era)
    kept = {META_RELATED_TASK: {"taskId": "t"}, "com.example/x": None, "traceparent": "t"}
    assert value["_meta"] == (kept | {META_SERVER: INFO} if era is Era.MODERN else kept)


def test_a_modern_client_gets_a_result_type_and_the_gateways_own_name() -> None:  # GW-27, GW-61
    value, _ = relay({"content": []})
    assert value == {"content": [], "resultType": "complete", "_meta": {META_SERVER: INFO}}


def test_a_legacy_client_gets_nothing_of_the_modern_era() -> None:
    value, _ = relay({"contents": [], "resultType": "complete", "ttlMs": 5, "cacheScope": "public"}, Era.LEGACY, "resources/read")
    assert value == {"contents": []}
    assert relay({"_meta": {META_SERVER: {}}}, Era.LEGACY)[0] == {"_meta": {}}


@pytest.mark.parametrize(
    ("sent", "ttl"),
    [({}, 0), ({"ttlMs": 5}, 5), ({"ttlMs": -5}, 0), ({"ttlMs": 10**30}, MAX_SAFE_INTEGER), ({"ttlMs": 7, "cacheScope": "public"}, 7)],
)
def test_what_was_filtered_for_one_caller_is_cached_for_this_caller_alone(sent: dict[str, Any], ttl: int) -> None:  # GW-27
    value, _ = relay({"contents": [], **sent}, Era.MODERN, "resources/read")
    assert (value["ttlMs"], value["cacheScope"]) == (ttl, "private")
    assert "ttlMs" not in relay({"content": [], **sent}, Era.MODERN, "tools/call")[0]


@pytest.mark.parametrize(("method", "counts"), [("tools/call", True), ("prompts/get", False)])
def test_only_a_tool_can_answer_with_an_error_of_its_own(method: str, counts: bool) -> None:
    assert relay({"isError": True}, Era.MODERN, method)[1] is counts
    assert relay({"isError": False}, Era.MODERN, method)[1] is False


@EITHER
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ({"resultType": "input_required", "inputRequests": []}, Reason.FEATURE_UNSUPPORTED),
        ({"resultType": "task"}, Reason.UPSTREAM_BROKE_PROTOCOL),
        ({"resultType": None}, Reason.UPSTREAM_BROKE_PROTOCOL),
        ({"isError": "yes"}, Reason.UPSTREAM_BROKE_PROTOCOL),
        ({"_meta": []}, Reason.UPSTREAM_BROKE_PROTOCOL),
    ],
)
def test_a_result_that_is_not_complete_and_valid_is_refused(result: dict[str, Any], reason: Reason, era: Era) -> None:  # GW-61
    with pytest.raises(Refused) as caught:
        relay(result, era)
    assert caught.value.reason is reason


@EITHER
@pytest.mark.parametrize("method", ["completion/complete", "tools/list"])
def test_a_result_that_asks_where_nothing_can_be_asked_is_not_valid(method: str, era: Era) -> None:  # GW-72
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        relay({"resultType": "input_required", "requestState": "s"}, era, method)


def test_a_ttl_of_another_type_breaks_the_protocol() -> None:
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        relay({"ttlMs": "soon"}, Era.MODERN, "resources/read")


@pytest.mark.parametrize(
    ("code", "era", "status", "becomes"),
    [
        (-32602, Era.MODERN, 200, -32602),
        (-32601, Era.MODERN, 404, -32601),
        (-32601, Era.LEGACY, 200, -32601),
        (-32021, Era.MODERN, 400, -32021),
        (-32021, Era.LEGACY, 200, -32603),
        (-32002, Era.MODERN, 200, -32602),
        (-32002, Era.LEGACY, 200, -32002),
        (-32042, Era.MODERN, 200, -32603),
        (-32042, Era.LEGACY, 200, -32042),
        (-32020, Era.LEGACY, 200, -32600),
        (-32022, Era.LEGACY, 200, -32600),
        (7, Era.MODERN, 200, 7),
    ],
)
def test_a_servers_error_has_the_code_and_status_of_the_clients_era(code: int, era: Era, status: int, becomes: int) -> None:  # GW-28, GW-43
    error = {"code": code, "message": "m", "data": {"x": None}}
    assert relayed_error(error, era) == (status, {**error, "code": becomes})


@pytest.mark.parametrize("reason", list(Reason))
def test_every_refusal_is_worded_in_both_eras(reason: Reason) -> None:
    row = reason.row
    for era in Era:
        for message_id in (None, 0, "x"):
            status, body = refusal(Refused(reason, {"detail": [1]}, message="More."), message_id, era, "call-1")
            answer = json.loads(body)
            assert answer.get("id") == message_id
            assert "id" in answer or message_id is None
            error = answer["error"]
            assert error["message"] == f"{row.sentence} More."
            assert error["data"]["reason"] == reason.name.lower()
            assert (error["data"]["retryable"], error["data"]["callId"], error["data"]["detail"]) == (row.retryable, "call-1", [1])
            assert error["data"].get("next", "") == row.next_step
            in_legacy_answer = era is Era.LEGACY and message_id is not None
            if in_legacy_answer:
                assert error["code"] not in (-32020, -32021, -32022)
                assert not (status == 404 and reason is Reason.UNKNOWN_METHOD)  # GW-43: a 404 ends a session
            else:
                assert (status, error["code"]) == (row.status, row.code)


def test_refused_arguments_are_an_error_of_the_tool_that_a_model_can_read() -> None:
    refused = Refused(Reason.INVALID_ARGUMENTS, {"problems": ("/a is missing.", "/b is no integer.")})
    modern = json.loads(tool_error(refused, 3, Era.MODERN, INFO))
    assert modern["id"] == 3
    assert modern["result"]["isError"] is True
    assert modern["result"]["resultType"] == "complete"
    assert modern["result"]["content"][0]["text"].endswith("/a is missing. /b is no integer.")
    legacy = json.loads(tool_error(Refused(Reason.INVALID_ARGUMENTS), 3, Era.LEGACY, INFO))
    assert set(legacy["result"]) == {"content", "isError"}


@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
def test_results_of_the_gateways_own_are_stamped_like_a_servers(method: str) -> None:  # GW-27
    assert stamped({"a": 1}, Era.LEGACY, method, INFO) == {"a": 1}
    modern = stamped({"a": 1}, Era.MODERN, method, INFO)
    assert modern["resultType"] == "complete"
    assert ("ttlMs" in modern, modern.get("cacheScope") == "private") == (method in CACHEABLE, method in CACHEABLE)


def test_an_answer_keeps_the_type_of_the_id() -> None:  # GW-09
    assert answer_bytes("1", b"{}") == b'{"jsonrpc":"2.0","id":"1","result":{}}'
    assert answer_bytes(1, b"{}") == b'{"jsonrpc":"2.0","id":1,"result":{}}'
