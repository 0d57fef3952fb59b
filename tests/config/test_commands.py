"""`customhouse config explain` and `customhouse doctor`."""

import datetime
import json
import socket
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from customhouse.cli.checkup import Verdict, examine
from customhouse.cli.settings import config, doctor
from customhouse.config.definitions import write_pin
from customhouse.config.explain import explain
from customhouse.config.load import load
from customhouse.core.manifest import Manifest, Pin, digest_of
from tests.config.deployments import NOTES, write

pytestmark = pytest.mark.enable_socket
"""`doctor` tries whether the port can be bound."""

SETTINGS = "identity: {development_issuer: {enabled: true}}\nlisten: {port: PORT}\n"


@pytest.fixture
def port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@pytest.fixture
def directory(tmp_path: Path, port: int) -> Path:
    """A deployment directory without a problem."""
    write(
        tmp_path,
        {"customhouse.yaml": SETTINGS.replace("PORT", str(port)), "servers/notes.yaml": NOTES, "policies/a.cedar": "", "data/x": ""},
    )
    (tmp_path / "data").chmod(0o700)
    pin(tmp_path, "read_note", "add_note")
    return tmp_path


def pin(directory: Path, *tools: str) -> None:
    manifest = Manifest(server_info={}, capabilities={}, tools=tuple({"name": name} for name in tools))
    write_pin(
        directory / "servers/notes.pin.json", Pin(server="notes", revision="2026-07-28", digest=digest_of(manifest), manifest=manifest)
    )


def run(directory: Path, environ: Mapping[str, str] | None = None) -> Result:
    return CliRunner().invoke(doctor, ["--dir", str(directory)], env={"NOTES_TOKEN": "s3cret", **(environ or {})})


