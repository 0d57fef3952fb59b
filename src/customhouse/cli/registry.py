"""`customhouse registry`: propose, look at, review, activate, suspend and roll back, through the operators' API."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from customhouse.cli import display
from customhouse.cli.contentdiff import differences
from customhouse.cli.operatorsapi import OperatorsApi, version_path, with_api
from customhouse.cli.servers import named_entry
from customhouse.core.content import read_content
from customhouse.core.instants import DAY_SECONDS, moment_text
from customhouse.core.review import Kind

_KIND = click.Choice([kind.value for kind in Kind])
as_json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's answer as JSON.")


@click.group()
def registry() -> None:
    """The versions of servers, policies and portals: who wants what served, who agreed, and what is served."""


@registry.command("list")
@click.option("--kind", type=_KIND, help="Only this kind.")
@click.option("--name", default="", help="Only things of this name.")
@click.option("--all", "everything", is_flag=True, help="Retired versions, too.")
@as_json_option
@with_api
def list_versions(api: OperatorsApi, kind: str | None, name: str, *, everything: bool, as_json: bool) -> None:
    """Show every version, where it stands, and whose reviews are missing."""
    versions = api.ask("GET", "/versions", query={"kind": kind or "", "name": name})["versions"]
    shown = [one for one in versions if everything or one["state"] != "retired"]
    if as_json:
        click.echo(display.as_json(shown))
        return
    for one in shown:
        click.echo(display.line(_summary(one)))


@registry.command()
@click.argument("kind", type=_KIND)
@click.argument("name")
@click.argument("number", type=click.IntRange(min=1))
@with_api
def show(api: OperatorsApi, kind: str, name: str, number: int) -> None:
    """Show one version with its content, as JSON: what a reviewer agrees to, and the digest to name."""
    click.echo(display.as_json(api.ask("GET", version_path(kind, name, number))))


@registry.command()
@click.argument("kind", type=_KIND)
@click.argument("name")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--accept/--reject", "accepts", required=True, help="The verdict.")
@click.option("--digest", required=True, help="Of the content that you looked at, as `registry show` says it.")
@click.option("--note", default="", help="Why.")
@with_api
def review(api: OperatorsApi, kind: str, name: str, number: int, *, accepts: bool, digest: str, note: str) -> None:
    """Accept or reject a version. The proposer cannot; an acceptance of what is served renews the review."""
    body = {"digest": digest, "accepts": accepts, "note": note}
    _say(api.ask("POST", version_path(kind, name, number) + "/reviews", body))


@registry.command()
@click.argument("kind", type=_KIND)
@click.argument("name")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--against", type=click.IntRange(min=1), help="The other version; the active one by default.")
@with_api
def diff(api: OperatorsApi, kind: str, name: str, number: int, against: int | None) -> None:
    """Show side by side what a version changes: as it is served, and as it is wanted.

    What is not seen as itself, a character of no width or a letter of another script, is shown by its number.
    """
    wanted = api.ask("GET", version_path(kind, name, number))
    versions = api.ask("GET", "/versions", query={"kind": kind, "name": name})["versions"]
    active = [int(one["number"]) for one in versions if one["state"] == "active"]
    other = against or next(iter(active), 0)
    before = api.ask("GET", version_path(kind, name, other))["content"] if other else None
    click.echo(display.line(_summary(wanted)))
    old, new = (read_content(Kind(kind), content) if content else None for content in (before, wanted["content"]))
    for text in differences(Kind(kind), name, old, new):
        click.echo(text)


def _step(name: str, sentence: str, *, window: bool = False) -> None:
    @click.argument("kind", type=_KIND)
    @click.argument("name")
    @click.argument("number", type=click.IntRange(min=1))
    @click.option("--reason", default="", help="Why.")
    @with_api
    def command(api: OperatorsApi, kind: str, name: str, number: int, reason: str, days: float = 0.0) -> None:
        body = {"step": step, "reason": reason, "windowSeconds": days * DAY_SECONDS}
        _say(api.ask("POST", version_path(kind, name, number) + "/steps", body))

    step = name
    if window:
        text = "How long the older version stays served beside it, at an address of its own."
        command = click.option("--days", type=click.FloatRange(0, 366), default=0.0, show_default=True, help=text)(command)
    registry.command(name, help=sentence)(command)


_step("activate", "Have a reviewed version served, in the place of the one before.", window=True)
_step("deprecate", "Let a served version go on until its window ends.", window=True)
_step("suspend", "Stop serving a version now.")
_step("retire", "End a version for good.")
_step("withdraw", "Take a proposal back.")


@registry.command()
@click.argument("kind", type=_KIND)
@click.argument("name")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Why.")
@with_api
def rollback(api: OperatorsApi, kind: str, name: str, number: int, reason: str) -> None:
    """Serve the content of an earlier version again, byte for byte; its reviews must still hold."""
    _say(api.ask("POST", version_path(kind, name, number) + "/rollback", {"reason": reason}))


@registry.command()
@click.argument("name")
@click.argument("number", type=click.IntRange(min=1))
@click.option("--propose", is_flag=True, help="Propose the version with what was found as its pin.")
@click.option(
    "--entry",
    "entries",
    multiple=True,
    metavar="KIND:NAME",
    help="Take over this entry alone (tool:read_note, prompt:..., instructions); can be given several times.",
)
@click.option("--reason", default="", help="Why, for the proposal.")
@with_api
def capture(api: OperatorsApi, name: str, number: int, *, propose: bool, entries: tuple[str, ...], reason: str) -> None:
    """Look at what the server of a version offers now, and compare it with the version's pin.

    Before a definition is reviewed only an admin may have it looked at, and only an admin may have a program started.
    """
    chosen = [list(named_entry(entry)) for entry in entries]
    if chosen and not propose:
        raise click.UsageError("Only a proposal takes entries over: add --propose.")
    path = version_path("server", name, number) + "/captures"
    found = api.ask("POST", path)
    for change in found["changes"]:
        verdict = "blocked until reviewed" if change["blocked"] else "not blocked"
        meaning = f"{' '.join(change['grades'])}, {change['compatibility']}"
        click.echo(display.line(f"{change['kind']} {change['name']}: {meaning} ({verdict})  {' '.join(change['paths'])}"))
    for sentence in found["leftOut"]:
        click.echo(display.line(f"left out: {sentence}"))
    click.echo(f"{found['digest']} (revision {found['revision']})")
    if propose:
        body = {"reason": reason} | ({"entries": chosen} if chosen else {})
        _say(api.ask("POST", path + "/proposals", body))


@registry.command()
@click.option("--kind", type=_KIND, help="Only this kind.")
@click.option("--name", default="", help="Only things of this name.")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events with a larger sequence.")
@as_json_option
@with_api
def history(api: OperatorsApi, kind: str | None, name: str, after: int, *, as_json: bool) -> None:
    """Show who did what, when and why."""
    events: list[dict[str, Any]] = []
    while True:
        page = api.ask("GET", "/history", query={"kind": kind or "", "name": name, "after": after, "limit": 1000})
        events += page["events"]
        if not page["events"]:
            break
        after = page["nextAfter"]
    if as_json:
        click.echo(display.as_json(events))
        return
    for event in events:
        about = "/".join(str(part) for part in (event["kind"], event["name"], event["number"] or "") if part)
        click.echo(display.line(f"{event['sequence']} {_time(event['at'])} {event['actor']} {event['action']} {about} {event['reason']}"))


@registry.command()
@as_json_option
@with_api
def inventory(api: OperatorsApi, *, as_json: bool) -> None:
    """Show every served server with its owner, last use and what needs attention, and every client that was seen."""
    found = api.ask("GET", "/inventory")
    if as_json:
        click.echo(display.as_json(found))
        return
    for text in _inventory(found):
        click.echo(display.line(text))


@registry.command()
@click.argument("name", required=False)
@click.option("--title", default="", help="The tenant's name for people.")
@with_api
def tenants(api: OperatorsApi, name: str | None, title: str) -> None:
    """List the tenants, or create the one that is named."""
    if name:
        api.ask("POST", "/tenants", {"name": name, "title": title})
    for one in api.ask("GET", "/tenants")["tenants"]:
        click.echo(display.line(f"{one['name']}  {one['title']}  issuers: {', '.join(one['issuers']) or 'none'}"))


@registry.command()
@with_api
def whoami(api: OperatorsApi) -> None:
    """Show who you are to the API, and which roles you have."""
    me = api.ask("GET", "/whoami")
    click.echo(display.line(f"{me['name']}  groups: {', '.join(me['groups']) or 'none'}"))
    for tenant, roles in me["roles"].items():
        where = "the whole deployment" if tenant == "*" else f"tenant {tenant}"
        click.echo(display.line(f"  {where}: {', '.join(roles) or 'no role'}"))


def _say(version: Mapping[str, Any]) -> None:
    click.echo(display.line(_summary(version)))


def _summary(one: Mapping[str, Any]) -> str:
    parts = [f"{one['kind']} {one['name']} {one['number']}  {one['state']}  {one['digest']}"]
    if one["state"] not in ("retired", "draft"):
        accepted = ", ".join(one["acceptedBy"]) or "nobody"
        parts.append(f"proposed by {one['proposer']}, accepted by {accepted}")
    if one["missingReviews"] and one["state"] != "retired":
        parts.append(f"{one['missingReviews']} of {one['reviewersNeeded']} reviews missing")
    if one["rejectedBy"]:
        parts.append(f"rejected by {', '.join(one['rejectedBy'])}")
    if one["until"]:
        parts.append(f"until {_time(one['until'])}")
    return "  ".join(parts)


def _inventory(found: Mapping[str, Any]) -> Iterator[str]:
    for one in found["servers"]:
        who = f"owner {one['owner']}  on call {one['onCall']}"
        yield f"{one['name']} {one['version']}  {one['state']}  {who}  last used {_time(one['lastUsed'])}"
        yield f"    {one['where']}  contact {one['contact']}  runbook {one['runbook']}  review by {one['reviewBy']}"
        tools = ", ".join(f"{name} ({tool['class']}, {tool['calls']} calls)" for name, tool in one["tools"].items())
        yield f"    {tools or 'no tools'}"
    for one in found["clients"]:
        yield f"client {one['client']}  {one['tenant']}/{one['name']}  {one['requests']} requests, last {_time(one['lastSeen'])}"
    for sentence in found["attention"]:
        yield f"ATTENTION {sentence}"


def _time(at: float) -> str:
    return moment_text(at) if at else "never"


@registry.command()
@click.argument("kind", type=_KIND)
@click.argument("name")
@click.argument("file", type=click.File("rb"))
@click.option("--reason", default="", help="Why.")
@with_api
def propose(api: OperatorsApi, kind: str, name: str, file: Any, reason: str) -> None:
    """Propose a content from a FILE of JSON, as `registry show` prints it; for a policy, the FILE is the Cedar text."""
    try:
        text = file.read().decode("utf-8")
        content = {"text": text} if kind == Kind.POLICY.value else json.loads(text)
    except ValueError as unreadable:
        raise click.UsageError(f"The file cannot be read: {unreadable}") from None
    _say(api.ask("POST", "/proposals", {"kind": kind, "name": name, "content": content, "reason": reason}))
