"""Secrets behind references."""

import os
from pathlib import Path

import pytest

from customhouse.adapters.secrets.references import MAX_SECRET_BYTES, ReferencedSecrets
from customhouse.ports.traffic import Secrets


def test_a_secret_comes_from_the_environment_or_a_file_without_white_space(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("  fr0m file\n")
    secrets: Secrets = ReferencedSecrets(tmp_path, {"TOKEN": "\tfrom-environment "})
    assert secrets.read("env:TOKEN") == "from-environment"
    assert secrets.read("file:token") == "fr0m file"
    assert secrets.read(f"file:{tmp_path}/token") == "fr0m file"


def test_a_rotated_secret_is_seen_at_once_also_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "v1").write_text("one")
    (tmp_path / "v2").write_text("two")
    (tmp_path / "token").symlink_to("v1")
    secrets = ReferencedSecrets(tmp_path, {})
    assert secrets.read("file:token") == "one"
    (tmp_path / "token").unlink()
    (tmp_path / "token").symlink_to("v2")
    assert secrets.read("file:token") == "two"


def test_a_secret_may_be_as_long_as_the_bound(tmp_path: Path) -> None:
    assert len(ReferencedSecrets(tmp_path, {"A": "x" * MAX_SECRET_BYTES}).read("env:A")) == MAX_SECRET_BYTES


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "is empty"),
        (b" \n\t", "is empty"),
        (b"s3cret\nline", "control characters"),
        (b"s3cret\x00", "control characters"),
        (b"s3cret\x7fx", "control characters"),
        ("s3cret\x85x".encode(), "control characters"),
        (b"s3cret\xff", "not UTF-8"),
        (b"s3cret" * 20_000, "longer than"),
    ],
)
def test_an_unusable_secret_is_refused_without_its_value(tmp_path: Path, value: bytes, why: str) -> None:
    (tmp_path / "token").write_bytes(value)
    environ = {"TOKEN": value.decode("utf-8", "surrogateescape")}
    for reference in ("file:token", "env:TOKEN"):
        with pytest.raises(LookupError) as missing:
            ReferencedSecrets(tmp_path, environ).read(reference)
        assert why in str(missing.value)
        assert reference in str(missing.value)
        assert "s3cret" not in str(missing.value)


@pytest.mark.parametrize("reference", ["", "s3cret", "env:", "file:", "vault:s3cret", "ENV:s3cret", ":s3cret"])
def test_text_that_is_no_reference_is_refused_and_not_repeated(tmp_path: Path, reference: str) -> None:
    with pytest.raises(LookupError) as missing:
        ReferencedSecrets(tmp_path, {"s3cret": "x"}).read(reference)
    assert "s3cret" not in str(missing.value)


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("env:MISSING", "is not set"),
        ("env:A B", "not the name of an environment variable"),
        ("env:A\x1b[2J", "not the name of an environment variable"),
        ("file:missing", "No such file"),
        ("file:.", "not a regular file"),
        ("file:pipe", "not a regular file"),
        ("file:a\x00b", "not a path"),
    ],
)
def test_a_reference_that_leads_nowhere_is_refused(tmp_path: Path, reference: str, why: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LookupError) as missing:
        ReferencedSecrets(tmp_path, {}).read(reference)
    assert why in str(missing.value)
    assert str(missing.value).isprintable()
