"""The door of a real process: raw sockets against `customhouse serve`, with and without TLS."""

import datetime
import ipaddress
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.edge.doors import HOST, TOKEN, Answered, legacy, modern, parse_answer, request
from tests.edge.test_smuggling import HIDDEN, SMUGGLED
from tests.journeys.conftest import ROOT, Running, free_port
from tests.journeys.held_server import HeldServer, held_server

SETTINGS = """
public_url: {scheme}://127.0.0.1:{port}
listen: {{host: 127.0.0.1, port: {port}, head_timeout_seconds: 1, body_timeout_seconds: 1, idle_timeout_seconds: 3{listen}}}
identity: {{development_issuer: {{enabled: true}}}}
limits:
  requests_per_second_per_caller: 1000000
  burst_per_caller: 1000000
  requests_per_second_per_tenant: 1000000
  burst_per_tenant: 1000000
"""
DEFINITION = """
owner: tests
contact: tests@example.org
tenant: local
url: http://127.0.0.1:{port}/mcp
max_concurrent_calls: 1024
tools:
  hold: {{class: read}}
"""
POLICY = '@id("all-read") permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"held");'

READERS = 500
LARGE_BYTES = 300_000
EVENT_BYTES = 20_000
EVENTS = 100
MAX_RESIDENT_KIB = 400 * 1024
"""250 stalled readers of 75 MB of answers, which may wait, and 250 stalled streams that would say 500 MB, of which about half a megabyte
each is on its way; beside them the process and the allocator's slack. 285 MiB where this was written."""
MAX_DELAY_SECONDS = 0.5


class Front(Running):
    """A gateway in front of the held server."""

    def __init__(self, directory: Path, upstream_port: int, listen: str = "", scheme: str = "http") -> None:
        self.directory, self.port = directory, free_port()
        for name in ("servers", "policies"):
            (directory / name).mkdir(exist_ok=True)
        (directory / "customhouse.yaml").write_text(SETTINGS.format(port=self.port, listen=listen, scheme=scheme))
        (directory / "servers" / "held.yaml").write_text(DEFINITION.format(port=upstream_port))
        (directory / "policies" / "all.cedar").write_text(POLICY)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CUSTOMHOUSE_")}
        self.environment = {**inherited, "PYTHONPATH": str(ROOT / "src")}
        self.command("servers", "pin", "held")
        self.token = self.command("token", "--as", "alice", "--group", "eng").encode()
        serve = [sys.executable, "-m", "customhouse", "serve", "--dir", str(directory)]
        super().__init__(serve, self.environment, directory / "gateway.log", self._listens)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def command(self, *words: str) -> str:
        """What a command for this deployment prints."""
        line = [sys.executable, "-m", "customhouse", *words, "--dir", str(self.directory)]
        done = subprocess.run(line, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def outcomes(self) -> Counter[str]:
        """How all exchanges so far ended, by the ledger."""
        lines = self.command("audit", "tail", "--json", "-n", "100000").splitlines()
        records = [json.loads(line) for line in lines]
        return Counter(record.get("record", record).get("outcome") for record in records)

    def said(self, data: bytes) -> bytes:
        """A request of the tables, for this gateway."""
        return data.replace(HOST, b"127.0.0.1:%d" % self.port).replace(TOKEN, self.token)

    def connect(self, receive_buffer_bytes: int = 0) -> "Line":
        """A connection."""
        plain = socket.socket()
        if receive_buffer_bytes:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        plain.settimeout(20)
        plain.connect(("127.0.0.1", self.port))
        return Line(self, plain)

    @property
    def resident_kib(self) -> int:
        """Memory of the process."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))

    @property
    def descriptors(self) -> int:
        """Open files and sockets of the process."""
        return sum(1 for _ in Path(f"/proc/{self.process.pid}/fd").iterdir())


class Line:
    """One connection of a client that speaks bytes."""

    def __init__(self, front: Front, stream: socket.socket) -> None:
        self._front = front
        self.stream = stream
        self._seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()

    def send(self, data: bytes) -> None:
        """Bytes of a table, for this gateway."""
        self.stream.sendall(self._front.said(data))

    def answer(self) -> Answered | None:
        """The next answer, or None at the end of the connection."""
        while (taken := parse_answer(self._seen)) is None:
            data = self.stream.recv(65_536)
            if not data:
                assert not self._seen, f"half an answer: {self._seen[:200]!r}"
                return None
            self._seen += data
        self._seen = self._seen[taken[1] :]
        return taken[0]

    def statuses(self) -> list[int]:
        """The statuses of all answers until the gateway ends the connection."""
        return [answer.status for answer in iter(self.answer, None)]


def hold(message_id: int = 1, **arguments: object) -> bytes:
    """A call of the held server's tool."""
    return modern("tools/call", {"name": "held__hold", "arguments": arguments}, message_id)


@pytest.fixture(scope="module")
def held() -> Iterator[HeldServer]:
    """The server behind the gateway."""
    with held_server() as server:
        yield server


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, held: HeldServer) -> Iterator[Front]:
    """A gateway with short timeouts."""
    gateway = Front(tmp_path_factory.mktemp("door"), held.port)
    try:
        yield gateway
    finally:
        gateway.stop()


