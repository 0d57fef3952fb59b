"""Web pages that talk to a local gateway: DNS rebinding, cross-site requests, permissive CORS."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.tree import Settings
from customhouse.core.protocol.origin import check_origin
from customhouse.core.refusal import Reason, Refused
from customhouse.wiring import allowed_hosts
from tests.cves.attacker import FOREIGN_HOST, READ, WELCOME, Door, Headers, Tap, call, request
from tests.cves.cases import advisory
from tests.cves.conftest import Town

KNOWN_ROUTES = ["/healthz", "/readyz", "/metrics", "/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/mcp"]
ENDPOINTS = ["/mcp", "/servers/notes/mcp"]
EVENTS = ("Accept", "text/event-stream")
REBOUND = "rebound.example"


def foreign(door: Door) -> dict[str, Headers]:
    """What a page from elsewhere makes a browser send."""
    return {
        "rebound name": [("Host", f"{REBOUND}:{door.port}")],
        "rebound name, no port": [("Host", REBOUND)],
        "another site": [("Origin", "https://evil.example")],
        "same name, another origin": [("Origin", f"http://{REBOUND}:{door.port}")],
        "opaque origin": [("Origin", "null")],
        "no origin, cross-site": [("Sec-Fetch-Site", "cross-site")],
        "no origin, same-site": [("Sec-Fetch-Site", "same-site")],
    }


FOREIGN = pytest.mark.parametrize("manner", list(foreign(Door(1, "", Path()))))


@advisory("CVE-2025-49596", "CVE-2025-59956")
@FOREIGN
@pytest.mark.parametrize("path", KNOWN_ROUTES)
def test_a_route_that_only_reads_is_closed_to_a_foreign_page(door: Door, path: str, manner: str) -> None:
    assert door.ask("GET", path).status == 200
    answer = door.ask("GET", path, foreign(door)[manner])
    assert answer.status == 403
    assert answer.reason in ("foreign_host", "foreign_origin")


@advisory("CVE-2025-49596")
@pytest.mark.parametrize(
    "target",
    [
        "/stdio?transportType=stdio&command=touch&args=/tmp/pwned",
        "/sse?transportType=stdio&command=touch&args=/tmp/pwned",
        "/config",
        "/debug",
        "/admin",
        "/api/servers",
        "/proxy?url=http://127.0.0.1/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_there_is_no_open_back_room(door: Door, method: str, target: str) -> None:
    assert door.ask(method, target, body=b"{}" if method == "POST" else b"").status == 404


@advisory("CVE-2025-59163")
@FOREIGN
@pytest.mark.parametrize("path", ["/mcp", "/sse"])
def test_a_stream_does_not_begin_for_a_foreign_page(door: Door, path: str, manner: str) -> None:
    answer = door.ask("GET", path, [EVENTS, *foreign(door)[manner]])
    assert answer.status == 403
    assert answer.headers["content-type"] == "application/json"


@advisory("CVE-2025-59163")
def test_a_call_that_would_stream_is_refused_before_its_stream(door: Door, tap: Tap, alice: str) -> None:
    steps = call("notes__count_slowly", {"steps": 7, "pause_seconds": 0.001})
    answer = door.say(steps, alice, extra=[("Origin", "https://evil.example")])
    assert (answer.status, answer.headers["content-type"]) == (403, "application/json")
    assert tap.about('"steps":7,') == []


@advisory("CVE-2025-64443")
@FOREIGN
@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_the_guard_is_the_same_in_every_revision(door: Door, alice: str, path: str, revision: str, manner: str) -> None:  # GW-01
    answer = door.say(request("tools/list", revision=revision), alice, path, foreign(door)[manner])
    assert answer.status == 403


@advisory("CVE-2025-64443")
@FOREIGN
@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"])
def test_the_guard_is_the_same_for_every_method(door: Door, method: str, manner: str) -> None:
    assert door.ask(method, "/mcp", foreign(door)[manner]).status == 403


@advisory("CVE-2025-66414")
def test_settings_that_say_nothing_let_only_the_gateways_own_names_in() -> None:
    assert set(allowed_hosts(Settings())) == {b"127.0.0.1:8080", b"localhost:8080", b"[::1]:8080"}


@advisory("CVE-2025-66414", "CVE-2026-34742")
def test_a_rebound_name_on_loopback_gets_nothing_with_a_valid_token(door: Door, tap: Tap, alice: str) -> None:
    """The quickstart configures no host, and the connection comes from this very machine."""
    bound = call("notes__read_note", {"title": "rebound-marker"})
    assert door.say(bound, alice, extra=[("Host", f"{REBOUND}:{door.port}")]).reason in FOREIGN_HOST
    assert tap.about("rebound-marker") == []


@advisory("CVE-2026-34742")
@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_loopbacks_own_names_are_the_only_ones_that_pass(door: Door, alice: str, host: str) -> None:
    assert door.say(READ, alice, extra=[("Host", host.format(port=door.port))]).text == WELCOME


@advisory("CVE-2026-34742")
@pytest.mark.parametrize(
    "host", ["127.0.0.2:{port}", "0.0.0.0:{port}", "127.1:{port}", "2130706433:{port}", "localhost.:{port}", "localhost"]
)
def test_other_ways_to_write_loopback_do_not(door: Door, alice: str, host: str) -> None:
    assert door.say(READ, alice, extra=[("Host", host.format(port=door.port))]).reason in FOREIGN_HOST


@advisory("CVE-2025-66416")
def test_the_gateway_loads_no_sdk() -> None:
    script = "import sys, customhouse.wiring; sys.exit(bool({'mcp', 'fastmcp'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


HOSTS = frozenset({b"gateway.example", b"127.0.0.1:8080"})


@advisory("CVE-2025-66416", "CVE-2026-9739")
@given(st.binary(max_size=40).filter(lambda host: host.lower() not in HOSTS))
def test_a_host_passes_by_being_listed_and_in_no_other_way(host: bytes) -> None:
    with pytest.raises(Refused) as refused:
        check_origin({b"host": host}, HOSTS, frozenset())
    assert refused.value.reason is Reason.FOREIGN_HOST


@advisory("CVE-2026-9739")
@pytest.mark.parametrize(
    "host",
    [
        "{own}.evil.example",
        "evil.example#{own}",
        "{own}@evil.example",
        "evil.example@{own}",
        "{own}, evil.example",
        "{own}.",
        "{own}/",
        "{own}\\evil.example",
        "user@{own}",
        "{own}:80",
        "127.0.0.1.nip.io",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/mcp", "/metrics", "/.well-known/oauth-protected-resource/mcp", "/nothing"])
def test_a_host_that_resembles_the_gateways_is_foreign_on_every_route(door: Door, path: str, host: str) -> None:
    assert door.ask("GET", path, [("Host", host.format(own=door.host))]).reason in FOREIGN_HOST


@advisory("CVE-2026-33252")
@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=application/json",
        "application/jsonp",
        "application/json-patch+json",
        "",
    ],
)
def test_a_form_post_calls_nothing(door: Door, tap: Tap, alice: str, kind: str) -> None:  # GW-06
    """What a page can send without a preflight; even with a token that would do."""
    form = call("notes__read_note", {"title": "form-marker"})
    assert door.say(form, alice, extra=[("Content-Type", kind)]).reason == "wrong_content_type"
    assert tap.about("form-marker") == []


@advisory("CVE-2026-33252")
@FOREIGN
def test_a_cross_site_call_calls_nothing(door: Door, tap: Tap, alice: str, manner: str) -> None:  # GW-01
    crossing = call("notes__read_note", {"title": "crossing-marker"})
    assert door.say(crossing, alice, extra=foreign(door)[manner]).status == 403
    assert tap.about("crossing-marker") == []


@advisory("CVE-2026-34227")
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:{port}", "http://localhost:{port}"])
@pytest.mark.parametrize("path", [*ENDPOINTS, "/metrics", "/.well-known/oauth-protected-resource/mcp"])
def test_no_answer_invites_another_origin(door: Door, path: str, origin: str) -> None:
    asked = [("Origin", origin.format(port=door.port)), ("Access-Control-Request-Method", "POST")]
    for method in ("OPTIONS", "GET"):
        answer = door.ask(method, path, asked)
        assert answer.status == 403
        assert [name for name in answer.headers if name.startswith("access-control-")] == []


@advisory("CVE-2026-34227")
@pytest.mark.parametrize("method", ["initialize", "tools/list", "tools/call", "ping"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_no_endpoint_answers_without_a_token(door: Door, path: str, method: str) -> None:  # GW-95
    said = request(method, {"name": "notes__read_note"}, "2025-11-25")
    assert door.ask("POST", path, said.headers, said.body).reason == "no_token"


@advisory("CVE-2026-34227")
def test_an_answer_carries_no_cors_header(town: Town, alice: str) -> None:
    answer = town.door.say(READ, alice)
    assert answer.text == WELCOME
    assert [name for name in answer.headers if name.startswith("access-control-")] == []
