"""Where control groups can be made: read from descriptions of machines, and made for real where this one allows it."""

import os
from pathlib import Path

import pytest

from customhouse.adapters.sandboxes.cgroups import Groups, groups
from customhouse.core.manifest import ProcessLimits

LIMITS = ProcessLimits(memory_bytes=100_000_000, processes=7)


def process(directory: Path, cgroup: str, mountinfo: str) -> Path:
    made = directory / "proc"
    made.mkdir()
    (made / "cgroup").write_text(cgroup)
    (made / "mountinfo").write_text(f"20 1 0:1 / / rw - ext4 /dev/vda rw\n{mountinfo}")
    return made


def version_2(directory: Path, controllers: str, enabled: str) -> Path:
    directory.mkdir(parents=True)
    (directory / "cgroup.controllers").write_text(controllers)
    (directory / "cgroup.subtree_control").write_text(enabled)
    (directory / "cgroup.procs").write_text("")
    return directory


def test_version_2_is_used_above_the_gateways_own_group_where_that_was_delegated(tmp_path: Path) -> None:
    unit = version_2(tmp_path / "fs" / "system.slice" / "customhouse.service", "cpu memory pids", "memory pids")
    version_2(unit / "gateway", "memory", "")
    own = process(
        tmp_path, "0::/system.slice/customhouse.service/gateway\n", f"31 20 0:27 / {tmp_path}/fs rw shared:4 - cgroup2 cgroup2 rw\n"
    )
    assert groups(own) == Groups({"memory": unit, "pids": unit}, 2)


def test_version_2_turns_the_controllers_on_where_only_that_is_missing(tmp_path: Path) -> None:
    root = version_2(tmp_path / "fs", "cpu memory pids", "cpu")
    own = process(tmp_path, "0::/\n", f"31 20 0:27 / {tmp_path}/fs rw - cgroup2 cgroup2 rw\n")
    assert groups(own).usable
    assert (root / "cgroup.subtree_control").read_text() == "+memory +pids"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo"),
    [
        ("0::/\n", ""),
        ("0::/\n", "31 20 0:27 / DIRECTORY/fs rw - cgroup2 cgroup2 rw\n"),
        ("0::/a\n", "31 20 0:27 /b DIRECTORY/fs rw - cgroup2 cgroup2 rw\n"),
        ("4:memory:/\n", "31 20 0:27 / DIRECTORY/fs rw - cgroup cgroup rw,memory\n"),
    ],
    ids=["not mounted", "without controllers", "mounted below another group", "no pids"],
)
def test_a_machine_without_usable_groups_has_none(tmp_path: Path, cgroup: str, mountinfo: str) -> None:
    version_2(tmp_path / "fs", "cpu", "")
    own = process(tmp_path, cgroup, mountinfo.replace("DIRECTORY", str(tmp_path)))
    assert not groups(own).usable


def test_version_1_has_a_directory_per_controller(tmp_path: Path) -> None:
    for name in ("memory/here", "pids"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "cgroup.procs").touch()
    mounts = "".join(
        f"3{n} 20 0:2{n} / {tmp_path}/{name} rw - cgroup cgroup rw,{name}\n" for n, name in enumerate(("memory", "pids", "cpu"))
    )
    own = process(tmp_path, "4:memory:/here\n3:pids:/\n2:cpu,cpuacct:/\n0::/\n", mounts)
    assert groups(own) == Groups({"memory": tmp_path / "memory" / "here", "pids": tmp_path / "pids"}, 1)


@pytest.mark.parametrize(("version", "memory"), [(2, "memory.max"), (1, "memory.limit_in_bytes")])
def test_a_group_holds_the_limits_of_a_server_and_its_init(tmp_path: Path, version: int, memory: str) -> None:
    made = Groups({"memory": tmp_path, "pids": tmp_path}, version).make(LIMITS)
    (directory,) = made.directories
    assert ((directory / memory).read_text(), (directory / "pids.max").read_text()) == ("100000000", "8")
    made.take(4_711)
    assert (directory / "cgroup.procs").read_text() == "4711"


def test_what_an_earlier_gateway_left_is_removed_and_what_a_living_one_made_is_not(tmp_path: Path) -> None:
    root = version_2(tmp_path / "fs", "memory pids", "memory pids")
    for name in ("customhouse-4194304-1", f"customhouse-{os.getppid()}-1", "customhouse-notes"):
        (root / name).mkdir()
    groups(process(tmp_path, "0::/\n", f"31 20 0:27 / {tmp_path}/fs rw - cgroup2 cgroup2 rw\n"))
    assert {path.name for path in root.glob("customhouse-*")} == {f"customhouse-{os.getppid()}-1", "customhouse-notes"}


def test_a_real_group_can_be_made_and_removed_where_this_machine_allows_it() -> None:
    here = groups()
    if not here.usable:
        pytest.skip("no control group can be made here, and `customhouse doctor` says so")
    made = here.make(LIMITS)
    assert all(directory.is_dir() for directory in made.directories)
    made.remove()
    assert not any(directory.exists() for directory in made.directories)
