"""Settings that are refused: file, line, key, and what would be right."""

from pathlib import Path

import pytest

from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.load import load
from tests.config.deployments import NOTES, loaded, refused, write

ISSUER = "identity:\n  issuers:\n    - issuer: https://idp.example\n      tenant: acme\n"
EXPOSED = "public_url: https://mcp.example\nlisten:\n  host: 0.0.0.0\n  tls: {certificate_file: c.pem, key_file: k.pem}\n"

CASES: list[tuple[str, int, str, str]] = [
    # Keys.
    ("prot: 1", 1, "prot", "identity, ledger, limits"),
    ("listen:\n  prot: 1", 2, "listen.prot", "Did you mean `port`?"),
    ("Listen: {}", 1, "Listen", "Did you mean `listen`?"),
    ("listen:\n  port: 1\n  port: 2", 3, "listen.port", "Keep one"),
    ("- listen", 1, "", "Write a table of keys"),
    ("just text", 1, "", "Write a table of keys"),
    ("limits: [1]", 1, "limits", "Write a table of keys"),
    ("static_token: s3cret", 1, "static_token", "tokens of an issuer"),
    ("identity:\n  bearer_tokens: [a]", 2, "identity.bearer_tokens", "tokens of an issuer"),
    # Types.
    ("data_dir: 12", 1, "data_dir", "in quotes"),
    ("data_dir: no\nservers_dir: true", 2, "servers_dir", "in quotes"),
    ("data_dir:", 1, "data_dir", "leave the key out"),
    ("data_dir: ''", 1, "data_dir", "Write it out"),
    ('data_dir: "a\\tb"', 1, "data_dir", "one line"),
    ("listen:\n  port: [1]", 2, "listen.port", "a whole number"),
    ("listen:\n  port: '8080'", 2, "listen.port", "a whole number"),
    ("listen:\n  port: 80.5", 2, "listen.port", "a whole number"),
    ("listen:\n  port: true", 2, "listen.port", "a whole number"),
    ("listen:\n  port: 08080", 2, "listen.port", "leading zero"),
    ("listen:\n  allowed_hosts: a.example", 2, "listen.allowed_hosts", "Write a list"),
    ("listen:\n  allowed_hosts: [1]", 2, "listen.allowed_hosts[0]", "in quotes"),
    ("listen:\n  allowed_hosts: {a: 1}", 2, "listen.allowed_hosts", "a list"),
    ("identity:\n  development_issuer:\n    enabled: yes", 3, "identity.development_issuer.enabled", "true or false"),
    ("identity:\n  development_issuer:\n    enabled: 1", 3, "identity.development_issuer.enabled", "true or false"),
    ("portals: [default]", 1, "portals", "a table of keys"),
    ("portals:\n  default: {}", 2, "portals.default.servers", "Add it"),
    ("portals:\n  default:\n    servers: {}", 3, "portals.default.servers", "a list"),
    # Units.
    ("listen:\n  head_timeout_seconds: 30s", 2, "listen.head_timeout_seconds", "a number of seconds, for example 30."),
    ("listen:\n  idle_timeout_seconds: 2 min", 2, "listen.idle_timeout_seconds", "a number of seconds, for example 120."),
    ("listen:\n  idle_timeout_seconds: 1:30", 2, "listen.idle_timeout_seconds", "a number of seconds, for example 30."),
    ("limits:\n  drain_seconds: 1.5h", 2, "limits.drain_seconds", "a number of seconds, for example 5400."),
    ("listen:\n  max_body_bytes: 1MB", 2, "listen.max_body_bytes", "a whole number of bytes, for example 1000000."),
    ("listen:\n  max_body_bytes: 1MiB", 2, "listen.max_body_bytes", "a whole number of bytes, for example 1048576."),
    ("ledger:\n  segment_max_bytes: big", 2, "ledger.segment_max_bytes", "a whole number of bytes, for example 1048576."),
    # Secrets of tenants.
    ("control:\n  secrets: {local: [hunter2]}", 2, "control.secrets.local[0]", "file:DIRECTORY/*"),
    ("control:\n  secrets: {local: ['env:A B']}", 2, "control.secrets.local[0]", "env:NAME"),
    ("control:\n  secrets: {local: ['*']}", 2, "control.secrets.local[0]", "env:BEGINNING*"),
    ("control:\n  secrets: {local: ['file:*']}", 2, "control.secrets.local[0]", "file:PATH"),
    ("control:\n  secrets: {local: ['file:/*']}", 2, "control.secrets.local[0]", "file:PATH"),
    ("control:\n  secrets: {local: ['file:keys/local*']}", 2, "control.secrets.local[0]", "file:DIRECTORY/*"),
    ("control:\n  secrets: {local: ['file:keys/../data/*']}", 2, "control.secrets.local[0]", "`..`"),
    ("control:\n  secrets: {' ': ['env:A']}", 2, "control.secrets[' ']", "blank"),
    ("control:\n  secrets: {local: env:A}", 2, "control.secrets.local", "a list"),
    # Approvals.
    ("approvals:\n  webhook_url: http://hooks.example/x\n  webhook_key: env:K", 2, "approvals.webhook_url", "https"),
    ("approvals:\n  webhook_url: https://hooks.example/x", 1, "approvals.webhook_key", "webhook_key: env:NAME"),
    ("approvals:\n  webhook_url: https://hooks.example/x\n  webhook_key: whsec_abc", 3, "approvals.webhook_key", "webhook_key: env:NAME"),
    ("approvals:\n  webhook_key: env:K", 1, "approvals.webhook_url", "Add `webhook_url`"),
    ("approvals:\n  webhook_networks: [10.0.0.1/8]", 2, "approvals.webhook_networks[0]", "host bits"),
    ("approvals:\n  console_url: https://operators.example/", 2, "approvals.console_url", "slash"),
    ("approvals:\n  console_url: http://operators.example", 2, "approvals.console_url", "https"),
    ("approvals:\n  expires_seconds: 0", 2, "approvals.expires_seconds", "no value for unlimited"),
    # Ranges: zero never means unlimited.
    ("listen:\n  port: 0", 2, "listen.port", "from 1 to 65535"),
    ("listen:\n  port: 65536", 2, "listen.port", "from 1 to 65535"),
    ("listen:\n  port: -1", 2, "listen.port", "from 1 to 65535"),
    ("listen:\n  max_connections: 0", 2, "listen.max_connections", "no value for unlimited"),
    ("listen:\n  max_head_bytes: 0", 2, "listen.max_head_bytes", "no value for unlimited"),
    ("listen:\n  write_timeout_seconds: 0", 2, "listen.write_timeout_seconds", "no value for unlimited"),
    ("listen:\n  write_timeout_seconds: .inf", 2, "listen.write_timeout_seconds", "86400"),
    ("listen:\n  write_timeout_seconds: .nan", 2, "listen.write_timeout_seconds", "86400"),
    ("limits:\n  burst_per_caller: 0", 2, "limits.burst_per_caller", "no value for unlimited"),
    ("limits:\n  requests_per_second_per_tenant: -1", 2, "limits.requests_per_second_per_tenant", "no value for unlimited"),
    ("limits:\n  requests_per_second_per_caller: 0", 2, "limits.requests_per_second_per_caller", "no value for unlimited"),
    ("identity:\n  leeway_seconds: -1", 2, "identity.leeway_seconds", "from 0 to 300"),
    ("identity:\n  leeway_seconds: 301", 2, "identity.leeway_seconds", "from 0 to 300"),
    # Addresses.
    ("public_url: mcp.example", 1, "public_url", "https://mcp.example"),
    ("public_url: ftp://mcp.example", 1, "public_url", "https://mcp.example"),
    ("public_url: http://127.0.0.1:8080/", 1, "public_url", "Write http://127.0.0.1:8080:"),
    ("public_url: https://mcp.example/base", 1, "public_url", "Write https://mcp.example:"),
    ("public_url: https://MCP.example", 1, "public_url", "Write https://mcp.example:"),
    ("public_url: https://mcp.example:443", 1, "public_url", "Write https://mcp.example:"),
    ("public_url: https://a:b@mcp.example", 1, "public_url", "Write https://mcp.example:"),
    ("public_url: http://mcp.example", 1, "public_url", "https address"),
    ("listen:\n  host: mcp.example", 2, "listen.host", "IP address"),
    ("listen:\n  allowed_hosts: ['*']", 2, "listen.allowed_hosts[0]", "a name or an address"),
    ("listen:\n  allowed_hosts: ['a.example', 'https://b.example']", 2, "listen.allowed_hosts[1]", "a name or an address"),
    ("listen:\n  allowed_hosts: ['::1']", 2, "listen.allowed_hosts[0]", "a name or an address"),
    ("listen:\n  allowed_hosts: ['[::1']", 2, "listen.allowed_hosts[0]", "a name or an address"),
    ("listen:\n  allowed_origins: ['*']", 2, "listen.allowed_origins[0]", "https://app.example"),
    ("listen:\n  allowed_origins: ['null']", 2, "listen.allowed_origins[0]", "https://app.example"),
    ("listen:\n  allowed_origins: ['https://app.example/']", 2, "listen.allowed_origins[0]", "https://app.example"),
    ("listen:\n  allowed_origins: ['https://app.example:443']", 2, "listen.allowed_origins[0]", "https://app.example"),
    # Combinations.
    ("listen:\n  tls: {certificate_file: c.pem}", 2, "listen.tls.key_file", "Add it"),
    ("listen:\n  tls: {certificate_file: c.pem, key_file: ' '}", 2, "listen.tls.key_file", "PEM"),
    (
        "public_url: http://127.0.0.1:8080\nlisten:\n  tls: {certificate_file: c.pem, key_file: k.pem}",
        1,
        "public_url",
        "https://127.0.0.1:8080",
    ),
    ("public_url: https://mcp.example\nlisten:\n  host: 0.0.0.0\n" + ISSUER, 3, "listen.host", "certificate_file"),
    ("public_url: https://mcp.example\nlisten:\n  host: '::'\n" + ISSUER, 3, "listen.host", "certificate_file"),
    ("listen:\n  host: 10.0.0.1\n  tls: {certificate_file: c.pem, key_file: k.pem}\n" + ISSUER, 1, "public_url", "callers use"),
    (EXPOSED, 3, "listen.host", "identity.issuers"),
    (EXPOSED + ISSUER + "  development_issuer:\n    enabled: true", 10, "identity.development_issuer.enabled", "false"),
    (
        "public_url: https://mcp.example\nidentity:\n  development_issuer: {enabled: true}",
        3,
        "identity.development_issuer.enabled",
        "loopback",
    ),
    ("identity:\n  jwks_max_stale_seconds: 60", 2, "identity.jwks_max_stale_seconds", "at least 300"),
    # Portals.
    ("portals:\n  Tools: {servers: [notes]}", 2, "portals.Tools", "a-z"),
    ("portals:\n  a--b: {servers: [notes]}", 2, "portals.a--b", "a-z"),
    ("portals:\n  tools: {servers: [nodes]}", 2, "portals.tools.servers[0]", "Known here: notes"),
    ("portals:\n  tools: {servers: [notes, notes]}", 2, "portals.tools.servers[1]", "once"),
    ("portals:\n  notes: {servers: [notes]}", 2, "portals.notes", "Rename"),
]

