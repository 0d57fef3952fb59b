"""A deployment directory is read strictly into contents, and unchanged servers are not read again."""

import contextlib
import os
import time
from pathlib import Path

import pytest

from customhouse.config.definitions import pin_bytes
from customhouse.config.directory import Survey, read_directory, survey
from customhouse.config.filedigests import FileDigests
from customhouse.config.findings import ConfigurationInvalid, Finding
from customhouse.config.load import load
from customhouse.config.tree import Settings
from customhouse.core.content import PolicyContent, Portal, PortalContent, ServerContent
from customhouse.core.review import Kind
from customhouse.wiring import build_view, read_deployment
from tests.config.deployments import NOTES, write
from tests.config.test_writing import PIN

RULE = '@id("readers")\npermit (principal, action in Action::"read", resource);\n'
FILES = {
    "servers/notes.yaml": NOTES,
    "servers/notes.pin.json": pin_bytes(PIN).decode(),
    "policies/readers.cedar": RULE,
    "policies/readers.test.yaml": "[]",
    "portals/desk.yaml": "servers: [notes]\n",
}
LATER_SECONDS = 60


def findings_of(directory: Path, settings: Settings | None = None) -> tuple[Finding, ...]:
    try:
        read_directory(directory, settings or Settings())
    except ConfigurationInvalid as invalid:
        return invalid.findings
    return ()


def test_a_directory_becomes_contents_by_kind_and_name(tmp_path: Path) -> None:
    contents = read_directory(write(tmp_path, FILES), Settings())
    assert contents.keys() == {(Kind.SERVER, "notes"), (Kind.POLICY, "readers.cedar"), (Kind.PORTAL, "desk")}
    server = contents[Kind.SERVER, "notes"]
    assert isinstance(server, ServerContent)
    assert server.definition.owner == "team-notes"
    assert server.pin == PIN
    assert contents[Kind.POLICY, "readers.cedar"] == PolicyContent(text=RULE)
    assert contents[Kind.PORTAL, "desk"] == PortalContent(portal=Portal(servers=("notes",)))


def test_an_empty_directory_describes_nothing(tmp_path: Path) -> None:
    assert read_directory(tmp_path, Settings()) == {}


WRONG = [
    ("servers/notes.yaml", NOTES + "state: active\n", "state"),
    ("servers/notes.yaml", NOTES + "reviews: [{reviewer: alice}]\n", "reviews"),
    ("servers/notes.yaml", NOTES + "approved_digest: sha256:0\n", "approved_digest"),
    ("servers/notes.yml", NOTES, ""),
    ("servers/other.pin.json", "{}", ""),
    ("servers/notes.pin.json", "{}\n", ""),
    ("portals/desk.yaml", "servers: [notes]\nstate: active\n", "state"),
    ("portals/desk.yaml", "servers: [notes]\nreviewed_by: [alice]\n", "reviewed_by"),
    ("portals/desk.yaml", "servers: [notes, notes]\n", "servers[1]"),
    ("portals/desk.yaml", "servers: [ghosts]\n", "servers[0]"),
    ("portals/desk.yaml", "servers: notes\n", "servers"),
    ("portals/desk.yaml", "", "servers"),
    ("portals/desk.yml", "servers: [notes]\n", ""),
    ("portals/De sk.yaml", "servers: [notes]\n", ""),
    ("portals/notes.yaml", "servers: [notes]\n", ""),
    ("policies/broken.cedar", "permit (", ""),
    ("policies/second.cedar", RULE, "readers"),
    ("policies/no name.cedar", RULE.replace("readers", "others"), ""),
]


@pytest.mark.parametrize(("file", "text", "key"), WRONG, ids=range(len(WRONG)))
def test_a_mistake_is_a_finding_that_names_file_and_key(file: str, text: str, key: str, tmp_path: Path) -> None:
    write(tmp_path, {**FILES, file: text})
    assert (file, key) in [(finding.file, finding.key) for finding in findings_of(tmp_path)]


def test_a_finding_of_a_portal_has_its_line(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "portals/desk.yaml": "description: x\nservers:\n  - notes\n  - ghosts\n"})
    assert [str(finding) for finding in findings_of(tmp_path)] == [
        "portals/desk.yaml:4: servers[1]: There is no such server. Add the definition to servers/, or correct the name. Known here: notes."
    ]


def test_a_policy_is_read_to_the_byte(tmp_path: Path) -> None:
    (write(tmp_path, FILES) / "policies" / "readers.cedar").write_bytes(RULE.replace("\n", "\r\n").encode())
    assert read_directory(tmp_path, Settings())[Kind.POLICY, "readers.cedar"] == PolicyContent(text=RULE.replace("\n", "\r\n"))


