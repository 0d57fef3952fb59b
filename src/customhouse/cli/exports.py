"""`customhouse export`: an endpoint in the words of a client or a model provider, from what a deployment serves."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import msgspec

from customhouse.adapters.views.files import FileViews
from customhouse.cli.decisiontables import Who, caller_in
from customhouse.cli.display import line
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import Loaded, load
from customhouse.core.catalogue import Endpoint, Tool
from customhouse.core.exports.formats import FORMATS, export
from customhouse.core.exports.selection import Selection, Wishes, grantable, select
from customhouse.core.identity import Caller
from customhouse.core.picture import Picture, read_picture
from customhouse.core.policy import Policy
from customhouse.gateway.live import View
from customhouse.wiring import files_picture, follows_registry, read_deployment, view_of, views_directory


@dataclass(frozen=True, slots=True)
class Recipient:
    """For whom an export is: one caller, or everybody of a tenant."""

    who: Who
    everybody: bool


@click.command("export")
@click.argument("name", metavar="FORMAT", type=click.Choice(list(FORMATS)))
@click.option("--portal", "portals", multiple=True, help="A portal; may be repeated. Without it and --server: the portal `default`.")
@click.option("--server", "servers", multiple=True, help="A single server; may be repeated.")
@click.option("--as", "person", default="", help="The person whose tools are exported.")
@click.option("--workload", default="", help="The workload whose tools are exported.")
@click.option("--group", "groups", multiple=True, help="A group of the caller; may be repeated.")
@click.option("--scope", "scopes", multiple=True, help="A scope of the caller's token; may be repeated.")
@click.option("--client", default="", help="The OAuth client of the caller's token.")
@click.option("--issuer", default="", help="The issuer of the caller's token.")
@click.option("--tenant", default="", show_default="that of the servers", help="The tenant of the caller.")
@click.option("--all", "everybody", is_flag=True, help="Every tool that the policy lets anybody call, instead of one caller's.")
@click.option("--writes", is_flag=True, help="Tools that change things too.")
@click.option("--defer", is_flag=True, help="Load tools by the provider's tool search.")
@click.option("--sign-in", is_flag=True, help="The client signs in by itself: no place for a token.")
@click.option("--deny-direct", is_flag=True, help="Deny the servers' own addresses.")
@deployment_directory
@explained
def export_endpoints(
    name: str,
    portals: tuple[str, ...],
    servers: tuple[str, ...],
    directory: Path,
    everybody: bool,
    writes: bool,
    defer: bool,
    sign_in: bool,
    deny_direct: bool,
    **who: str | tuple[str, ...],
) -> None:
    """Print an endpoint for a client or a model provider, as one JSON document.

    Tools and their definitions come from the pins, their classes from the reviews. Only what a call of the recipient could reach is
    named. What is left out, and what else matters, is told on standard error. There is never a token in it.
    """
    recipient = Recipient(_who(who), everybody)
    wishes = Wishes(writes=writes, defer=defer, sign_in=sign_in)
    _check_options(name, recipient, wishes, deny_direct)
    loaded = load(directory, os.environ)
    picture = _served(loaded)
    view = view_of(loaded.settings, picture)
    every_class = writes or not FORMATS[name].names_tools
    selections = [_selected(view, endpoint, recipient, every_class) for endpoint in _endpoints(view, portals, servers)]
    denied = tuple(one.definition.url for one in picture.servers if one.definition.url) if deny_direct else ()
    made = export(name, selections, msgspec.structs.replace(wishes, denied_urls=denied))
    for finding in made.findings:
        click.echo(line(f"{'problem' if finding.stops else 'note'}: {finding}"), err=True)
    if made.document is None:
        sys.exit(1)
    click.echo(json.dumps(made.document, indent=2))


def _served(loaded: Loaded) -> Picture:
    """What was published, or the files of the directory where the gateway serves those. Raises `LookupError` and `ValueError`."""
    if not follows_registry(loaded.settings):
        return files_picture(read_deployment(loaded))
    views = FileViews(views_directory(loaded))
    digest = views.current()
    if not digest:
        raise LookupError("Nothing is published yet: the gateway follows the registry, and the control process has not run.")
    try:
        return read_picture(digest, views.read(digest), Picture())
    except msgspec.MsgspecError as unknown:
        raise ValueError(f"What is published cannot be read by this release: {unknown}.") from unknown


def _who(given: dict[str, str | tuple[str, ...]]) -> Who:
    return Who(**given)  # type: ignore[arg-type]  # click gives each option its own type


def _check_options(name: str, recipient: Recipient, wishes: Wishes, deny_direct: bool) -> None:
    somebody = bool(recipient.who.person or recipient.who.workload)
    if somebody == recipient.everybody or (recipient.everybody and recipient.who != Who(tenant=recipient.who.tenant)):
        raise click.UsageError("Say for whom: --as PERSON or --workload NAME, or --all alone.")
    chosen = FORMATS[name]
    for asked, possible, sentence in (
        (wishes.writes, chosen.names_tools, f"{name} names no tools: what the policy allows can be called, writes too."),
        (wishes.defer, chosen.defers, f"Nothing can be deferred in {name}."),
        (wishes.sign_in, chosen.signs_in, f"What reads {name} does not sign in by itself."),
        (deny_direct, chosen.denies, f"No address can be denied in {name}."),
    ):
        if asked and not possible:
            raise click.UsageError(sentence)


def _endpoints(view: View, portals: Iterable[str], servers: Iterable[str]) -> list[Endpoint]:
    """The endpoints that were named, each once. Raises `LookupError` for one that is not there."""
    paths = [
        *("/mcp" if portal == "default" else f"/mcp/{portal}" for portal in portals),
        *(f"/servers/{server}/mcp" for server in servers),
    ]
    found = []
    for path in dict.fromkeys(paths or ["/mcp"]):
        if path not in view.endpoints:
            raise LookupError(
                f"There is no endpoint {path} here; a server has one once it is pinned. There are: {', '.join(view.endpoints)}."
            )
        found.append(view.endpoints[path])
    return found


def _selected(view: View, endpoint: Endpoint, recipient: Recipient, writes: bool) -> Selection:
    tenant = recipient.who.tenant or _only_tenant(endpoint)
    if tenant not in endpoint.tenants.values():
        raise LookupError(f"{endpoint.path} offers nothing to the tenant {tenant}.")
    reached = partial(_grantable, view.policy) if recipient.everybody else _visible(view.policy, caller_in(recipient.who, tenant), endpoint)
    return select(endpoint, tenant, reached, writes=writes)


def _only_tenant(endpoint: Endpoint) -> str:
    tenants = sorted(set(endpoint.tenants.values()))
    if len(tenants) != 1:
        raise click.UsageError(
            f"{endpoint.path} offers servers of {len(tenants)} tenants: say --tenant, one of {', '.join(tenants) or 'none'}."
        )
    return tenants[0]


def _grantable(policy: Policy, tool: Tool) -> bool:
    return grantable(policy, tool.action)


def _visible(policy: Policy, caller: Caller, endpoint: Endpoint) -> Callable[[Tool], bool]:
    return lambda tool: policy.visible(caller, tool.action, time.time(), endpoint.portal)
