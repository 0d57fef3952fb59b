"""The issuer for one machine, and the command that mints its tokens."""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.adapters.verifiers.development import DEVELOPMENT_ISSUER, DevelopmentIssuer
from customhouse.adapters.verifiers.tokens import Issuer, TokenVerifier
from customhouse.cli.token import token
from customhouse.core.identity import Caller
from customhouse.core.refusal import Refused
from tests.verifiers.support import NOW, PUBLIC_URL, RESOURCE, StillClock, ec_key, ed_key, verifier_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "development-issuer.json"


def mint(issuer: DevelopmentIssuer, **changes: Any) -> bytes:
    wanted: dict[str, Any] = {
        "person": "alice",
        "groups": ["eng"],
        "scopes": ["read", "write"],
        "client": "customhouse-cli",
        "tenant": "local",
        "resources": [RESOURCE],
        "lifetime_seconds": 3600,
        "now": NOW,
        **changes,
    }
    return issuer.mint(**wanted).encode()


def verifier_for(issuer: DevelopmentIssuer) -> TokenVerifier:
    return verifier_of(issuer.issuer("local"))


async def test_a_minted_token_names_whom_it_was_minted_for(path: Path) -> None:
    issuer = DevelopmentIssuer.open(path)
    caller = await verifier_for(issuer).verify(mint(issuer, groups=["ops", "eng", "eng"]), RESOURCE)
    assert (caller.issuer, caller.tenant, caller.person, caller.workload) == (DEVELOPMENT_ISSUER, "local", "alice", "")
    assert (caller.client, caller.groups) == ("customhouse-cli", ("eng", "ops"))
    assert caller.scopes == {"read", "write"}
    assert caller.expires_at == NOW + 3630
    assert len(caller.token_id) == 32


async def test_a_workload_acts_for_itself_or_for_a_person(path: Path) -> None:
    issuer = DevelopmentIssuer.open(path)
    alone = await verifier_for(issuer).verify(mint(issuer, person="", workload="ci-bot"), RESOURCE)
    both = await verifier_for(issuer).verify(mint(issuer, workload="ci-bot"), RESOURCE)
    assert (alone.person, alone.workload) == ("", "ci-bot")
    assert (both.person, both.workload) == ("alice", "ci-bot")


@pytest.mark.parametrize(
    "changes",
    [
        {"tenant": "other"},
        {"tenant": ""},
        {"resources": [f"{PUBLIC_URL}/mcp/x"]},
        {"resources": []},
        {"person": ""},
        {"client": ""},
        {"now": NOW - 3700},
    ],
)
async def test_a_minted_token_passes_the_same_checks_as_any_other(path: Path, changes: dict[str, Any]) -> None:
    issuer = DevelopmentIssuer.open(path)
    with pytest.raises(Refused):
        await verifier_for(issuer).verify(mint(issuer, **changes), RESOURCE)


async def test_a_token_of_another_machine_is_refused(path: Path, tmp_path: Path) -> None:
    elsewhere = DevelopmentIssuer.open(tmp_path / "other.json")
    with pytest.raises(Refused):
        await verifier_for(DevelopmentIssuer.open(path)).verify(mint(elsewhere), RESOURCE)


async def test_two_tokens_for_the_same_purpose_differ(path: Path) -> None:
    issuer = DevelopmentIssuer.open(path)
    assert mint(issuer) != mint(issuer)


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
def test_a_token_lives_a_day_at_most(path: Path, seconds: int) -> None:
    with pytest.raises(ValueError, match="86400"):
        mint(DevelopmentIssuer.open(path), lifetime_seconds=seconds)


async def test_the_key_is_made_once_and_read_ever_after(path: Path) -> None:
    first = DevelopmentIssuer.open(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    caller = await verifier_for(DevelopmentIssuer.open(path)).verify(mint(first), RESOURCE)
    assert caller.person == "alice"


def test_many_that_come_first_at_once_agree_on_one_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        issuers = list(pool.map(DevelopmentIssuer.open, [path] * 16))
    assert len({issuer.public_keys()[0].key_id for issuer in issuers}) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_what_verifies_holds_no_private_part(path: Path) -> None:
    (key,) = DevelopmentIssuer.open(path).public_keys()
    assert not key.key.is_private


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o700 | 0o001])
def test_a_key_file_that_others_can_reach_is_refused_and_left_alone(path: Path, mode: int) -> None:
    DevelopmentIssuer.open(path)
    path.chmod(mode)
    with pytest.raises(UnsafeKeyFile, match="chmod 600"):
        DevelopmentIssuer.open(path)
    assert path.stat().st_mode & 0o777 == mode


def by_symlink(path: Path) -> None:
    target = path.with_name("target")
    DevelopmentIssuer.open(target)
    path.symlink_to(target)


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


def as_directory(path: Path) -> None:
    path.mkdir(mode=0o700)


