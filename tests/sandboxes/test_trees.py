"""The digest of an installed tree: everything that could change what runs is in it, nothing is followed."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from customhouse.adapters.sandboxes.trees import digest_of_tree, outward_links


def plant(root: Path) -> Path:
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "notes").write_text("#!/bin/sh\n")
    (root / "bin" / "notes").chmod(0o755)
    (root / "lib").mkdir()
    (root / "lib" / "a.py").write_text("a = 1\n")
    (root / "lib" / "b.py").write_text("")
    (root / "current").symlink_to("lib")
    (root / os.fsdecode(b"\xff\n")).write_text("a name that is not text")
    return root


def test_two_installations_of_the_same_have_the_same_digest(tmp_path: Path) -> None:
    first, second = plant(tmp_path / "a"), plant(tmp_path / "b" / "c")
    os.utime(second / "lib" / "a.py", (0, 0))
    (second / "lib" / "a.py").chmod(0o600)
    assert digest_of_tree(str(first)) == digest_of_tree(str(second))


def replaced(path: Path, put: Callable[[Path], object]) -> None:
    path.unlink()
    put(path)


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "lib" / "a.py").write_text("a = 2\n"),
    "executable": lambda root: (root / "lib" / "a.py").chmod(0o755),
    "not executable any more": lambda root: (root / "bin" / "notes").chmod(0o644),
    "new file": lambda root: (root / "lib" / "c.py").write_text(""),
    "new hidden file": lambda root: (root / "lib" / ".a.py").write_text(""),
    "new directory": lambda root: (root / "lib" / "empty").mkdir(),
    "removed": lambda root: (root / "lib" / "b.py").unlink(),
    "renamed": lambda root: (root / "lib" / "b.py").rename(root / "lib" / "c.py"),
    "moved": lambda root: (root / "lib" / "b.py").rename(root / "b.py"),
    "link to elsewhere": lambda root: replaced(root / "current", lambda path: path.symlink_to("bin")),
    "link for a directory": lambda root: replaced(root / "current", lambda path: shutil.copytree(root / "lib", path)),
    "link for a file": lambda root: replaced(root / "lib" / "b.py", lambda path: path.symlink_to("/dev/null")),
    "content moved to the neighbour": lambda root: ((root / "lib" / "a.py").write_text(""), (root / "lib" / "b.py").write_text("a = 1\n")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_every_change_that_matters_changes_the_digest(tmp_path: Path, change: Callable[[Path], object]) -> None:
    root = plant(tmp_path / "tree")
    before = digest_of_tree(str(root))
    change(root)
    assert digest_of_tree(str(root)) != before


def test_a_link_is_its_target_and_not_what_lies_there(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree")
    outside = tmp_path / "outside"
    outside.write_text("1")
    (root / "out").symlink_to("../outside")
    (root / "loop").symlink_to("loop")
    before = digest_of_tree(str(root))
    outside.write_text("2")
    assert digest_of_tree(str(root)) == before
    assert outward_links(str(root)) == ("out -> ../outside",)


def test_the_root_itself_is_not_followed(tmp_path: Path) -> None:
    plant(tmp_path / "tree")
    (tmp_path / "link").symlink_to("tree")
    with pytest.raises(NotADirectoryError):
        digest_of_tree(str(tmp_path / "link"))


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.mknod(path, 0o140644)], ids=["pipe", "socket"])
def test_what_is_neither_file_nor_directory_nor_link_is_refused_without_waiting(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(plant(tmp_path / "tree") / "odd")
    began = time.monotonic()
    with pytest.raises(OSError, match=r"neither|No such device"):
        digest_of_tree(str(tmp_path / "tree"))
    assert time.monotonic() - began < 5


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    root = plant(tmp_path / "tree")
    with pytest.raises(FileNotFoundError):
        digest_of_tree(str(root / "absent"))
