"""Deployment directories for tests."""

from collections.abc import Mapping
from pathlib import Path

from customhouse.config.findings import ConfigurationInvalid, Finding
from customhouse.config.load import Loaded, load

NOTES = """\
owner: team-notes
contact: notes@example.org
tenant: local
url: https://notes.example/mcp
credential: {bearer: "env:NOTES_TOKEN"}
tools:
  read_note: {class: read}
  add_note: {class: write}
"""


def write(directory: Path, files: Mapping[str, str]) -> Path:
    """The directory with these files in it."""
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return directory


def loaded(directory: Path, settings: str, environ: Mapping[str, str] | None = None) -> Loaded:
    """The settings with this customhouse.yaml."""
    return load(write(directory, {"customhouse.yaml": settings}), environ or {})


def refused(directory: Path, settings: str, environ: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """What is wrong with this customhouse.yaml; nothing, if it can be used."""
    return findings_of(write(directory, {"customhouse.yaml": settings}), environ)


def findings_of(directory: Path, environ: Mapping[str, str] | None = None) -> tuple[Finding, ...]:
    """What is wrong with the settings of a directory; nothing, if they can be used."""
    try:
        load(directory, environ or {})
    except ConfigurationInvalid as invalid:
        return invalid.findings
    return ()
