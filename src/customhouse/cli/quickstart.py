"""`customhouse quickstart`: a gateway in front of a server of notes, and a tour through it.

Works on a copy of `examples/quickstart`, so that the example stays as it is. The notes server wants a bearer token that only the
gateway holds; it is made anew for every start.
"""

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from customhouse.cli.failures import explained

START_SECONDS = 20.0
"""How long a process may take until it listens, on a slow machine too."""

_COMMAND = "customhouse"


@click.command()
@click.option("--tour", is_flag=True, help="Walk through the main features and end, instead of serving until interrupted.")
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="examples/quickstart",
    show_default=True,
    help="The example to copy.",
)
@click.option("--work", type=click.Path(path_type=Path), default=".quickstart", show_default=True, help="Where the copy runs.")
@explained
def quickstart(tour: bool, source: Path, work: Path) -> None:
    """Start a gateway with an example server, and print an endpoint, a token and lines to paste.

    With --tour: list, an allowed read, a refused write, a granted write, a tool that drifts and is served as approved or
    blocked, the audit log; each command above its result.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    example = Example(source, work.absolute())
    with example.running(drift_seconds=1.0 if tour else 300.0):
        if tour:
            Tour(example).walk()
            return
        example.introduce()
        with contextlib.suppress(KeyboardInterrupt):
            example.gateway.wait()


class Example:
    """A copy of the example with its two processes."""

    def __init__(self, source: Path, work: Path) -> None:
        self.work = work
        self._environ = {**os.environ, "NOTES_TOKEN": secrets.token_urlsafe(32)}
        self.gateway_port, self.notes_port = free_port(8080), free_port(8901)
        self.endpoint = f"http://127.0.0.1:{self.gateway_port}/mcp"
        self.gateway: subprocess.Popen[str]
        self.notes: subprocess.Popen[str]
        work.mkdir(parents=True, exist_ok=True)
        for name in ("customhouse.yaml", "servers", "policies", "notes_server.py"):
            self._copy(source / name, work / name)

    def _copy(self, origin: Path, target: Path) -> None:
        if origin.is_dir():
            shutil.copytree(origin, target, dirs_exist_ok=True)
            for file in target.glob("*.yaml"):
                self._with_ports(file)
        else:
            shutil.copy(origin, target)
            self._with_ports(target)

    def _with_ports(self, file: Path) -> None:
        text = file.read_text("utf-8")
        file.write_text(text.replace("8080", str(self.gateway_port)).replace("8901", str(self.notes_port)), "utf-8")

    @contextlib.contextmanager
    def running(self, drift_seconds: float) -> Iterator[None]:
        """Both processes, ended whatever happens."""
        self._environ["CUSTOMHOUSE_CAPTURES__INTERVAL_SECONDS"] = str(drift_seconds)
        self.start_notes()
        try:
            serve = [_COMMAND, "serve", "--dir", str(self.work)]
            self.gateway = subprocess.Popen(serve, stdout=subprocess.PIPE, **self._apart())  # noqa: S603 - our own command
            try:
                if self.gateway.stdout is None or not self.gateway.stdout.readline().startswith("ready "):
                    raise OSError("The gateway did not start; its reason stands above.")
                yield
            finally:
                end(self.gateway)
        finally:
            end(self.notes)

    def start_notes(self, *options: str) -> None:
        """Start the notes server and wait until it listens."""
        script = str(self.work / "notes_server.py")
        command = [sys.executable, script, "--port", str(self.notes_port), *options]
        self.notes = subprocess.Popen(command, **self._apart())  # noqa: S603 - our own example
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.notes_port), timeout=1.0):
                return
            time.sleep(0.05)
        raise OSError("The notes server did not start.")

    def _apart(self) -> dict[str, Any]:
        """An interrupt at the terminal reaches this process alone, which then ends the others in order."""
        return {"env": self._environ, "text": True, "start_new_session": True}

    def run(self, arguments: Sequence[str], token: str = "") -> subprocess.CompletedProcess[str]:
        """One command of the tour."""
        environ = {**self._environ, "CUSTOMHOUSE_DIR": str(self.work), "CUSTOMHOUSE_URL": self.endpoint} | (
            {"CUSTOMHOUSE_TOKEN": token} if token else {}
        )
        return subprocess.run([_COMMAND, *arguments], env=environ, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 - our own command

    def token(self, person: str, *groups: str) -> str:
        """A token for somebody of these groups."""
        options = [part for group in groups for part in ("--group", group)]
        return self.run(["token", "--as", person, *options, "--endpoint", "/mcp"]).stdout.strip()

    def introduce(self) -> None:
        """Print what a newcomer needs."""
        token = self.token("alice", "eng", "editors")
        client = {"mcpServers": {"notes": {"type": "http", "url": self.endpoint, "headers": {"Authorization": f"Bearer {token}"}}}}
        executable = shutil.which(_COMMAND) or _COMMAND
        click.echo(f"Endpoint   {self.endpoint}")
        click.echo(f"Token      {token}")
        click.echo("           alice of the groups eng and editors, for one hour; mint others with `customhouse token`")
        click.echo(f"\nClient configuration\n{json.dumps(client, indent=2)}")
        click.echo("\nA call")
        click.echo(f"  {executable} call --url {self.endpoint} --token {token} notes__read_note title=welcome")
        click.echo(f"\nThe deployment is {self.work}: settings, definitions, policies and the ledger. Interrupt to end.")


class Tour:
    """The steps of `make demo`; a step that does not end as it should ends the tour with exit code 1."""

    def __init__(self, example: Example) -> None:
        self._example = example
        self._alice = example.token("alice", "eng")
        self._bea = example.token("bea", "editors", "eng")
        self._as = {self._alice: "alice of eng", self._bea: "bea of eng and editors"}

    def walk(self) -> None:
        """All steps."""
        self._step("What alice may see", ["call", "--list"], self._alice, expect=0)
        self._step("A read is granted", ["call", "notes__read_note", "title=welcome"], self._alice, expect=0)
        write = ["call", "notes__add_note", "title=plan", "text=Ship it."]
        self._step("A write without a grant is refused", write, self._alice, expect=1)
        why = [
            "policy",
            "explain",
            "--as",
            "alice",
            "--group",
            "eng",
            "call",
            "notes/add_note",
            "--arguments",
            '{"title":"plan","text":"x"}',
        ]
        self._step("Why it was refused, for the operator", why, expect=0)
        self._step(
            "Alice's own grant covers drafts", [*write[:-2], "title=draft", "text=Ship it.", 'tags=["draft"]'], self._alice, expect=0
        )
        self._step("The first write by somebody with a grant for it", write, self._bea, expect=0)
        self._replace_server("--reworded", "describes read_note differently", "served")
        self._step("What changed since it was approved", ["servers", "diff", "notes", "--side-by-side"], expect=1)
        self._step("Clients still see and call what was approved", ["call", "notes__read_note", "title=welcome"], self._alice, expect=0)
        self._replace_server("--demanding", "demands one more parameter", "blocked")
        self._step("The drifted tool is blocked", ["call", "notes__read_note", "title=welcome"], self._alice, expect=1)
        self._step("What was written down", ["audit", "tail", "-n", "8"], expect=0)
        self._step("Nothing of it was changed", ["audit", "verify"], expect=0)

    def _replace_server(self, option: str, difference: str, verdict: str) -> None:
        """Wait until the gateway noticed; it looks at the server once a second here."""
        click.echo(f"\n== The server is replaced by one that {difference}")
        end(self._example.notes)
        self._example.start_notes(option)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if f", {verdict}" in self._example.run(["audit", "tail", "-n", "5", "--json"]).stdout:
                return
            time.sleep(0.2)
        raise OSError("The gateway did not notice the changed definition.")

    def _step(self, title: str, arguments: list[str], token: str = "", *, expect: int) -> None:
        who = f"   (as {self._as[token]})" if token else ""
        click.echo(f"\n== {title}{who}\n$ {_COMMAND} {shlex.join(arguments)}")
        done = self._example.run(arguments, token)
        click.echo((done.stdout + done.stderr).rstrip())
        if done.returncode != expect:
            raise OSError(f"The command ended with {done.returncode} instead of {expect}.")


def end(process: subprocess.Popen[str]) -> None:
    """End a process and wait for it."""
    process.terminate()
    try:
        process.wait(timeout=START_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port(wanted: int) -> int:
    """The wanted port of loopback, or another one if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return wanted
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
