"""Files of grants: what they say, and what is wrong with them, by file, line and key."""

from pathlib import Path

import pytest

from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.grants import read_grants
from customhouse.core.instants import moment_text, read_moment
from customhouse.core.manifest import Effect
from customhouse.core.policygrants import Constraint, Grant, Granted, Grantee
from tests.config.deployments import write

PORTALS = {"research": ("notes",)}
WHOLE = """\
# Support pays small refunds.
- to: {group: acme/support, client: desk}
  on: {tool: billing/refund}
  arguments:
    amount_cents: {at_least: 1, at_most: 5000}
    reason: {one_of: [damaged, late]}
  until: 2027-01-31
  scopes: [refunds]
  approval: finance
  reason: The pilot of the desk.

- to: {workload: acme/ci}
  on: {server: notes, portal: research, classes: [read, write]}
  until: '2027-01-31T18:00:00+01:00'
"""


def read(directory: Path, text: str, name: str = "support.yaml") -> tuple[Grant, ...]:
    return read_grants(write(directory, {f"grants/{name}": text}), "grants", PORTALS)


def test_a_file_is_a_list_of_grants_with_ids_in_their_order(tmp_path: Path) -> None:
    refund, notes = read(tmp_path, WHOLE)
    assert refund == Grant(
        file="grants/support.yaml",
        line=2,
        id="grant:support/1",
        to=Grantee(group="acme/support", client="desk"),
        on=Granted(tool="billing/refund"),
        arguments={"amount_cents": Constraint(at_least=1, at_most=5000), "reason": Constraint(one_of=("damaged", "late"))},
        until=read_moment("2027-02-01"),
        scopes=("refunds",),
        approval="finance",
    )
    assert (notes.line, notes.id, notes.on.classes) == (12, "grant:support/2", (Effect.READ, Effect.WRITE))
    assert moment_text(notes.until) == "2027-01-31T17:00:00Z"


def test_a_deployment_without_grants_has_none(tmp_path: Path) -> None:
    assert read_grants(tmp_path, "grants", PORTALS) == ()
    assert read(tmp_path, "# nothing yet\n") == ()


@pytest.mark.parametrize(
    ("text", "where", "says"),
    [
        ("to: {}\n", ":1", "A file of grants is a list."),
        ("- to: {group: acme/eng}\n", ":1: on", "The key is missing."),
        ("- to: {}\n  on: {tool: a/b}\n", ":1: to", "Nobody is named."),
        ("- to: {group: eng}\n  on: {tool: a/b}\n", ":1: to.group", "Write tenant/group."),
        ("- to: {person: acme/}\n  on: {tool: a/b}\n", ":1: to.person", "Write tenant/person."),
        ("- to: {grop: acme/eng}\n  on: {tool: a/b}\n", ":1: to.grop", "Did you mean `group`?"),
        ("- to: {client: c}\n  on: {server: notes}\n", ":2: on", "Add `classes`, for example [read]"),
        ("- to: {client: c}\n  on: {portal: default}\n", ":2: on", "It does not say what may be done."),
        ("- to: {client: c}\n  on: {tool: a/b, classes: [read]}\n", ":2: on", "more beside it"),
        ("- to: {client: c}\n  on: {tool: b}\n", ":2: on.tool", "Write server/tool."),
        ("- to: {client: c}\n  on: {tool: a/b, portal: resaerch}\n", ":1: on.portal", "Known here: default, research."),
        ("- to: {client: c}\n  on: {tool: a/b, portal: research}\n", ":1: on.portal", "does not offer the server 'a'"),
        ("- to: {client: c}\n  on: {classes: [read]}\n  arguments: {x: {at_most: 1}}\n", ":3: arguments", "Name one `tool`"),
        ("- to: {client: c}\n  on: {tool: a/b}\n  arguments: {x: {}}\n", ":3: arguments.x", "Nothing is asked of the argument."),
        ("- to: {client: c}\n  on: {tool: a/b}\n  arguments: {x: {or_absent: true}}\n", ":3: arguments.x", "Nothing is asked"),
        ("- to: {client: c}\n  on: {tool: a/b}\n  arguments: {x: {prefix: ['']}}\n", ":3: arguments.x.prefix[0]", "let everything in"),
        ("- to: {client: c}\n  on: {tool: a/b}\n  arguments: {x: {under: [/a/../b]}}\n", ":3: arguments.x.under[0]", "`..`"),
        (
            "- to: {client: c}\n  on: {tool: a/b}\n  arguments: {x: {domain_of: [Example.org]}}\n",
            ":3: arguments.x.domain_of[0]",
            "lower case",
        ),
        ("- to: {client: c}\n  on: {tool: a/b}\n  arguments: {x: {domain_of: ['*']}}\n", ":3: arguments.x.domain_of[0]", "not a domain"),
        ("- to: {client: c}\n  on: {tool: a/b}\n  until: 2027-02-30\n", ":3: until", "not a day or a moment"),
        ("- to: {client: c}\n  on: {tool: a/b}\n  until: next week\n", ":3: until", "2027-01-31"),
        ("- to: {client: c}\n  on: {tool: a/b}\n  scopes: ['a b']\n", ":3: scopes[0]", "not an OAuth scope"),
    ],
)
def test_what_is_wrong_is_said_with_line_key_and_remedy(tmp_path: Path, text: str, where: str, says: str) -> None:
    with pytest.raises(ConfigurationInvalid) as invalid:
        read(tmp_path, text)
    finding = str(invalid.value.findings[0])
    assert finding.startswith(f"grants/support.yaml{where}: ")
    assert says in finding


@pytest.mark.parametrize("name", ["Support.yaml", "a b.yaml", "support.yml", "a:b.yaml"])
def test_the_name_of_a_file_is_part_of_ids(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="name of the file"):
        read(tmp_path, "[]", name)
