"""Servers that try to get out of the sandbox, to take the machine, or to stay: each one is real, and each one fails."""

import asyncio
import contextlib
import json
import os
import platform
import pwd
import select
import socket
import subprocess
import sys
import uuid
from pathlib import Path

import msgspec
import pytest

from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap, Containment
from customhouse.adapters.sandboxes.seccomp import DENIED
from customhouse.core.launch import Mount
from customhouse.core.manifest import ProcessLimits
from tests.sandboxes.programs import ENDS, launch, next_line, processes_with, told

ROOT = Path(__file__).parents[2]
HEAD = "import ctypes, errno, json, os, signal, socket, sys, time\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def trying(*attempts: str) -> str:
    """A program that says of each expression what came of it: its value, or the name of its error."""
    return HEAD + (
        "def tried(text):\n"
        "    try: return repr(eval(text))[:200]\n"
        "    except OSError as error: return errno.errorcode.get(error.errno, '?')\n"
        f"print(json.dumps([tried(text) for text in {attempts!r}]))\n"
    )


async def test_it_sees_no_home_no_deployment_and_no_other_part_of_the_machine(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "argument.key").write_text("secret")
    home = pwd.getpwuid(os.getuid()).pw_dir
    secret = f"open('{tmp_path}/data/argument.key').read()"
    places = [
        "/home",
        "/var",
        "/run",
        "/sys",
        "/boot",
        "/srv",
        "/etc/shadow",
        "/etc/hostname",
        "/etc/ssl/private",
        home + "/.ssh",
        str(ROOT),
    ]
    said = await told(bubblewrap, launch(tmp_path, trying(secret, *(f"os.stat('{place}')" for place in places))))
    assert set(said) <= {"ENOENT", "EACCES"}, list(zip(["secret", *places], said, strict=True))


async def test_it_finds_its_package_the_interpreter_and_the_system(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "data.txt").write_text("here")
    said = await told(bubblewrap, launch(tmp_path, trying("open('data.txt').read()", "os.listdir('/')", "os.getuid()", "os.getgroups()")))
    root = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr"}
    ways_down = {str(path).split("/")[1] for path in (tmp_path, Path(sys.base_prefix))}
    assert set(eval(said[1])) <= root | ways_down
    assert [said[0], said[2], said[3]] == ["'here'", "65533", "[]"]


async def test_it_writes_to_its_own_tmp_and_nowhere_else(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    name = f"customhouse-{uuid.uuid4().hex}"
    places = ["/", "/usr/", "/etc/", "/dev/", "/proc/", "/proc/sys/kernel/", f"{tmp_path}/tree/", sys.base_prefix + "/"]
    writes = [f"open('{place}{name}', 'w')" for place in places]
    changes = [
        "open('/proc/sys/kernel/hostname', 'w').write('x')",
        "os.chmod('program.py', 0o777)",
        "os.remove('program.py')",
        "os.utime('/usr')",
    ]
    said = await told(
        bubblewrap,
        launch(tmp_path, trying(*writes, *changes, f"open('/tmp/{name}', 'w').write('x')", f"os.rename('/tmp/{name}', '/dev/shm/x')")),
    )
    assert set(said[:-2]) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}, said
    assert said[-2:] == ["1", "EXDEV"]
    assert not any((Path(place) / name).exists() for place in [*places, "/tmp"])
    assert (tmp_path / "tree" / "program.py").exists()


