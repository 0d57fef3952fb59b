"""`customhouse serve`: run the gateway of a deployment directory."""

import logging
import os
from pathlib import Path

import click
import uvloop

from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import load
from customhouse.wiring import Gateway, read_deployment


@click.command()
@deployment_directory
@explained
def serve(directory: Path) -> None:
    """Run the gateway of a deployment directory until it is told to stop.

    Prints one line, `ready URL`, once it listens. SIGTERM drains within `limits.drain_seconds`; a second one ends at once.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    deployment = read_deployment(load(directory, os.environ))
    gateway = Gateway(deployment, os.environ)
    listen = deployment.settings.listen
    scheme = "http" if listen.tls is None else "https"
    uvloop.run(gateway.run(lambda: click.echo(f"ready {scheme}://{listen.host}:{listen.port}")))
