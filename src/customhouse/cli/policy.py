"""`customhouse policy`: run the decision tables of a deployment, and name the rules behind a yes or no."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec

from customhouse.cli import display
from customhouse.cli.decisiontables import Who, caller_of, misses, named_ref, read_table
from customhouse.cli.failures import explained
from customhouse.cli.reach import show_blast_radius, show_who_can
from customhouse.cli.replay import moment_option, replay_calls
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import Loaded, load
from customhouse.core.flow import WORDS, from_words
from customhouse.core.policy import Explanation, Policy, Rule
from customhouse.wiring import governing, read_deployment, read_policy


@click.group("policy")
def policy() -> None:
    """Test and explain what the policies decide, and see who could reach what."""


policy.add_command(show_who_can)
policy.add_command(show_blast_radius)
policy.add_command(replay_calls)


@policy.command("test")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@deployment_directory
@explained
def run_tables(files: tuple[Path, ...], directory: Path) -> None:
    """Run decision tables, one line per case; exit 1 on any miss.

    Without FILES: all *.test.yaml beside the policies.
    """
    loaded = load(directory, os.environ)
    compiled = _compiled(loaded)
    tables = files or tuple(sorted(loaded.path(loaded.settings.policies_dir).glob("*.test.yaml")))
    results = [
        (place, case, tuple(misses(compiled, case, time.time())))
        for path in tables
        for place, case in read_table(path, _shown(path, loaded))
    ]
    for place, case, wrong in results:
        click.echo(display.line(f"{'MISS' if wrong else 'ok  '} {place} {case.name or case.call}: {' '.join(wrong) or case.expect}"))
    missed = sum(bool(wrong) for _, _, wrong in results)
    click.echo(f"{len(results)} cases, {missed} missed.")
    if not results:
        click.echo("There are no decision tables; write some beside the policies, as *.test.yaml.", err=True)
    if missed or not results:
        sys.exit(1)


@policy.command("explain")
@click.option("--as", "person", default="", help="The person who calls.")
@click.option("--workload", default="", help="The workload that calls.")
@click.option("--group", "groups", multiple=True, help="A group of the caller; may be repeated.")
@click.option("--tenant", default="", show_default="that of the server", help="The tenant of the caller.")
@click.option("--client", default="", help="The OAuth client of the token.")
@click.option("--issuer", default="", help="The issuer of the token.")
@click.option("--scope", "scopes", multiple=True, help="A scope of the token; may be repeated.")
@click.option("--portal", default="default", show_default=True, help="The portal that is asked.")
@click.option(
    "--at", metavar="WHEN", default="", callback=moment_option, help="The moment of the call, such as 2027-01-31.  [default: now]"
)
@click.option("--flow", "read", multiple=True, type=click.Choice(tuple(WORDS)), help="What the conversation has read; may be repeated.")
@click.option("--arguments", default="{}", show_default=True, help="The arguments of the tool, as a JSON object.")
@click.argument("verb", type=click.Choice(["call"]))
@click.argument("target")
@deployment_directory
@explained
def explain_decision(
    directory: Path, verb: str, target: str, arguments: str, portal: str, at: float, read: tuple[str, ...], **who: Any
) -> None:
    """Say whether a call is permitted, and name the rules behind it.

    TARGET is SERVER/TOOL, prompt:SERVER/NAME or resource:SERVER/URI. Nothing is called. Where the gateway serves the registry, what was
    published is asked, not the files.
    """
    caller = Who(**who)
    if not caller.person and not caller.workload:
        raise click.UsageError(f"Say who would {verb}: --as PERSON or --workload NAME.")
    compiled = read_policy(governing(load(directory, os.environ)))
    ref = named_ref(compiled, target)
    taint = from_words(read)
    for line in _told(compiled.explain(caller_of(caller, ref), ref, _table(arguments), portal, at or time.time(), taint)):
        click.echo(display.safe(line))


def _compiled(loaded: Loaded) -> Policy:
    """The policy of the files, as a gateway would compile it. Raises `ConfigurationInvalid` and `PolicyInvalid`."""
    return read_policy(read_deployment(loaded))


def _shown(path: Path, loaded: Loaded) -> str:
    """The name of a file in findings: relative to the deployment directory where it lies in it."""
    absolute = path.absolute()
    return str(absolute.relative_to(loaded.directory)) if absolute.is_relative_to(loaded.directory) else str(path)


def _table(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as unreadable:
        raise click.UsageError(f"--arguments is not a JSON object: {unreadable}.") from unreadable


def _told(explanation: Explanation) -> Iterator[str]:
    yield explanation.sentence
    yield from (f"  {error}" for error in explanation.decision.errors)
    for rule in explanation.rules:
        yield from ("", _titled(rule), _indented(rule))
    if explanation.would:
        yield from ("", f"With the rules of dry runs it would be {explanation.would}")
    if explanation.near:
        yield from ("", "These rules came closest:")
    for near in explanation.near:
        yield from ("", _titled(near.rule), f"  {near.sentence}", _indented(near.rule))


def _titled(rule: Rule) -> str:
    return f"{rule.id} ({rule.file}:{rule.line})"


def _indented(rule: Rule) -> str:
    return "\n".join(f"    {line}".rstrip() for line in rule.text.splitlines())
