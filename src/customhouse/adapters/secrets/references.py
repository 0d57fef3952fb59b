"""Secrets behind references: `env:NAME` and `file:PATH`, read anew each time so that a rotated secret is seen.

A value becomes part of an HTTP header, so control characters are refused (RFC 9110, section 5.5). What a message says about a secret
is its reference, never its value; text that is no reference may be a pasted secret and is not repeated.
"""

import os
import re
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_SECRET_BYTES = 65_536
"""Longer than any token or key in use."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ReferencedSecrets:
    """Secrets of the environment and of files; an implementation of `ports.traffic.Secrets`."""

    directory: Path
    """Relative paths count from here."""
    environ: Mapping[str, str]

    def read(self, reference: str) -> str:
        """The value behind a reference, without surrounding white space. Raises `LookupError`."""
        scheme, colon, name = reference.partition(":")
        if not colon or not name or scheme not in {"env", "file"}:
            raise LookupError("A secret is named neither as env:NAME nor as file:PATH.")
        data = self._variable(name, reference) if scheme == "env" else self._file(name, reference)
        return _usable(data, reference)

    def _variable(self, name: str, reference: str) -> bytes:
        if _VARIABLE.fullmatch(name) is None:
            raise LookupError(f"{ascii(reference)[1:-1]}: this is not the name of an environment variable.")
        if name not in self.environ:
            raise LookupError(f"{reference}: the environment variable is not set.")
        return self.environ[name].encode("utf-8", "surrogateescape")

    def _file(self, name: str, reference: str) -> bytes:
        try:
            return _content(self.directory / name)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "not a path"
            raise LookupError(f"{ascii(reference)[1:-1]}: the file cannot be read ({why}).") from None


def _content(path: Path) -> bytes:
    # Without O_NONBLOCK, opening a named pipe that nobody writes to would wait forever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_SECRET_BYTES + 1)
    finally:
        os.close(descriptor)


def _usable(data: bytes, reference: str) -> str:
    if len(data) > MAX_SECRET_BYTES:
        raise LookupError(f"{reference}: the secret is longer than {MAX_SECRET_BYTES} bytes.")
    try:
        value = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise LookupError(f"{reference}: the secret is not UTF-8.") from None
    if not value:
        raise LookupError(f"{reference}: the secret is empty.")
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise LookupError(f"{reference}: the secret holds control characters.")
    return value
