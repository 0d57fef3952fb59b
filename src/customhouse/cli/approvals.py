"""The commands of people who approve calls: `approvals list`, `show`, `approve` and `deny`.

They work on the store of the deployment, which a running gateway shares. Who decides is who a verified token names; where the development
issuer is on, `--as` stands for such a token. Verdicts reach the ledger from the store; `revoke` goes through the operators' API, whose
ledger has every request.
"""

import asyncio
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from customhouse.adapters.verifiers.tokens import TokenVerifier
from customhouse.cli.call import Failed, check_address
from customhouse.cli.display import safe
from customhouse.cli.failures import explained
from customhouse.cli.operatorsapi import OperatorsApi
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import Loaded, load
from customhouse.config.rules import approvers_audience, control_url
from customhouse.control.approvals import ApprovalDesk, Presented, allowed_by, without_roles
from customhouse.core.identity import Caller
from customhouse.core.refusal import Reason, Refused
from customhouse.wiring import SystemClock, data_directory, development_issuer, issuers_of
from customhouse.wiring_approvals import open_approvals

F = TypeVar("F", bound=Callable[..., Any])

TOKEN_LIFETIME_SECONDS = 60


def approver_options(command: F) -> F:
    """Who looks or decides."""
    for option in (
        click.option("--as", "person", default="", help="The person who decides; only where the development issuer is on."),
        click.option("--group", "groups", multiple=True, help="A group of that person; may be repeated."),
        click.option(
            "--token",
            envvar="CUSTOMHOUSE_TOKEN",
            default="",
            show_envvar=True,
            help="The access token of whoever decides, for the approvers' audience.",
        ),
        deployment_directory,
    ):
        command = option(command)
    return command


@click.group()
def approvals() -> None:
    """Look at calls that wait for a person, and say yes or no to each."""


@approvals.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
@approver_options
@explained
def list_waiting(as_json: bool, person: str, groups: tuple[str, ...], token: str, directory: Path) -> None:
    """Print what waits for your groups, the gravest first.

    The columns: id, class, server/name, who asks, the groups that are missing, seconds that are left.
    """
    with _desk(directory, person, groups, token) as (desk, operator):
        waiting = desk.waiting(operator)
    if as_json:
        click.echo(msgspec.json.encode(waiting).decode())
        return
    for one in waiting:
        left = max(0, int(one.expires_at - time.time()))
        click.echo(safe(f"{one.id}  {one.tier:11}  {one.server}/{one.name}  {one.requester}  {','.join(one.missing)}  {left} s"))
    if not waiting:
        click.echo("Nothing waits for you.", err=True)


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@approver_options
@explained
def show(approval_id: str, as_json: bool, person: str, groups: tuple[str, ...], token: str, directory: Path) -> None:
    """Print one call exactly: who asks, what would be done, every argument.

    White space in runs, and whatever has no appearance, is spelled out between the brackets ⟨ and ⟩.
    """
    with _desk(directory, person, groups, token) as (desk, operator):
        found = desk.show(approval_id, operator)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--note", default="", help="Why; needed for a destructive call.")
@click.option("--unseen", is_flag=True, help="Approve also what is too long to be shown.")
@click.option("--yes", is_flag=True, help="Do not ask once more in a terminal.")
@approver_options
@explained
def approve(
    approval_id: str, note: str, unseen: bool, yes: bool, person: str, groups: tuple[str, ...], token: str, directory: Path
) -> None:
    """Show one call and say yes to it: it may be made once, until the yes expires."""
    with _desk(directory, person, groups, token) as (desk, operator):
        _print(desk.show(approval_id, operator))
        if sys.stdin.isatty() and not yes:
            click.confirm("Approve this call?", abort=True)
        _say(desk.decide(approval_id, operator, True, note=note, sees_cut=unseen))


@approvals.command()
@click.argument("approval_id", metavar="ID")
@click.option("--note", default="", help="Why; the requester is told.")
@approver_options
@explained
def deny(approval_id: str, note: str, person: str, groups: tuple[str, ...], token: str, directory: Path) -> None:
    """Say no to one call: the same call is refused until the no expires."""
    with _desk(directory, person, groups, token) as (desk, operator):
        _say(desk.decide(approval_id, operator, False, note=note))


