"""The operators' API against its own description: whatever a client makes of it, there is no 5xx, and answers are as described."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests.journeys.conftest import Notes
from tests.journeys.operators import Operator, Registry, notes_definition, running

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, notes: Notes) -> Iterator[Registry]:
    with running(tmp_path_factory.mktemp("fuzzed"), notes) as deployment:
        deployment.operator("dev", "dev").propose("server", "notes", {"definition": notes_definition(notes)})
        yield deployment


@pytest.fixture(scope="module")
def description(registry: Registry) -> Any:
    return schemathesis.openapi.from_url(f"{registry.control_url}/api/v1/openapi.json")


def test_whatever_is_asked_is_answered_as_described(description: Any, registry: Registry) -> None:
    ask_everything(description, registry.operator("root"), examples=15)
    ask_everything(description, registry.operator("dev", "dev"), examples=3)
    ask_everything(description, registry.operator("nobody"), examples=3)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_whatever_is_asked_for_long_is_answered_as_described(description: Any, registry: Registry) -> None:
    for operator in (registry.operator("root"), registry.operator("dev", "dev"), registry.operator("nobody")):
        ask_everything(description, operator, examples=400)


def ask_everything(description: Any, operator: Operator, *, examples: int) -> None:
    """Each operation of the description with so many made-up requests."""
    headers = {"Authorization": f"Bearer {operator.token}"}
    found = [one.ok() for one in description.get_all_operations()]
    assert len(found) >= 14
    for operation in found:

        @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        ask()


@pytest.mark.parametrize(
    ("headers", "status", "reason"),
    [
        ({}, 401, "NO_TOKEN"),
        ({"Authorization": "Bearer x.y.z"}, 401, "INVALID_TOKEN"),
        ({"Host": "evil.example"}, 403, "FOREIGN_HOST"),
        ({"Origin": "https://evil.example"}, 403, "FOREIGN_ORIGIN"),
        ({"Origin": "null"}, 403, "FOREIGN_ORIGIN"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "FOREIGN_ORIGIN"),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/whoami", "/api/v1/versions"])
def test_the_door_of_operators_is_guarded(registry: Registry, path: str, headers: dict[str, str], status: int, reason: str) -> None:
    response = registry.client.get(registry.control_url + path, headers=headers)
    assert (response.status_code, response.json()["reason"]) == (status, reason)


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/api/v1/openapi.json", "/nothing"])
def test_what_needs_no_token_needs_a_known_host_all_the_same(registry: Registry, path: str) -> None:
    assert registry.client.get(registry.control_url + path, headers={"Host": "evil.example"}).status_code == 403


def test_what_a_server_says_of_itself_is_never_a_page(registry: Registry, notes: Notes) -> None:
    """Threat class T20: texts of a manifest are data in JSON, and a browser that is led here is told so."""
    script = "<script>alert(1)</script>"
    content = {"definition": notes_definition(notes, name="page", description=script)}
    dev = registry.operator("dev", "dev")
    dev.propose("server", "page", content)
    headers = {"Authorization": f"Bearer {dev.token}", "Accept": "text/html"}
    response = registry.client.get(f"{registry.control_url}/api/v1/versions/server/page/1", headers=headers)
    assert script in response.json()["content"]["definition"]["description"]
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'"


def test_a_token_of_callers_opens_nothing_here_and_one_of_operators_nothing_there(registry: Registry) -> None:
    caller = registry.mint("root", resource=f"{registry.url}/mcp")
    headers = {"Authorization": f"Bearer {caller}"}
    assert registry.client.get(f"{registry.control_url}/api/v1/whoami", headers=headers).status_code == 401
    headers = {"Authorization": f"Bearer {registry.operator('root').token}", "Content-Type": "application/json", "Accept": "*/*"}
    assert registry.client.post(f"{registry.url}/mcp", json={}, headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("path", "body", "status", "reason"),
    [
        ("/proposals", {"kind": "server", "name": "x", "content": {}, "state": "active"}, 422, "CONTENT_INVALID"),
        ("/proposals", {"kind": "thing", "name": "x", "content": {}}, 422, "CONTENT_INVALID"),
        ("/proposals", [], 422, "CONTENT_INVALID"),
        ("/versions/server/notes/1/steps", {"step": "accept"}, 422, "CONTENT_INVALID"),
        ("/versions/server/notes/1/steps", {"step": "activate"}, 409, "STEP_NOT_ALLOWED"),
        ("/versions/server/notes/99/steps", {"step": "activate"}, 404, "NOTHING_OF_THAT_NAME"),
        ("/versions/thing/notes/1/steps", {"step": "activate"}, 400, "INVALID_PARAMS"),
        ("/versions/server/notes/0/steps", {"step": "activate"}, 400, "INVALID_PARAMS"),
        ("/tenants", {"name": "Not A Name"}, 422, "CONTENT_INVALID"),
        ("/nothing", {}, 404, "UNKNOWN_PATH"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_row(registry: Registry, path: str, body: Any, status: int, reason: str) -> None:
    refused = registry.operator("root").ask("POST", path, body, status=status)
    assert refused["reason"] == reason
    assert refused["sentence"]


def test_a_parameter_that_is_not_described_is_refused(registry: Registry) -> None:
    root = registry.operator("root")
    assert root.ask("GET", "/versions?knd=server", status=400)["reason"] == "INVALID_PARAMS"
    assert root.ask("GET", "/versions?kind=server&kind=policy", status=400)["reason"] == "INVALID_PARAMS"
    assert root.ask("DELETE", "/versions", status=405)["reason"] == "METHOD_NOT_ALLOWED"


def test_however_many_ask_for_looks_at_once_everybody_is_answered(registry: Registry) -> None:
    nobody, root = registry.operator("nobody"), registry.operator("root")
    with ThreadPoolExecutor(64) as crowd:
        path = "/versions/server/nothing/1/captures"
        asked = [crowd.submit(nobody.ask, "POST", path, status=404) for _ in range(64)]
        assert {one.result(timeout=30)["reason"] for one in asked} == {"NOTHING_OF_THAT_NAME"}
    assert root.ask("GET", "/whoami")["name"] == "local/root"


def test_of_somebody_without_a_role_no_body_is_read(registry: Registry) -> None:
    headers = {"Authorization": f"Bearer {registry.operator('nobody').token}", "Content-Type": "application/json"}
    response = registry.client.post(f"{registry.control_url}/api/v1/proposals", content=b"{" * 100_000, headers=headers)
    assert (response.status_code, response.json()["reason"]) == (403, "NOT_YOUR_ROLE")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/tenants", b'{"name": "' + b"a" * 70_000 + b'"}', id="larger than its operation takes"),
        pytest.param("/proposals", b"[" + b"[]," * 600_000 + b"[]]", id="more values than anybody proposes"),
        pytest.param("/proposals", b'{"name": "' + b"a" * 17_000_000 + b'"}', id="larger than any content"),
    ],
)
def test_a_body_is_bounded_in_bytes_and_in_values(registry: Registry, path: str, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {registry.operator('root').token}", "Content-Type": "application/json"}
    response = registry.client.post(f"{registry.control_url}/api/v1{path}", content=body, headers=headers)
    assert (response.status_code, response.json()["reason"]) == (413, "BODY_TOO_LARGE")


def test_each_operation_and_each_refusal_is_in_the_ledger(registry: Registry) -> None:
    registry.operator("nobody").ask("GET", "/tenants")
    registry.operator("nobody").ask("POST", "/tenants", {"name": "mine"}, status=403)
    log = registry.directory / "data" / "control-ledger"
    text = b"".join(segment.read_bytes() for segment in log.glob("*.seg"))
    assert b'"method":"createTenant"' in text
    assert b"NOT_YOUR_ROLE" in text
