"""A gateway in front of one staged server of each kind, clients that leave where they like, and what is seen from outside."""

import http.client
import itertools
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
from click.testing import CliRunner

from customhouse.adapters.sandboxes.trees import digest_of_tree
from customhouse.cli.token import token
from customhouse.core.record import Record
from tests.journeys.conftest import ROOT, Running, free_port
from tests.journeys.endings_server import StagedServer, staged_server
from tests.ledgers.writing import records_in
from tests.sandboxes.programs import INTERPRETER, processes_with

PROGRAM = Path(__file__).parent / "endings_program.py"
COUNTING = Path(__file__).parent / "counting_gateway.py"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
WAITS_SECONDS = 15.0
ANSWER_SECONDS = 1.0
POLICY = '@id("w") permit (principal in Group::"local/eng", action in Action::"write", resource);\n'
LIMITS = {
    "requests_per_second_per_caller": 100_000,
    "burst_per_caller": 100_000,
    "requests_per_second_per_tenant": 100_000,
    "burst_per_tenant": 100_000,
}
WAIVED = [{"rule": "unauthenticated-writes", "reason": "The server is the test's own.", "granted_by": "tester"}]
CAN: dict[str, Any] = {"elicitation": {"form": {}}}
YES = {"action": "accept", "content": {"yes": True}}

ids = itertools.count(1)


def until(holds: Callable[[], object], what: Callable[[], object] = lambda: "") -> None:
    """Return once something holds that another process brings about."""
    deadline = time.monotonic() + WAITS_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


class Front(Running):
    """The gateway with its servers `modern`, `legacy` and `child`, and a token for each."""

    def __init__(self, directory: Path, definitions: dict[str, dict[str, Any]]) -> None:
        self.directory = directory
        self.port = free_port()
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("CUSTOMHOUSE_")}
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
        self.http = httpx2.Client(trust_env=False, timeout=10.0)
        settings = {
            "public_url": f"http://127.0.0.1:{self.port}",
            "listen": {"host": "127.0.0.1", "port": self.port},
            "identity": {"development_issuer": {"enabled": True, "tenant": "local"}},
            "limits": LIMITS,
            "bridges": {"answer_timeout_seconds": ANSWER_SECONDS},
        }
        for kind in ("servers", "policies"):
            (directory / kind).mkdir(parents=True)
        (directory / "customhouse.yaml").write_text(json.dumps(settings))
        (directory / "policies" / "all.cedar").write_text(POLICY)
        about = {"owner": "testers", "contact": "t@example.org", "tenant": "local", "tools": {"work": {"class": "write"}}}
        for name, way_in in definitions.items():
            (directory / "servers" / f"{name}.yaml").write_text(json.dumps(about | way_in))
            self.customhouse("servers", "pin", name)
        self._counts = directory / "counts.json"
        serve = [sys.executable, str(COUNTING), str(self._counts), str(directory)]
        super().__init__(serve, self.environment, directory / "gateway.log", self._is_ready)

    @cache  # noqa: B019 - it lives as long as the tests
    def token(self, person: str) -> str:
        """A token of somebody."""
        words = ["--as", person, "--group", "eng", "--dir", str(self.directory)]
        minted = CliRunner().invoke(token, words, env=self.environment)
        assert minted.exit_code == 0, minted.output
        return minted.stdout.strip()

    def customhouse(self, *words: str) -> str:
        """What a command for this deployment prints."""
        command = [sys.executable, "-m", "customhouse", *words, "--dir", str(self.directory)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False).is_success
        except httpx2.TransportError:
            return False

    # From outside

    @property
    def records(self) -> list[Record]:
        return records_in(self.directory / "data" / "ledger")

    @property
    def in_flight(self) -> int:
        """Requests being answered; the asking one does not count."""
        text = self.http.get(f"http://127.0.0.1:{self.port}/metrics").text
        found = re.search(r"^customhouse_requests_in_flight (\S+)$", text, re.MULTILINE)
        assert found
        return int(float(found[1])) - 1

    @property
    def descriptors(self) -> list[str]:
        """What is open, by kind and target, sockets without their numbers."""
        found = []
        for link in Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                found.append(re.sub(r"\[\d+\]", "", str(link.readlink())))
            except FileNotFoundError:
                continue
        return sorted(found)

    def counts(self) -> Counter[str]:
        """Objects inside the process, by class."""
        self._counts.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR1)
        until(self._counts.exists)
        return Counter(json.loads(self._counts.read_text()))

    @property
    def children(self) -> int:
        """Processes below the gateway, ended ones that nobody waited for among them."""
        return len(descendants(self.process.pid))


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            below = [int(word) for word in tasks.read_text().split()]
        except OSError:
            continue
        for child in below:
            found += [child, *descendants(child)]
    return found


