"""Mirrored headers: a header confirms the body or the request is refused."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.protocol.headers import check_names, check_version, decoded, encoded
from customhouse.core.protocol.revisions import META_VERSION
from customhouse.core.refusal import Reason, Refused


@given(st.text())
def test_any_text_survives_the_way_into_a_header_and_back(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: strict reading lets none through
        return
    sent = encoded(text)
    assert sent.isascii()
    assert sent.isprintable()
    assert decoded(sent.encode()) == text


@pytest.mark.parametrize("value", ["=?base64?%%%?=", "=?base64?YQ?=", "=?base64?" + base64.b64encode(b"\xff").decode() + "?=", "caf\xe9"])
def test_malformed_values_are_not_read(value: str) -> None:  # GW-15
    with pytest.raises(ValueError, match="it"):
        decoded(value.encode("latin-1"))


@pytest.mark.parametrize(
    ("sent", "text"),
    [(b" \ta b\t", "a b"), (b"=?base64?w6k=?=", "é"), (b"=?base64?", "=?base64?"), (b"=?BASE64?w6k=?=", "=?BASE64?w6k=?=")],
)
def test_plain_and_base64_forms_are_read(sent: bytes, text: str) -> None:  # GW-15
    assert decoded(sent) == text


@pytest.mark.parametrize(
    ("headers", "method", "params", "required"),
    [
        ({b"mcp-method": b"tools/list"}, "tools/list", {}, True),
        ({b"mcp-method": b"tools/call", b"mcp-name": b"add"}, "tools/call", {"name": "add"}, True),
        ({b"mcp-method": b"prompts/get", b"mcp-name": b"=?base64?w6k=?="}, "prompts/get", {"name": "é"}, True),
        ({b"mcp-method": b"resources/read", b"mcp-name": b"file:///a"}, "resources/read", {"uri": "file:///a"}, True),
        ({b"mcp-method": b"tools/list", b"mcp-name": b"whatever"}, "tools/list", {}, True),
        ({}, "notifications/cancelled", {}, False),
        ({b"mcp-method": b"notifications/cancelled"}, "notifications/cancelled", {}, False),
    ],
)
def test_headers_that_repeat_the_body_pass(headers: dict[bytes, bytes], method: str, params: dict[str, object], required: bool) -> None:
    check_names(headers, method, params, required=required)


@pytest.mark.parametrize(
    ("headers", "method", "params", "required", "why"),
    [
        ({}, "tools/list", {}, True, "Mcp-Method is missing"),
        ({b"mcp-method": b"TOOLS/LIST"}, "tools/list", {}, True, "Mcp-Method differs"),
        ({b"mcp-method": b"tools/call"}, "tools/call", {"name": "a"}, True, "Mcp-Name is missing"),
        ({b"mcp-method": b"tools/call", b"mcp-name": b"foo"}, "tools/call", {"name": "bar"}, True, "Mcp-Name differs"),
        ({b"mcp-method": b"tools/call", b"mcp-name": b"None"}, "tools/call", {}, True, "Mcp-Name differs"),
        ({b"mcp-method": b"tools/call", b"mcp-name": b"1"}, "tools/call", {"name": 1}, True, "Mcp-Name differs"),
        ({b"mcp-method": b"tools/call", b"mcp-name": b"=?base64?!?="}, "tools/call", {"name": "a"}, True, "cannot be read"),
        ({b"mcp-method": b"tools/call"}, "notifications/cancelled", {}, False, "Mcp-Method differs"),
    ],
)
def test_headers_that_differ_or_lack_are_a_mismatch(
    headers: dict[bytes, bytes], method: str, params: dict[str, object], required: bool, why: str
) -> None:
    with pytest.raises(Refused, match="HEADER_MISMATCH") as caught:
        check_names(headers, method, params, required=required)
    assert why in caught.value.message


@pytest.mark.parametrize("headers", [{}, {b"mcp-protocol-version": b"2025-11-25"}, {b"mcp-protocol-version": b" 2026-07-28"}])
def test_the_version_header_repeats_the_body(headers: dict[bytes, bytes]) -> None:  # GW-12
    with pytest.raises(Refused) as caught:
        check_version(headers, {META_VERSION: "2026-07-28"})
    assert caught.value.reason is Reason.HEADER_MISMATCH
    check_version({b"mcp-protocol-version": b"2026-07-28"}, {META_VERSION: "2026-07-28"})
