"""Starting and stopping: fast, only where it is safe, and without losing a call or a record."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx2
import pytest

from tests.journeys.conftest import Gateway, Notes
from tests.journeys.test_refusals import Agent

CPU_SECONDS_TO_IMPORT = 1.5
CPU_SECONDS_TO_BE_READY = 2.5
"""Twice the targets (0.7 s and 1 s on an idle machine), since the tests share theirs."""


def serve(directory: Path, environment: dict[str, str], **settings: str) -> subprocess.CompletedProcess[str]:
    """`customhouse serve` where it is expected to end at once."""
    return subprocess.run(
        [sys.executable, "-m", "customhouse", "serve", "--dir", str(directory)],
        env={**environment, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_gateway_that_others_can_reach_needs_tls_and_a_real_issuer(gateway: Gateway) -> None:  # GW-02
    refused = serve(gateway.directory, gateway.environment, CUSTOMHOUSE_LISTEN__HOST="0.0.0.0")
    assert refused.returncode == 1
    assert "ready" not in refused.stdout
    assert "tls" in refused.stderr
    assert "without an issuer" in refused.stderr


def test_a_second_process_on_the_same_data_does_not_start(gateway: Gateway) -> None:
    refused = serve(gateway.directory, gateway.environment)
    assert refused.returncode == 1
    assert "ledger" in refused.stderr


def test_importing_and_starting_are_quick(gateway: Gateway) -> None:
    imported = subprocess.run(
        [sys.executable, "-c", "import time, customhouse.cli.main; print(time.process_time())"],
        capture_output=True,
        text=True,
        env={**os.environ, "COVERAGE_PROCESS_CONFIG": ""},
        check=True,
    )
    gateway.restart()
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    ready_seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    print(f"import {float(imported.stdout):.2f} s, ready {ready_seconds:.2f} s of CPU time")
    assert float(imported.stdout) < CPU_SECONDS_TO_IMPORT
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:  # measuring coverage is slower than what is measured
        assert ready_seconds < CPU_SECONDS_TO_BE_READY


def test_a_running_call_is_answered_while_the_process_drains(gateway: Gateway, notes: Notes) -> None:
    agent = Agent(gateway, gateway.token("alice", "eng"))
    answers: list[httpx2.Response] = []
    calling = threading.Thread(target=lambda: answers.append(agent.call("notes__count_slowly", steps=5, pause_seconds=0.2)))
    calling.start()
    in_flight(gateway)
    gateway.process.send_signal(signal.SIGTERM)
    calling.join(30)
    assert gateway.process.wait(30) == 0
    assert '"isError":false' in answers[0].text
    newest = [json.loads(line) for line in gateway.command("audit", "tail", "-n", "2", "--json").splitlines()]
    assert [record.get("record", record)["kind"] for record in newest] == ["closing", "stop"]
    gateway.restart()


def test_a_second_signal_ends_the_process_at_once(gateway: Gateway) -> None:
    agent = Agent(gateway, gateway.token("alice", "eng"))
    answers: list[httpx2.Response] = []
    calling = threading.Thread(target=lambda: answers.append(agent.call("notes__count_slowly", steps=100, pause_seconds=0.2)))
    calling.start()
    in_flight(gateway)
    began = time.monotonic()
    gateway.process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    gateway.process.send_signal(signal.SIGTERM)
    gateway.process.wait(30)
    assert time.monotonic() - began < 5
    calling.join(30)
    assert '"result"' not in answers[0].text
    gateway.command("audit", "verify")
    newest = [json.loads(line) for line in gateway.command("audit", "tail", "-n", "2", "--json").splitlines()]
    assert [record.get("record", record).get("outcome") for record in newest] == ["cancelled", None]
    gateway.restart()


def in_flight(gateway: Gateway) -> None:
    """Wait until a call is inside; the asking request is one of them."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        metrics = httpx2.get(f"{gateway.url}/metrics", trust_env=False).text
        if "customhouse_requests_in_flight 2.0" in metrics:
            return
        time.sleep(0.05)
    pytest.fail("no call came in")