def problems(directory: Path, environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Subject, and sentence with remedy, of every problem."""
    checks = examine(directory, {"NOTES_TOKEN": "s3cret"} if environ is None else environ)
    return [(check.subject, f"{check.sentence} {check.remedy}") for check in checks if check.verdict is Verdict.PROBLEM]


def the_problem(directory: Path, environ: Mapping[str, str] | None = None) -> tuple[str, str]:
    (problem,) = problems(directory, environ)
    assert run(directory, environ).exit_code == 1
    return problem


def test_a_healthy_directory_has_a_line_per_check_and_no_problem(directory: Path) -> None:
    result = run(directory)
    assert result.exit_code == 0, result.output
    subjects = [line.split(":")[0] for line in result.output.splitlines()]
    assert subjects == [
        "OK      settings",
        "NOTE    identity",
        "OK      server notes",
        "OK      pin notes",
        "OK      policies",
        "OK      data",
        "OK      secret notes",
        "OK      port",
    ]
    assert "s3cret" not in result.output


def test_every_finding_of_unusable_settings_is_a_problem(tmp_path: Path) -> None:
    write(tmp_path, {"customhouse.yaml": "listen: {port: 0}\nx: 1\n"})
    assert [sentence.split(": ")[:2] for _, sentence in problems(tmp_path)] == [
        ["customhouse.yaml:1", "listen.port"],
        ["customhouse.yaml:2", "x"],
    ]


def test_an_empty_directory_names_everything_that_is_missing(tmp_path: Path, port: int) -> None:
    found = problems(tmp_path, {"CUSTOMHOUSE_LISTEN__PORT": str(port)})
    assert [subject for subject, _ in found] == ["identity", "definitions", "policies"]


def test_unusable_definitions_do_not_hide_the_rest(directory: Path) -> None:
    write(directory, {"servers/notes.yaml": "owner: o\n", "servers/notes.yml": NOTES})
    subjects = [subject for subject, _ in problems(directory)]
    assert set(subjects) == {"definitions", "pin notes"}


def test_a_server_without_a_pin_is_a_problem(directory: Path) -> None:
    (directory / "servers/notes.pin.json").unlink()
    assert "customhouse servers pin notes" in the_problem(directory)[1]


def test_a_changed_pin_is_a_problem(directory: Path) -> None:
    path = directory / "servers/notes.pin.json"
    path.write_bytes(path.read_bytes().replace(b"add_note", b"del_note"))
    assert "somebody changed the pin" in the_problem(directory)[1]


def test_a_pin_without_a_definition_is_a_problem(directory: Path) -> None:
    (directory / "servers/old.pin.json").write_text("{}")
    assert the_problem(directory)[0] == "pin old"


def test_a_classed_tool_must_be_pinned_and_a_pinned_tool_without_class_is_noted(directory: Path) -> None:
    pin(directory, "read_note", "wipe\x1b[2J")
    subject, sentence = the_problem(directory)
    assert (subject, "'add_note'" in sentence) == ("pin notes", True)
    output = run(directory).output
    assert r"NOTE    pin notes: The tool 'wipe\x1b[2J' has no class" in output
    assert "\x1b[2J" not in output


def test_a_waiver_shows(directory: Path) -> None:
    waiver = "waivers: [{rule: unauthenticated-writes, reason: A test server., granted_by: alice}]\n"
    write(directory, {"servers/notes.yaml": NOTES.replace('credential: {bearer: "env:NOTES_TOKEN"}\n', waiver)})
    assert "NOTE    server notes: The rule unauthenticated-writes is set aside by alice: A test server." in run(directory).output


def test_no_policy_is_noted_since_every_call_is_refused(directory: Path) -> None:
    (directory / "policies/a.cedar").unlink()
    assert "NOTE    policies: policies/ holds no policy" in run(directory).output


def test_a_policy_that_cannot_be_read_is_a_problem(directory: Path) -> None:
    (directory / "policies/b.cedar").symlink_to("gone")
    assert the_problem(directory) == ("policies", "policies/b.cedar cannot be read. Let the gateway's user read it.")


def test_a_data_directory_open_to_everybody_is_a_problem(directory: Path) -> None:
    (directory / "data").chmod(0o755)
    assert "chmod 700" in the_problem(directory)[1]


def test_a_data_directory_that_does_not_exist_yet_is_fine_and_a_file_is_not(directory: Path) -> None:
    (directory / "data/x").unlink()
    (directory / "data").rmdir()
    assert problems(directory) == []
    (directory / "data").write_text("")
    assert the_problem(directory)[0] == "data"


def test_a_missing_secret_is_a_problem_and_a_server_without_one_is_fine(directory: Path) -> None:
    write(directory, {"servers/notes.yaml": NOTES.replace("NOTES_TOKEN", "MISSING")})
    assert the_problem(directory) == (
        "secret notes",
        "env:MISSING: the environment variable is not set. Provide the secret there, or correct the reference.",
    )
    write(directory, {"servers/notes.yaml": NOTES.replace('credential: {bearer: "env:NOTES_TOKEN"}\n', "").replace("write", "read")})
    assert problems(directory) == []


def test_a_key_of_notices_that_cannot_sign_is_a_problem(directory: Path) -> None:
    settings = directory / "customhouse.yaml"
    more = "\napprovals: {webhook_url: 'https://hooks.example/', webhook_key: 'file:hook.key'}\n"
    settings.write_text((settings.read_text("utf-8") if settings.exists() else "") + more, "utf-8")
    assert the_problem(directory)[0] == "secret of notices"
    (directory / "hook.key").write_text("too-short")
    assert "whsec_" in the_problem(directory)[1]
    (directory / "hook.key").write_text("whsec_" + "A" * 40)
    assert problems(directory) == []


def test_a_port_that_is_taken_is_a_problem(directory: Path, port: int) -> None:
    with socket.socket() as door:
        door.bind(("127.0.0.1", port))
        door.listen()
        assert "the gateway itself?" in the_problem(directory)[1]


def test_an_address_of_another_machine_is_a_problem(directory: Path) -> None:
    make_tls(directory)
    write(
        directory,
        {
            "customhouse.yaml": "public_url: https://mcp.example\n"
            "listen: {host: '2001:db8::1', tls: {certificate_file: c.pem, key_file: k.pem}}\n"
            "identity: {issuers: [{issuer: 'https://i.example', tenant: a}]}\n"
        },
    )
    subject, sentence = the_problem(directory)
    assert subject == "port"
    assert "Set" in sentence
    assert "OK      identity: Tokens of https://i.example are accepted." in run(directory).output


def make_tls(directory: Path) -> None:
    """A self-signed certificate in c.pem, its key in k.pem and another key in other.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mcp.example")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), start, start + datetime.timedelta(days=9))
    (directory / "c.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    password = serialization.BestAvailableEncryption(b"pass")
    write_key(directory / "k.pem", key, serialization.NoEncryption())
    write_key(directory / "encrypted.pem", key, password)
    write_key(directory / "other.pem", ec.generate_private_key(ec.SECP256R1()), serialization.NoEncryption())


def write_key(path: Path, key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> None:
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))
    path.chmod(0o600)


@pytest.mark.parametrize(
    ("key_file", "mode", "words"),
    [
        ("k.pem", 0o600, ""),
        ("k.pem", 0o644, "chmod 600"),
        ("other.pem", 0o600, "do not belong together"),
        ("encrypted.pem", 0o600, "do not belong together"),
        ("c.pem", 0o600, "do not belong together"),
        ("gone.pem", 0, "cannot be read"),
        ("servers", 0o700, "cannot be read"),
    ],
)
def test_certificate_and_key_are_readable_private_and_of_one_pair(directory: Path, port: int, key_file: str, mode: int, words: str) -> None:
    make_tls(directory)
    if mode:
        (directory / key_file).chmod(mode)
    listen = f"listen: {{port: {port}, tls: {{certificate_file: c.pem, key_file: {key_file}}}}}\n"
    write(directory, {"customhouse.yaml": f"identity: {{development_issuer: {{enabled: true}}}}\n{listen}"})
    found = problems(directory)
    assert [subject for subject, _ in found] == (["tls"] if words else [])
    assert words in " ".join(sentence for _, sentence in found)


def test_explain_prints_every_value_with_its_origin_in_columns(directory: Path) -> None:
    result = CliRunner().invoke(config, ["explain", "--dir", str(directory)], env={"CUSTOMHOUSE_DATA_DIR": "d"})
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert len(lines) == len(explain(load(directory, {})))
    assert next(line.split() for line in lines if line.startswith("data_dir")) == ["data_dir", '"d"', "environment", "CUSTOMHOUSE_DATA_DIR"]
    assert len({line.rindex("  ") for line in lines}) == 1


def test_explain_prints_json_and_takes_the_directory_from_the_environment(directory: Path) -> None:
    result = CliRunner().invoke(config, ["explain", "--json"], env={"CUSTOMHOUSE_DIR": str(directory)})
    rows = json.loads(result.output)
    assert {"key": "identity.development_issuer.enabled", "value": "true", "origin": "customhouse.yaml:1"} in rows


def test_explain_prints_a_table_on_a_terminal(directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    config(["explain", "--dir", str(directory)], standalone_mode=False)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.split() == ["setting", "value", "comes", "from"]
    assert second.split()[0] == "public_url"


def test_explain_prints_every_finding_of_unusable_settings(tmp_path: Path) -> None:
    write(tmp_path, {"customhouse.yaml": "listen: {port: 0}\nx: 1\n"})
    result = CliRunner().invoke(config, ["explain", "--dir", str(tmp_path)])
    assert result.exit_code == 1
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == ["customhouse.yaml:1", "customhouse.yaml:2"]
    assert result.stdout == ""


def test_a_reference_is_explained_as_it_is_written(tmp_path: Path) -> None:
    write(tmp_path, {"customhouse.yaml": "data_dir: 'env:HOME'\n"})
    row = next(row for row in explain(load(tmp_path, {"HOME": "/root"})) if row.key == "data_dir")
    assert row == ("data_dir", '"env:HOME"', "customhouse.yaml:1")


def test_grants_that_end_within_a_week_are_told(directory: Path) -> None:
    def on(days: int) -> str:
        return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)).strftime("%Y-%m-%d")

    text = "".join(f"- {{to: {{client: c}}, on: {{tool: notes/add_note}}, until: {on(days)}}}\n" for days in (-3, 2, 30))
    write(directory, {"grants/a.yaml": text})
    told = [check for check in examine(directory, {"NOTES_TOKEN": "x"}) if check.subject == "grants"]
    assert [(check.verdict, check.sentence.split()[1:3]) for check in told] == [
        (Verdict.NOTE, ["grant:a/1", "ended"]),
        (Verdict.NOTE, ["grant:a/2", "ends"]),
        (Verdict.OK, ["can", "be"]),
    ]
    write(directory, {"grants/a.yaml": "- to: {}\n"})
    assert Verdict.PROBLEM in {check.verdict for check in examine(directory, {}) if check.subject == "grants"}


def test_grants_beside_a_registry_that_is_served_are_told_to_have_no_effect(directory: Path) -> None:
    settings = (directory / "customhouse.yaml").read_text(encoding="utf-8")
    write(directory, {"grants/a.yaml": "- {to: {client: c}, on: {tool: notes/add_note}}\n", "customhouse.yaml": settings + "control: {}\n"})
    told = [(check.verdict, check.sentence) for check in examine(directory, {"NOTES_TOKEN": "x"}) if check.subject == "grants"]
    assert told == [(Verdict.NOTE, "What the registry activated is served, so nothing of grants/ is.")]
