"""Journeys: real processes on loopback, the quickstart's deployment in a folder of its own.

`notes` is the quickstart's server, `gateway` is `customhouse serve` in front of it. Both live as long as their test module; a journey that
needs them otherwise restarts them.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples" / "quickstart"
READY_TIMEOUT_SECONDS = 30.0
END_TIMEOUT_SECONDS = 30.0
COMMAND_TIMEOUT_SECONDS = 60.0


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A process that a journey starts, with its output in a file; ended by its id, politely and then by force."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path, ready: Callable[[], bool]) -> None:
        self._command = command
        self._environment = environment
        self.log = log
        self._ready = ready
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as sink:
            process = subprocess.Popen(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        while not self._ready():
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                pytest.fail(f"{' '.join(self._command)} did not become ready:\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)
        return process

    def stop(self) -> int:
        """End the process and return its exit code; nothing happens where it has ended."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(END_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def restart(self, *extra: str) -> None:
        """End the process and start it again, with these words behind its command this time."""
        self.stop()
        command, self._command = self._command, [*self._command, *extra]
        try:
            self.process = self._started()
        finally:
            self._command = command


class Notes(Running):
    """The quickstart's server of notes. `restart("--reworded")` changes the words of `read_note`, `restart("--demanding")` blocks it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.token = secrets.token_urlsafe(16)
        command = [sys.executable, str(QUICKSTART / "notes_server.py"), "--port", str(self.port)]
        super().__init__(command, {**os.environ, "NOTES_TOKEN": self.token}, folder / "notes.log", self._accepts)

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Gateway(Running):
    """`customhouse serve` for a copy of the quickstart in `directory`."""

    def __init__(self, directory: Path, notes: Notes, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CUSTOMHOUSE_")}
        self.environment = {
            **inherited,
            "NOTES_TOKEN": notes.token,
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH")))),
            **(settings or {}),
        }
        _deploy(directory, self.port, notes.url)
        if not (directory / "servers" / "notes.pin.json").exists():
            self.command("servers", "pin", "notes")
        serve = [sys.executable, "-m", "customhouse", "serve", "--dir", str(directory)]
        super().__init__(serve, self.environment, directory / "gateway.log", self._is_ready)

    def command(self, *words: str, code: int = 0) -> str:
        """What a `customhouse` command for this deployment prints; it must end with this code."""
        done = subprocess.run(
            [sys.executable, "-m", "customhouse", *words, "--dir", str(self.directory)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout.strip()

    def token(self, person: str, *groups: str, endpoint: str | None = None) -> str:
        """A token of the development issuer, for one endpoint or for all of them."""
        grouped = [word for group in groups for word in ("--group", group)]
        return self.command("token", "--as", person, *grouped, *(("--endpoint", endpoint) if endpoint else ()))

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/readyz", trust_env=False, timeout=5.0).is_success
        except httpx2.TransportError:
            return False


def _deploy(directory: Path, port: int, notes_url: str) -> None:
    """Copy the quickstart and put its addresses right."""
    shutil.copytree(QUICKSTART, directory, dirs_exist_ok=True, ignore=shutil.ignore_patterns("data", "__pycache__", "*.py"))
    _replace(directory / "customhouse.yaml", {"http://127.0.0.1:8080": f"http://127.0.0.1:{port}", "port: 8080": f"port: {port}"})
    _replace(directory / "servers" / "notes.yaml", {"http://127.0.0.1:8901/mcp": notes_url})


def _replace(file: Path, words: dict[str, str]) -> None:
    text = file.read_text(encoding="utf-8")
    for old, new in words.items():
        assert old in text, f"{file.name} has no {old}"
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notes]:
    """The server of notes, running."""
    server = Notes(tmp_path_factory.mktemp("notes"))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, notes: Notes) -> Iterator[Gateway]:
    """The gateway in front of the server of notes, running."""
    front = Gateway(tmp_path_factory.mktemp("deployment"), notes)
    try:
        yield front
    finally:
        front.stop()