ISSUER_CASES: list[tuple[str, int, str, str]] = [
    ("tenant: acme", 3, "issuer", "Add it"),
    ("issuer: http://idp.example\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: idp.example\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: https://idp.example?a=b\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: https://idp.example#\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: https://u:p@idp.example\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: http://127.1\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: urn:customhouse:development\n      tenant: acme", 3, "issuer", "exactly as"),
    ("issuer: https://idp.example", 3, "", "tenant: NAME"),
    ("issuer: https://idp.example\n      tenant: ' '", 3, "", "tenant: NAME"),
    ("issuer: https://idp.example\n      tenant: acme\n      tenant_claim: org", 4, "tenant", "Keep"),
    ("issuer: https://idp.example\n      tenant: acme\n      tenants: {a: b}", 4, "tenant", "Keep"),
    ("issuer: https://idp.example\n      tenant_claim: org", 4, "tenant_claim", "tenants"),
    ("issuer: https://idp.example\n      tenant_claim: org\n      tenants: {a: ''}", 5, "tenants.a", "both"),
    ("issuer: https://idp.example\n      tenant: 7", 4, "tenant", "quotes"),
    ("issuer: https://idp.example\n      tenant: acme\n      jwks_url: http://idp.example/k", 5, "jwks_url", "https"),
    ("issuer: https://idp.example\n      tenant: acme\n      networks: [10.0.0.1/8]", 5, "networks[0]", "10.20.0.0/16"),
    ("issuer: https://idp.example\n      tenant: acme\n      networks: [10.0.0.1]", 5, "networks[0]", "10.20.0.0/16"),
    ("issuer: https://idp.example\n      tenant: acme\n      algorithms: [none]", 5, "algorithms[0]", "RS256"),
    ("issuer: https://idp.example\n      tenant: acme\n      algorithms: [RS256, HS256]", 5, "algorithms[1]", "RS256"),
    ("issuer: https://idp.example\n      tenant: acme\n      algorithms: []", 5, "algorithms", "at least one"),
    ("issuer: https://idp.example\n      tenant: acme\n      audiences: {api: []}", 5, "audiences.api", "/mcp"),
    ("issuer: https://idp.example\n      tenant: acme\n      audiences: {' ': [/mcp]}", 5, "audiences[' ']", "aud"),
    ("issuer: https://idp.example\n      tenant: acme\n      audiences: {api: [/]}", 5, "audiences.api[0]", "/mcp"),
    (
        "issuer: https://idp.example\n      tenant: acme\n      audiences: {api: [/mcp/tools]}",
        5,
        "audiences.api[0]",
        "a portal or a server",
    ),
    (
        "issuer: https://idp.example\n      tenant: acme\n      audiences: {api: [/servers/x/mcp]}",
        5,
        "audiences.api[0]",
        "a portal or a server",
    ),
    ("issuer: https://idp.example\n      tenant: acme\n      claims:\n        person: ''", 5, "claims", "workload"),
    ("issuer: https://idp.example\n      tenant: acme\n      claims:\n        client: ''", 6, "claims.client", "client_id"),
    ("issuer: https://idp.example\n      tenant: acme\n      secret: x", 5, "secret", "by reference"),
    ("issuer: https://idp.example\n      tenant: acme\n      tenats: {}", 5, "tenats", "`tenants`"),
]