def as_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize("place", [by_symlink, dangling, as_directory, as_pipe])
def test_what_is_no_plain_file_is_refused(path: Path, place: Callable[[Path], None]) -> None:
    path.parent.mkdir()
    place(path)
    with pytest.raises(UnsafeKeyFile):
        DevelopmentIssuer.open(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"kty":"OKP","kty":"OKP"}',
        json.dumps(ed_key().as_dict(private=False)),
        json.dumps(ec_key().as_dict(private=True)),
        json.dumps({**ed_key().as_dict(private=True), "kid": ""}),
        json.dumps({**ed_key().as_dict(private=True), "d": "AAAA"}),
        json.dumps({**ed_key().as_dict(private=True), "crv": "Ed999"}),
        json.dumps({**ed_key().as_dict(private=True), "pad": "a" * 5000}),
    ],
)
def test_a_file_without_a_usable_key_is_refused(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(UnsafeKeyFile, match="delete it"):
        DevelopmentIssuer.open(path)


# The command.

SERVER = "owner: team\ncontact: team@example.org\ntenant: local\nurl: https://notes.example/mcp\n"
SETTINGS = """\
portals:
  default: {servers: [notes]}
  finance: {servers: [notes]}
identity:
  development_issuer: {enabled: true, tenant: local}
"""


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "notes.yaml").write_text(SERVER)
    (tmp_path / "customhouse.yaml").write_text(SETTINGS)
    return tmp_path


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(token, [*words, "--dir", str(directory)])


async def caller_of(directory: Path, minted: str, resource: str) -> Caller:
    issuer: Issuer = DevelopmentIssuer.open(directory / "data" / "development-issuer.json").issuer("local")
    return await TokenVerifier([issuer], public_url="http://127.0.0.1:8080", clock=StillClock()).verify(minted.encode(), resource)


@pytest.fixture
def at_noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW)


@pytest.mark.usefixtures("at_noon")
@pytest.mark.parametrize("endpoint", ["/mcp", "/mcp/finance", "/servers/notes/mcp"])
async def test_the_command_prints_a_token_for_every_endpoint_and_nothing_else(deployment: Path, endpoint: str) -> None:
    result = run(
        deployment,
        "--as",
        "alice",
        "--group",
        "eng",
        "--group",
        "ops",
        "--scope",
        "a",
        "--scope",
        "b",
        "--workload",
        "bot",
        "--client",
        "cli",
    )
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    caller = await caller_of(deployment, result.stdout.strip(), f"http://127.0.0.1:8080{endpoint}")
    assert (caller.person, caller.workload, caller.client, caller.groups) == ("alice", "bot", "cli", ("eng", "ops"))
    assert caller.scopes == {"a", "b"}
    assert caller.expires_at == NOW + 3630


@pytest.mark.usefixtures("at_noon")
async def test_a_token_for_one_endpoint_is_good_for_no_other(deployment: Path) -> None:
    minted = run(deployment, "--as", "alice", "--endpoint", "/mcp/finance", "--lifetime", "15m").stdout.strip()
    assert (await caller_of(deployment, minted, "http://127.0.0.1:8080/mcp/finance")).expires_at == NOW + 930
    with pytest.raises(Refused):
        await caller_of(deployment, minted, "http://127.0.0.1:8080/mcp")


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("24h", 86_400)])
@pytest.mark.usefixtures("at_noon")
async def test_a_lifetime_has_a_unit_or_is_in_seconds(deployment: Path, text: str, seconds: int) -> None:
    minted = run(deployment, "--as", "alice", "--lifetime", text).stdout.strip()
    assert (await caller_of(deployment, minted, "http://127.0.0.1:8080/mcp")).expires_at == NOW + seconds + 30


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Say who calls"),
        (("--as", "alice", "--endpoint", "/mcp/other"), "There are: /mcp, /mcp/finance, /servers/notes/mcp"),
        (("--as", "alice", "--lifetime", "25h"), "at most a day"),
        (("--as", "alice", "--lifetime", "0"), "at most a day"),
        (("--as", "alice", "--lifetime", "soon"), "at most a day"),
        (("--as", "alice", "--lifetime", "-5"), "at most a day"),
        (("--as", "alice", "--scope", "a b"), "without spaces"),
        (("--as", "alice", "--scope", ""), "without spaces"),
        (("--as", "alice", "--group", ""), "have a name"),
        (("--as", "alice", "--client", ""), "have a name"),
        (("--as", "alice\n"), "printable"),
        (("--as", "a" * 257), "printable"),
        (("--as", "alice", *(word for number in range(257) for word in ("--group", str(number)))), "at most 256 groups"),
        (("--as", "alice", *(word for number in range(200) for word in ("--group", f"{number}" + "x" * 40))), "larger than"),
    ],
)
def test_a_token_that_would_not_be_accepted_is_not_minted(deployment: Path, words: tuple[str, ...], sentence: str) -> None:
    result = run(deployment, *words)
    assert result.exit_code != 0
    assert result.stdout == ""
    assert sentence in " ".join(result.stderr.split())


def test_without_the_development_issuer_there_is_no_token_and_no_key(deployment: Path) -> None:
    (deployment / "customhouse.yaml").write_text("{}")
    result = run(deployment, "--as", "alice")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "identity.development_issuer.enabled: true" in result.stderr
    assert not (deployment / "data").exists()


def test_a_configuration_that_does_not_load_is_explained(deployment: Path) -> None:
    (deployment / "customhouse.yaml").write_text("listen: {prot: 1}\n")
    result = run(deployment, "--as", "alice")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "customhouse.yaml:1" in result.stderr


def test_a_key_file_that_others_can_read_stops_the_command(deployment: Path) -> None:
    run(deployment, "--as", "alice")
    (deployment / "data" / "development-issuer.json").chmod(0o644)
    result = run(deployment, "--as", "alice")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "chmod 600" in result.stderr
