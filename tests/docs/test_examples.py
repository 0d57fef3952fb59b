"""The examples in the manual are valid, as they stand there."""

import re
from pathlib import Path

import pytest

from customhouse.cli.decisiontables import misses, read_table
from customhouse.config.definitions import read_definitions
from customhouse.config.document import read_document
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.grants import read_grants
from customhouse.config.load import load
from customhouse.config.portals import portal_in
from customhouse.config.tree import Settings
from customhouse.core.identity import Caller
from customhouse.core.manifest import Effect
from customhouse.core.policy import PolicyInvalid, PolicyServer, PolicyTool, compile_policy
from customhouse.core.redaction import NAMES

MANUAL = Path(__file__).parents[2] / "docs" / "manual"


def blocks(page: str, language: str) -> list[str]:
    """The examples of a page in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (MANUAL / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", blocks("configuration.md", "yaml"))
def test_an_example_of_settings_is_accepted(example: str, tmp_path: Path) -> None:
    servers = tmp_path / "servers"
    servers.mkdir()
    for name in ("notes", "tickets", "ledger", "invoices"):
        (servers / f"{name}.yaml").write_text("", encoding="utf-8")
    (tmp_path / "customhouse.yaml").write_text(example, encoding="utf-8")
    assert load(tmp_path, {}).origins


def test_the_example_of_the_environment_is_accepted(tmp_path: Path) -> None:
    text = (MANUAL / "configuration.md").read_text(encoding="utf-8")
    name, value = re.findall(r"`(CUSTOMHOUSE_\w+)=(\w+)`", text)[0]
    assert load(tmp_path, {name: value}).settings.listen.port == int(value)


@pytest.mark.parametrize("example", blocks("definitions.md", "yaml"))
def test_an_example_of_a_definition_is_accepted(example: str, tmp_path: Path) -> None:
    servers = tmp_path / "servers"
    servers.mkdir()
    (servers / "notes.yaml").write_text(example, encoding="utf-8")
    assert [definition.name for definition in read_definitions(tmp_path, Settings())] == ["notes"]


@pytest.mark.parametrize("example", [example for example in blocks("screening.md", "yaml") if not example.startswith("- ")])
def test_an_example_of_screening_is_accepted(example: str, tmp_path: Path) -> None:
    """A definition has an owner; what has none are settings."""
    is_definition = example.startswith("owner:")
    path = tmp_path / ("servers/wiki.yaml" if is_definition else "customhouse.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(example, encoding="utf-8")
    assert len(read_definitions(tmp_path, load(tmp_path, {}).settings)) == is_definition


def test_the_decision_table_of_flow_agrees_with_the_rule_beside_it(tmp_path: Path) -> None:
    mail = PolicyServer("mail", "acme", "team-mail", (pinned("send", Effect.WRITE),))
    grant = '@id("grant") permit (principal in Group::"acme/eng", action in Action::"write", resource in Server::"mail");'
    policy = compile_policy({"flow.cedar": blocks("screening.md", "cedar")[0], "grant.cedar": grant}, (mail,))
    table = tmp_path / "flow.test.yaml"
    table.write_text(next(example for example in blocks("screening.md", "yaml") if example.startswith("- ")), encoding="utf-8")
    cases = read_table(table, table.name)
    assert [list(misses(policy, case, 0.0)) for _, case in cases] == [[], []]


def test_the_page_of_screening_names_every_detector() -> None:
    text = (MANUAL / "screening.md").read_text(encoding="utf-8")
    named = text.partition("### Detectors")[2].partition("The last one")[0]
    assert tuple(re.findall(r"`([a-z-]+)`", named)) == NAMES


def test_without_its_waiver_the_example_of_a_waiver_is_refused(tmp_path: Path) -> None:
    example = next(text for text in blocks("definitions.md", "yaml") if "waivers:" in text)
    servers = tmp_path / "servers"
    servers.mkdir()
    (servers / "lab.yaml").write_text(example.split("waivers:")[0], encoding="utf-8")
    with pytest.raises(ConfigurationInvalid, match="unauthenticated-writes"):
        read_definitions(tmp_path, Settings())


@pytest.mark.parametrize("example", blocks("as-code.md", "yaml"))
def test_an_example_of_a_portal_is_accepted(example: str) -> None:
    portal, findings = portal_in(read_document(example.encode(), "portals/finance.yaml"))
    assert portal is not None
    assert findings == ()


def pinned(name: str, effect: Effect, **properties: str) -> PolicyTool:
    """A tool with required arguments of the given JSON types."""
    schema = {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()}, "required": list(properties)}
    return PolicyTool(name, effect, schema)


SERVERS = (
    PolicyServer("notes", "acme", "team-notes", (pinned("read_note", Effect.READ, title="string"), pinned("add_note", Effect.WRITE))),
    PolicyServer("billing", "acme", "team-billing", (pinned("refund", Effect.WRITE, amount_cents="integer"),)),
)
"""The servers that the examples of rules speak about."""


@pytest.mark.parametrize("example", [*blocks("policy.md", "cedar"), *blocks("screening.md", "cedar")])
def test_an_example_of_a_rule_loads(example: str) -> None:
    assert compile_policy({"example.cedar": example}, SERVERS).digest


def test_the_example_of_grants_is_accepted_and_does_what_the_rule_beside_it_does(tmp_path: Path) -> None:
    (tmp_path / "grants").mkdir()
    (tmp_path / "grants" / "support.yaml").write_text(blocks("grants.md", "yaml")[0], encoding="utf-8")
    grants = read_grants(tmp_path, "grants", {"finance": ("billing",)})
    granting = compile_policy({}, SERVERS, grants)
    ruling = compile_policy({"example.cedar": blocks("grants.md", "cedar")[0]}, SERVERS)
    caller = Caller(issuer="i", tenant="acme", person="ada", workload="", client="c", groups=("support",), expires_at=0.0)
    for amount, now in ((5000, 1.0), (5001, 1.0), (1, grants[0].until - 1.0), (1, grants[0].until * 1.0)):
        decided = [one.decide(caller, one.tool("billing", "refund"), {"amount_cents": amount}, "p", now) for one in (granting, ruling)]
        assert decided[0].permitted is decided[1].permitted is (amount <= 5000 and now < grants[0].until)


def test_the_example_of_a_decision_table_agrees_with_the_example_of_a_grant(tmp_path: Path) -> None:
    table = tmp_path / "example.test.yaml"
    table.write_text(blocks("policy.md", "yaml")[0], encoding="utf-8")
    policy = compile_policy({"example.cedar": blocks("policy.md", "cedar")[0]}, SERVERS)
    cases = read_table(table, table.name)
    assert len(cases) == 2
    assert [list(misses(policy, case, 0.0)) for _, case in cases] == [[], []]


def test_the_rule_of_the_decision_that_a_permit_names_its_action_is_refused() -> None:
    text = (MANUAL.parent / "decisions" / "006-permits-name-what-they-permit.md").read_text(encoding="utf-8")
    careless = re.findall(r"`(permit \(.*?\);)`", text)[0]
    with pytest.raises(PolicyInvalid) as refused:
        compile_policy({"example.cedar": f'@id("careless")\n{careless}'}, SERVERS)
    assert ["A permit names what it grants" in finding.sentence for finding in refused.value.findings] == [True]
