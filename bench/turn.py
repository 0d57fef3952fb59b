"""One call after another through the whole gateway without sockets: what its own code costs, free of the kernel and of the machine's mood.

Door, exchange, verifier, policy, pool and ledger are the real ones; the two transports are in memory, so every call runs from its first
byte to its answer in one breath. For profilers and for counting instructions: `scripts/bench --instructions`.
"""

import argparse
import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from uvicorn import Config
from uvicorn.server import ServerState

from bench import load, paths
from bench.upstream import SIZES, Answers
from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.adapters.sealers.aead import AeadSealer
from customhouse.adapters.sealers.keyring import first_keyring
from customhouse.adapters.secrets.references import ReferencedSecrets
from customhouse.adapters.telemetry.metrics import RecordMetrics
from customhouse.adapters.upstreams.transports import TransportUpstreams
from customhouse.config.definitions import pin_path, write_pin
from customhouse.config.load import load as load_settings
from customhouse.config.tree import Bridges, Flow
from customhouse.control.changes import Changes
from customhouse.core.budget import Rate
from customhouse.core.manifest import Manifest, Pin, digest_of
from customhouse.edge.protocol import Bounds, Connection, Door
from customhouse.gateway.admission import Admission
from customhouse.gateway.exchange import Exchange
from customhouse.gateway.live import Live
from customhouse.gateway.taskids import TaskIds
from customhouse.wire.client import ClientConnection, KnownHead
from customhouse.wiring import (
    COLLECT_AFTER,
    FreshIds,
    argument_key,
    build_conversations,
    build_rounds,
    build_verifier,
    build_view,
    data_directory,
    development_issuer,
    read_deployment,
)
from customhouse.wiring_approvals import ApprovalsAtNeed, build_approving

ENDPOINT = "/servers/bench/mcp"
AT_ONCE = 8
STRETCH = 25
MANY = Rate(1e9, 1e9)
BOUNDS = Bounds(
    max_head_bytes=16_384,
    max_body_bytes=1_048_576,
    head_timeout_seconds=10,
    body_timeout_seconds=30,
    idle_timeout_seconds=75,
    write_timeout_seconds=30,
    max_connections=100,
    keep_alive_comment_seconds=15,
)


