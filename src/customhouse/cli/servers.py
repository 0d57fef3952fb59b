"""`customhouse servers`: the inventory, and the approved snapshot of each server."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any

import click
import msgspec

from customhouse.adapters.sandboxes.trees import digest_of_tree, outward_links
from customhouse.cli.display import as_json as as_json_text
from customhouse.cli.display import line
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.cli.sidebyside import side_by_side
from customhouse.config.definitions import pin_path, write_pin
from customhouse.config.load import load
from customhouse.config.programs import installed_path
from customhouse.control.changes import Changes
from customhouse.control.snapshots import Capture, capture
from customhouse.core.comparison import compared, compared_values
from customhouse.core.compatibility import worst
from customhouse.core.drift import Change, drift, verdict
from customhouse.core.entries import ENTRY_KINDS, SERVER_FIELDS, differing
from customhouse.core.hints import hints
from customhouse.core.limits import defects
from customhouse.core.manifest import Manifest, Pin, ServerDefinition
from customhouse.core.merging import Named, merged_pin
from customhouse.wiring import Deployment, SystemClock, build_upstreams, read_deployment


@click.group()
def servers() -> None:
    """The servers of a deployment: list them, approve what they offer, see what changed."""


@servers.command(name="list")
@deployment_directory
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@explained
def list_servers(directory: Path, as_json: bool) -> None:
    """Show every server: owner, contact, tenant, address, pin, tools by class, waivers."""
    deployment = read_deployment(load(directory, os.environ))
    rows = [_row(definition, deployment.pins.get(definition.name)) for definition in deployment.definitions]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        click.echo(f"{row['name']}  owner {row['owner']}  contact {row['contact']}  tenant {row['tenant']}")
        click.echo(f"  {row['where']}  endpoint /servers/{row['name']}/mcp  pin {row['pin'] or 'none: nothing of it is served'}")
        for title in ("read", "write", "destructive", "unreviewed", "not_in_pin", "defects"):
            if row[title]:
                click.echo(line(f"  {title.replace('_', ' ')}: {', '.join(row[title])}"))
        for waiver in row["waivers"]:
            click.echo(line(f"  WAIVER {waiver}"))


def _row(definition: ServerDefinition, pin: Pin | None) -> dict[str, Any]:
    pinned = [str(tool["name"]) for tool in pin.manifest.tools] if pin else []
    sound = defects(pin.manifest) if pin else None
    by_class = {
        effect: sorted(name for name, review in definition.tools.items() if review.effect.value == effect and name in pinned)
        for effect in ("read", "write", "destructive")
    }
    return {
        "name": definition.name,
        "owner": definition.owner,
        "contact": definition.contact,
        "tenant": definition.tenant,
        "url": definition.url,
        "where": definition.where,
        "pin": pin.digest if pin else "",
        **by_class,
        "unreviewed": sorted(set(pinned) - definition.tools.keys()),
        "not_in_pin": sorted(definition.tools.keys() - set(pinned)) if pin else [],
        "defects": [f"{defect.kind} {defect.name}: {defect.sentence}" for defect in sound.entries] if sound else [],
        "waivers": [f"{waiver.rule}: {waiver.reason} (granted by {waiver.granted_by})" for waiver in definition.waivers],
    }


@servers.command(name="hints")
@click.argument("name")
@deployment_directory
@click.option("--unclassed", is_flag=True, help="Only tools that have no class yet.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@explained
def show_hints(name: str, directory: Path, unclassed: bool, as_json: bool) -> None:
    """Show what speaks for which class of each pinned tool: annotations, names, parameters, odd words.

    They are for the person who reviews, and decide nothing.
    """
    deployment, definition = _find(directory, name)
    pinned = deployment.pins.get(name)
    if pinned is None:
        raise LookupError(
            f"{name} has no pin. Capture what it offers with `customhouse servers pin {name}`; nothing is served without a class."
        )
    elsewhere = {str(tool["name"]) for other, one in deployment.pins.items() if other != name for tool in one.manifest.tools}
    rows: list[dict[str, Any]] = [
        {
            "tool": str(tool["name"]),
            "class": definition.tools[tool["name"]].effect.value if tool["name"] in definition.tools else "",
            "hints": [msgspec.to_builtins(hint) for hint in hints(tool, elsewhere)],
        }
        for tool in pinned.manifest.tools
        if not unclassed or tool["name"] not in definition.tools
    ]
    if as_json:
        click.echo(as_json_text(rows))
        return
    for row in rows:
        click.echo(line(f"{row['tool']}: {row['class'] or 'unclassed'}"))
        for hint in row["hints"]:
            click.echo("  " + line(f"{hint['speaks_for']}: {hint['sentence']}"))


@servers.command()
@click.argument("name")
@click.option(
    "--entry",
    "entries",
    multiple=True,
    metavar="KIND:NAME",
    help="Approve this entry alone (tool:read_note, prompt:..., resource:..., template:..., instructions, capabilities, server_info); "
    "can be given several times.",
)
@deployment_directory
@explained
def pin(name: str, entries: tuple[str, ...], directory: Path) -> None:
    """Capture what a server offers now and approve it: write its pin.

    Shows what changes against the pin before. Tools without a class in the definition stay invisible. With --entry, everything else stays
    as it was approved.
    """
    deployment, definition = _find(directory, name)
    before = deployment.pins.get(name)
    if entries and before is None:
        raise LookupError(f"{name} has no pin of which the rest could stay. Approve what it offers with `customhouse servers pin {name}`.")
    chosen = frozenset(map(named_entry, entries))
    captured = _capture(deployment, definition)
    after = merged_pin(before, captured.pin(name), chosen) if before and chosen else captured.pin(name)
    _show(deployment, definition, before.manifest if before else after.manifest, after.manifest)
    write_pin(pin_path(deployment.loaded.directory, deployment.settings, name), after)
    for sentence in captured.left_out:
        click.echo(line(f"left out: {sentence}"))
    row = _row(definition, after)
    for title in ("unreviewed", "not_in_pin", "defects"):
        if row[title]:
            click.echo(line(f"{title.replace('_', ' ')}: {', '.join(row[title])}"))
    click.echo(f"pinned {name} {after.digest} ({len(after.manifest.tools)} tools, revision {after.revision})")


def named_entry(entry: str) -> Named:
    """`tool:read_note` as kind and name. Raises `UsageError`."""
    kind, _, name = entry.partition(":")
    if (kind in ENTRY_KINDS and name) or (kind in SERVER_FIELDS and not name):
        return kind, name
    kinds = ", ".join([*[f"{known}:NAME" for known in sorted(ENTRY_KINDS)], *SERVER_FIELDS])
    raise click.UsageError(line(f"{entry} is no entry of a manifest. Entries are written {kinds}."))


@servers.command()
@click.argument("name")
@click.option("--side-by-side", "beside", is_flag=True, help="Show each change in two columns: as approved, and as the server says now.")
@deployment_directory
@explained
def diff(name: str, beside: bool, directory: Path) -> None:
    """Compare what a server offers now with its pin. Exit code 1 if anything changed."""
    deployment, definition = _find(directory, name)
    pinned = deployment.pins.get(name)
    if pinned is None:
        raise LookupError(f"{name} has no pin. Approve what it offers with `customhouse servers pin {name}`.")
    live = _capture(deployment, definition).manifest
    if _show(deployment, definition, pinned.manifest, live, beside=beside):
        raise SystemExit(1)
    click.echo(f"{name} offers what was approved: {pinned.digest}")


@servers.command()
@click.argument("name", required=False, default="")
@click.option(
    "--tree", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Look at this directory; no definition is read."
)
@deployment_directory
@explained
def digest(name: str, tree: Path | None, directory: Path) -> None:
    """Compute the digest of what is installed for a stdio server, and say what to write into its definition.

    Exit code 1 if the definition names another one. With --tree the digest of any directory is shown, before there is a definition.
    """
    if tree is not None:
        _show_tree(tree.absolute())
        return
    if not name:
        raise click.UsageError("Name a server, or a directory with --tree.")
    deployment, definition = _find(directory, name)
    if definition.stdio is None:
        raise LookupError(f"{name} is reached by its `url`: nothing is installed for it.")
    found = _show_tree(installed_path(definition.stdio, deployment.loaded.directory, deployment.settings))
    if found != definition.stdio.package.digest:
        click.echo(
            f"{name} names {definition.stdio.package.digest}, so it is not started. Review what changed before you write the other one."
        )
        raise SystemExit(1)
    click.echo(f"{name} names this digest.")


def _show_tree(tree: Path) -> str:
    found = digest_of_tree(str(tree))
    click.echo(f"installed: {tree}")
    click.echo(f"digest: {found}")
    for link in outward_links(str(tree)):
        click.echo(line(f"not covered: {link}"))
    return found


def _find(directory: Path, name: str) -> tuple[Deployment, ServerDefinition]:
    deployment = read_deployment(load(directory, os.environ))
    for definition in deployment.definitions:
        if definition.name == name:
            return deployment, definition
    known = ", ".join(definition.name for definition in deployment.definitions) or "none"
    raise LookupError(f"There is no server {name}. Defined: {known}.")


def _capture(deployment: Deployment, definition: ServerDefinition) -> Capture:
    async def run() -> Capture:
        upstreams = build_upstreams(deployment.loaded, os.environ, Changes())
        try:
            return await capture(upstreams, definition, SystemClock())
        finally:
            await upstreams.close()

    return asyncio.run(run())


def _show(deployment: Deployment, definition: ServerDefinition, pinned: Manifest, live: Manifest, *, beside: bool = False) -> bool:
    """Print what changed, and say whether anything did."""
    changes = drift(pinned, live, _elsewhere(deployment, definition))
    rows = {(pair.kind, pair.name): compared(pair) for pair in differing(pinned, live)} if beside else {}
    serves = deployment.settings.captures.compatible_drift == "serve"
    for change in changes:
        grades = " ".join(sorted(grade.value for grade in change.grades))
        becomes = _BECOMES[verdict(change, serve_compatible=serves)]
        entry = f"{change.kind} {change.name}".rstrip()
        click.echo(line(f"{entry}: {grades}, {change.compatibility.value} ({becomes})  {' '.join(change.paths)}"))
        if beside:
            table = rows.get((change.kind, change.name)) or compared_values(_field(pinned, change), _field(live, change))
            for text in side_by_side(table, shutil.get_terminal_size().columns):
                click.echo(text)
    if changes:
        click.echo(f"as a whole: {worst(change.compatibility for change in changes).value}")
    return bool(changes)


_BECOMES = {
    "blocked": "blocked until reviewed",
    "served": "still served as approved",
    "disabled": "disabled until reviewed",
}
"""The verdicts of `core.drift` in a sentence for the operator."""


def _field(manifest: Manifest, change: Change) -> Any:
    """What a manifest says of the server itself."""
    return getattr(manifest, change.kind, None)


def _elsewhere(deployment: Deployment, definition: ServerDefinition) -> list[tuple[str, str]]:
    """The tools of the tenant's other servers, with which a new name is compared."""
    tenants = {one.name: one.tenant for one in deployment.definitions}
    return [
        (server, str(tool["name"]))
        for server, pin in deployment.pins.items()
        if server != definition.name and tenants.get(server) == definition.tenant
        for tool in pin.manifest.tools
    ]
