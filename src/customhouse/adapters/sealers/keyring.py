"""The keys that seal, in one file of the data directory: made once, rotated by an operator, never shown.

The newest key that may seal already does; every listed key opens. A new key waits `SPREAD_SECONDS` before it seals, so that every process
that shares the file has read it first. A key that was superseded longer ago than anything it sealed can live is dropped.
"""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import msgspec

from customhouse.adapters.privatefiles import UnsafeKeyFile, read_private, replace, write_once

KEYS_FILE = "sealing-keys.json"
"""In the data directory."""

SPREAD_SECONDS = 10.0
"""From making a key to its first use. A running gateway reads the file again every second; 10 s also covers a shared directory."""

KEY_BYTES = 32
ID_BYTES = 4
MAX_KEYS = 64

_MAX_FILE_BYTES = 16_384


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key."""

    id: str
    """8 hexadecimal digits, in the open in front of whatever it sealed."""
    secret: str
    """64 hexadecimal digits."""
    made_at: float
    """Unix seconds."""
    seals_from: float
    """Unix seconds from which on it seals, until a newer one does."""

    def __repr__(self) -> str:
        return f"Key({self.id})"


class Keyring(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keys, newest first; never empty."""

    keys: tuple[Key, ...]

    def sealing(self, now: float) -> Key:
        """The key that seals now. The oldest does if none may yet: a clock that stepped back must not stop the gateway."""
        return next((key for key in self.keys if key.seals_from <= now), self.keys[-1])


def first_keyring(now: float) -> Keyring:
    """A ring of one key that seals at once."""
    return Keyring((_fresh_key((), now, now),))


def rotated(ring: Keyring, now: float, keep_seconds: float) -> Keyring:
    """The ring with a new key in front, without the keys that were superseded more than `keep_seconds` ago."""
    fresh = _fresh_key(ring.keys, now, now + SPREAD_SECONDS)
    keys = [fresh, ring.keys[0]]
    for newer, key in zip(ring.keys, ring.keys[1:], strict=False):
        if newer.seals_from + keep_seconds > now:
            keys.append(key)
    return Keyring(tuple(keys[:MAX_KEYS]))


def open_keyring(path: Path, now: float) -> Keyring:
    """The ring of a file, which is made if it is not there. Raises `UnsafeKeyFile`."""
    try:
        if not path.exists():
            write_once(path, msgspec.json.encode(first_keyring(now)))
        return read_keyring(path)
    except OSError as broken:
        raise UnsafeKeyFile(f"{path} cannot be read or made: {os.strerror(broken.errno or 0)}.") from broken


def read_keyring(path: Path) -> Keyring:
    """The ring of a file that is there. Raises `UnsafeKeyFile` and OSError."""
    data = read_private(path, _MAX_FILE_BYTES)
    try:
        ring = msgspec.json.decode(data, type=Keyring)
        _check(ring.keys)
    except (msgspec.MsgspecError, ValueError) as broken:
        # The decoder's words are not repeated: they may quote the file.
        raise UnsafeKeyFile(f"{path} holds no usable keys: delete it and new ones are made; then all sessions end.") from broken
    return ring


def write_keyring(path: Path, ring: Keyring) -> None:
    """Put a ring in the place of the old one. Raises OSError."""
    replace(path, msgspec.json.encode(ring))


def _fresh_key(taken: Sequence[Key], now: float, seals_from: float) -> Key:
    ids = {key.id for key in taken}
    while (fresh := secrets.token_hex(ID_BYTES)) in ids:
        pass
    return Key(fresh, secrets.token_hex(KEY_BYTES), now, seals_from)


def _check(keys: Sequence[Key]) -> None:
    """Raises ValueError unless there are keys, each whole and with an id of its own."""
    if not keys or len({key.id for key in keys}) != len(keys):
        raise ValueError("no keys, or one id twice")
    for key in keys:
        if len(bytes.fromhex(key.id)) != ID_BYTES or len(bytes.fromhex(key.secret)) != KEY_BYTES:
            raise ValueError("a key or an id has the wrong length")
