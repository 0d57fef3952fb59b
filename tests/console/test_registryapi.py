"""The registry API over loopback HTTP: what is there, what is not, and who may read it in a browser."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx2
import jsonschema_rs
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from customhouse.console.app import Guarded
from customhouse.console.registryapi import ANY_ORIGIN, VSCODE_ORIGIN, registry_api
from customhouse.core.registrylisting import ListedVersion
from customhouse.edge.asgi import ask_application
from tests.console.documented import ERROR, LIST, RESPONSE

HERE = "com.example.gateway"
NOTES = f"{HERE}%2Fnotes"
DAY = 86_400.0


def listed(name: str, version: str, at: float, **more: Any) -> ListedVersion:
    url = f"https://gateway.example.com/servers/{name}/mcp"
    facts = {"published_at": at, "updated_at": at, "digest": "sha256:00", "owner": "team", "description": f"About {name}.", **more}
    return ListedVersion(name=name, version=version, url=url, **facts)


VERSIONS = [
    listed("notes", "1.0.0", 1 * DAY, status="deprecated", status_message="Old."),
    listed("notes", "1.1.0+linux", 2 * DAY, is_latest=True, classes={"read": 2}),
    listed("tickets", "2.0.0", 3 * DAY),
    listed("gone", "1.0.0", 4 * DAY, status="deleted"),
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    routes = [
        registry_api(lambda: VERSIONS, namespace=HERE),
        Mount("/open", routes=[registry_api(lambda: VERSIONS, namespace=HERE, allowed_origins=[ANY_ORIGIN])]),
    ]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        application = Starlette(routes=routes)
        application.router.redirect_slashes = False
        server = uvicorn.Server(uvicorn.Config(application, log_level="critical", lifespan="off"))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(address: str) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=address) as client:
        yield client


def read(client: httpx2.Client, path: str, schema: dict[str, Any], status: int = 200, **more: Any) -> Any:
    response = client.get(path, **more)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), response.text
    jsonschema_rs.Draft202012Validator(schema, validate_formats=True).validate(response.json())
    return response.json()


def names(document: Any) -> list[str]:
    return [f"{entry['server']['name'].rpartition('/')[2]} {entry['server']['version']}" for entry in document["servers"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["notes 1.0.0", "notes 1.1.0+linux", "tickets 2.0.0"]),
        ("?version=latest", ["notes 1.1.0+linux", "tickets 2.0.0"]),
        ("?version=1.0.0", ["notes 1.0.0"]),
        ("?version=1.1.0%2Blinux", ["notes 1.1.0+linux"]),
        ("?search=NOTE", ["notes 1.0.0", "notes 1.1.0+linux"]),
        ("?search=gateway/t", ["tickets 2.0.0"]),
        ("?search=%25", []),
        ("?include_deleted=true", ["gone 1.0.0", "notes 1.0.0", "notes 1.1.0+linux", "tickets 2.0.0"]),
        ("?updated_since=1970-01-04T00:00:00Z", ["gone 1.0.0", "tickets 2.0.0"]),
        ("?updated_since=1970-01-04T02:00:00+02:00&include_deleted=false", ["gone 1.0.0", "tickets 2.0.0"]),
        ("?limit=2", ["notes 1.0.0", "notes 1.1.0+linux"]),
        ("?limit=100000&search=&cursor=&updated_since=&unknown=x", ["notes 1.0.0", "notes 1.1.0+linux", "tickets 2.0.0"]),
    ],
)
def test_a_list_holds_what_was_asked_for(client: httpx2.Client, query: str, expected: list[str]) -> None:  # GW-105
    assert names(read(client, f"/v0.1/servers{query}", LIST)) == expected


def test_a_cursor_leads_through_the_whole_list(client: httpx2.Client) -> None:  # GW-105
    first = read(client, "/v0.1/servers?limit=2", LIST)
    rest = read(client, "/v0.1/servers", LIST, params={"limit": 2, "cursor": first["metadata"]["nextCursor"]})
    assert names(rest) == ["tickets 2.0.0"]
    assert rest["metadata"] == {"count": 1}


def test_the_versions_of_a_server_come_newest_first(client: httpx2.Client) -> None:
    assert names(read(client, f"/v0.1/servers/{NOTES}/versions", LIST)) == ["notes 1.1.0+linux", "notes 1.0.0"]
    assert names(read(client, f"/v0.1/servers/{HERE}%2Fgone/versions?include_deleted=true", LIST)) == ["gone 1.0.0"]


@pytest.mark.parametrize(("version", "expected"), [("latest", "1.1.0+linux"), ("1.0.0", "1.0.0"), ("1.1.0%2Blinux", "1.1.0+linux")])
def test_one_version_is_read_by_its_text_or_as_latest(client: httpx2.Client, version: str, expected: str) -> None:  # GW-106
    document = read(client, f"/v0.1/servers/{NOTES}/versions/{version}", RESPONSE)
    assert document["server"]["version"] == expected
    assert document["server"]["remotes"] == [{"type": "streamable-http", "url": "https://gateway.example.com/servers/notes/mcp"}]


@pytest.mark.parametrize(
    "path",
    [
        "/v0.1",
        "/v0.1/",
        "/v0.1/servers/",
        f"/v0.1/servers/{NOTES}",
        f"/v0.1/servers/{HERE}/notes/versions",
        f"/v0.1/servers/{HERE}%252Fnotes/versions",
        f"/v0.1/servers/{HERE}%2Fnotes%2Fversions",
        f"/v0.1/servers/{HERE}%2FNotes/versions",
        "/v0.1/servers/notes/versions",
        f"/v0.1/servers/{NOTES}/versions/",
        f"/v0.1/servers/{NOTES}/versions/9.9.9",
        f"/v0.1/servers/{NOTES}/versions/1.0.0/status",
        f"/v0.1/servers/{HERE}%2Fgone/versions",
        f"/v0.1/servers/{HERE}%2Fgone/versions/latest",
        "/v0.1/servers/%FF/versions",
        "/v0.1/servers/%zz/versions",
        "/v0.1/%73ervers/../servers",
        "/%760.1/servers",
    ],
)
def test_another_spelling_or_an_unknown_name_is_not_found(address: str, path: str) -> None:  # GW-106
    status, body = bare(address, "GET", path)
    assert status == 404
    if path.startswith("/v0.1/"):
        jsonschema_rs.Draft202012Validator(ERROR).validate(body)


def bare(address: str, method: str, path: str) -> tuple[int, Any]:
    """A request whose path nobody normalises."""
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body) if b"application/json" in head else body


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=x", "limit=٣", "updated_since=yesterday", "include_deleted=1", "cursor=x", f"search={'x' * 600}"],
)
def test_a_question_that_makes_no_sense_is_refused_in_a_sentence(client: httpx2.Client, query: str) -> None:
    read(client, f"/v0.1/servers?{query}", ERROR, status=400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v0.1/publish"),
        ("PUT", f"/v0.1/servers/{NOTES}/versions/1.0.0"),
        ("DELETE", f"/v0.1/servers/{NOTES}/versions/1.0.0"),
        ("PATCH", f"/v0.1/servers/{NOTES}/versions/1.0.0/status"),
        ("PATCH", f"/v0.1/servers/{NOTES}/status"),
    ],
)
def test_a_write_of_the_specification_is_not_implemented(client: httpx2.Client, method: str, path: str) -> None:
    response = client.request(method, path, json={})
    assert response.status_code == 501
    jsonschema_rs.Draft202012Validator(ERROR).validate(response.json())


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v0.1/servers"), ("PATCH", f"/v0.1/servers/{NOTES}/versions"), ("TRACE", "/v0.1/servers")]
)
def test_another_method_on_what_is_read_is_refused(client: httpx2.Client, method: str, path: str) -> None:
    response = client.request(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


def test_a_head_request_gets_the_head_alone(client: httpx2.Client) -> None:
    response = client.head("/v0.1/servers")
    assert (response.status_code, response.content) == (200, b"")


def cors(client: httpx2.Client, path: str, origin: str, method: str = "GET") -> dict[str, str]:
    response = client.request(method, path, headers={"Origin": origin, "Access-Control-Request-Method": "GET"})
    assert response.status_code == (204 if method == "OPTIONS" else 200 if "versions" not in path else 404)
    return {name: value for name, value in response.headers.items() if name.startswith("access-control") or name == "vary"}


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_the_desktop_program_of_vscode_may_read_and_a_web_page_may_not(client: httpx2.Client, method: str) -> None:  # GW-105
    permitted = {"access-control-allow-methods": "GET, OPTIONS", "access-control-allow-headers": "Authorization, Content-Type"}
    assert cors(client, "/v0.1/servers", VSCODE_ORIGIN, method) == {
        "access-control-allow-origin": VSCODE_ORIGIN,
        **permitted,
        "vary": "Origin",
    }
    for origin in ("https://evil.example", "null", "*", "vscode-file://vscode-app.evil.example"):
        assert cors(client, "/v0.1/servers", origin, method) == {"vary": "Origin"}


def test_any_page_may_read_a_catalogue_that_is_said_to_be_public_without_credentials(client: httpx2.Client) -> None:
    for method in ("GET", "OPTIONS"):
        sent = cors(client, "/open/v0.1/servers", "https://evil.example", method)
        assert sent["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in sent


def test_a_refusal_can_be_read_across_origins_too(client: httpx2.Client) -> None:
    assert cors(client, "/v0.1/servers/x/versions", VSCODE_ORIGIN)["access-control-allow-origin"] == VSCODE_ORIGIN


def test_below_another_prefix_names_are_found_alike(client: httpx2.Client) -> None:
    assert read(client, f"/open/v0.1/servers/{NOTES}/versions/latest", RESPONSE)["server"]["name"] == f"{HERE}/notes"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": VSCODE_ORIGIN, "Sec-Fetch-Site": "cross-site"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "rebound.example"}, 403),
    ],
)
async def test_behind_the_guard_of_the_console_the_listed_origin_comes_through_and_no_other(headers: dict[str, str], status: int) -> None:
    routes = Starlette(routes=[registry_api(lambda: VERSIONS, namespace=HERE)])
    guarded = Guarded(routes, frozenset({b"console.example"}), frozenset({VSCODE_ORIGIN.encode()}))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=guarded), base_url="http://console.example") as client:
        response = await client.get(f"/v0.1/servers/{NOTES}/versions/latest", headers=headers)
    assert response.status_code == status
    assert ("access-control-allow-origin" in response.headers) is (status == 200 and "Origin" in headers)


@pytest.mark.parametrize(
    ("headers", "status", "readable"),
    [
        ({"Origin": VSCODE_ORIGIN, "Sec-Fetch-Site": "cross-site"}, 200, True),
        ({"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, 200, False),
        ({"Origin": VSCODE_ORIGIN, "Host": "rebound.example"}, 403, False),
    ],
)
async def test_where_the_guard_is_open_to_pages_the_headers_say_who_may_read(
    headers: dict[str, str], status: int, *, readable: bool
) -> None:
    routes = Starlette(routes=[registry_api(lambda: VERSIONS, namespace=HERE)])
    guarded = Guarded(routes, frozenset({b"console.example"}), frozenset(), "/v0.1/")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=guarded), base_url="http://console.example") as client:
        response = await client.get(f"/v0.1/servers/{NOTES}/versions/latest", headers=headers)
    assert response.status_code == status
    assert ("access-control-allow-origin" in response.headers) is readable


PIECES = st.sampled_from(
    [
        b"servers",
        b"versions",
        b"latest",
        b"publish",
        b"status",
        NOTES.encode(),
        b"%2F",
        b"%",
        b"%00",
        b"%FF",
        b"..",
        b"/",
        b"1.0.0",
        b"%0A",
        b"",
    ]
)
PARAMETERS = st.sampled_from(["cursor", "limit", "search", "updated_since", "version", "include_deleted"])
VALUES = st.one_of(
    st.text(max_size=12), st.sampled_from(["true", "latest", "0000-01-01T00:00:00Z", "9999-12-31T23:59:60-23:59", "W10", "9" * 30])
)


@given(
    st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PATCH", "DELETE", "BREW"]), st.lists(PIECES), st.dictionaries(PARAMETERS, VALUES)
)
async def test_whatever_is_asked_is_answered_as_json_and_breaks_nothing(method: str, pieces: list[bytes], query: dict[str, str]) -> None:
    api = Starlette(routes=[registry_api(lambda: VERSIONS, namespace=HERE)])
    path = b"/v0.1/" + b"/".join(pieces)
    response = await ask_application(api, method.encode(), path, urlencode(query).encode(), {}, b"")
    assert response.status in {200, 204, 400, 404, 405, 501}
    assert response.status == 204 or dict(response.headers)[b"content-type"] in {b"application/json", b"text/plain; charset=utf-8"}
    assert response.status != 200 or "error" not in json.loads(response.body)


def test_the_checks_of_the_answers_can_fail(client: httpx2.Client) -> None:
    document = read(client, "/v0.1/servers", LIST)
    document["servers"][0]["_meta"]["io.modelcontextprotocol.registry/official"]["state"] = "active"
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.Draft202012Validator(LIST).validate(document)


def test_a_registry_without_a_proper_namespace_is_not_built() -> None:
    with pytest.raises(ValueError, match="domain name in reverse"):
        registry_api(lambda: VERSIONS, namespace="gateway")