class Caller:
    """One client of an era at one server; `can_answer` declares that a person may be asked."""

    def __init__(self, front: Front, server: str, *, modern: bool, person: str = "alice", can_answer: bool = True) -> None:
        self.front = front
        self.token = front.token(person)
        self.path = f"/servers/{server}/mcp"
        self.modern = modern
        self.capabilities = CAN if can_answer else {}
        self.session = ""
        if not modern:
            params = {"protocolVersion": LEGACY, "capabilities": self.capabilities, "clientInfo": {"name": "t", "version": "1"}}
            opened = self.post({"method": "initialize", "id": next(ids), "params": params})
            opened.answer()
            self.session = opened.response.headers["mcp-session-id"]

    def work(self, stop: str = "", *, ask: bool = False, **more: Any) -> "Posted":
        """Call the tool."""
        params: dict[str, Any] = {"name": "work", "arguments": {"stop": stop, "ask": ask}, "_meta": {"progressToken": 1}, **more}
        if self.modern:
            params["_meta"] |= {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": self.capabilities,
            }
        return self.post({"method": "tools/call", "id": next(ids), "params": params})

    def post(self, message: dict[str, Any], method: str = "POST") -> "Posted":
        headers = {
            "authorization": f"Bearer {self.token}",
            "content-type": "application/json",
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": MODERN if self.modern else LEGACY,
        }
        if self.modern:
            headers |= {"mcp-method": message["method"], "mcp-name": "work"}
        if self.session:
            headers["mcp-session-id"] = self.session
        connection = http.client.HTTPConnection("127.0.0.1", self.front.port, timeout=WAITS_SECONDS)
        body = json.dumps({"jsonrpc": "2.0", **message}).encode() if method == "POST" else None
        connection.request(method, self.path, body, headers)
        return Posted(connection, message.get("id"))

    def say(self, **message: Any) -> None:
        """A message that has no answer of its own."""
        posted = self.post(message)
        assert posted.response.status == 202, posted.response.status
        posted.leave()

    def hang_up(self) -> None:
        """End the session, if there is one."""
        if self.session:
            posted = self.post({}, "DELETE")
            assert posted.response.status == 200
            posted.leave()


class Posted:
    """A request that is out."""

    def __init__(self, connection: http.client.HTTPConnection, message_id: Any) -> None:
        self.connection = connection
        self.message_id = message_id
        self._response: http.client.HTTPResponse | None = None

    @property
    def response(self) -> http.client.HTTPResponse:
        """Waits for the head."""
        if self._response is None:
            self._response = self.connection.getresponse()
        return self._response

    def messages(self) -> Iterator[dict[str, Any]]:
        """As they come."""
        response = self.response
        if "json" in (response.headers["content-type"] or ""):
            yield json.loads(response.read())
            return
        while line := response.readline():
            if line.startswith(b"data: {"):
                yield json.loads(line[6:])

    def until(self, method: str) -> dict[str, Any]:
        """The next message with this method; an empty one stands for an answer."""
        for message in self.messages():
            if message.get("method", "") == method:
                return message
        raise AssertionError(f"the answer ended without {method or 'an answer'}")

    def answer(self) -> dict[str, Any]:
        """The answer itself; the connection is closed behind it."""
        found = self.until("")
        self.leave()
        return found

    def leave(self) -> None:
        """Close the connection, whatever is under way."""
        sock = self.connection.sock
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
        if self._response is not None:
            self._response.close()
        self.connection.close()