# --- Portals of the settings and of files --------------------------------------------------------------------------------


def test_portals_of_files_and_of_the_settings_are_served_together(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "customhouse.yaml": "portals:\n  till: {servers: [notes]}\n"})
    loaded = load(tmp_path, {})
    assert loaded.portals == {"till": Portal(servers=("notes",)), "desk": Portal(servers=("notes",))}


def test_a_portal_of_a_file_is_an_endpoint(tmp_path: Path) -> None:
    view = build_view(read_deployment(load(write(tmp_path, FILES), {})))
    assert {"/mcp", "/mcp/desk", "/servers/notes/mcp"} <= view.endpoints.keys()


def test_a_portal_in_both_places_is_a_finding(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "customhouse.yaml": "portals:\n  desk: {servers: [notes]}\n"})
    with pytest.raises(ConfigurationInvalid) as refused:
        load(tmp_path, {})
    assert [str(finding) for finding in refused.value.findings] == [
        "portals/desk.yaml: The settings name a portal of this name too. Keep the file, or `portals.desk`."
    ]


def test_an_audience_may_name_a_portal_that_has_a_file(tmp_path: Path) -> None:
    issuer = "identity:\n  issuers:\n    - issuer: https://idp.example\n      tenant: local\n      audiences: {api: [/mcp/desk]}\n"
    assert load(write(tmp_path, {**FILES, "customhouse.yaml": issuer}), {}).portals.keys() == {"desk"}


def test_a_server_named_default_needs_a_portal_of_that_name_to_be_something_else(tmp_path: Path) -> None:
    write(tmp_path, {"servers/default.yaml": NOTES, "portals/default.yaml": "servers: [default]\n"})
    with pytest.raises(ConfigurationInvalid, match="A server has this name already"):
        load(tmp_path, {})


# --- What was read before ------------------------------------------------------------------------------------------------


def surveyed(directory: Path, now: float) -> Survey:
    known = FileDigests(directory / "cache")
    found = survey(directory, Settings(), known, now)
    known.save()
    return found


def was_read(found: Survey, name: str) -> bool:
    return (Kind.SERVER, name) in found._read


def test_a_server_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    first = surveyed(tmp_path, time.time() + LATER_SECONDS)
    second = surveyed(tmp_path, time.time() + LATER_SECONDS)
    assert was_read(first, "notes")
    assert not was_read(second, "notes")
    assert first.digests == second.digests
    assert first.contents() == second.contents()


def test_a_file_that_was_just_written_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, FILES)
    surveyed(tmp_path, time.time())
    assert was_read(surveyed(tmp_path, time.time() + LATER_SECONDS), "notes")


@pytest.mark.parametrize("file", ["servers/notes.yaml", "servers/notes.pin.json"])
def test_a_change_that_keeps_size_and_modification_time_is_seen(file: str, tmp_path: Path) -> None:
    path = write(tmp_path, FILES) / file
    surveyed(tmp_path, time.time() + LATER_SECONDS)
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"notes", b"nodes"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    with pytest.raises(ConfigurationInvalid) if file.endswith(".json") else contextlib.nullcontext():
        found = surveyed(tmp_path, time.time() + LATER_SECONDS)
        assert was_read(found, "notes")


def test_a_pin_that_appears_or_goes_is_seen(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "servers/notes.yaml": NOTES})
    with_pin = surveyed(tmp_path, time.time() + LATER_SECONDS)
    (tmp_path / "servers" / "notes.pin.json").unlink()
    without = surveyed(tmp_path, time.time() + LATER_SECONDS)
    assert with_pin.digests[Kind.SERVER, "notes"] != without.digests[Kind.SERVER, "notes"]


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'{"formula":"another","kept":{}}', b'{"formula":1}'])
def test_a_cache_that_says_nothing_useful_is_no_cache(data: bytes, tmp_path: Path) -> None:
    (write(tmp_path, FILES) / "cache").write_bytes(data)
    assert was_read(surveyed(tmp_path, time.time() + LATER_SECONDS), "notes")


def test_a_wrong_definition_stays_wrong_with_a_warm_cache(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "servers/wrong.yaml": "owner: x\n"})
    for _ in range(2):
        with pytest.raises(ConfigurationInvalid):
            surveyed(tmp_path, time.time() + LATER_SECONDS)


def test_a_cache_is_for_its_owner_alone_and_needs_no_directory_of_data(tmp_path: Path) -> None:
    surveyed(write(tmp_path, FILES), time.time() + LATER_SECONDS)
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o600
    FileDigests(tmp_path / "nowhere" / "cache").save()
    assert not (tmp_path / "nowhere").exists()
