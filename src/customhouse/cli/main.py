"""`customhouse`: the commands of an operator."""

import click

from customhouse import __version__
from customhouse.cli.approvals import approvals
from customhouse.cli.ascode import apply, drift, export_directory, plan
from customhouse.cli.audit import audit
from customhouse.cli.call import call
from customhouse.cli.exports import export_endpoints
from customhouse.cli.imports import import_servers
from customhouse.cli.keys import keys
from customhouse.cli.migrate import migrate
from customhouse.cli.policy import policy
from customhouse.cli.quickstart import quickstart
from customhouse.cli.registry import registry
from customhouse.cli.schema import schema
from customhouse.cli.serve import serve
from customhouse.cli.servers import servers
from customhouse.cli.settings import config, doctor
from customhouse.cli.token import token

registry.add_command(export_directory)


@click.group()
@click.version_option(__version__, prog_name="customhouse")
def main() -> None:
    """Customhouse: the governed way from every MCP client to every MCP server."""


for command in (serve, call, token, registry, servers, policy, audit, keys, config, schema, doctor, migrate, quickstart):
    main.add_command(command)
for command in (plan, apply, drift, approvals, export_endpoints, import_servers):
    main.add_command(command)
