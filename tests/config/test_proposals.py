"""What a proposed definition may take from the deployment: its tenant's secrets, and no file of the gateway's own."""

from pathlib import Path

import msgspec
import pytest

from customhouse.config.findings import Finding
from customhouse.config.load import Loaded
from customhouse.config.proposals import proposal_findings
from customhouse.core.manifest import BearerCredential, Package, ServerDefinition, StdioProgram
from tests.config.deployments import loaded

ONE = "identity: {development_issuer: {enabled: true, tenant: local}}\n"
TWO = "identity:\n  issuers:\n    - {issuer: https://a.example, tenant: local}\n    - {issuer: https://b.example, tenant: abroad}\n"
OTHERS = "identity:\n  issuers:\n    - {issuer: https://a.example, tenant_claim: org, tenants: {a: local, b: abroad}}\n"
LISTED = """\
control:
  secrets:
    local: [env:NOTES_TOKEN, "env:LOCAL_*", file:/run/keys/notes, "file:keys/local/*"]
    abroad: []
"""
HOOK = "approvals: {webhook_url: https://hooks.example/x, webhook_key: env:HOOK_KEY}\n"
TREE = Package(ecosystem="pypi", name="notes-mcp", version="1", digest="sha256:" + "0" * 64)


def findings(where: Loaded, definition: ServerDefinition) -> list[Finding]:
    return list(proposal_findings(definition, where.directory, where.settings))


def definition(reference: str, tenant: str = "local") -> ServerDefinition:
    return ServerDefinition(
        name="notes", owner="o", contact="c", tenant=tenant, url="https://n.example", credential=BearerCredential(reference)
    )


def started(**fields: object) -> ServerDefinition:
    program = msgspec.structs.replace(StdioProgram(package=TREE, argv=("bin/notes",)), **fields)
    return ServerDefinition(name="notes", owner="o", contact="c", tenant="local", stdio=program)


@pytest.mark.parametrize(
    ("settings", "tenant", "reference"),
    [
        (ONE, "local", "env:NOTES_TOKEN"),
        (ONE, "local", "file:secrets/notes"),
        (ONE, "local", "file:secrets/deep/..data"),
        (LISTED, "local", "env:NOTES_TOKEN"),
        (TWO + LISTED, "local", "env:LOCAL_CRM"),
        (TWO + LISTED, "local", "file:/run/keys/notes"),
        (TWO + LISTED, "local", "file:keys/local/a/b"),
    ],
)
def test_a_tenant_names_its_own_secrets(tmp_path: Path, settings: str, tenant: str, reference: str) -> None:
    assert findings(loaded(tmp_path, settings), definition(reference, tenant)) == []


@pytest.mark.parametrize(
    ("settings", "tenant", "reference"),
    [
        (TWO, "abroad", "env:NOTES_TOKEN"),
        (TWO, "local", "env:NOTES_TOKEN"),
        (OTHERS, "local", "env:NOTES_TOKEN"),
        (ONE, "abroad", "env:NOTES_TOKEN"),
        (ONE, "local", "file:notes"),
        (ONE, "local", "file:data/development-issuer.json"),
        (ONE, "local", "file:/etc/passwd"),
        (ONE, "local", "file:secrets/../data/development-issuer.json"),
        (ONE, "local", "file:secrets/./notes"),
        (ONE, "local", "file:secrets//notes"),
        (ONE, "local", "file:secrets/"),
        (ONE, "local", "file:../../secrets/notes"),
        (ONE, "local", "env:CUSTOMHOUSE_TOKEN"),
        (ONE + HOOK, "local", "env:HOOK_KEY"),
        (LISTED, "abroad", "env:NOTES_TOKEN"),
        (LISTED, "abroad", "file:secrets/notes"),
        (LISTED, "local", "file:secrets/notes"),
        (LISTED, "local", "env:LOCAL_"),
        (LISTED, "local", "env:NOTES_TOKEN_2"),
        (LISTED, "local", "file:/run/keys/notes2"),
        (LISTED, "local", "file:keys/local/../abroad/a"),
        ('control: {secrets: {local: ["file:data/*"]}}', "local", "file:data/development-issuer.json"),
        ('control: {secrets: {local: ["env:*"]}}', "local", "env:CUSTOMHOUSE_TOKEN"),
        ('control: {secrets: {local: ["file:/etc/keys/*"], " x": []}}', "local", "file:/etc/keys"),
    ],
)
def test_a_tenant_names_no_secret_of_somebody_else(tmp_path: Path, settings: str, tenant: str, reference: str) -> None:
    (finding,) = findings(loaded(tmp_path, settings), definition(reference, tenant))
    assert (finding.key, finding.problem) == ("credential.bearer", f"The tenant '{tenant}' has no such secret.")
    assert reference not in str(finding)


def test_a_link_to_the_data_of_the_gateway_is_nobodys_secret(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "issuer").symlink_to(tmp_path / "data" / "development-issuer.json")
    assert findings(loaded(tmp_path, ONE), definition("file:secrets/issuer"))


def test_the_key_of_the_gateways_certificate_is_no_tenants_secret(tmp_path: Path) -> None:
    tls = ONE + "listen: {tls: {certificate_file: secrets/c.pem, key_file: secrets/k.pem}}\npublic_url: https://127.0.0.1:8080\n"
    assert findings(loaded(tmp_path, tls), definition("file:secrets/k.pem"))


def test_the_secrets_of_a_program_are_its_tenants_too(tmp_path: Path) -> None:
    own, foreign = "env:LOCAL_KEY", "env:OTHER"
    (finding,) = findings(loaded(tmp_path, LISTED), started(secrets={"KEY": own, "TOKEN": foreign}))
    assert finding.key == "stdio.secrets.TOKEN"


@pytest.mark.parametrize("path", ["", "/data", "/data/views", "/servers", "/keys", "/keys/local", "/customhouse.yaml"])
@pytest.mark.parametrize("part", ["read_only_paths", "writable_paths"])
def test_no_proposed_program_is_shown_the_gateways_own_files(tmp_path: Path, part: str, path: str) -> None:
    (finding,) = findings(loaded(tmp_path, LISTED), started(**{part: (f"{tmp_path}{path}",)}))
    assert finding.key == f"stdio.{part}[0]"
    assert "of the gateway itself" in finding.problem


def test_a_proposed_program_reads_what_is_elsewhere(tmp_path: Path) -> None:
    assert findings(loaded(tmp_path, LISTED), started(read_only_paths=("/srv/notes",), installed="/opt/notes")) == []