@approvals.command()
@click.argument("approver", metavar="TENANT/PERSON")
@click.option("--restore", is_flag=True, help="Give the right back instead; what became void stays so.")
@click.option(
    "--url", envvar="CUSTOMHOUSE_CONTROL_URL", default="", show_envvar=True, help="The operators' API, if not where the settings have it."
)
@approver_options
@explained
def revoke(approver: str, restore: bool, url: str, person: str, groups: tuple[str, ...], token: str, directory: Path) -> None:
    """Let somebody approve nothing any more: what they approved and nobody used is void.

    Needs a role that may revoke, such as operator, and a control process that runs: it keeps the record of who did this.
    """
    loaded = load(directory, os.environ)
    if loaded.settings.control is None:
        raise Refused(Reason.NOT_YOUR_ROLE, note="without `control` in the settings there are no roles, and nobody takes rights away")
    token = _token(loaded, person, groups, token)
    url = url or control_url(loaded.settings)
    check_address(url)
    asked = "/approvers/restorations" if restore else "/approvers/revocations"
    try:
        OperatorsApi(url.rstrip("/"), token).ask("POST", asked, {"approver": approver})
    except Failed as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(safe(f"{approver} may {'approve again' if restore else 'approve nothing any more'}"))


@contextmanager
def _desk(directory: Path, person: str, groups: tuple[str, ...], token: str) -> Iterator[tuple[ApprovalDesk, Caller]]:
    """The desk of a deployment and whoever sits at it."""
    loaded = load(directory, os.environ)
    operator = _verified(loaded, person, groups, token)
    store = open_approvals(data_directory(loaded))
    try:
        control = loaded.settings.control
        yield ApprovalDesk(store, SystemClock(), without_roles if control is None else allowed_by(control.roles)), operator
    finally:
        store.close()


def _verified(loaded: Loaded, person: str, groups: tuple[str, ...], token: str) -> Caller:
    """Whoever the token names, by the rules of the deployment's issuers."""
    audience, token = approvers_audience(loaded.settings), _token(loaded, person, groups, token)
    clock, leeway_seconds = SystemClock(), loaded.settings.identity.leeway_seconds
    verifier = TokenVerifier(issuers_of(loaded, clock), public_url=audience, clock=clock, leeway_seconds=leeway_seconds)
    return asyncio.run(verifier.verify(token.encode(), audience))


def _token(loaded: Loaded, person: str, groups: tuple[str, ...], token: str) -> str:
    """The token of whoever decides."""
    audience = approvers_audience(loaded.settings)
    if person:
        return _minted(loaded, person, groups, audience)
    if groups:
        raise click.UsageError("--group goes with --as; a token names its groups itself.")
    if not token:
        raise click.UsageError(f"Say who decides: --token with a token for {audience}, or --as where the development issuer is on.")
    return token


def _minted(loaded: Loaded, person: str, groups: tuple[str, ...], audience: str) -> str:
    local = loaded.settings.identity.development_issuer
    if not local.enabled:
        raise click.UsageError("The development issuer is off, so --as names nobody. Use --token.")
    return development_issuer(loaded).mint(
        person=person,
        groups=groups,
        scopes=(),
        client="customhouse-cli",
        tenant=local.tenant,
        resources=[audience],
        lifetime_seconds=TOKEN_LIFETIME_SECONDS,
        now=time.time(),
    )


def _say(found: Presented) -> None:
    missing = f"; {' and '.join(found.missing)} has to agree as well" if found.standing == "waiting" else ""
    click.echo(safe(f"{found.id} is {found.standing}, until {_time(found.expires_at)}{missing}"))


def _print(found: Presented) -> None:
    lines = [
        found.title,
        f"  standing   {found.standing}, until {_time(found.expires_at)}",
        f"  class      {found.tier}",
        f"  asked      {_time(found.asked_at)} at {found.endpoint}{f', by the program {found.workload}' if found.workload else ''}",
        f"  groups     {', '.join(found.groups)}",
        *([f"  missing    {', '.join(found.missing)}"] if found.missing else []),
        f"  rules      {', '.join(found.rules)}",
        f"  pin        {found.pin_digest}",
        f"  arguments  {found.argument_digest}",
        *(f"    {text}" for text in found.arguments),
    ]
    if found.cut:
        lines.append("  Not everything is shown: look at it elsewhere; a yes needs --unseen.")
    for verdict in found.verdicts:
        word = "approved" if verdict.approves else "denied"
        lines.append(f"  {word} by {verdict.approver}, {_time(verdict.at)}{f': {verdict.note}' if verdict.note else ''}")
    for text in lines:
        click.echo(safe(text))


def _time(at: float) -> str:
    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
