"""What a server writes: stdout in bounded lines, stderr as a bounded tail without the secrets it was given.

A secret is found where it stands as it was injected. One that the server encodes first (base64, percent-encoding) is not.
"""

import unicodedata

from customhouse.ports.hosts import LineTooLong

MAX_TAIL_BYTES = 65_536
BLANK = b"[redacted]"


class Lines:
    """Bytes in, whole lines out."""

    __slots__ = ("_max", "_rest")

    def __init__(self, max_line_bytes: int) -> None:
        self._max = max_line_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that these bytes complete, without their ends. Raises `LineTooLong`, also for a line that has no end yet."""
        if not self._rest and data.endswith(b"\n") and data.count(b"\n") == 1:
            return [self._line(data[:-1])]  # a message that came alone, which is the usual case
        *whole, rest = data.split(b"\n")
        lines = []
        for part in whole:
            if self._rest:
                self._rest += part
                part = bytes(self._rest)  # noqa: PLW2901 - the line that began before these bytes
                self._rest.clear()
            lines.append(self._line(part))
        self._rest += rest
        if len(self._rest) > self._max:
            raise LineTooLong
        return lines

    def _line(self, line: bytes) -> bytes:
        if len(line) > self._max:
            raise LineTooLong
        return line[:-1] if line.endswith(b"\r") else line


class Tail:
    """The end of what was written to stderr, with each secret blanked before anything is cut off."""

    def __init__(self, secrets: tuple[str, ...], max_bytes: int = MAX_TAIL_BYTES) -> None:
        self._secrets = sorted((secret.encode() for secret in secrets if secret), key=len, reverse=True)
        self._held = len(self._secrets[0]) - 1 if self._secrets else 0
        self._max = max_bytes
        self._clean = bytearray()
        """Bytes in which no secret can begin any more."""
        self._open = b""
        """The last bytes, in which one may have begun."""

    def feed(self, data: bytes) -> None:
        """Take more bytes."""
        blanked = self._blanked(self._open + data)
        cut = len(blanked) - self._held
        if cut > 0:
            self._clean += blanked[:cut]
            del self._clean[: -self._max]
        self._open = blanked[max(cut, 0) :]

    def text(self) -> str:
        """What is kept, as text without control characters but newlines."""
        whole = bytes(self._clean) + self._without_beginnings(self._open)
        text = whole[-self._max :].decode("utf-8", "replace")
        return "".join(character if character == "\n" or unicodedata.category(character)[0] != "C" else " " for character in text)

    def _blanked(self, data: bytes) -> bytes:
        for secret in self._secrets:
            data = data.replace(secret, BLANK)
        return data

    def _without_beginnings(self, data: bytes) -> bytes:
        """The bytes without an end that may be the first part of a secret: the rest of it has not arrived yet."""
        for start in range(len(data)):
            if any(secret.startswith(data[start:]) for secret in self._secrets):
                return data[:start]
        return data
