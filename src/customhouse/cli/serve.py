"""`customhouse serve`: run the gateway of a deployment directory, and the control process beside it where there is one."""

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
import uvloop

from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import Loaded, load
from customhouse.config.rules import control_url
from customhouse.wiring import Deployment, Gateway, follows_registry, read_deployment

log = logging.getLogger(__name__)

ENDING_SECONDS = 10.0
"""For the control process to end on its own, then it is killed."""

AGAIN_SECONDS = (1.0, 60.0)
"""Before a control process that ended is started again: at first, and at most."""


@click.command()
@deployment_directory
@click.option(
    "--only",
    type=click.Choice(["gateway", "control"]),
    help="Run one of the two processes alone; both run by default where the settings have a `control`.",
)
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="End with whoever holds the other end of stdin.")
@explained
def serve(directory: Path, only: str | None, *, until_stdin_closes: bool) -> None:
    """Run the gateway of a deployment directory until it is told to stop.

    Prints one line, `ready URL`, once it listens; the control process prints `control ready URL`. SIGTERM drains within
    `limits.drain_seconds`; a second one ends at once.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    loaded = load(directory, os.environ)
    if only == "control":
        _control(loaded, until_stdin_closes=until_stdin_closes)
        return
    deployment = Deployment(loaded, (), {}, {}) if follows_registry(loaded.settings) else read_deployment(loaded)
    gateway = Gateway(deployment, os.environ)
    listen = deployment.settings.listen
    scheme = "http" if listen.tls is None else "https"
    ready = f"ready {scheme}://{listen.host}:{listen.port}"

    async def run() -> None:
        async with _beside(loaded, wanted=only is None and loaded.settings.control is not None):
            await gateway.run(lambda: click.echo(ready))

    uvloop.run(run())


def _control(loaded: Loaded, *, until_stdin_closes: bool) -> None:
    from customhouse.wiring_control import ControlProcess  # noqa: PLC0415 - the gateway carries no database

    control = ControlProcess(loaded, os.environ)
    ready = f"control ready {control_url(loaded.settings)}"
    uvloop.run(control.run(lambda: click.echo(ready), until_stdin_closes=until_stdin_closes))


@contextlib.asynccontextmanager
async def _beside(loaded: Loaded, *, wanted: bool) -> AsyncIterator[None]:
    """A control process as long as the block lasts; one that ends is started again. The gateway goes on without it."""
    if not wanted:
        yield
        return
    keeping = asyncio.create_task(_keep(loaded.directory))
    try:
        yield
    finally:
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping


async def _keep(directory: Path) -> None:
    pause, longest = AGAIN_SECONDS
    while True:
        command = (sys.executable, "-m", "customhouse", "serve", "--only", "control", "--until-stdin-closes", "--dir", str(directory))
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)
        try:
            status = await process.wait()
        finally:
            if process.returncode is None:
                await _end(process)
        log.error("the control process ended with %d; it is started again in %.0f s, the gateway goes on", status, pause)
        await asyncio.sleep(pause)
        pause = min(pause * 2, longest)


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), ENDING_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
