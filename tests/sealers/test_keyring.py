"""The file of keys: made once, rotated without ending what is still good, and never believed when others can reach it."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.adapters.sealers.aead import FileSealer
from customhouse.adapters.sealers.keyring import (
    MAX_KEYS,
    SPREAD_SECONDS,
    Keyring,
    first_keyring,
    open_keyring,
    read_keyring,
    rotated,
    write_keyring,
)
from customhouse.core.refusal import Refused
from customhouse.core.sealing import Seal
from tests.sealers.support import Moving

NOW = 1.7e9


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sealing-keys.json"


def written(path: Path, content: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.touch(0o600)
    path.write_text(content)
    return path


def test_the_keys_are_made_once_and_read_ever_after(path: Path) -> None:
    first = open_keyring(path, NOW)
    assert open_keyring(path, NOW + 1) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_many_that_come_first_at_once_agree_on_one_ring(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(lambda _: open_keyring(path, NOW), range(16)))
    assert len(set(rings)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_a_file_that_others_can_reach_is_refused_and_left_alone(path: Path, mode: int) -> None:
    open_keyring(path, NOW)
    path.chmod(mode)
    with pytest.raises(UnsafeKeyFile, match="chmod 600"):
        open_keyring(path, NOW)
    assert path.stat().st_mode & 0o777 == mode


def test_a_link_is_not_followed(path: Path, tmp_path: Path) -> None:
    open_keyring(tmp_path / "elsewhere.json", NOW)
    path.parent.mkdir()
    path.symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(UnsafeKeyFile):
        open_keyring(path, NOW)


GOOD = {"id": "00112233", "secret": "ab" * 32, "made_at": NOW, "seals_from": NOW}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"keys":[]}',
        json.dumps({"keys": [{**GOOD, "secret": "ab"}]}),
        json.dumps({"keys": [{**GOOD, "secret": "zz" * 32}]}),
        json.dumps({"keys": [{**GOOD, "id": "00"}]}),
        json.dumps({"keys": [GOOD, GOOD]}),
        json.dumps({"keys": [{**GOOD, "made_at": "today"}]}),
        json.dumps({"keys": [{**GOOD, "more": 1}]}),
        json.dumps({"keys": [GOOD], "pad": "a" * 20_000}),
    ],
)
def test_a_file_without_usable_keys_is_refused_and_not_quoted(path: Path, content: str) -> None:
    with pytest.raises(UnsafeKeyFile, match="delete it") as refused:
        open_keyring(written(path, content), NOW)
    assert "abab" not in str(refused.value)


def test_a_key_does_not_show_its_secret() -> None:
    ring = first_keyring(NOW)
    assert ring.keys[0].secret not in repr(ring)


def test_a_new_key_waits_until_every_process_knows_it() -> None:
    ring = first_keyring(NOW)
    after = rotated(ring, NOW + 50, keep_seconds=1_000)
    fresh, old = after.keys
    assert after.sealing(NOW + 50 + SPREAD_SECONDS - 1) == old
    assert after.sealing(NOW + 50 + SPREAD_SECONDS) == fresh


def test_a_clock_that_stepped_back_stops_nothing() -> None:
    ring = rotated(first_keyring(NOW), NOW, keep_seconds=1_000)
    assert ring.sealing(NOW - 1e6) == ring.keys[-1]


@given(st.lists(st.floats(0.5, 500), min_size=1, max_size=80), st.floats(1, 2_000))
def test_a_key_is_kept_as_long_as_what_it_sealed_may_be_good(pauses: list[float], keep_seconds: float) -> None:
    now, ring = NOW, first_keyring(NOW)
    last_sealed: dict[str, float] = {ring.keys[0].id: NOW}
    for pause in pauses:
        last_sealed[ring.sealing(now + pause).id] = now + pause
        now += pause
        ring = rotated(ring, now, keep_seconds)
        last_sealed[ring.sealing(now).id] = now
        held = {key.id for key in ring.keys}
        still_good = {key_id for key_id, at in last_sealed.items() if at + keep_seconds > now}
        assert still_good <= held or len(held) == MAX_KEYS
        assert len(held) == len(ring.keys) <= MAX_KEYS


def test_a_key_whose_last_seal_has_expired_is_dropped() -> None:
    first = first_keyring(NOW)
    second = rotated(first, NOW + 100, keep_seconds=50)
    third = rotated(second, NOW + 100 + SPREAD_SECONDS + 51, keep_seconds=50)
    assert [key.id for key in third.keys[1:]] == [second.keys[0].id]


def test_a_running_sealer_takes_up_a_rotation(path: Path) -> None:
    clock = Moving()
    sealer = FileSealer(path, clock)
    before = sealer.seal(Seal.SESSION, b"plain", b"")
    write_keyring(path, rotated(read_keyring(path), clock.now(), keep_seconds=100))
    clock.at += SPREAD_SECONDS + 1
    sealer.refresh()
    after = sealer.seal(Seal.SESSION, b"plain", b"")
    assert before[:5] != after[:5]
    assert FileSealer(path, clock).open(Seal.SESSION, after, b"") == b"plain"
    assert sealer.open(Seal.SESSION, before, b"") == b"plain"


def test_revoked_keys_open_nothing_from_the_next_look_on(path: Path) -> None:
    clock = Moving()
    sealer = FileSealer(path, clock)
    before = sealer.seal(Seal.SESSION, b"plain", b"")
    write_keyring(path, first_keyring(clock.now()))
    assert sealer.open(Seal.SESSION, before, b"") == b"plain"
    sealer.refresh()
    with pytest.raises(Refused):
        sealer.open(Seal.SESSION, before, b"")


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{}"), lambda path: path.chmod(0o644)])
def test_a_file_that_went_bad_is_told_once_and_the_keys_at_hand_go_on(path: Path, harm: object, caplog: pytest.LogCaptureFixture) -> None:
    clock = Moving()
    sealer = FileSealer(path, clock)
    before = sealer.seal(Seal.SESSION, b"plain", b"")
    assert callable(harm)
    harm(path)
    with caplog.at_level(logging.WARNING):
        sealer.refresh()
        sealer.refresh()
    assert len(caplog.records) == 1
    assert sealer.open(Seal.SESSION, before, b"") == b"plain"
    assert sealer.seal(Seal.SESSION, b"plain", b"")[:5] == before[:5]


def test_a_ring_is_replaced_whole(path: Path) -> None:
    open_keyring(path, NOW)
    ring = Keyring((*first_keyring(NOW + 1).keys, *first_keyring(NOW).keys))
    write_keyring(path, ring)
    assert read_keyring(path) == ring
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_ring_that_cannot_be_written_leaves_nothing_behind(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_keyring(path, first_keyring(NOW))
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