@pytest.mark.parametrize(("settings", "line", "key", "remedy"), CASES)
def test_a_bad_setting_is_refused_at_its_line_with_what_would_be_right(
    tmp_path: Path, settings: str, line: int, key: str, remedy: str
) -> None:
    write(tmp_path, {"servers/notes.yaml": NOTES})
    findings = refused(tmp_path, settings)
    assert [(finding.file, finding.line, finding.key) for finding in findings] == [("customhouse.yaml", line, key)], findings
    assert remedy in f"{findings[0].problem} {findings[0].remedy}"


@pytest.mark.parametrize(("issuer", "line", "key", "remedy"), ISSUER_CASES)
def test_a_bad_issuer_is_refused_at_its_line(tmp_path: Path, issuer: str, line: int, key: str, remedy: str) -> None:
    findings = refused(tmp_path, f"identity:\n  issuers:\n    - {issuer}\n")
    whole_key = f"identity.issuers[0].{key}" if key else "identity.issuers[0]"
    assert [(finding.file, finding.line, finding.key) for finding in findings] == [("customhouse.yaml", line, whole_key)], findings
    assert remedy in f"{findings[0].problem} {findings[0].remedy}"


def test_an_issuer_is_listed_once(tmp_path: Path) -> None:
    (finding,) = refused(tmp_path, ISSUER + "    - issuer: https://idp.example\n      tenant: other\n")
    assert (finding.line, finding.key) == (5, "identity.issuers[1].issuer")


