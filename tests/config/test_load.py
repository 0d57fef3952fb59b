"""Defaults, the file above them, the environment above both; and where each value came from."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.environment import variables
from customhouse.config.explain import explain
from customhouse.config.load import FOLLOWS_LISTEN, leaves, load
from customhouse.config.tree import Settings
from tests.config.deployments import NOTES, findings_of, loaded, refused, write


def test_a_directory_without_a_file_has_all_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, {"HOME": "/root", "CUSTOMHOUSE_DIR": "x", "CUSTOMHOUSE_TOKEN": "y", "CUSTOMHOUSE_URL": "z"})
    assert found.settings == Settings()
    assert set(found.origins.values()) == {"default"}
    assert found.directory == tmp_path
    assert found.path("data") == tmp_path / "data"
    assert found.path("/srv/data") == Path("/srv/data")


@pytest.mark.parametrize("text", ["", "\n# later\n", "---\n", "{}", "listen: {}\nidentity: {issuers: []}\nportals: {}\n"])
def test_an_empty_file_has_all_defaults(tmp_path: Path, text: str) -> None:
    assert loaded(tmp_path, text).settings == Settings()


def test_by_default_nothing_is_exposed_and_nobody_is_let_in() -> None:  # GW-02
    assert Settings().listen.host == "127.0.0.1"
    assert Settings().identity.issuers == ()
    assert not Settings().identity.development_issuer.enabled


def test_a_value_says_where_it_came_from(tmp_path: Path) -> None:
    write(tmp_path, {"servers/notes.yaml": NOTES})
    found = loaded(
        tmp_path,
        "listen:\n  port: 9000\n  allowed_hosts:\n    - a.example\nidentity:\n  issuers:\n    - issuer: https://i.example\n"
        "      tenant_claim: org\n      tenants:\n        org 1: acme\nportals:\n  tools:\n    servers: [notes]\n",
        {"CUSTOMHOUSE_LIMITS__DRAIN_SECONDS": "5", "CUSTOMHOUSE_LISTEN__PORT": "9001"},
    )
    origins = found.origins
    assert origins["listen.port"] == "environment CUSTOMHOUSE_LISTEN__PORT"
    assert origins["limits.drain_seconds"] == "environment CUSTOMHOUSE_LIMITS__DRAIN_SECONDS"
    assert origins["listen.allowed_hosts"] == "customhouse.yaml:3"
    assert origins["identity.issuers[0].issuer"] == "customhouse.yaml:7"
    assert origins["identity.issuers[0].tenants['org 1']"] == "customhouse.yaml:10"
    assert origins["identity.issuers[0].claims.person"] == "default"
    assert origins["portals.tools.servers"] == "customhouse.yaml:13"
    assert origins["listen.tls"] == "default"
    assert origins["public_url"] == FOLLOWS_LISTEN


@pytest.mark.parametrize(
    ("settings", "public_url"),
    [
        ("listen: {port: 9000}", "http://127.0.0.1:9000"),
        ("listen: {host: localhost}", "http://localhost:8080"),
        ("listen: {host: '::1', port: 9000}", "http://[::1]:9000"),
        ("listen: {port: 80}", "http://127.0.0.1"),
        ("listen: {port: 443, tls: {certificate_file: c, key_file: k}}", "https://127.0.0.1"),
        ("listen: {port: 9000}\npublic_url: http://127.0.0.1:7000", "http://127.0.0.1:7000"),
    ],
)
def test_on_loopback_an_unwritten_public_address_follows_the_door(tmp_path: Path, settings: str, public_url: str) -> None:
    assert loaded(tmp_path, settings).settings.public_url == public_url


def test_a_door_that_cannot_be_read_is_reported_once(tmp_path: Path) -> None:
    (finding,) = refused(tmp_path, "listen: {port: x}")
    assert finding.key == "listen.port"


ENVIRONMENT: list[tuple[str, str, str, object]] = [
    ("CUSTOMHOUSE_PUBLIC_URL", "https://mcp.example", "public_url", "https://mcp.example"),
    ("CUSTOMHOUSE_DATA_DIR", "0123", "data_dir", "0123"),
    ("CUSTOMHOUSE_DATA_DIR", "a: [b", "data_dir", "a: [b"),
    ("CUSTOMHOUSE_LISTEN__PORT", "9000", "listen.port", 9000),
    ("CUSTOMHOUSE_LISTEN__HEAD_TIMEOUT_SECONDS", "0.5", "listen.head_timeout_seconds", 0.5),
    ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", '["a.example", "b.example"]', "listen.allowed_hosts", ["a.example", "b.example"]),
    ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "[a.example]", "listen.allowed_hosts", ["a.example"]),
    ("CUSTOMHOUSE_IDENTITY__DEVELOPMENT_ISSUER__ENABLED", "true", "identity.development_issuer.enabled", True),
    ("CUSTOMHOUSE_PORTALS__TOOLS__SERVERS", "[notes]", "portals.tools.servers", ["notes"]),
    ("CUSTOMHOUSE_PORTALS", "{my-tools: {servers: [notes]}}", "portals.my-tools.servers", ["notes"]),
    ("CUSTOMHOUSE_IDENTITY__ISSUERS", '[{"issuer": "https://i.example", "tenant": "a"}]', "identity.issuers[0].tenant", "a"),
]


@pytest.mark.parametrize(("name", "text", "key", "value"), ENVIRONMENT)
def test_the_environment_stands_above_the_file(tmp_path: Path, name: str, text: str, key: str, value: object) -> None:
    write(tmp_path, {"servers/notes.yaml": NOTES})
    rows = {
        row.key: row for row in explain(loaded(tmp_path, "listen: {port: 7000, allowed_hosts: [c.example]}\ndata_dir: d\n", {name: text}))
    }
    assert json.loads(rows[key].value) == value
    assert rows[key].origin == f"environment {name}"


def test_the_environment_can_complete_a_table_of_the_file(tmp_path: Path) -> None:
    environ = {"CUSTOMHOUSE_LISTEN__TLS__KEY_FILE": "k.pem"}
    settings = loaded(tmp_path, "listen: {tls: {certificate_file: c.pem}}", environ).settings
    assert settings.listen.tls is not None
    assert (settings.listen.tls.certificate_file, settings.listen.tls.key_file) == ("c.pem", "k.pem")


@pytest.mark.parametrize(
    ("name", "text", "key", "words"),
    [
        ("CUSTOMHOUSE_LISTEN__PROT", "1", "", "Did you mean `CUSTOMHOUSE_LISTEN__PORT`?"),
        ("CUSTOMHOUSE_LISTEN_PORT", "1", "", "Did you mean `CUSTOMHOUSE_LISTEN__PORT`?"),
        ("CUSTOMHOUSE_listen__port", "1", "", "Did you mean `CUSTOMHOUSE_LISTEN__PORT`?"),
        ("CUSTOMHOUSE_QQQQ", "1", "", "config explain"),
        ("CUSTOMHOUSE_", "1", "", "There is no such setting"),
        ("CUSTOMHOUSE_PORTALS__", "1", "", "There is no such setting"),
        ("CUSTOMHOUSE_LISTEN__PORT__X", "1", "", "There is no such setting"),
        ("CUSTOMHOUSE_IDENTITY__ISSUERS__0__TENANT", "a", "", "There is no such setting"),
        ("CUSTOMHOUSE_API_KEY", "s3cret", "", "tokens of an issuer"),
        ("CUSTOMHOUSE_LISTEN", "{}", "listen", "CUSTOMHOUSE_LISTEN__HOST"),
        ("CUSTOMHOUSE_LISTEN__TLS", "{}", "listen.tls", "CUSTOMHOUSE_LISTEN__TLS__KEY_FILE"),
        ("CUSTOMHOUSE_LISTEN__PORT", "", "listen.port", "a whole number"),
        ("CUSTOMHOUSE_LISTEN__PORT", "80 80", "listen.port", "a whole number"),
        ("CUSTOMHOUSE_LISTEN__PORT", "080", "", "leading zero"),
        ("CUSTOMHOUSE_LISTEN__HEAD_TIMEOUT_SECONDS", "30s", "listen.head_timeout_seconds", "a number of seconds, for example 30"),
        ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "a.example", "listen.allowed_hosts", "Write a list"),
        ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "[a.example", "", "not well formed"),
        ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "[\udcff]", "", "not UTF-8"),
        ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "[\u2028]", "", "U+2028"),
        ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "\ufeff[]", "", "byte order mark"),
        ("CUSTOMHOUSE_LISTEN__ALLOWED_HOSTS", "[\x01]", "", "control characters"),
        ("CUSTOMHOUSE_DATA_DIR", "\udcff", "data_dir", "U+DCFF"),
        ("CUSTOMHOUSE_DATA_DIR", "", "data_dir", "blank"),
    ],
)
def test_a_variable_that_is_no_usable_setting_is_refused(tmp_path: Path, name: str, text: str, key: str, words: str) -> None:
    findings = refused(tmp_path, "", {name: text})
    assert [(finding.file, finding.line, finding.key) for finding in findings] == [(f"environment {name}", 0, key)], findings
    assert words in f"{findings[0].problem} {findings[0].remedy}"
    assert "s3cret" not in str(findings[0])


def test_a_variable_gives_way_to_what_the_file_broke(tmp_path: Path) -> None:
    (finding,) = refused(tmp_path, "[1]", {"CUSTOMHOUSE_LISTEN__PORT": "x"})
    assert finding.key == "listen.port"


def _names(value: object) -> set[str]:
    if isinstance(value, msgspec.Struct):
        return {name for field in value.__struct_fields__ for name in {field} | _names(getattr(value, field))}
    return set()


def test_there_is_no_setting_for_a_shared_static_token() -> None:
    everything = f"{variables()} {_names(Settings())}".lower()
    assert "leeway" in everything
    everything = everything.replace("customhouse_control__secrets'", "")  # a table of references, which are no secrets
    for word in ("token", "secret", "password", "api_key", "apikey", "bearer", "credential", "anonymous"):
        assert word not in everything


@pytest.mark.parametrize("name", ["tokens", "bearer_token", "static_tokens", "api_key", "shared_secret", "password"])
@pytest.mark.parametrize("where", ["", "listen", "identity", "identity__development_issuer", "limits"])
def test_a_static_token_is_refused_wherever_it_is_written(tmp_path: Path, where: str, name: str) -> None:
    path = [*where.split("__"), name] if where else [name]
    text = "".join(f"{'  ' * depth}{part}:{' s3cret' if part == name else ''}\n" for depth, part in enumerate(path))
    (finding,) = refused(tmp_path, text)
    (in_environment,) = refused(tmp_path, "", {f"CUSTOMHOUSE_{'__'.join(path).upper()}": "s3cret"})
    assert "tokens of an issuer" in finding.remedy
    assert "tokens of an issuer" in in_environment.remedy
    assert "s3cret" not in f"{finding} {in_environment}"


seconds = st.floats(0.1, 86_400).map(lambda number: round(number, 3))
counts = st.integers(1, 1_000_000)
names = st.sampled_from(["a", "b-c", "d1", "no", "0x1"])


def sometimes(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


issuer = st.fixed_dictionaries(
    {"tenant": st.sampled_from(["acme", "0123", "no", "1:30"])},
    optional={
        "jwks_url": st.sampled_from(["", "https://i.example/k", "http://localhost/k"]),
        "networks": st.lists(st.sampled_from(["10.0.0.0/8", "fd00::/8"]), max_size=2),
        "audiences": st.dictionaries(st.sampled_from(["api", "urn:x:y"]), st.just(["/mcp"])),
        "algorithms": st.lists(st.sampled_from(["RS256", "ES256", "EdDSA"]), min_size=1, max_size=3),
        "claims": sometimes(person=st.just("email"), workload=st.just("app"), groups=st.just("roles")),
    },
)
settings_trees = sometimes(
    public_url=st.sampled_from(["http://127.0.0.1:8080", "https://mcp.example"]),
    data_dir=st.sampled_from(["data", "/srv/x", "0123", "no"]),
    listen=sometimes(
        host=st.sampled_from(["127.0.0.1", "localhost", "::1"]),
        port=st.integers(1, 65_535),
        allowed_hosts=st.lists(st.sampled_from(["a.example", "b:1", "[::1]"]), max_size=2),
        max_body_bytes=st.integers(1_024, 1_000_000),
        head_timeout_seconds=seconds,
        max_connections=counts,
        tls=st.none(),
    ),
    identity=sometimes(
        issuers=st.lists(issuer, max_size=2).map(
            lambda found: [{"issuer": f"https://i{index}.example", **fields} for index, fields in enumerate(found)]
        ),
        leeway_seconds=st.integers(0, 300),
    ),
    portals=st.dictionaries(names, st.just({"servers": []}), max_size=2),
    limits=sometimes(requests_per_second_per_caller=seconds, burst_per_tenant=counts, drain_seconds=seconds),
    ledger=sometimes(segment_max_bytes=st.integers(65_536, 10**9)),
)


@given(tree=settings_trees)
def test_any_subset_of_valid_settings_comes_back_as_written(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    found = loaded(tmp_path_factory.mktemp("d"), json.dumps(tree))
    expected = msgspec.convert(tree, Settings)
    if "public_url" not in tree:
        expected = msgspec.structs.replace(expected, public_url=found.settings.public_url)
    assert found.settings == expected


@given(tree=settings_trees)
def test_the_origin_of_every_value_is_known_and_true(tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    found = loaded(tmp_path_factory.mktemp("d"), json.dumps(tree))
    written = {"/".join(map(str, key)) for key, _ in leaves(_as_tuples(tree))}
    for (key, _), row in zip(leaves(found.settings), explain(found), strict=True):
        from_file = row.origin == "customhouse.yaml:1"
        assert from_file == ("/".join(map(str, key)) in written) or row.value in {"[]", "{}", "null"}, row


def _as_tuples(value: Any) -> Any:
    """JSON values in the shape that `leaves` descends: lists of tables by their index."""
    if isinstance(value, dict):
        return {name: _as_tuples(inner) for name, inner in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {index: _as_tuples(inner) for index, inner in enumerate(value)}
    return value


@given(text=st.text(max_size=60))
def test_whatever_stands_in_the_file_is_settings_or_findings(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("d")
    (directory / "customhouse.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    findings = findings_of(directory)
    assert findings or load(directory, {}).settings == Settings()
    assert all(finding.problem.endswith(".") and finding.remedy.endswith((".", "?")) for finding in findings)
