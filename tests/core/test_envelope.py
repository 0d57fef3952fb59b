"""One message of a client: which era it speaks, and every form of it that is refused.

Rows carry the ids of the requirements they hold (GW-nn).
"""

import json
from typing import Any

import pytest

from customhouse.core.manifest import Era
from customhouse.core.protocol.envelope import Agreed, InEnvelope, Message, Said, read_message
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION
from customhouse.core.refusal import Reason, Refused

MODERN_META = {META_VERSION: "2026-07-28", META_CAPABILITIES: {}, META_CLIENT: {"name": "c", "version": "1"}}
VERSION = {b"mcp-protocol-version": b"2026-07-28"}


def modern(method: str = "tools/list", meta: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": MODERN_META if meta is None else meta}}


def legacy(method: str = "tools/list", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


def read(message: object, headers: dict[bytes, bytes] | None = None) -> Message:
    found = read_message(json.dumps(message).encode(), headers or {}, Agreed())
    assert isinstance(found, Message)
    return found


def refused(message: object, headers: dict[bytes, bytes] | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        read(message, headers)
    return caught.value


# Eras


@pytest.mark.parametrize("revision", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
def test_a_legacy_version_header_is_the_revision(revision: str) -> None:
    message = read(legacy(), {b"mcp-protocol-version": revision.encode()})
    assert (message.era, message.revision) == (Era.LEGACY, revision)


def test_a_message_that_says_nothing_of_a_version_is_legacy_and_2025_03_26() -> None:
    message = read({"jsonrpc": "2.0", "id": "x", "method": "ping"})
    assert (message.era, message.revision, message.id, message.params, message.meta) == (Era.LEGACY, "2025-03-26", "x", {}, {})
    assert message.progress_token is None


def test_a_modern_request_is_read_with_its_meta() -> None:  # GW-04
    sent = modern("tools/call", {**MODERN_META, "progressToken": 7, "traceparent": "t"}, name="a", arguments={"x": 1})
    message = read(sent, {**VERSION, b"mcp-method": b"tools/call", b"mcp-name": b"a"})
    assert (message.era, message.revision, message.method, message.id) == (Era.MODERN, "2026-07-28", "tools/call", 1)
    assert message.params["arguments"] == {"x": 1}
    assert message.progress_token == 7
    assert not message.is_notification


def test_session_and_resumption_headers_mean_nothing_to_a_modern_request() -> None:  # GW-24
    headers = {**VERSION, b"mcp-method": b"tools/list", b"mcp-session-id": b"anything", b"last-event-id": b"9"}
    assert read(modern(), headers).era is Era.MODERN


def test_only_client_info_may_be_left_out_of_a_modern_request() -> None:  # GW-20
    meta = {key: value for key, value in MODERN_META.items() if key != META_CLIENT}
    assert read(modern(meta=meta), {**VERSION, b"mcp-method": b"tools/list"}).era is Era.MODERN


HEADERS = {**VERSION, b"mcp-method": b"tools/list"}


@pytest.mark.parametrize(
    ("message", "headers", "reason"),
    [
        pytest.param(modern(), {b"mcp-method": b"tools/list"}, Reason.HEADER_MISMATCH, id="no version header"),  # GW-11
        pytest.param(modern(), {**HEADERS, b"mcp-protocol-version": b"2025-11-25"}, Reason.HEADER_MISMATCH, id="other version"),  # GW-12
        pytest.param(modern(), VERSION, Reason.HEADER_MISMATCH, id="no Mcp-Method"),  # GW-13
        pytest.param(modern(), {**VERSION, b"mcp-method": b"TOOLS/LIST"}, Reason.HEADER_MISMATCH, id="Mcp-Method in upper case"),  # GW-13
        pytest.param(
            modern("tools/call", name="bar"),
            {**VERSION, b"mcp-method": b"tools/call", b"mcp-name": b"foo"},
            Reason.HEADER_MISMATCH,
            id="Mcp-Name",  # GW-14
        ),
        pytest.param(
            modern("resources/read", uri="x"),
            {**VERSION, b"mcp-method": b"resources/read", b"mcp-name": b"=?base64?!?="},
            Reason.HEADER_MISMATCH,
            id="malformed base64",  # GW-15
        ),
        pytest.param(modern(meta={META_VERSION: "2026-07-28"}), HEADERS, Reason.INVALID_PARAMS, id="no capabilities"),  # GW-20
        pytest.param(modern(meta={META_CAPABILITIES: {}}), HEADERS, Reason.INVALID_PARAMS, id="no version in the body"),  # GW-20
        pytest.param(legacy(), HEADERS, Reason.INVALID_PARAMS, id="no _meta"),  # GW-20
        pytest.param(
            modern(meta={**MODERN_META, META_CAPABILITIES: []}), HEADERS, Reason.INVALID_PARAMS, id="capabilities a list"
        ),  # GW-20
        pytest.param(modern(meta={**MODERN_META, META_VERSION: None}), HEADERS, Reason.INVALID_PARAMS, id="version null"),  # GW-20
        pytest.param(modern(meta={**MODERN_META, META_CLIENT: "me"}), HEADERS, Reason.INVALID_PARAMS, id="client info a string"),
        pytest.param(modern(meta={**MODERN_META, META_LOG_LEVEL: "loud"}), HEADERS, Reason.INVALID_PARAMS, id="unknown log level"),
        pytest.param(
            modern(meta={**MODERN_META, META_VERSION: "1900-01-01"}),
            {**HEADERS, b"mcp-protocol-version": b"1900-01-01"},
            Reason.UNSUPPORTED_VERSION,
            id="unknown version",  # GW-21
        ),
        pytest.param(
            modern(meta={**MODERN_META, META_VERSION: "2025-11-25"}),
            {**HEADERS, b"mcp-protocol-version": b"2025-11-25"},
            Reason.UNSUPPORTED_VERSION,
            id="a legacy revision in a modern envelope",
        ),
        pytest.param(legacy(), {b"mcp-protocol-version": b"1900-01-01"}, Reason.UNSUPPORTED_VERSION, id="unsupported header"),  # GW-38
        pytest.param(legacy("no/such"), {}, Reason.UNKNOWN_METHOD, id="unknown method"),  # GW-43
        pytest.param(legacy("server/discover"), {}, Reason.UNKNOWN_METHOD, id="a modern method of a legacy client"),
        pytest.param(modern(meta={**MODERN_META, "progressToken": None}), {}, Reason.HEADER_MISMATCH, id="no token is no fault"),
        pytest.param(legacy(_meta={"progressToken": 1.5}), {}, Reason.INVALID_PARAMS, id="token a fraction"),
        pytest.param(legacy(_meta={"progressToken": True}), {}, Reason.INVALID_PARAMS, id="token a boolean"),
        pytest.param(legacy(_meta=[]), {}, Reason.INVALID_PARAMS, id="_meta a list"),
        pytest.param({**legacy(), "params": []}, {}, Reason.INVALID_PARAMS, id="params a list"),
        pytest.param({**legacy(), "params": None}, {}, Reason.INVALID_PARAMS, id="params null"),
    ],
)
def test_a_request_that_breaks_a_rule_of_its_era_is_refused_with_its_id(
    message: dict[str, Any], headers: dict[bytes, bytes], reason: Reason
) -> None:
    caught = refused(message, headers)
    assert isinstance(caught, InEnvelope)
    assert (caught.reason, caught.message_id) == (reason, 1)


@pytest.mark.parametrize("method", ["no/such", "initialize", "ping", "logging/setLevel", "resources/subscribe"])
def test_methods_that_the_modern_era_does_not_have_are_unknown(method: str) -> None:  # GW-22
    caught = refused(modern(method), {**VERSION, b"mcp-method": method.encode()})
    assert isinstance(caught, InEnvelope)
    assert (caught.reason, caught.era) == (Reason.UNKNOWN_METHOD, Era.MODERN)


def test_an_unsupported_version_is_told_what_is_supported() -> None:  # GW-21
    caught = refused(modern(meta={**MODERN_META, META_VERSION: "1900-01-01"}), {**HEADERS, b"mcp-protocol-version": b"1900-01-01"})
    assert caught.detail == {"supported": ["2026-07-28"], "requested": "1900-01-01"}
    caught = refused(legacy(), {b"mcp-protocol-version": b"1900-01-01"})
    assert "2025-11-25" in str(caught.detail["supported"])


@pytest.mark.parametrize(
    ("message", "headers", "era"),
    [
        (modern(), {}, Era.MODERN),
        ({**modern(), "method": "x", "params": {"_meta": {META_VERSION: 1}}}, {}, Era.MODERN),
        (legacy("x"), {b"mcp-protocol-version": b"2025-11-25"}, Era.LEGACY),
        ({**legacy(), "params": 1}, {b"mcp-protocol-version": b"2026-07-28"}, Era.MODERN),
        ({**legacy(), "params": {"_meta": 1}}, {}, Era.LEGACY),
    ],
)
def test_a_refusal_knows_the_era_it_is_worded_for(message: dict[str, Any], headers: dict[bytes, bytes], era: Era) -> None:
    caught = refused(message, headers)
    assert isinstance(caught, InEnvelope)
    assert caught.era is era


# Notifications


@pytest.mark.parametrize(
    ("meta", "headers", "era", "revision"),
    [
        ({}, {}, Era.LEGACY, "2025-03-26"),
        ({}, VERSION, Era.MODERN, "2026-07-28"),
        ({META_VERSION: "2026-07-28"}, {}, Era.MODERN, "2026-07-28"),
        ({}, {b"mcp-protocol-version": b"2025-06-18"}, Era.LEGACY, "2025-06-18"),
    ],
)
def test_a_notification_needs_no_more_than_its_method(meta: dict[str, Any], headers: dict[bytes, bytes], era: Era, revision: str) -> None:
    message = read({"jsonrpc": "2.0", "method": "notifications/anything", "params": {"_meta": meta}}, headers)  # GW-26
    assert (message.is_notification, message.era, message.revision) == (True, era, revision)


def test_a_header_of_a_notification_must_not_contradict_it() -> None:
    caught = refused({"jsonrpc": "2.0", "method": "notifications/x"}, {**VERSION, b"mcp-method": b"tools/call"})
    assert caught.reason is Reason.HEADER_MISMATCH


# The envelope


ANSWERS = [{"result": {"action": "accept"}}, {"error": {"code": -1, "message": "no"}}]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_a_legacy_client_is_read_as_one(answer: dict[str, Any]) -> None:
    found = read_message(json.dumps({"jsonrpc": "2.0", "id": "q-1", **answer}).encode(), {}, Agreed())
    assert isinstance(found, Said)
    assert (found.id, found.answer) == ("q-1", answer)


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_of_a_modern_client_is_refused(answer: dict[str, Any]) -> None:  # GW-25
    with pytest.raises(Refused) as caught:
        read_message(json.dumps({"jsonrpc": "2.0", "id": 1, **answer}).encode(), VERSION, Agreed())
    assert caught.value.reason is Reason.INVALID_MESSAGE


@pytest.mark.parametrize(
    "message",
    [
        pytest.param([legacy()], id="batch"),  # GW-25, GW-40
        pytest.param([], id="empty batch"),
        pytest.param("x", id="string"),
        pytest.param(None, id="null"),
        pytest.param({"id": 1, "method": "ping"}, id="no jsonrpc"),
        pytest.param({**legacy(), "jsonrpc": "1.0"}, id="jsonrpc 1.0"),
        pytest.param({**legacy(), "jsonrpc": 2.0}, id="jsonrpc a number"),
        pytest.param({**legacy(), "id": None}, id="id null"),  # GW-08
        pytest.param({**legacy(), "id": True}, id="id a boolean"),  # GW-08
        pytest.param({**legacy(), "id": 1.5}, id="id a fraction"),
        pytest.param({**legacy(), "id": []}, id="id a list"),
        pytest.param({"jsonrpc": "2.0", "id": 1}, id="no method"),
        pytest.param({**legacy(), "method": None}, id="method null"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "result": {}, "error": {"code": 1, "message": ""}}, id="an answer of both kinds"),
        pytest.param({"jsonrpc": "2.0", "result": {}}, id="an answer to nothing"),
        pytest.param({"jsonrpc": "2.0", "id": None, "result": {}}, id="an answer to null"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "result": []}, id="a result that is a list"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "error": {"code": "1", "message": ""}}, id="an error whose code is text"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "error": {"code": 1}}, id="an error without a message"),
        pytest.param({**legacy(), "result": {}}, id="request and answer in one"),
    ],
)
def test_what_is_no_single_request_or_notification_is_refused_without_an_id(message: object) -> None:
    caught = refused(message)
    assert caught.reason is Reason.INVALID_MESSAGE
    assert not isinstance(caught, InEnvelope)