class World:
    """Everything that runs, and how it stood before a test."""

    def __init__(self, front: Front, servers: dict[str, StagedServer], notes: Path, mark: str) -> None:
        self.front = front
        self.servers = servers
        self.notes = notes
        self.mark = mark
        self._before = 0
        self._base: tuple[Counter[str], int] = (Counter(), 0)
        self._programs: set[int] = set()

    def programs(self) -> set[int]:
        """The processes of the stdio server that were not there before."""
        return set(processes_with(self.mark)) - self._programs

    def noted(self, word: str) -> int:
        """How often the stdio server came to a stage."""
        return self.notes.read_text().split().count(word) if self.notes.exists() else 0

    def quiet(self) -> None:
        """Note how things stand, with no connection to any server."""
        until(lambda: self.front.in_flight == 0)
        self._base = self._standing()
        self._programs = set(processes_with(self.mark))
        self._before = len(self.front.records)

    def _standing(self) -> tuple[Counter[str], int]:
        until(lambda: not any(server.hang_up() for server in self.servers.values()))
        return Counter(self.front.descriptors), self.front.children

    def left_behind(self) -> str:
        """What is there now that was not there before; empty for nothing."""
        descriptors, children = self._standing()
        more = descriptors - self._base[0]
        said = [f"{self.front.in_flight} in flight"] * (self.front.in_flight != 0)
        said += [f"{dict(more)} open"] * bool(more)
        said += [f"{children - self._base[1]} processes"] * (children > self._base[1])
        records = self.front.records[self._before :]
        closings = Counter(record.call_id for record in records if record.kind == "closing")
        said += [f"{each} closed {count} times" for each, count in closings.items() if count != 1]
        said += [f"{one.call_id} not closed" for one in records if one.kind == "intent" and not closings[one.call_id]]
        return "; ".join(said)

    def outcomes(self) -> list[str]:
        """How the calls of the tool ended, once nothing is left behind of them; from now on that is how things stood."""
        until(lambda: not self.left_behind(), self.left_behind)
        records = self.front.records[self._before :]
        self._before += len(records)
        return [record.outcome for record in records if record.kind == "closing" and record.method == "tools/call"]


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """The gateway and its servers."""
    notes, mark = directory / "notes" / "stages", f"endings-{secrets.token_hex(4)}"
    notes.parent.mkdir()
    notes.parent.chmod(0o777)  # the program runs as a user of its own
    tree = directory / "tree"
    tree.mkdir()
    (tree / "program.py").write_bytes(PROGRAM.read_bytes())
    program = {
        "package": {"ecosystem": "pypi", "name": "staged", "version": "1", "digest": digest_of_tree(str(tree))},
        "installed": str(tree),
        "argv": [INTERPRETER, "-I", "-S", "program.py", str(notes), mark],
        "read_only_paths": [sys.base_prefix],
        "writable_paths": [str(notes.parent)],
    }
    with staged_server(modern=True) as modern, staged_server(modern=False) as legacy:
        definitions: dict[str, dict[str, Any]] = {
            "modern": {"url": f"http://127.0.0.1:{modern.port}/mcp", "waivers": WAIVED},
            "legacy": {"url": f"http://127.0.0.1:{legacy.port}/mcp", "waivers": WAIVED},
            "child": {"stdio": program},
        }
        front = Front(directory / "deployment", definitions)
        try:
            yield World(front, {"modern": modern, "legacy": legacy}, notes, mark)
        finally:
            front.http.close()
            front.stop()