def test_every_mistake_is_reported_not_just_the_first(tmp_path: Path) -> None:
    findings = refused(
        tmp_path,
        "listen:\n  host: 0.0.0.0\n  port: 0\n  tls: 5\nlimits: {drain_seconds: 1m}\nx: 1\ndata_dir: 01\n",
        {"CUSTOMHOUSE_LEDGER__SEGMENT_MAX_BYTES": "0", "CUSTOMHOUSE_X": "1"},
    )
    # No TLS is not held against an exposed host while `tls` cannot be read.
    assert {(finding.file, finding.line, finding.key) for finding in findings} == {
        ("customhouse.yaml", 1, "public_url"),
        ("customhouse.yaml", 2, "listen.host"),
        ("customhouse.yaml", 3, "listen.port"),
        ("customhouse.yaml", 4, "listen.tls"),
        ("customhouse.yaml", 5, "limits.drain_seconds"),
        ("customhouse.yaml", 6, "x"),
        ("customhouse.yaml", 7, "data_dir"),
        ("environment CUSTOMHOUSE_LEDGER__SEGMENT_MAX_BYTES", 0, "ledger.segment_max_bytes"),
        ("environment CUSTOMHOUSE_X", 0, ""),
    }


def test_a_finding_reads_as_a_line_that_an_editor_can_jump_to(tmp_path: Path) -> None:
    (finding,) = refused(tmp_path, "listen:\n  head_timeout_seconds: 30s\n")
    assert str(finding) == (
        "customhouse.yaml:2: listen.head_timeout_seconds: The text '30s' stands where a number of seconds belongs. "
        "Write a number of seconds, for example 30."
    )