@pytest.mark.parametrize("body", [b"{", b"\xef\xbb\xbf{}", b'{"id":1,"id":2}', b"NaN"])
def test_what_is_no_strict_json_is_refused_first(body: bytes) -> None:  # GW-08
    with pytest.raises(Refused, match="MALFORMED_JSON"):
        read_message(body, {}, Agreed())


@pytest.mark.parametrize(
    "key", ["Method", "METHOD", "ｍethod", "method\u200b", "meth\u00adod", "ID", "id\u2060", "Params", "jsonRPC", "Result"]
)
def test_a_key_that_looks_like_one_of_the_envelope_is_refused(key: str) -> None:
    assert refused({**legacy(), key: 1}).reason is Reason.INVALID_MESSAGE


@pytest.mark.parametrize("key", ["Name", "NAME", "ｎame", "name\u200d", "Arguments", "URI", "_Meta", "_meta\ufeff", "requestid"])
def test_a_parameter_that_looks_like_a_known_one_is_refused(key: str) -> None:  # CVE-2026-27896
    assert refused(legacy("tools/call", **{"name": "a", key: "b"})).reason is Reason.INVALID_MESSAGE


@pytest.mark.parametrize("key", ["ProgressToken", META_VERSION.upper(), META_VERSION + "\u200b", "Traceparent"])
def test_a_meta_key_that_looks_like_a_known_one_is_refused(key: str) -> None:
    assert refused(legacy(_meta={key: 1})).reason is Reason.INVALID_MESSAGE


def test_two_unknown_keys_that_look_alike_are_refused_and_one_is_not() -> None:
    assert refused(legacy(vendor=1, Vendor=2)).reason is Reason.INVALID_MESSAGE
    assert read(legacy(vendor=1, _meta={"com.example/x": 1})).params["vendor"] == 1


def test_a_nul_in_a_key_is_refused_wherever_it_stands() -> None:
    for message in ({**legacy(), "method\0": 1}, {**legacy(), "params": {"a\0b": 1}}, legacy(arguments={"\0": 1})):
        assert refused(message).reason is Reason.MALFORMED_JSON
