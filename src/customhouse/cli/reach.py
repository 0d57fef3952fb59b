"""`customhouse policy who-can` and `customhouse policy blast-radius`: who could reach what, read from the policies alone."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from customhouse.cli import display
from customhouse.cli.decisiontables import named_ref
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import load
from customhouse.core.instants import moment_text
from customhouse.core.manifest import Effect
from customhouse.core.policy import ActionRef, Policy
from customhouse.core.policyreach import Knowledge, Reach, Reached, Reacher, blast_radius, who_can
from customhouse.wiring import Deployment, governing, read_policy

_CLASSES = tuple(effect.value for effect in Effect)


@click.command("who-can")
@click.option("--class", "effect", type=click.Choice(_CLASSES), help="Only what is of this class.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.argument("target")
@deployment_directory
@explained
def show_who_can(directory: Path, target: str, effect: str | None, as_json: bool) -> None:
    """List the groups, persons, workloads and clients that could be permitted.

    TARGET is SERVER/TOOL, prompt:SERVER/NAME, resource:SERVER/URI, or SERVER for all of it. Nobody who could is left out.
    """
    deployment = governing(load(directory, os.environ))
    compiled, scopes = read_policy(deployment), _scopes(deployment)
    refs = [ref for ref in _named_refs(compiled, target) if effect in (None, ref.effect.value)]
    found = [(ref, who_can(compiled, ref, time.time())) for ref in refs]
    if as_json:
        click.echo(display.as_json([_as_row(ref, reachers, scopes) for ref, reachers in found]))
        return
    for ref, reachers in found:
        needs = _needs(_needed(scopes, ref.resource[0].lower(), ref.server, ref.name))
        click.echo(display.line(f"{_path(ref)} ({ref.effect.value}{needs}): {'' if reachers else 'nobody'}"))
        for reacher in reachers:
            click.echo("  " + display.line(_spoken_reacher(reacher)))


@click.command("blast-radius")
@click.option("--as", "person", default="", help="The person who calls.")
@click.option("--workload", default="", help="The workload that calls.")
@click.option("--group", "groups", multiple=True, help="A group of the caller; may be repeated. Alone: what membership gives.")
@click.option("--client", help="The OAuth client of the token.  [default: any]")
@click.option("--issuer", help="The issuer of the token.  [default: any]")
@click.option("--scope", "scopes", multiple=True, help="A scope of the token; may be repeated.  [default: any]")
@click.option("--tenant", default="", show_default="the only one", help="The tenant of the caller.")
@click.option("--server", default="", help="Instead: who reaches this server.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@deployment_directory
@explained
def show_blast_radius(directory: Path, tenant: str, server: str, as_json: bool, **who: Any) -> None:
    """List everything that a caller or a group could reach, by class with counts; or who reaches a server.

    What is not said of the caller could be anything: what depends on it is listed with what it takes.
    """
    deployment = governing(load(directory, os.environ))
    compiled, needed = read_policy(deployment), _scopes(deployment)
    if server:
        _show_server(compiled, server, as_json)
        return
    reached = blast_radius(compiled, _knowledge(compiled, tenant, **who), time.time())
    if as_json:
        rows = [msgspec.to_builtins(thing) | {"scopes": _needed(needed, thing.kind, thing.server, thing.name)} for thing in reached]
        click.echo(display.as_json({"counts": _counts(reached), "reached": rows}))
        return
    click.echo(_counted(_counts(reached)))
    for effect in _CLASSES:
        for thing in (thing for thing in reached if thing.effect == effect):
            kind = "" if thing.kind == "tool" else f"{thing.kind}:"
            needs = _needs(_needed(needed, thing.kind, thing.server, thing.name))
            click.echo("  " + display.line(f"{effect} {kind}{thing.server}/{thing.name}: {_spoken(thing.reach)}{needs}"))


def _show_server(compiled: Policy, server: str, as_json: bool) -> None:
    """Who reaches a server, with how many of its tools, prompts and resources of each class."""
    by_whom: dict[tuple[str, str, tuple[str, ...]], list[ActionRef]] = {}
    for ref in _named_refs(compiled, server):
        for reacher in [one for one in who_can(compiled, ref, time.time()) if not one.reach.ended]:
            by_whom.setdefault((reacher.kind, reacher.name, reacher.provided), []).append(ref)
    rows = [
        {"who": _spoken_head(*whom), "counts": _counts(refs), "reached": [_path(ref) for ref in refs]} for whom, refs in by_whom.items()
    ]
    if as_json:
        click.echo(display.as_json(rows))
        return
    for whom, refs in by_whom.items():
        click.echo(display.line(f"{_spoken_head(*whom)}: {_counted(_counts(refs))} {', '.join(_path(ref) for ref in refs)}"))
    if not rows:
        click.echo("Nobody.")


def _knowledge(
    compiled: Policy,
    tenant: str,
    *,
    person: str,
    workload: str,
    groups: Sequence[str],
    client: str | None,
    issuer: str | None,
    scopes: Sequence[str],
) -> Knowledge:
    if not (person or workload or groups):
        raise click.UsageError("Say whose: --as PERSON, --workload NAME, --group GROUP, or --server SERVER for who reaches it.")
    tenants = sorted({ref.tenant for ref in compiled.offered()})
    if not tenant and len(tenants) != 1:
        raise click.UsageError(f"Say which tenant with --tenant: {', '.join(tenants) or 'no server has one'}.")
    within = tenant or tenants[0]
    somebody = bool(person or workload)
    return Knowledge(
        tenant=within,
        groups=frozenset(f"{within}/{group}" for group in groups),
        person=person if somebody else None,
        workload=workload if somebody else None,
        client=client,
        issuer=issuer,
        scopes=frozenset(scopes) if scopes else None,
    )


def _named_refs(compiled: Policy, target: str) -> Iterable[ActionRef]:
    """Raises `LookupError` with a sentence."""
    if "/" in target:
        return [named_ref(compiled, target)]
    refs = [ref for ref in compiled.offered() if ref.server == target]
    if not refs:
        raise LookupError(f"There is no server `{target}` with anything that is pinned and reviewed.")
    return refs


Scopes = Mapping[tuple[str, str], tuple[str, ...]]


def _scopes(deployment: Deployment) -> Scopes:
    """The scopes that tools ask of tokens beside the policy's yes, by server and tool."""
    return {(one.name, tool): review.scopes for one in deployment.definitions for tool, review in one.tools.items() if review.scopes}


