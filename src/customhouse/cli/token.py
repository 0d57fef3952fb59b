"""`customhouse token`: mint a token of the local development issuer."""

import os
import re
import time
from pathlib import Path

import click

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.adapters.verifiers.claims import MAX_NAMES, is_plain
from customhouse.adapters.verifiers.development import MAX_LIFETIME_SECONDS, DevelopmentIssuer
from customhouse.adapters.verifiers.tokens import MAX_TOKEN_BYTES
from customhouse.config.definitions import read_definitions
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.load import Loaded, load
from customhouse.config.rules import control_url
from customhouse.wiring import follows_registry, served_picture

KEY_FILE = "development-issuer.json"
"""In the data directory."""

_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh]?)", re.ASCII)
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}


class Duration(click.ParamType[int]):
    """A time span on the command line: `90`, `90s`, `15m` or `1h`."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = _DURATION.fullmatch(str(value))
        seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
        if not 1 <= seconds <= MAX_LIFETIME_SECONDS:
            self.fail("must be a number of seconds, or like 15m or 1h, and at most a day (24h).", param, ctx)
        return seconds


@click.command("token")
@click.option("--as", "person", default="", help="The person who calls.")
@click.option("--workload", default="", help="The program that calls, for itself or for the person.")
@click.option("--group", "groups", multiple=True, help="A group of the caller; may be repeated.")
@click.option("--scope", "scopes", multiple=True, help="An OAuth scope of the token; may be repeated.")
@click.option("--client", default="customhouse-cli", show_default=True, help="The OAuth client the token is issued to.")
@click.option(
    "--endpoint", "endpoints", multiple=True, help="The path of an endpoint, such as /mcp; may be repeated. Default: all of them."
)
@click.option("--operator", is_flag=True, help="For the operators' API instead of the endpoints of callers.")
@click.option(
    "--lifetime", "lifetime_seconds", type=Duration(), default="1h", show_default=True, help="Seconds, or like 15m or 1h; at most 24h."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    default=".",
    envvar="CUSTOMHOUSE_DIR",
    show_envvar=True,
    help="The deployment directory.",
)
def token(
    person: str,
    workload: str,
    groups: tuple[str, ...],
    scopes: tuple[str, ...],
    client: str,
    endpoints: tuple[str, ...],
    *,
    operator: bool,
    lifetime_seconds: int,
    directory: Path,
) -> None:
    """Mint a short-lived token of the local development issuer and print it, alone, on stdout.

    It is for trying things out on this machine: the issuer's key lies in the data directory, and only a gateway on loopback accepts it.
    """
    _check_names(person, workload, client, groups, scopes)
    try:
        loaded = load(directory, os.environ)
        issuer = _issuer(loaded)
        resources = _operators(loaded, endpoints) if operator else _resources(loaded, endpoints)
    except ConfigurationInvalid as invalid:
        raise click.ClickException(str(invalid)) from invalid
    except UnsafeKeyFile as unsafe:
        raise click.ClickException(str(unsafe)) from unsafe
    minted = issuer.mint(
        person=person,
        workload=workload,
        groups=groups,
        scopes=scopes,
        client=client,
        tenant=loaded.settings.identity.development_issuer.tenant,
        resources=resources,
        lifetime_seconds=lifetime_seconds,
        now=time.time(),
    )
    if len(minted) > MAX_TOKEN_BYTES:
        raise click.ClickException(
            "The token would be larger than the gateway accepts. Name fewer endpoints with --endpoint, or fewer groups."
        )
    click.echo(minted)


def endpoint_paths(loaded: Loaded) -> tuple[str, ...]:
    """Every endpoint of a deployment: the default portal, the others, and each server."""
    if follows_registry(loaded.settings):
        return tuple(served_picture(loaded).paths)
    portals = sorted(f"/mcp/{name}" for name in loaded.portals if name != "default")
    servers = (f"/servers/{definition.name}/mcp" for definition in read_definitions(loaded.directory, loaded.settings))
    return ("/mcp", *portals, *servers)


def _resources(loaded: Loaded, endpoints: tuple[str, ...]) -> list[str]:
    return [loaded.settings.public_url + path for path in _chosen(endpoints, endpoint_paths(loaded))]


def _operators(loaded: Loaded, endpoints: tuple[str, ...]) -> list[str]:
    if endpoints:
        raise click.UsageError("A token for the operators' API opens no endpoint: leave --endpoint or --operator out.")
    if loaded.settings.control is None:
        raise click.ClickException("There is no operators' API: `control` is absent from customhouse.yaml.")
    return [control_url(loaded.settings)]


def _issuer(loaded: Loaded) -> DevelopmentIssuer:
    if not loaded.settings.identity.development_issuer.enabled:
        raise click.ClickException(
            "The development issuer is off, so no gateway would accept the token. "
            "Set `identity.development_issuer.enabled: true` in customhouse.yaml, on a machine of your own."
        )
    return DevelopmentIssuer.open(loaded.path(loaded.settings.data_dir) / KEY_FILE)


def _chosen(endpoints: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    for endpoint in endpoints:
        if endpoint not in known:
            raise click.UsageError(f"There is no endpoint {endpoint}. There are: {', '.join(known)}.")
    return tuple(dict.fromkeys(endpoints)) or known


def _check_names(person: str, workload: str, client: str, groups: tuple[str, ...], scopes: tuple[str, ...]) -> None:
    if not person and not workload:
        raise click.UsageError("Say who calls: --as PERSON, --workload NAME, or both.")
    if max(len(groups), len(scopes)) > MAX_NAMES:
        raise click.UsageError(f"A token names at most {MAX_NAMES} groups and scopes.")
    if not client or not all(groups):
        raise click.UsageError("A client and a group have a name.")
    if not all(scope and " " not in scope for scope in scopes):
        raise click.UsageError("A scope has a name without spaces; repeat --scope for more of them.")
    if not all(is_plain(name) for name in (person, workload, client, *groups, *scopes)):
        raise click.UsageError("Names have at most 256 printable characters, without spaces at the ends.")