class Line(asyncio.Transport):
    """A transport that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.out: list[bytes] = []

    def write(self, data: Any) -> None:
        self.out.append(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def pause_reading(self) -> None:
        return None

    resume_reading = abort = close = pause_reading


class Still:
    """Time that stands, so that a slow machine takes the same path as a quick one."""

    def __init__(self) -> None:
        self._now = time.time()

    def now(self) -> float:
        """See `ports.traffic.Clock`."""
        return self._now

    def monotonic(self) -> float:
        """See `ports.traffic.Clock`."""
        return 1000.0


class Turns:
    """A gateway with a caller on one side and a server on the other, both in memory."""

    def __init__(self, directory: Path) -> None:
        paths.deploy(directory, 8080, 1, {name: "write" if name == "write" else "read" for name in SIZES})
        manifest = Manifest(server_info={"name": "bench", "version": "1"}, capabilities={"tools": {}}, tools=tuple(Answers(0).tools))
        loaded = load_settings(directory, {})
        pin = Pin(server="bench", revision=load.MODERN, digest=digest_of(manifest), manifest=manifest)
        write_pin(pin_path(directory, loaded.settings, "bench"), pin)
        clock, deployment = Still(), read_deployment(loaded)
        token = development_issuer(loaded).mint(
            tenant="local",
            person="alice",
            client="bench",
            groups=["bench"],
            scopes=[f"bench:something-{number:04}" for number in range(9)],
            resources=[f"http://127.0.0.1:8080{ENDPOINT}"],
            lifetime_seconds=3600,
            now=time.time(),
        )
        self.requests = load.template("127.0.0.1:8080", ENDPOINT, token, "tools/call", "read", modern=True)
        self.ledger = SegmentLedger.open(data_directory(loaded) / "ledger", segment_max_bytes=1 << 30, clock=clock)
        live, admission = Live(build_view(deployment)), Admission(MANY, MANY, 1000, 1000)
        secrets = ReferencedSecrets(loaded.directory, {"BENCH_TOKEN": "s" * 40})
        upstreams = TransportUpstreams(secrets, clock, Changes(), dialled=self._dial)
        new_id = FreshIds()
        sealer = AeadSealer(first_keyring(clock.now()), clock)
        exchange = Exchange(
            live=live,
            verifier=build_verifier(deployment, clock),
            admission=admission,
            rounds=build_rounds(Bridges(), Flow(), upstreams, sealer, clock, new_id),
            ledger=self.ledger,
            clock=clock,
            new_id=new_id,
            argument_key=argument_key(loaded),
            public_url=deployment.settings.public_url,
            observe=RecordMetrics({}).observe,
            conversations=build_conversations(deployment.settings.sessions, sealer, clock, new_id, upstreams.forget),
            task_ids=TaskIds(sealer),
            approving=build_approving(
                deployment.settings.approvals, ApprovalsAtNeed(data_directory(loaded)), sealer, self.ledger, clock, new_id
            ),
        )
        state = ServerState()
        state.default_headers = [(b"date", b"Thu, 01 Jan 1970 00:00:00 GMT")]
        door = Door(exchange, live, admission, clock, BOUNDS, None, set())
        config = Config(app=lambda: None)
        self._callers = [Connection(door, config=config, server_state=state, app_state={}) for _ in range(AT_ONCE)]
        self._answers = [Line() for _ in self._callers]
        for caller, answers in zip(self._callers, self._answers, strict=True):
            caller.connection_made(answers)
        self._servers: list[ClientConnection] = []
        self._asked: list[Line] = []
        self._discovered = Answers(0).slow("server/discover", {})
        self._result = Answers(0).results["read"]

    async def _dial(self, _: object, __: object, ___: object, known_heads: dict[bytes, KnownHead]) -> ClientConnection:
        server, asked = ClientConnection(asyncio.get_running_loop(), known_heads), Line()
        server.connection_made(asked)
        self._servers.append(server)
        self._asked.append(asked)
        return server

    async def turn(self, number: int) -> None:
        """As many calls as there are callers, their requests at the server, the server's answers, and the way back."""
        for offset, (caller, answers) in enumerate(zip(self._callers, self._answers, strict=True)):
            answers.out.clear()
            caller.data_received(self.requests.with_id(number + offset))
        async with asyncio.timeout(5):
            while not all(answers.out for answers in self._answers):
                for server, asked in zip(self._servers, self._asked, strict=True):
                    if asked.out:
                        server.data_received(self._answer(asked.out.pop()))
                await asyncio.sleep(0)
        for offset, answers in enumerate(self._answers):
            if b'"id":%d,' % (number + offset) not in answers.out[0]:
                raise AssertionError(answers.out[0])

    def _answer(self, request: bytes) -> bytes:
        own_id = request.partition(b'"id":')[2].partition(b",")[0]
        result = self._discovered if b'"server/discover"' in request else self._result
        body = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (own_id, result)
        return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def run(count: int, *, counting: bool = False) -> float:
    """Microseconds of CPU per call: the lowest tenth of many short stretches, which other work on the machine disturbs least."""
    with tempfile.TemporaryDirectory() as folder:
        turns = Turns(Path(folder))
        numbers = range(load.FIRST_ID, load.FIRST_ID + count, AT_ONCE)
        for number in numbers[: len(numbers) // 10 + 1]:
            await turns.turn(number)
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)  # as the gateway does before it serves
        if counting:
            subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
                ["callgrind_control", "--instr=on", str(os.getpid())], check=True, stdout=subprocess.DEVNULL
            )
        stretches = []
        for start in range(0, len(numbers), STRETCH):
            before = time.process_time()
            for number in numbers[start : start + STRETCH]:
                await turns.turn(number)
            stretches.append((time.process_time() - before) / len(numbers[start : start + STRETCH]) / AT_ONCE)
        if counting:
            subprocess.run(  # noqa: ASYNC221 - nothing else runs on this loop
                ["callgrind_control", "--instr=off", str(os.getpid())], check=True, stdout=subprocess.DEVNULL
            )
        await turns.ledger.close()
        return sorted(stretches)[len(stretches) // 10] * 1e6


def instructions(count: int) -> int:
    """Instructions per call, counted by callgrind in a process of its own; the same on every run but for a thousandth.

    Raises `FileNotFoundError` without valgrind.
    """
    valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--callgrind-out-file=/dev/null"]
    command = [*valgrind, sys.executable, "-m", "bench.turn", "--count", str(count), "--counting"]
    done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True)
    return int(done.stderr.split("Collected :")[1].split()[0]) // count


def main() -> None:
    """Print what a call costs."""
    parser = argparse.ArgumentParser(description="What the gateway's own code costs per call.")
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--instructions", action="store_true", help="count instructions with valgrind instead of time")
    parser.add_argument("--counting", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.instructions:
        print(f"{instructions(400):,} instructions")
    else:
        print(f"{uvloop.run(run(options.count, counting=options.counting)):.1f} us")


if __name__ == "__main__":
    main()