def _needed(scopes: Scopes, kind: str, server: str, name: str) -> tuple[str, ...]:
    return scopes.get((server, name), ()) if kind == "tool" else ()


def _needs(scopes: Sequence[str]) -> str:
    return f"; the token needs {', '.join(scopes)}" if scopes else ""


def _counts(things: Iterable[Reached | ActionRef]) -> dict[str, int]:
    classes = [thing.effect if isinstance(thing, Reached) else thing.effect.value for thing in things]
    return {effect: classes.count(effect) for effect in _CLASSES}


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {effect}" for effect, count in counts.items()) + "."


def _as_row(ref: ActionRef, reachers: Sequence[Reacher], scopes: Scopes) -> dict[str, Any]:
    kind = ref.resource[0].lower()
    needed = _needed(scopes, kind, ref.server, ref.name)
    what = {"kind": kind, "server": ref.server, "name": ref.name, "class": ref.effect.value, "scopes": needed}
    return {**what, "who": msgspec.to_builtins(reachers)}


def _path(ref: ActionRef) -> str:
    kind = ref.resource[0].lower()
    return f"{'' if kind == 'tool' else f'{kind}:'}{ref.server}/{ref.name}"


def _spoken_reacher(reacher: Reacher) -> str:
    return f"{_spoken_head(reacher.kind, reacher.name, reacher.provided)}: {_spoken(reacher.reach)}"


def _spoken_head(kind: str, name: str, provided: Sequence[str]) -> str:
    head = f"anybody of {name}" if kind == "anybody" else f"{kind} {name}"
    return f"{head} with {' and '.join(provided)}" if provided else head


def _spoken(reach: Reach) -> str:
    return "; ".join(_parts(reach))


def _parts(reach: Reach) -> Iterator[str]:
    if reach.ended:
        yield f"ended {moment_text(reach.until)}"
    else:
        yield "always" if reach.always else f"depends on {', or '.join(reach.depends)}"
    yield f"by {', '.join(reach.rules)}"
    if reach.until and not reach.ended:
        yield f"until {moment_text(reach.until)}"
    if reach.unless:
        yield f"unless {', '.join(reach.unless)} forbids it"
    if reach.approval:
        yield f"once {reach.approval.replace(',', ' and ')} approved"
