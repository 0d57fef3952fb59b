"""From a definition to a launch."""

import pytest

from customhouse.core.launch import FIRST_ENVIRONMENT, Launch, Mount, launch_of
from customhouse.core.manifest import Package, ProcessLimits, ServerDefinition, StdioProgram, Waiver

DIGEST = "sha256:" + "0" * 64
PACKAGE = Package(ecosystem="pypi", name="notes", version="1.0", digest=DIGEST)


def definition(program: StdioProgram | None, *waivers: Waiver) -> ServerDefinition:
    return ServerDefinition(name="notes", owner="o", contact="c", tenant="t", stdio=program, waivers=waivers, max_result_bytes=1_000)


def test_a_launch_holds_everything_the_definition_says() -> None:
    program = StdioProgram(
        package=PACKAGE,
        argv=("bin/notes", "--quiet"),
        environment={"LANG": "de_DE", "A": "b"},
        secrets={"TOKEN": "env:NOTES"},
        read_only_paths=("/srv/notes",),
        writable_paths=("/srv/notes/new",),
        limits=ProcessLimits(processes=3),
    )
    made = launch_of(definition(program), "/opt/notes", {"TOKEN": "s3cret", "OTHER": "of somebody else"})
    assert made == Launch(
        server="notes",
        installed="/opt/notes",
        digest=DIGEST,
        argv=("/opt/notes/bin/notes", "--quiet"),
        environment={**FIRST_ENVIRONMENT, "LANG": "de_DE", "A": "b", "TOKEN": "s3cret"},
        secrets=("s3cret",),
        mounts=(Mount("/srv/notes"), Mount("/srv/notes/new", writable=True)),
        limits=ProcessLimits(processes=3),
        max_line_bytes=1_000,
    )
    assert "s3cret" not in repr(made)


def test_an_absolute_program_stays_where_it_is() -> None:
    assert launch_of(definition(StdioProgram(package=PACKAGE, argv=("/usr/bin/node", "x.js"))), "/opt/n", {}).argv[0] == "/usr/bin/node"


def test_only_its_own_waiver_frees_a_server_from_the_sandbox() -> None:
    program = StdioProgram(package=PACKAGE, argv=("n",))
    for rule, sandboxed in (("unsandboxed-stdio", False), ("unauthenticated-writes", True)):
        waiver = Waiver(rule=rule, reason="r", granted_by="g")
        assert launch_of(definition(program, waiver), "/opt/n", {}).sandboxed is sandboxed


def test_a_secret_without_a_value_is_no_empty_secret() -> None:
    program = StdioProgram(package=PACKAGE, argv=("n",), secrets={"TOKEN": "env:NOTES"})
    with pytest.raises(LookupError, match="TOKEN"):
        launch_of(definition(program), "/opt/n", {})


def test_a_server_with_an_address_is_not_started() -> None:
    with pytest.raises(LookupError, match="url"):
        launch_of(definition(None), "/opt/n", {})
