"""What is wrong in a file that an operator wrote, said so that it can be put right without asking anybody."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

Key = tuple[str | int, ...]
"""Where a value stands in a tree: names of settings, names in tables, and indexes of lists."""

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: a file and a line from 1, or a source without lines (line 0)."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    file: str
    """The file, relative to the deployment directory, or `environment NAME`."""
    line: int
    """From 1; 0 where the source has no lines or the whole file is meant."""
    key: str
    """The path of the setting, such as `listen.port` or `identity.issuers[0].issuer`; empty for the whole file."""
    problem: str
    """What is wrong, in one sentence."""
    remedy: str
    """What would be right, in one sentence."""

    def __str__(self) -> str:
        where = ": ".join(part for part in (str(Place(self.file, self.line)), self.key) if part)
        return f"{where}: {self.problem} {self.remedy}"


def found(place: Place, key: Key, problem: str, remedy: str) -> Finding:
    """A finding about one key at one place."""
    return Finding(place.file, place.line, shown(key), problem, remedy)


def shown(key: Key) -> str:
    """A key as people write it: `portals.default.servers[0]`; a name that is not plain stands in brackets and quotes."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_NAME.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{part[:80]!a}]"
    return text


class ConfigurationInvalid(Exception):
    """Files of the deployment cannot be used. Carries every finding, not just the first."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__("\n".join(str(finding) for finding in self.findings))
