"""Pins: written in one form, read back strictly."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.definitions import MAX_PIN_BYTES, pin_bytes, read_pin, write_pin
from customhouse.config.findings import ConfigurationInvalid
from customhouse.core.manifest import Manifest, Pin, digest_of, in_order


def pin_of(*tools: dict[str, Any], server: str = "notes") -> Pin:
    manifest = Manifest(server_info={"name": "notes", "version": "1"}, capabilities={"tools": {}}, tools=tools)
    return Pin(server=server, revision="2026-07-28", digest=digest_of(manifest), manifest=manifest)


PIN = pin_of({"name": "b", "inputSchema": {"type": "object", "x": None}}, {"name": "a", "n": 1.5})


def test_a_pin_comes_back_as_written_with_its_lists_in_name_order(tmp_path: Path) -> None:
    path = tmp_path / "notes.pin.json"
    write_pin(path, PIN)
    assert path.read_bytes() == pin_bytes(PIN)
    assert path.read_bytes().endswith(b"}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert read_pin(path) == msgspec.structs.replace(PIN, manifest=in_order(PIN.manifest))
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.pin.json"]


def test_a_pin_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "notes.pin.json"
    write_pin(path, PIN)
    write_pin(path, pin_of())
    assert read_pin(path) == pin_of()


@pytest.mark.parametrize("number", [2**53, float("inf")])
def test_a_pin_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, number: float) -> None:
    path = tmp_path / "notes.pin.json"
    write_pin(path, PIN)
    with pytest.raises(ValueError, match=r".+"):
        write_pin(path, msgspec.structs.replace(PIN, manifest=Manifest(server_info={"n": number}, capabilities={})))
    assert read_pin(path).digest == PIN.digest


def test_a_pin_that_cannot_be_put_in_place_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "notes.pin.json"
    path.mkdir()
    with pytest.raises(OSError, match=r"[Dd]irectory"):
        write_pin(path, PIN)
    assert list(tmp_path.iterdir()) == [path]


def _changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    value = json.loads(pin_bytes(PIN))
    change(value)
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode() + b"\n"


GOOD = pin_bytes(PIN)


@pytest.mark.parametrize(
    ("data", "key", "problem"),
    [
        (b"", "", "not JSON"),
        (b"{\n x", "", "not JSON"),
        (b"\xff\xfe\xfd", "", "not canonical JSON"),
        (b"[" * 200_000, "", "not canonical JSON"),
        (b"[]\n", "", "does not hold what a pin holds"),
        (b"{}\n", "", "does not hold what a pin holds"),
        (GOOD[:-1], "", "somebody edited it"),
        (GOOD + b"\n", "", "somebody edited it"),
        (b"\n" + GOOD, "", "somebody edited it"),
        (GOOD.replace(b'"version":"1"', b'"version": "1"'), "", "somebody edited it"),
        (GOOD.replace(b'"version":"1"', b'"version":"1","version":"1"'), "", "stands twice"),
        (GOOD.replace(b'"version":"1"', b'"version":NaN'), "", "NaN is not JSON"),
        (GOOD.replace(b'"version":"1"', b'"version":1e999'), "", "not canonical JSON"),
        (GOOD.replace(b'"version":"1"', b'"version":9007199254740993'), "", "not canonical JSON"),
        (GOOD.replace(b'"version":"1"', b'"version":"2"'), "digest", "somebody changed the pin"),
        (GOOD.replace(b'"version":"1"', b'"version": "2"'), "digest", "somebody changed the pin"),
        (_changed(lambda pin: pin.update(extra=1)), "", "somebody edited it"),
        (_changed(lambda pin: pin["manifest"]["tools"].reverse()), "", "somebody edited it"),
        (_changed(lambda pin: pin.update(digest="sha256:" + "0" * 64)), "digest", "somebody changed the pin"),
        (_changed(lambda pin: pin.update(digest_formula="customhouse-manifest-2")), "digest_formula", "formula of the digest is unknown"),
        (_changed(lambda pin: pin.update(server="other")), "server", "another server"),
        (_changed(lambda pin: pin.update(revision="")), "revision", "protocol revision"),
    ],
)
def test_a_pin_that_the_gateway_did_not_write_is_refused(tmp_path: Path, data: bytes, key: str, problem: str) -> None:
    path = tmp_path / "notes.pin.json"
    path.write_bytes(data)
    with pytest.raises(ConfigurationInvalid) as invalid:
        read_pin(path)
    (finding,) = invalid.value.findings
    assert (finding.file, finding.key) == (str(path), key)
    assert problem in finding.problem
    assert "servers pin" in finding.remedy


def test_a_pin_that_cannot_be_read_or_is_huge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="cannot be read"):
        read_pin(tmp_path / "notes.pin.json")
    with (tmp_path / "huge.pin.json").open("wb") as file:
        file.truncate(MAX_PIN_BYTES + 1)
    with pytest.raises(ConfigurationInvalid, match="larger than"):
        read_pin(tmp_path / "huge.pin.json")


REVISION = GOOD.index(b"2026-07-28")
"""The revision is a label beside the manifest; the digest covers what a client sees."""
COVERED = [position for position in range(len(GOOD)) if not REVISION <= position < REVISION + 10]


@given(position=st.sampled_from(COVERED), bit=st.integers(0, 7))
def test_any_flipped_bit_of_what_a_client_sees_is_noticed(position: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("d") / "notes.pin.json"
    path.write_bytes(GOOD[:position] + bytes([GOOD[position] ^ (1 << bit)]) + GOOD[position + 1 :])
    with pytest.raises(ConfigurationInvalid):
        read_pin(path)