def test_a_long_text_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    (finding,) = refused(tmp_path, "listen: {port: eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJ}")
    assert "eyJ" not in str(finding)


def test_a_server_named_like_the_portal_at_mcp_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"servers/default.yaml": NOTES})
    (finding,) = refused(tmp_path, "")
    assert (finding.file, finding.key) == ("servers/default.yaml", "name")


def test_a_portal_without_any_server_directory_says_so(tmp_path: Path) -> None:
    (finding,) = refused(tmp_path, "portals: {tools: {servers: [notes]}}")
    assert "No server is defined in servers/" in finding.remedy


def test_a_directory_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="CUSTOMHOUSE_DIR"):
        load(tmp_path / "nowhere", {})
    with pytest.raises(ConfigurationInvalid, match="CUSTOMHOUSE_DIR"):
        load(tmp_path / ("a" * 300), {})


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "customhouse.yaml").mkdir()
    with pytest.raises(ConfigurationInvalid) as invalid:
        load(tmp_path, {})
    assert invalid.value.findings[0].file == "customhouse.yaml"


def test_a_dangling_link_is_not_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "customhouse.yaml").symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(ConfigurationInvalid):
        load(tmp_path, {})


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "listen: {host: localhost, port: 9000}",
        "listen: {host: '::1'}",
        "listen: {allowed_hosts: [a.example, 'b.example:8443', '10.0.0.1', '[::1]:8080', '[::1]']}",
        "listen: {allowed_origins: ['https://app.example', 'http://localhost:3000']}",
        "public_url: https://mcp.example",
        "listen: {tls: {certificate_file: c.pem, key_file: k.pem}}",
        EXPOSED + ISSUER,
        "identity: {issuers: [{issuer: 'http://127.0.0.1:9999', tenant: a}]}",
        "identity: {issuers: [{issuer: 'https://i.example/t', tenant_claim: org, tenants: {o: a}, jwks_url: 'https://i.example/k?v=1'}]}",
        "identity: {issuers: [{issuer: 'https://i.example', tenant: a, audiences: {api: [/mcp, /mcp/default], x: [/servers/notes/mcp]}}]}",
        "identity: {development_issuer: {enabled: true}}",
        "portals: {default: {servers: [notes]}, tools: {servers: []}}",
        "listen: {tls: null}",
    ],
)
def test_what_makes_sense_together_is_accepted(tmp_path: Path, settings: str) -> None:
    write(tmp_path, {"servers/notes.yaml": NOTES})
    assert loaded(tmp_path, settings).directory == tmp_path
