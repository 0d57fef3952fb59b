"""What every implementation of the port `Sandboxes` does, with a sandbox and without."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
import pytest
import uvloop

from customhouse.adapters.sandboxes.bare import Bare
from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap, Containment
from customhouse.adapters.sandboxes.choice import ByWaiver
from customhouse.core.launch import FIRST_ENVIRONMENT, Launch, Mount
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import LineTooLong, Sandboxes
from tests.sandboxes.programs import ENDS, gone, launch, next_line, processes_with, told

ROOT = Path(__file__).parents[2]

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)\n"
READY_THEN = "import os, signal, sys, time\nprint('ready', flush=True)\n"


@dataclass(frozen=True)
class Way:
    """One implementation, and how a launch for it is written."""

    sandboxes: Sandboxes
    sandboxed: bool

    def launch(self, directory: Path, program: str, *arguments: str, **more: object) -> Launch:
        return partial(launch, sandboxed=self.sandboxed)(directory, program, *arguments, **more)  # type: ignore[arg-type]


@pytest.fixture(params=["bubblewrap", "bare"])
def way(request: pytest.FixtureRequest, holds: Containment) -> Way:
    return Way(Bubblewrap(), True) if request.param == "bubblewrap" else Way(Bare(), False)


async def test_lines_go_in_and_come_out(way: Way, tmp_path: Path) -> None:
    child = await way.sandboxes.start(way.launch(tmp_path, ECHO))
    await child.write(b'{"a": 1}\n{"b"')
    await child.write(b": 2}\r\n")
    lines = child.lines()
    assert [await anext(lines), await anext(lines)] == [b'{"a": 1}', b'{"b": 2}']
    assert await child.end(ENDS) == 0


async def test_a_large_message_passes_whole_in_both_directions(way: Way, tmp_path: Path) -> None:
    child = await way.sandboxes.start(way.launch(tmp_path, ECHO, max_line_bytes=8_000_000))
    message = b"x" * 4_000_000
    writing = asyncio.create_task(child.write(message + b"\n"))
    assert await next_line(child) == message
    await writing
    assert await child.end(ENDS) == 0


async def test_the_environment_is_the_declared_one_and_nothing_of_the_gateways(
    way: Way, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUSTOMHOUSE_TEST_SECRET", "of the gateway")
    program = "import json, os\nprint(json.dumps([dict(os.environ), os.getcwd()]))\n"
    environment, directory = await told(way.sandboxes, way.launch(tmp_path, program, environment={"COLOUR": "a b\n$HOME"}))
    extra = environment.keys() - {"PWD", "CUSTOMHOUSE_LAUNCH", "LC_CTYPE"}
    assert {name: environment[name] for name in extra} == {**FIRST_ENVIRONMENT, "COLOUR": "a b\n$HOME"}
    assert directory == str(tmp_path / "tree")


async def test_arguments_stay_what_they_are_whatever_a_shell_would_make_of_them(way: Way, tmp_path: Path) -> None:  # GW-107
    arguments = ["$(touch owned)", "`id`", "; rm -rf /", "a b", "*", "--", "-n", "", "é\n"]
    program = "import json, sys\nprint(json.dumps(sys.argv[1:]))\n"
    assert await told(way.sandboxes, way.launch(tmp_path, program, *arguments)) == arguments


async def test_only_the_three_pipes_are_open(way: Way, tmp_path: Path) -> None:
    program = "import json, os\nprint(json.dumps([n for n in range(256) if os.path.exists(f'/proc/self/fd/{n}')]))\n"
    assert await told(way.sandboxes, way.launch(tmp_path, program)) == [0, 1, 2]


async def test_a_server_that_writes_faster_than_it_is_read_is_held(way: Way, tmp_path: Path) -> None:
    program = (
        "import os, sys, time\n"
        "line, count = b'x' * 9_999 + b'\\n', 0\n"
        "os.set_blocking(1, False)\n"
        "while True:\n"
        "    try:\n"
        "        count += os.write(1, line)\n"
        "        last = time.monotonic()\n"
        "    except BlockingIOError:\n"
        "        if time.monotonic() - last > 0.5: break\n"
        "        time.sleep(0.01)\n"
        "print(count, file=sys.stderr, flush=True)\n"
    )
    child = await way.sandboxes.start(way.launch(tmp_path, program))
    assert await asyncio.wait_for(asyncio.shield(child.ended), ENDS) == 0
    assert 1_000_000 < int(child.stderr) < 3_000_000
    assert len([line async for line in child.lines()]) > 100
    await child.end(0)


async def test_a_server_that_does_not_read_holds_whoever_writes(way: Way, tmp_path: Path) -> None:
    child = await way.sandboxes.start(way.launch(tmp_path, READY_THEN + "time.sleep(60)\n"))
    assert await next_line(child) == b"ready"

    async def flood() -> None:
        while True:
            await child.write(b"x" * 100_000)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flood(), 0.5)
    waiting = asyncio.create_task(flood())
    await asyncio.sleep(0)
    await child.end(0)
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(waiting, ENDS)


@pytest.mark.parametrize("ending", ["", "\\n"])
async def test_a_line_that_is_too_long_is_a_fault_with_its_end_or_without(way: Way, tmp_path: Path, ending: str) -> None:
    program = READY_THEN + f"sys.stdout.write('x' * 200_000 + '{ending}'); sys.stdout.flush(); time.sleep(60)\n"
    child = await way.sandboxes.start(way.launch(tmp_path, program, max_line_bytes=100_000))
    lines = child.lines()
    assert await anext(lines) == b"ready"
    with pytest.raises(LineTooLong):
        await anext(lines)
    assert await child.end(0) in {137, 143}


async def test_a_last_line_without_an_end_is_dropped(way: Way, tmp_path: Path) -> None:
    child = await way.sandboxes.start(way.launch(tmp_path, "print('whole'); print('half', end='')"))
    assert [line async for line in child.lines()] == [b"whole"]
    await child.end(0)


@pytest.mark.parametrize(("program", "status"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 6)", 134), ("", 0)])
async def test_the_status_is_told_as_a_shell_would(way: Way, tmp_path: Path, program: str, status: int) -> None:
    child = await way.sandboxes.start(way.launch(tmp_path, program))
    assert await asyncio.wait_for(asyncio.shield(child.ended), ENDS) == status
    with pytest.raises(ConnectionError):
        await child.write(b"anybody there?\n")
    assert await child.end(0) == status


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("sys.stdin.read()\n", 0),
        ("time.sleep(60)\n", 143),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\nprint('deaf', flush=True)\ntime.sleep(60)\n", 3),
        ("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)\n", 137),
    ],
)
async def test_a_server_is_ended_in_three_steps(way: Way, tmp_path: Path, program: str, status: int) -> None:  # GW-60
    child = await way.sandboxes.start(way.launch(tmp_path, READY_THEN + program))
    assert await next_line(child) == b"ready"
    if "deaf" in program:
        assert await next_line(child) == b"deaf"
    assert await asyncio.wait_for(child.end(ENDS if status == 0 else 0.3), ENDS) == status
    assert await child.end(0) == status


async def test_an_end_that_is_not_waited_for_kills(way: Way, tmp_path: Path) -> None:
    child = await way.sandboxes.start(way.launch(tmp_path, READY_THEN + "time.sleep(60)\n"))
    ending = asyncio.create_task(child.end(60))
    await asyncio.sleep(0.05)
    ending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ending
    assert await asyncio.wait_for(child.end(0), ENDS) == 137


async def test_nothing_that_a_server_started_outlives_it(way: Way, tmp_path: Path) -> None:  # GW-60
    token = uuid.uuid4().hex
    child = await way.sandboxes.start(way.launch(tmp_path, DAEMONS, token))
    assert await next_line(child) == b"ready"
    assert len(processes_with(token)) == 4
    await child.end(0.1)
    assert processes_with(token) == []


async def test_nothing_that_a_server_started_outlives_it_when_it_ends_by_itself(way: Way, tmp_path: Path) -> None:
    token = uuid.uuid4().hex
    child = await way.sandboxes.start(way.launch(tmp_path, DAEMONS + "os._exit(5)\n", token))
    assert await asyncio.wait_for(asyncio.shield(child.ended), ENDS) == 5
    assert processes_with(token) == []
    await child.end(0)


DAEMONS = """
import os, signal, subprocess, sys, time
token = sys.argv[1]
sleeper = [sys.executable, "-I", "-c", "import signal, time; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; time.sleep(60)", token]
subprocess.Popen(sleeper)
subprocess.Popen(sleeper, start_new_session=True)
if os.fork() == 0:  # and one whose parent is gone
    os.setsid()
    subprocess.Popen(sleeper, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os._exit(0)
os.wait()
print("ready", flush=True)
if len(sys.argv) == 2: pass
"""


async def test_megabytes_on_stderr_neither_block_a_server_nor_pile_up(way: Way, tmp_path: Path) -> None:  # GW-59
    program = "import sys\nfor n in range(50_000): print(f'{n:07}' + 'x' * 92, file=sys.stderr)\nprint('done', flush=True)\n"
    child = await way.sandboxes.start(way.launch(tmp_path, program))
    assert await next_line(child) == b"done"
    await child.end(ENDS)
    assert 65_000 < len(child.stderr) <= 65_536
    assert child.stderr.rstrip().splitlines()[-1].startswith("0049999")


async def test_a_secret_is_given_and_blanked_on_stderr(way: Way, tmp_path: Path) -> None:
    program = (
        "import os, sys, time\nsecret = os.environ['TOKEN']\n"
        "sys.stderr.write('a ' + secret[:5]); sys.stderr.flush(); time.sleep(0.1)\n"
        "sys.stderr.write(secret[5:] + ' b ' + secret + '\\x1b[31m\\n'); print(len(secret))\n"
    )
    wanted = way.launch(tmp_path, program, environment={"TOKEN": "s3cret-token"}, secrets=("s3cret-token",))
    child = await way.sandboxes.start(wanted)
    assert await next_line(child) == b"12"
    await child.end(ENDS)
    assert child.stderr == "a [redacted] b [redacted] [31m\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: (tree / "program.py").write_text("print('other')"),
        lambda tree: (tree / "program.py").chmod(0o755),
        lambda tree: (tree / "more.py").write_text(""),
        lambda tree: (tree / "empty").mkdir(),
        lambda tree: (tree / "link").symlink_to("program.py"),
        lambda tree: tree.rename(tree.with_name("moved")),
        lambda tree: (tree.rename(tree.with_name("moved")), tree.symlink_to("moved")),
    ],
)
async def test_a_package_that_changed_is_not_started(way: Way, tmp_path: Path, change: object) -> None:  # GW-107
    (tmp_path / "out").mkdir(mode=0o777)
    (tmp_path / "out").chmod(0o777)
    program = f"open('{tmp_path}/out/started', 'w')"
    wanted = way.launch(tmp_path, program, mounts=[Mount(str(tmp_path / "out"), writable=True)])
    await told(way.sandboxes, wanted)
    (tmp_path / "out" / "started").unlink()
    change(tmp_path / "tree")  # type: ignore[operator]  # a lambda of the table
    with pytest.raises(Refused) as refused:
        await way.sandboxes.start(wanted)
    # Where the tree is gone altogether, the program is not found; either way nothing starts.
    assert refused.value.reason is Reason.PACKAGE_CHANGED
    assert not (tmp_path / "out" / "started").exists()


async def test_a_program_that_is_not_there_or_not_executable_is_refused_before_anything_starts(way: Way, tmp_path: Path) -> None:
    wanted = way.launch(tmp_path, "")
    for argv in ((f"{tmp_path}/tree/absent",), (f"{tmp_path}/tree/program.py",), (f"{tmp_path}/tree",)):
        with pytest.raises(Refused) as refused:
            await way.sandboxes.start(msgspec.structs.replace(wanted, argv=argv))
        assert refused.value.reason is Reason.SERVER_NOT_STARTED
    with pytest.raises(Refused, match="SERVER_NOT_STARTED"):
        await way.sandboxes.start(msgspec.structs.replace(wanted, mounts=(Mount(f"{tmp_path}/absent"),)))


async def test_a_script_whose_interpreter_is_missing_ends_with_words(way: Way, tmp_path: Path) -> None:
    wanted = way.launch(tmp_path, "#!/absent/interpreter\n")
    (tmp_path / "tree" / "program.py").chmod(0o755)
    wanted = way.launch(tmp_path, "#!/absent/interpreter\n")
    child = await way.sandboxes.start(msgspec.structs.replace(wanted, argv=(f"{tmp_path}/tree/program.py",)))
    assert await asyncio.wait_for(asyncio.shield(child.ended), ENDS) == 127
    assert "failed to execute" in child.stderr
    await child.end(0)


async def test_the_first_process_dies_with_a_gateway_that_is_killed(way: Way, tmp_path: Path) -> None:
    token = uuid.uuid4().hex
    wanted = way.launch(tmp_path, DAEMONS + "time.sleep(60)\n", token)
    (tmp_path / "launch.json").write_bytes(msgspec.json.encode(wanted))
    gateway = subprocess.Popen(
        [sys.executable, "-m", "tests.sandboxes.gateway", str(tmp_path / "launch.json")], stdout=subprocess.PIPE, cwd=ROOT
    )
    with gateway:
        assert gateway.stdout is not None
        assert json.loads(gateway.stdout.readline()) == "ready"
        pids = processes_with(token)
        assert len(pids) == 4
        bound_to_it = pids if way.sandboxed else processes_with(f"program.py {token}")
        gateway.send_signal(signal.SIGKILL)
    assert gone(bound_to_it)
    left = processes_with(token)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not (way.sandboxed and left)  # without a sandbox the others stay; the decision about the waiver says so


def test_all_this_works_on_the_gateways_own_event_loop(way: Way, tmp_path: Path) -> None:
    async def talk() -> int:
        child = await way.sandboxes.start(way.launch(tmp_path, ECHO))
        for number in range(100):
            await child.write(b"%d\n" % number)
        lines = child.lines()
        assert [int(await anext(lines)) for _ in range(100)] == list(range(100))
        return await child.end(ENDS)

    assert uvloop.run(talk()) == 0


async def test_a_waiver_decides_which_way_a_server_is_started(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    chosen = ByWaiver(bubblewrap, Bare())
    program = "import json, os\nprint(json.dumps(os.path.exists('/var')))\n"
    assert await told(chosen, launch(tmp_path, program)) is False
    assert await told(chosen, launch(tmp_path, program, sandboxed=False)) is True
    with pytest.raises(Refused, match="SANDBOX_UNAVAILABLE"):
        await Bare().start(launch(tmp_path, program))


async def test_a_machine_without_bubblewrap_starts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # GW-107
    monkeypatch.setenv("PATH", str(tmp_path))
    without = Bubblewrap()
    assert "bwrap is not installed" in (await without.containment()).problem
    with pytest.raises(Refused) as refused:
        await ByWaiver(without, Bare()).start(launch(tmp_path, ""))
    assert refused.value.reason is Reason.SANDBOX_UNAVAILABLE


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo 'No permissions to create new namespace' >&2; exit 1", "No permissions to create new namespace"),
        ("exit 1", "bwrap ended without a word"),
        ("exec sleep 60", "does not stand within"),
    ],
)
async def test_a_machine_that_allows_no_namespaces_starts_nothing_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    (tmp_path / "bwrap").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("customhouse.adapters.sandboxes.bubblewrap.START_SECONDS", 0.5)
    broken = Bubblewrap()
    assert words in (await broken.containment()).problem
    with pytest.raises(Refused) as refused:
        await broken.start(launch(tmp_path, ""))
    assert (refused.value.reason, words in refused.value.note) == (Reason.SANDBOX_UNAVAILABLE, True)


async def test_a_start_that_is_not_waited_for_leaves_nothing(bubblewrap: Bubblewrap, tmp_path: Path) -> None:
    token = uuid.uuid4().hex
    wanted = launch(tmp_path, "import time\ntime.sleep(60)\n", token)
    for delay in (0, 0.002, 0.005, 0.01, 0.015):
        starting = asyncio.create_task(bubblewrap.start(wanted))
        await asyncio.sleep(delay)
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await starting).end(0)
    await asyncio.wait_for(bubblewrap.close(), ENDS)
    assert processes_with(token) == []