async def test_listed_paths_are_where_they_are_outside_and_only_writable_ones_change(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    for name in ("read", "write", "read/inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o777)
    (tmp_path / "read" / "a").write_text("a")
    mounts = [
        Mount(str(tmp_path / "read" / "inner"), writable=True),
        Mount(str(tmp_path / "read")),
        Mount(str(tmp_path / "write"), writable=True),
    ]
    attempts = [f"open('{tmp_path}/{name}', 'w').write('b')" for name in ("read/b", "write/b", "read/inner/b")]
    said = await told(bubblewrap, launch(tmp_path, trying(f"open('{tmp_path}/read/a').read()", *attempts), mounts=mounts))
    assert said == ["'a'", "EROFS", "1", "1"]
    assert (tmp_path / "write" / "b").read_text() == (tmp_path / "read" / "inner" / "b").read_text() == "b"


async def test_it_reaches_no_network_not_even_the_loopback_of_the_host(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    abstract = f"\0customhouse-{uuid.uuid4().hex}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as plain:
        unix.bind(abstract)
        unix.listen()
        plain.bind(str(tmp_path / "socket"))
        plain.listen()
        port = tcp.getsockname()[1]
        said = await told(
            bubblewrap,
            launch(
                tmp_path,
                trying(
                    f"socket.create_connection(('127.0.0.1', {port}), 2)",
                    "socket.create_connection(('192.0.2.1', 80), 2)",
                    "socket.create_connection(('2001:db8::1', 80), 2)",
                    f"socket.socket(socket.AF_UNIX).connect({abstract!r})",
                    f"socket.socket(socket.AF_UNIX).connect('{tmp_path}/socket')",
                    "socket.socket(40, socket.SOCK_STREAM)",  # AF_VSOCK: the host of a virtual machine
                    "socket.socket(17, socket.SOCK_RAW)",  # AF_PACKET
                    "socket.if_nameindex()",
                ),
            ),
        )
    assert said == ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "ECONNREFUSED", "ENOENT", "EAFNOSUPPORT", "EAFNOSUPPORT", "[(1, 'lo')]"]


async def test_it_sees_and_ends_no_process_but_its_own(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    user = 65_533 if os.geteuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=user, group=user, cwd="/") as bystander:
        try:
            program = HEAD + (
                "seen = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())\n"
                "def kill(pid):\n"
                "    try: os.kill(pid, signal.SIGKILL); return 'sent'\n"
                "    except OSError as error: return errno.errorcode[error.errno]\n"
                f"said = [len(seen), os.getppid(), kill({bystander.pid}), kill({os.getpid()}), kill(1)]\n"
                "print(json.dumps(said), flush=True)\n"
                "kill(-1)\n"
            )
            said = await told(bubblewrap, launch(tmp_path, program))
            assert said == [2, 1, "ESRCH", "ESRCH", "sent"]  # the init of a namespace ignores what its own children send
            assert bystander.poll() is None
        finally:
            bystander.kill()


async def test_it_fills_neither_the_disk_nor_more_memory_than_its_tmp_has(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    program = HEAD + (
        "def fill(directory):\n"
        "    written = 0\n"
        "    for n in range(100):\n"
        "        with open(f'{directory}/{n}', 'wb', buffering=0) as file:\n"
        "            try:\n"
        "                while True: written += file.write(b'x' * 65536)\n"
        "            except OSError as error:\n"
        "                if error.errno != errno.EFBIG: return [written, errno.errorcode[error.errno]]\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "print(json.dumps([fill('/tmp'), fill('/dev/shm')]))\n"
    )
    limits = ProcessLimits(tmp_bytes=4_194_304, file_bytes=1_048_576)
    said = await told(bubblewrap, launch(tmp_path, program, limits=limits))
    assert said == [[4_194_304, "ENOSPC"], [4_194_304, "ENOSPC"]]


async def test_a_file_in_a_writable_path_is_no_larger_than_allowed(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(0o777)
    program = HEAD + f"open('{tmp_path}/out/big', 'wb').truncate(1_000_001)\n"
    wanted = launch(tmp_path, program, mounts=[Mount(str(tmp_path / "out"), writable=True)], limits=ProcessLimits(file_bytes=1_000_000))
    await told(bubblewrap, wanted, status=1)  # Python ignores SIGXFSZ and raises instead
    assert (tmp_path / "out" / "big").stat().st_size <= 1_000_000


async def test_a_fork_bomb_has_as_many_processes_as_its_limit_and_no_more(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    token = uuid.uuid4().hex
    program = HEAD + (
        "while True:\n"
        "    try: pid = os.fork()\n"
        "    except OSError: break\n"
        "    if pid: continue\n"
        "while True:\n"
        "    try: os.fork()\n"
        "    except OSError: os.write(1, b'full\\n'); time.sleep(0.2)\n"
    )
    child = await bubblewrap.start(launch(tmp_path, program, token, limits=ProcessLimits(processes=20)))
    (tmp_path / "other").mkdir()
    other = await bubblewrap.start(launch(tmp_path / "other", "print('alive')", limits=ProcessLimits(processes=20)))
    assert await next_line(child) == b"full"
    assert 2 <= len(processes_with(token)) <= 20
    assert await next_line(other) == b"alive"
    await child.end(0)
    await other.end(ENDS)
    assert processes_with(token) == []


async def test_a_process_gets_no_more_memory_than_its_limit(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    program = HEAD + (
        "held = []\n"
        "try:\n"
        "    while True: held.append(bytearray(1_048_576))\n"
        "except MemoryError: pass\n"
        "count = len(held); held.clear()\n"
        "print(json.dumps(count))\n"
    )
    assert 40 <= await told(bubblewrap, launch(tmp_path, program, limits=ProcessLimits(memory_bytes=100 << 20))) <= 100


async def test_a_process_has_no_more_open_files_and_cpu_time_than_its_limit(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    program = HEAD + (
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.dup(0))\n"
        "except OSError as error: print(json.dumps([len(held), errno.errorcode[error.errno]]), flush=True)\n"
        "while True: pass\n"
    )
    limits = ProcessLimits(open_files=32, cpu_seconds=1)
    assert await told(bubblewrap, launch(tmp_path, program, limits=limits), status=137) == [29, "EMFILE"]


@pytest.mark.parametrize(
    "bomb",
    [
        "mmap.mmap(-1, 1 << 20, mmap.MAP_SHARED)",
        "[os.fork() or time.sleep(60)] if len(held) % 30 == 29 else bytearray(1 << 20)",
    ],
    ids=["shared memory", "many processes"],
)
async def test_a_whole_server_gets_no_more_memory_than_its_limit(
    bubblewrap: Bubblewrap, holds: Containment, tmp_path: Path, bomb: str
) -> None:
    if not holds.grouped:
        pytest.skip("no control group can be made here, and `customhouse doctor` says so")
    program = HEAD + (
        "import mmap\nheld = []\n"
        "while True:\n"
        f"    held.append({bomb})\n"
        "    if hasattr(held[-1], 'write'): held[-1].write(b'x' * (1 << 20))\n"
        "    print(len(held), flush=True)\n"
    )
    child = await bubblewrap.start(launch(tmp_path, program, limits=ProcessLimits(memory_bytes=60 << 20, processes=100)))
    async with asyncio.timeout(ENDS):
        counts = [int(line) async for line in child.lines()]
        assert await asyncio.shield(child.ended) == 137
    assert 20 < max(counts) < 60
    await child.end(0)


async def test_every_system_call_of_the_deny_list_is_refused(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    numbers = {name: {"x86_64": x86_64, "aarch64": aarch64}[platform.machine()] for name, x86_64, aarch64 in DENIED}
    program = HEAD + (
        "def call(number):\n"
        "    ctypes.set_errno(0)\n"
        "    return [libc.syscall(number, 0, 0, 0, 0, 0, 0), errno.errorcode.get(ctypes.get_errno())]\n"
        f"print(json.dumps({{name: call(number) for name, number in {numbers!r}.items()}}))\n"
    )
    assert await told(bubblewrap, launch(tmp_path, program)) == {name: [-1, "EPERM"] for name in numbers}


async def test_it_makes_no_namespaces_and_gains_no_privileges(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    clone, clone3 = {"x86_64": (56, 435), "aarch64": (220, 435)}[platform.machine()]
    program = HEAD + (
        "def call(*words):\n"
        "    return 'done' if libc.syscall(*words) >= 0 else errno.errorcode[ctypes.get_errno()]\n"
        f"said = [call({clone}, 0x10000000 | 17, 0, 0, 0, 0), call({clone}, 0x40000000 | 17, 0, 0, 0, 0), call({clone3}, 0, 0)]\n"
        "said.append(call({'x86_64': 16, 'aarch64': 29}[os.uname().machine], 0, 0x5412, b'x'))\n"
        "status = dict(line.split(':\\t', 1) for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)\n"
        "said += [status[name] for name in ('CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb', 'NoNewPrivs', 'Seccomp')]\n"
        "said += [os.getsid(0) != 0, os.stat('/usr/bin/passwd').st_uid != os.getuid()]\n"
        "print(json.dumps(said))\n"
    )
    assert await told(bubblewrap, launch(tmp_path, program)) == ["EPERM", "EPERM", "ENOSYS", "EPERM", *["0" * 16] * 5, "1", "2", True, True]


async def test_ordinary_programs_still_work(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    program = (
        "import json, multiprocessing, socket, sqlite3, subprocess, tempfile, threading\n"
        "def main():\n"
        "    thread = threading.Thread(target=lambda: said.append('thread'))\n"
        "    said = []\n"
        "    thread.start(); thread.join()\n"
        "    said.append(subprocess.run(['sh', '-c', 'echo $((6 * 7)) | cat'], capture_output=True, text=True).stdout)\n"
        "    with multiprocessing.get_context('fork').Pool(2) as pool: said.append(pool.map(abs, [-1, -2]))\n"
        "    with tempfile.NamedTemporaryFile() as file: said.append(sqlite3.connect(file.name).execute('select 1').fetchall())\n"
        "    server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname()).close()\n"
        "    print(json.dumps(said))\n"
        "if __name__ == '__main__': main()\n"
    )
    assert await told(bubblewrap, launch(tmp_path, program)) == ["thread", "42\n", [1, 2], [[1]]]


async def test_no_environment_of_anybody_else_can_be_read(bubblewrap: Bubblewrap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUSTOMHOUSE_TEST_SECRET", "of-the-gateway")
    program = HEAD + (
        "found = b''\n"
        "for name in os.listdir('/proc'):\n"
        "    for file in ('environ', 'cmdline', 'mountinfo', 'maps'):\n"
        "        try: found += open(f'/proc/{name}/{file}', 'rb').read()\n"
        "        except OSError: pass\n"
        "found = found.decode('latin-1')\n"
        "print(json.dumps(['of-the-gateway' in found, 'CUSTOMHOUSE_TEST' in found, 'mine' in found]))\n"
    )
    assert await told(bubblewrap, launch(tmp_path, program, environment={"A": "mine"})) == [False, False, True]


async def test_a_secret_stands_on_no_command_line_of_the_machine(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    secret = uuid.uuid4().hex
    program = "import os, time\nprint(os.environ['TOKEN'], flush=True)\ntime.sleep(60)\n"
    child = await bubblewrap.start(launch(tmp_path, program, environment={"TOKEN": secret}, secrets=(secret,)))
    assert await next_line(child) == secret.encode()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert secret.encode() not in path.read_bytes()
    await child.end(0)


async def test_the_declared_environment_does_not_act_on_what_makes_the_sandbox(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    wanted = launch(tmp_path, "", environment={"LD_PRELOAD": "/absent/evil.so"})
    child = await bubblewrap.start(msgspec.structs.replace(wanted, argv=("/usr/bin/true",)))
    assert await asyncio.wait_for(asyncio.shield(child.ended), ENDS) == 0
    await child.end(0)
    assert child.stderr.count("/absent/evil.so") == 2  # the two programs inside: prlimit and true


async def test_a_program_outside_of_the_sandbox_is_refused_by_name(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("#!/bin/sh\n")
    outside.chmod(0o755)
    wanted = launch(tmp_path, "")
    (tmp_path / "tree" / "link").symlink_to(outside)
    with pytest.raises(Exception, match="SERVER_NOT_STARTED") as refused:
        await bubblewrap.start(msgspec.structs.replace(wanted, argv=(f"{tmp_path}/tree/link",)))
    assert "read_only_paths" in refused.value.note  # type: ignore[attr-defined]


def test_a_gateway_without_privileges_contains_all_the_same(tmp_path: Path) -> None:
    """The tests run as root on many machines, so the other way is looked at from a process that gave its privileges up."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sandboxes.unprivileged"], cwd=ROOT, capture_output=True, text=True, timeout=ENDS, check=True
    )
    said = json.loads(done.stdout)
    assert said.pop("status") == 143
    assert said == {
        "problem": "",
        "uid": "65533",
        "caps": "0000000000000000",
        "seccomp": "2",
        "home": "no",
        "hosts_tcp": "no",
        "write": "no",
        "fork": "no",
        "end": "",
        "files": "0 1 2 3 ",
        "left": [],
    }


async def test_a_process_that_waits_for_nobody_is_heard_of_at_once(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    """The watcher outside is killed, as the kernel does when memory is short."""
    token = uuid.uuid4().hex
    child = await bubblewrap.start(launch(tmp_path, "import time\nprint('ready', flush=True)\ntime.sleep(60)\n", token))
    assert await next_line(child) == b"ready"
    (pid,) = processes_with(token)
    descriptor = os.pidfd_open(pid)
    watcher = pid
    while (parent := parent_of(watcher)) != os.getpid():
        watcher = parent
    os.kill(watcher, 9)
    try:
        assert await asyncio.wait_for(asyncio.shield(child.ended), ENDS) == 137
        assert select.select([descriptor], [], [], 0)[0]
    finally:
        os.close(descriptor)
        await child.end(0)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