@pytest.fixture
def crowded(tmp_path: Path, held: HeldServer) -> Iterator[Front]:
    """A gateway that soon gives up on readers that take nothing, its memory not used by anything before."""
    gateway = Front(tmp_path, held.port, ", write_timeout_seconds: 6")
    try:
        yield gateway
    finally:
        gateway.stop()


def test_every_ambiguous_request_is_refused_and_recorded(front: Front) -> None:
    before = front.outcomes()["MALFORMED_HTTP"]
    for shape, data in SMUGGLED.items():
        with front.connect() as line:
            line.send(data + HIDDEN)
            assert line.statuses() == [400], shape
    assert front.outcomes()["MALFORMED_HTTP"] - before == len(SMUGGLED)


def test_slow_senders_and_idle_connections_are_let_go(front: Front) -> None:
    before = front.outcomes()["REQUEST_TOO_SLOW"]
    with front.connect() as head, front.connect() as body, front.connect() as idle, front.connect() as used:
        head.send(b"POST /mcp HTTP/1.1\r\nHost: " + HOST + b"\r\nX: ")
        body.send(legacy()[:-1])
        used.send(legacy())
        assert used.answer() is not None
        assert head.statuses() == [408]
        assert body.statuses() == [408]
        assert idle.statuses() == []
        assert used.statuses() == []
    assert front.outcomes()["REQUEST_TOO_SLOW"] - before == 2


def test_fifty_requests_at_once_are_answered_in_order(front: Front) -> None:
    with front.connect() as line:
        line.send(b"".join(legacy(message_id=number) for number in range(50)))
        answers = [line.answer() for _ in range(50)]
        assert [answer.json()["id"] for answer in answers if answer] == list(range(50))
        line.send(legacy(message_id=50) + b"BROKEN\r\n\r\n" + legacy(message_id=51))
        assert line.statuses() == [200, 400]


def test_a_client_that_closes_its_side_still_gets_its_answer(front: Front) -> None:
    with front.connect() as line:
        line.send(hold(7, size=10))
        line.stream.shutdown(socket.SHUT_WR)
        answer = line.answer()
        assert answer is not None
        assert b'"id":7' in answer.body
        assert line.answer() is None


@pytest.mark.parametrize("after", ["a while", "sending"])
def test_a_modern_client_that_leaves_cancels_its_call_within_100_milliseconds(front: Front, held: HeldServer, after: str) -> None:  # GW-29
    with front.connect() as line:
        line.send(hold(wait=True))
        if after == "a while":
            held.arrived.get(timeout=10)
    gone = time.monotonic()
    if after == "sending":
        gone = held.arrived.get(timeout=10)
    assert held.left.get(timeout=10) - gone < 0.1
    deadline = time.monotonic() + 5
    while not front.outcomes()["caller_left"]:
        assert time.monotonic() < deadline


