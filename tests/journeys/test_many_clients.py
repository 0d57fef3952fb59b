"""Many clients at once: nobody hears somebody else's answer, warm calls cost one upstream request, and memory stays where it was."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.journeys.conftest import ROOT, Running, free_port
from tests.journeys.load import Client, Tally, crowd, hammer

PATH = "/servers/echo/mcp"
MAX_RESIDENT_KIB = 90 * 1024

SETTINGS = """
public_url: http://127.0.0.1:{port}
listen: {{host: 127.0.0.1, port: {port}}}
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
max_concurrent_calls: 512
tools:
  echo: {{class: read}}
"""
POLICY = '@id("all-read") permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"echo");'


class Echo(Running):
    """The echo server, and what it has counted."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, str(Path(__file__).with_name("echo_server.py")), "--port", str(self.port)]
        super().__init__(command, dict(os.environ), folder / "echo.log", self._counts)

    def _counts(self) -> bool:
        try:
            return self.count() >= 0
        except httpx2.TransportError:
            return False

    def count(self) -> int:
        """POST requests so far."""
        return int(httpx2.get(f"http://127.0.0.1:{self.port}/count", trust_env=False).text)


class Front(Running):
    """A gateway in front of the echo server."""

    def __init__(self, directory: Path, echo: Echo) -> None:
        self.directory, self.port = directory, free_port()
        for name in ("servers", "policies"):
            (directory / name).mkdir(exist_ok=True)
        (directory / "customhouse.yaml").write_text(SETTINGS.format(port=self.port))
        (directory / "servers" / "echo.yaml").write_text(DEFINITION.format(port=echo.port))
        (directory / "policies" / "all.cedar").write_text(POLICY)
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        self.command("servers", "pin", "echo")
        serve = [sys.executable, "-m", "customhouse", "serve", "--dir", str(directory)]
        super().__init__(serve, self.environment, directory / "gateway.log", self._is_ready)

    def command(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "customhouse", *words, "--dir", str(self.directory)],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.strip()

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{self.port}/readyz", trust_env=False, timeout=5.0).is_success
        except httpx2.TransportError:
            return False

    def clients(self, count: int, people: int) -> list[Client]:
        """Clients of a few people, so that ids collide within a person too."""
        tokens = [self.command("token", "--as", f"person-{n}", "--group", "eng", "--endpoint", PATH) for n in range(people)]
        return [Client("127.0.0.1", self.port, PATH, tokens[n % people]) for n in range(count)]

    def resident_kib(self) -> int:
        """Resident memory of the gateway."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0])


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Echo]:
    server = Echo(tmp_path_factory.mktemp("echo"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, echo: Echo) -> Iterator[Front]:
    gateway = Front(tmp_path_factory.mktemp("front"), echo)
    try:
        yield gateway
    finally:
        gateway.stop()


async def test_two_hundred_clients_with_colliding_ids_never_hear_each_other(front: Front) -> None:  # GW-09
    await _nobody_hears_another(front, seconds=5.0)


@pytest.mark.long
@pytest.mark.timeout(180)
async def test_two_hundred_clients_with_colliding_ids_never_hear_each_other_for_a_minute(front: Front) -> None:
    await _nobody_hears_another(front, seconds=60.0)


async def _nobody_hears_another(front: Front, seconds: float) -> None:
    tally = await crowd(front.clients(200, people=4), seconds)
    print(f"{tally.answered} answers in {seconds:.0f} s, {sum(tally.wrong.values())} wrong")
    assert tally.answered > 200
    assert not tally.wrong


async def test_a_warm_call_costs_one_upstream_request(front: Front, echo: Echo) -> None:
    client, tally = front.clients(1, people=1)[0], Tally()
    await hammer(client, 0, time.monotonic() + 0.5, tally)
    before = echo.count()
    tally = Tally()
    await hammer(client, 0, time.monotonic() + 1.0, tally)
    assert tally.answered > 10
    assert echo.count() - before == tally.answered


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_memory_stays_under_90_mib_after_a_hundred_thousand_calls(front: Front) -> None:
    answered = 0
    while answered < 100_000:
        tally = await crowd(front.clients(32, people=4), 10.0)
        assert not tally.wrong
        answered += tally.answered
    print(f"{front.resident_kib()} KiB resident after {answered} calls")
    assert front.resident_kib() < MAX_RESIDENT_KIB
