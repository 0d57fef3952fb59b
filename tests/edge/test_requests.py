"""What the door makes of a request's line, host, origin and expectations, and what every refusal looks like."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from customhouse.core.refusal import Reason
from tests.edge.doors import BOUNDS, HOST, MCP, URL, Doorway, legacy, modern, request

GET = b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n"

LINES: list[tuple[str, bytes, int]] = [
    ("origin form", b"GET /healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 200),
    ("query", b"GET /healthz?a=b HTTP/1.1\r\nHost: %b\r\n\r\n", 200),
    ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\nHost: %b\r\n\r\n", 200),
    ("absolute form", b"GET http://127.0.0.1:8080/healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 200),
    ("absolute form in capitals", b"GET HTTP://LOCALHOST:8080/healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 200),
    ("absolute form overrides Host", b"GET http://127.0.0.1:8080/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 200),
    ("absolute form of somebody else", b"GET http://evil.example/healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 403),
    ("absolute form without a path", b"GET http://127.0.0.1:8080?a=b HTTP/1.1\r\nHost: %b\r\n\r\n", 404),
    ("absolute form without Host", b"GET http://127.0.0.1:8080/healthz HTTP/1.1\r\n\r\n", 400),
    ("absolute form with user information", b"GET http://a@127.0.0.1:8080/healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("absolute form without a host", b"GET http:///healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("absolute form of another scheme", b"GET ftp://127.0.0.1:8080/healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("authority form", b"CONNECT 127.0.0.1:8080 HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("authority form of GET", b"GET 127.0.0.1:8080 HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("asterisk form", b"OPTIONS * HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("fragment", b"GET /healthz#x HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("control character in the target", b"GET /health\tz HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("NUL in the target", b"GET /health\0z HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("bytes beyond ASCII in the target", b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("HTTP/0.9", b"GET /healthz\r\n\r\n", 400),
    ("HTTP/0.9 by name", b"GET /healthz HTTP/0.9\r\nHost: %b\r\n\r\n", 400),
    ("HTTP/1.2", b"GET /healthz HTTP/1.2\r\nHost: %b\r\n\r\n", 400),
    ("HTTP/2 by name", b"GET /healthz HTTP/2.0\r\nHost: %b\r\n\r\n", 400),
    ("HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("HTTP in small letters", b"GET /healthz http/1.1\r\nHost: %b\r\n\r\n", 400),
    ("another protocol", b"GET /healthz ICE/1.0\r\nHost: %b\r\n\r\n", 400),
    ("unknown method", b"FOO /healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("method in small letters", b"get /healthz HTTP/1.1\r\nHost: %b\r\n\r\n", 400),
    ("no Host", b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    ("no Host in HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", 400),
    ("Host twice", b"GET /healthz HTTP/1.1\r\nHost: %b\r\nHost: 127.0.0.1:8080\r\n\r\n", 400),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
]


@pytest.mark.parametrize(("line", "status"), [row[1:] for row in LINES], ids=[row[0] for row in LINES])
async def test_a_request_line_has_one_meaning(line: bytes, status: int) -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(line.replace(b"%b", HOST))
    assert (await client.answer(b"GET")).status == status
    assert len(doorway.outcomes) == (status != 200)


HOSTS: list[tuple[bytes, int]] = [
    (b"127.0.0.1:8080", 200),
    (b"localhost:8080", 200),
    (b"LOCALHOST:8080", 200),
    (b"[::1]:8080", 200),
    (b"127.0.0.1:8080 \t", 200),
    (b"127.0.0.1", 403),
    (b"127.0.0.1:8081", 403),
    (b"127.0.0.1:08080", 403),
    (b"127.0.0.1.:8080", 403),
    (b"evil.example", 403),
    (b"127.0.0.1:8080.evil.example", 400),
    (b"", 403),
    (b"user@127.0.0.1:8080", 400),
    (b"127.0.0.1:8080/", 400),
    (b"127.0.0.1:8080?x", 400),
    (b"127.0.0.1:8080#x", 400),
    (b"127.0.0.1:8080\\", 400),
    (b"127.0.0.1:port", 400),
    (b"127.0.0.1:8080, 127.0.0.1:8080", 400),
    (b"127.0.0.1 8080", 400),
    (b"[::1", 400),
    (b"http://127.0.0.1:8080", 400),
    (b"127.0.0.1:8080\xff", 400),
]


@pytest.mark.parametrize(("host", "status"), HOSTS)
async def test_host_is_a_host_and_names_this_gateway(host: bytes, status: int) -> None:
    doorway = Doorway()
    assert (await doorway.connect().ask(request(b"GET", b"/healthz", host=host, body=None))).status == status
    expected = {200: [], 400: ["MALFORMED_HTTP"], 403: ["FOREIGN_HOST"]}
    assert doorway.outcomes == expected[status]


ROUTES = [b"/mcp", b"/servers/notes/mcp", b"/healthz", b"/readyz", b"/metrics", b"/.well-known/oauth-protected-resource/mcp", b"/nowhere"]
FOREIGN: list[Sequence[bytes]] = [
    [b"Origin: https://evil.example"],
    [b"Origin: null"],
    [b"Origin:"],
    [b"Origin: http://127.0.0.1:8080"],
    [b"Sec-Fetch-Site: cross-site"],
    [b"Sec-Fetch-Site: same-site"],
    [b"Origin: https://evil.example", b"Sec-Fetch-Site: same-origin"],
]


@pytest.mark.parametrize("headers", FOREIGN)
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("method", [b"GET", b"POST", b"OPTIONS", b"HEAD"])
async def test_a_page_from_elsewhere_reaches_no_route(method: bytes, route: bytes, headers: Sequence[bytes]) -> None:
    doorway = Doorway()
    body = b"{}" if method == b"POST" else None
    answer = await doorway.connect().ask(request(method, route, [*MCP, *headers], body))
    assert answer.status == 403
    assert doorway.outcomes == ["FOREIGN_ORIGIN"]


@pytest.mark.parametrize("site", [b"none", b"same-origin"])
async def test_a_browser_that_was_sent_by_nobody_else_may_look(site: bytes) -> None:
    answer = await Doorway().connect().ask(request(b"GET", b"/healthz", [b"Sec-Fetch-Site: " + site], None))
    assert answer.status == 200


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"PUT", b"PATCH", b"TRACE", b"PROPFIND"])
@pytest.mark.parametrize("endpoint", [b"/mcp", b"/servers/notes/mcp"])
async def test_an_endpoint_takes_post_alone(endpoint: bytes, method: bytes) -> None:  # GW-23
    doorway = Doorway()
    answer = await doorway.connect().ask(request(method, endpoint, MCP, None))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert doorway.outcomes == ["METHOD_NOT_ALLOWED"]


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/mcp/",
        b"/mcp/elsewhere",
        b"/servers/other/mcp",
        b"/%6dcp",
        b"//mcp",
        b"/./mcp",
        b"/x/../mcp",
        b"/MCP",
        b"/mcp%00",
        b"/mcp%0a/",
    ],
)
@pytest.mark.parametrize("method", [b"POST", b"GET"])
async def test_an_address_that_only_resembles_an_endpoint_is_nothing(method: bytes, target: bytes) -> None:
    doorway = Doorway()
    answer = await doorway.connect().ask(request(method, target, MCP, b"{}"))
    assert answer.status in ({404, 405} if (target, method) == (b"/%6dcp", b"GET") else {404})
    assert doorway.outcomes == [Reason.UNKNOWN_PATH.name if answer.status == 404 else Reason.METHOD_NOT_ALLOWED.name]


async def test_head_tells_the_length_and_sends_no_body() -> None:
    client = Doorway().connect()
    for target in (b"/healthz", b"/nowhere", b"/mcp"):
        client.send(request(b"HEAD", target, body=None) + request(b"GET", target, body=None))
        head, whole = await client.answers(2, methods=[b"HEAD", b"GET"])
        assert (head.status, head.headers["content-length"]) == (whole.status, str(len(whole.body)))


async def test_a_refused_head_request_sends_no_body_that_could_be_read_as_the_next_answer() -> None:
    client = Doorway().connect()
    client.send(request(b"HEAD", b"/healthz", body=None, host=b"evil.example") + legacy(message_id=7))
    refused, served = await client.answers(2, methods=[b"HEAD", b"POST"])
    assert (refused.status, served.json()["id"]) == (403, 7)


REFUSED_BEFORE_READING: list[tuple[str, Sequence[bytes], bytes, int, str]] = [
    ("no content type", [MCP[0], MCP[2]], b"/mcp", 415, "WRONG_CONTENT_TYPE"),
    ("a form", [MCP[0], b"Content-Type: application/x-www-form-urlencoded", MCP[2]], b"/mcp", 415, "WRONG_CONTENT_TYPE"),
    ("text", [MCP[0], b"Content-Type: text/plain", MCP[2]], b"/mcp", 415, "WRONG_CONTENT_TYPE"),
    ("almost JSON", [MCP[0], b"Content-Type: application/json-patch", MCP[2]], b"/mcp", 415, "WRONG_CONTENT_TYPE"),
    ("no accept", MCP[:2], b"/mcp", 406, "NOT_ACCEPTABLE"),
    ("accepts JSON alone", [*MCP[:2], b"Accept: application/json"], b"/mcp", 406, "NOT_ACCEPTABLE"),
    ("accepts a stream alone", [*MCP[:2], b"Accept: text/event-stream"], b"/mcp", 406, "NOT_ACCEPTABLE"),
    ("no token", MCP[1:], b"/mcp", 401, "NO_TOKEN"),
    ("another scheme", [b"Authorization: Basic YTpi", *MCP[1:]], b"/mcp", 401, "NO_TOKEN"),
    ("an unknown token", [b"Authorization: Bearer nobody", *MCP[1:]], b"/mcp", 401, "INVALID_TOKEN"),
    ("a token in the query", MCP[1:], b"/mcp?access_token=alice-of-eng", 401, "TOKEN_IN_QUERY"),
    ("a token in the query beside a good one", MCP, b"/mcp?a=b&Access_Token=x", 401, "TOKEN_IN_QUERY"),
    ("not JSON", MCP, b"/mcp", 400, "MALFORMED_JSON"),
]


@pytest.mark.parametrize(
    ("headers", "target", "status", "outcome"), [row[1:] for row in REFUSED_BEFORE_READING], ids=[row[0] for row in REFUSED_BEFORE_READING]
)
async def test_a_refusal_keeps_the_connection_and_leaves_one_record(
    headers: Sequence[bytes], target: bytes, status: int, outcome: str
) -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(request(b"POST", target, headers, b"{") + legacy())
    refused, served = await client.answers(2)
    assert (refused.status, served.status) == (status, 200)
    assert doorway.outcomes == [outcome, "answered"]
    assert doorway.ledger.records[0].endpoint == "/mcp"


@pytest.mark.parametrize("endpoint", ["/mcp", "/servers/notes/mcp"])
async def test_a_challenge_names_the_metadata_of_its_endpoint_and_the_metadata_name_the_endpoint(endpoint: str) -> None:  # GW-95
    client = Doorway().connect()
    challenged = await client.ask(request(target=endpoint.encode(), headers=MCP[1:]))
    metadata = f"{URL}/.well-known/oauth-protected-resource{endpoint}"
    assert challenged.headers["www-authenticate"] == f'Bearer resource_metadata="{metadata}"'
    document = (await client.ask(request(b"GET", metadata.removeprefix(URL).encode(), body=None))).json()
    assert document["resource"] == URL + endpoint
    assert document["authorization_servers"] == ["urn:test"]
    assert document["bearer_methods_supported"] == ["header"]


@pytest.mark.parametrize("spelled", [bytes.lower, bytes.upper, bytes.title])
async def test_the_name_of_a_header_counts_in_any_case(spelled: Callable[[bytes], bytes]) -> None:  # GW-13
    asked = modern()
    for name in (b"MCP-Protocol-Version", b"Mcp-Method"):
        assert name in asked
        asked = asked.replace(name, spelled(name))
    assert (await Doorway().connect().ask(asked)).status == 200


async def test_a_bad_token_is_called_so_in_the_challenge() -> None:
    answer = await Doorway().connect().ask(request(headers=[b"Authorization: Bearer nobody", *MCP[1:]]))
    assert answer.headers["www-authenticate"].startswith('Bearer error="invalid_token", resource_metadata=')


async def test_metadata_without_a_path_are_those_of_the_default_portal_and_unknown_ones_are_not_made_up() -> None:
    doorway = Doorway()
    client = doorway.connect()
    bare = await client.ask(request(b"GET", b"/.well-known/oauth-protected-resource", body=None))
    assert bare.json()["resource"] == f"{URL}/mcp"
    assert (await client.ask(request(b"GET", b"/.well-known/oauth-protected-resource/nowhere", body=None))).status == 404
    assert doorway.outcomes == ["UNKNOWN_PATH"]


async def test_readiness_names_what_does_not_hold() -> None:
    doorway = Doorway()
    client = doorway.connect()
    ask = request(b"GET", b"/readyz", body=None)
    assert (await client.ask(ask)).json() == {"ready": True, "conditions": {"listening": True}}
    doorway.conditions["ledger"] = False
    answer = await client.ask(ask)
    assert (answer.status, answer.json()["conditions"]["ledger"]) == (503, False)


async def test_metrics_are_text() -> None:
    answer = await Doorway().connect().ask(request(b"GET", b"/metrics", body=None))
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_every_answer_says_that_it_is_not_to_be_kept_or_guessed_at() -> None:
    client = Doorway().connect()
    for data in (legacy(), request(b"GET", b"/healthz", body=None), request(b"GET", b"/nowhere", body=None)):
        answer = await client.ask(data)
        assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
        assert "date" in answer.headers
        assert "server" not in answer.headers


async def test_a_client_that_asks_first_is_told_to_go_on() -> None:
    client = Doorway().connect()
    head, body = legacy(headers=[b"Expect: 100-Continue"]).split(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert bytes(client.wire.out) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(body)
    assert [answer.status for answer in await client.answers(2)] == [100, 200]


async def test_http_1_0_knows_no_interim_answer() -> None:
    client = Doorway().connect()
    head, body = legacy(headers=[b"Expect: 100-continue"]).replace(b"HTTP/1.1", b"HTTP/1.0").split(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")
    assert not client.wire.out
    client.send(body)
    assert (await client.answer()).status == 200


async def test_a_body_that_would_be_refused_is_not_asked_for() -> None:
    client = Doorway().connect()
    client.send(request(headers=[*MCP, b"Expect: 100-continue", b"Content-Length: 999999999"], body=None))
    assert [answer.status for answer in await client.answers(2)] == [413]


async def test_another_expectation_fails() -> None:
    doorway = Doorway()
    assert (await doorway.connect().ask(legacy(headers=[b"Expect: 200-maybe"]))).status == 417
    assert doorway.outcomes == ["EXPECTATION_FAILED"]


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.2"])
async def test_a_wish_to_switch_protocols_is_ignored(protocol: bytes) -> None:
    doorway = Doorway()
    client = doorway.connect()
    wish = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: " + protocol, b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA"]
    client.send(legacy(message_id=1, headers=wish) + legacy(message_id=2, headers=wish) + legacy(message_id=3))
    answers = await client.answers(3)
    assert [(answer.status, answer.json()["id"]) for answer in answers] == [(200, 1), (200, 2), (200, 3)]
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert (await client.answer()).status == 400


async def test_a_wish_to_switch_hides_neither_chunks_nor_the_end_of_the_connection() -> None:
    client = Doorway().connect()
    wish = [*MCP, b"Connection: Upgrade, close", b"Upgrade: h2c", b"Expect: 100-continue", b"Transfer-Encoding: chunked"]
    for byte in request(headers=wish, body=None) + b"28\r\n" + b'{"jsonrpc":"2.0","id":1,"method":"ping"}' + b"\r\n0\r\n\r\n":
        client.send(bytes([byte]))
    interim, answer = await client.answers(2)
    assert (interim.status, answer.status, answer.headers["connection"]) == (100, 200, "close")


@pytest.mark.parametrize("headers", [[b"Content-Length: 2", b"Transfer-Encoding: chunked"], [b"Host: evil.example"], [b"X : y"]])
async def test_a_wish_to_switch_hides_no_ambiguity(headers: Sequence[bytes]) -> None:
    doorway = Doorway()
    client = doorway.connect()
    client.send(request(headers=[b"Connection: Upgrade", b"Upgrade: h2c", *headers], body=None) + legacy())
    assert [answer.status for answer in await client.answers(2)] == [400]
    assert doorway.outcomes == ["MALFORMED_HTTP"]


async def test_a_post_needs_a_length() -> None:
    doorway = Doorway()
    assert (await doorway.connect().ask(request(headers=MCP, body=None))).status == 411
    assert doorway.outcomes == ["LENGTH_REQUIRED"]


@pytest.mark.parametrize(
    "headers",
    [
        [b"X: " + b"a" * BOUNDS.max_head_bytes],
        [b"X-%d: a" % number for number in range(200)],
        [b"X-%d: %b" % (number, b"a" * 900) for number in range(20)],
    ],
    ids=["one large", "many", "several large"],
)
async def test_a_large_head_is_refused(headers: Sequence[bytes]) -> None:  # GW-07
    doorway = Doorway()
    client = doorway.connect()
    client.send(legacy(headers=headers) + legacy())
    answers = await client.answers(2)
    assert [answer.status for answer in answers] == [431]
    assert doorway.outcomes == ["HEADERS_TOO_LARGE"]


async def test_a_large_target_is_refused() -> None:
    assert (await Doorway().connect().ask(request(b"GET", b"/" + b"a" * 20_000, body=None))).status == 431


async def test_a_large_body_is_refused_by_its_length_before_it_comes() -> None:  # GW-07
    doorway = Doorway()
    answer = await doorway.connect().ask(request(headers=[*MCP, b"Content-Length: 65537"], body=None))
    assert (answer.status, answer.json()["error"]["data"]["allowedBytes"]) == (413, 65_536)
    assert doorway.outcomes == ["BODY_TOO_LARGE"]


async def test_a_large_body_is_refused_while_its_chunks_come() -> None:  # GW-07
    doorway = Doorway()
    client = doorway.connect()
    client.send(request(headers=[*MCP, b"Transfer-Encoding: chunked"], body=None))
    for _ in range(17):
        client.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
    assert (await client.answer()).status == 413
    assert doorway.outcomes == ["BODY_TOO_LARGE"]


async def test_the_largest_body_that_is_allowed_is_read() -> None:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": ""}})
    body = body.replace(b'""', b'"' + b"y" * (BOUNDS.max_body_bytes - len(body)) + b'"')
    assert len(body) == BOUNDS.max_body_bytes
    assert (await Doorway().connect().ask(request(headers=MCP, body=body))).status == 200


async def test_an_answer_that_cannot_be_recorded_is_not_given() -> None:
    doorway = Doorway()
    doorway.ledger.writable = False
    client = doorway.connect()
    for data in (modern(), request(b"GET", b"/nowhere", body=None), request(headers=MCP[1:])):
        assert (await client.ask(data)).status == 503
    assert doorway.outcomes == []


async def test_the_longest_id_of_a_task_passes_the_door_in_its_header() -> None:
    doorway, task_id = Doorway(), b"i" * 4_600
    answer = await doorway.connect().ask(modern("tasks/get", {"taskId": task_id.decode()}, headers=[b"Mcp-Name: " + task_id]))
    assert (answer.status, answer.json()["error"]["code"]) == (400, -32021)
    assert doorway.outcomes == ["MISSING_CAPABILITY"]