def test_readers_that_take_nothing_cost_little_disturb_nobody_and_are_let_go(crowded: Front) -> None:
    before = crowded.descriptors
    lines = [crowded.connect(receive_buffer_bytes=4096) for _ in range(READERS)]
    try:
        for number, line in enumerate(lines):
            line.send(hold(size=EVENT_BYTES, events=EVENTS) if number % 2 else hold(size=LARGE_BYTES))
        waiting = {line.stream for line in lines}
        while waiting:
            readable, _, _ = select.select(list(waiting), [], [], 20)
            assert readable
            waiting.difference_update(readable)
        assert crowded.descriptors >= READERS
        assert max(delays(crowded)) < MAX_DELAY_SECONDS
        assert crowded.resident_kib < MAX_RESIDENT_KIB
        wait_for(lambda: crowded.descriptors <= before + 5, 20)
    finally:
        for line in lines:
            line.stream.close()


def delays(front: Front) -> list[float]:
    """How long a client that reads waits for each of its answers, in seconds."""
    found = []
    with front.connect() as line:
        for _ in range(20):
            began = time.monotonic()
            line.send(legacy())
            assert line.answer() is not None
            found.append(time.monotonic() - began)
    return found


def wait_for(holds: Callable[[], bool], seconds: float) -> None:
    """Returns once it holds; fails if that takes longer."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory, held: HeldServer) -> Iterator[Front]:
    """A gateway with a certificate of its own, for two connections."""
    directory = tmp_path_factory.mktemp("tls")
    write_certificate(directory)
    listen = ", max_connections: 2, tls: {certificate_file: server.pem, key_file: server.key}"
    gateway = Front(directory, held.port, listen, "https")
    try:
        yield gateway
    finally:
        gateway.stop()


def write_certificate(directory: Path) -> None:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = directory / "server.key"
    secret.touch(mode=0o600)
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def over_tls(front: Front) -> Line:
    """A connection that trusts the gateway's certificate and nothing else."""
    context = ssl.create_default_context(cafile=str(front.directory / "server.pem"))
    return Line(front, context.wrap_socket(front.connect().stream, server_hostname="127.0.0.1"))


def test_a_call_goes_over_tls(certified: Front) -> None:
    with over_tls(certified) as line:
        line.send(hold(5, size=200_000) + request(b"GET", b"/.well-known/oauth-protected-resource/mcp", body=None))
        answer, metadata = line.answer(), line.answer()
    assert answer is not None
    assert metadata is not None
    assert answer.json()["id"] == 5
    assert metadata.json()["resource"] == f"https://127.0.0.1:{certified.port}/mcp"


def test_a_modern_client_that_leaves_over_tls_cancels_its_call(certified: Front, held: HeldServer) -> None:
    with over_tls(certified) as line:
        line.send(hold(wait=True))
        held.arrived.get(timeout=10)
    gone = time.monotonic()
    assert held.left.get(timeout=10) - gone < 0.1
    assert certified.log.read_text().splitlines() == [f"ready https://127.0.0.1:{certified.port}"]


def test_plain_http_gets_no_answer_from_a_door_with_tls(certified: Front) -> None:
    with certified.connect() as line:
        line.send(legacy())
        assert b"HTTP/1.1" not in line.stream.recv(65_536)


def test_one_connection_too_many_is_refused_over_tls_and_recorded(certified: Front) -> None:
    with over_tls(certified) as first, over_tls(certified) as second, over_tls(certified) as third:
        assert third.statuses() == [503]
        for line in (first, second):
            line.send(legacy())
            assert line.answer() is not None
    assert certified.outcomes()["OVERLOADED"] == 1
