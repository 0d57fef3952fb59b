"""A handful of cells of the grid; `make grid` runs all of them.

What the list of known differences does not name works: for a client of each era, and for a client of the other SDK.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from scripts.grid_kit import Kit, clients, kit, upstreams
from scripts.grid_plans import OPERATIONS
from scripts.grid_report import Cell, Known, Outcome, faults, judged, proposed, read_known, tables
from scripts.grid_run import against, run_in

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="session")
def parts() -> Kit:
    return kit()


async def cells_of(parts: Kit, folder: Path, upstream_name: str, names: Sequence[str]) -> list[Cell]:
    """These clients against one server, directly and through a gateway."""
    run = run_in(parts, folder)
    (upstream,) = (each for each in upstreams(parts, run.shared) if each.name == upstream_name)
    asking = [each for each in clients(parts) if each.name in names]
    assert len(asking) == len(names)
    return await against(run, upstream, asking)


@pytest.mark.apart
@pytest.mark.parametrize(
    ("upstream", "own", "other"),
    [
        pytest.param("sdk1", "mcp1", "mcp2-modern", id="a server of the legacy era"),
        pytest.param("sdk2", "mcp2-modern", "ts1", id="a server of both eras"),
    ],
)
async def test_what_is_not_a_known_difference_works_through_the_gateway(
    parts: Kit, tmp_path: Path, upstream: str, own: str, other: str
) -> None:
    cells = await cells_of(parts, tmp_path, upstream, (own, other))
    assert {cell.operation: cell.alone for cell in cells if cell.client == own} == dict.fromkeys(OPERATIONS, Outcome("ok"))
    assert list(faults(cells, read_known(), shrinking=False)) == []


OK, FAILED, LACKS = Outcome("ok"), Outcome("failed", "It said no."), Outcome("no client", "No call.")


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        ({"said": "progress 1 2 3; counted"}, Outcome("ok")),
        ({"said": "progress 1; counted"}, Outcome("failed", "saw: progress 1; counted")),
        ({"error": "McpError: no"}, Outcome("failed", "McpError: no")),
        ({"lacks": "No call."}, Outcome("no client", "No call.")),
    ],
)
def test_an_operation_works_if_every_word_of_its_proof_came_back(seen: dict[str, str], outcome: Outcome) -> None:
    assert judged({"expect": ["1 2 3", "counted"]}, seen) == outcome


@pytest.mark.parametrize(
    ("alone", "through", "word"),
    [
        (OK, OK, "yes"),
        (FAILED, OK, "**gained**"),
        (OK, FAILED, "**no**"),
        (FAILED, FAILED, "neither"),
        (LACKS, LACKS, "-"),
        (None, OK, "yes"),
        (None, FAILED, "**no**"),
    ],
)
def test_a_cell_says_what_the_gateway_changes(alone: Outcome | None, through: Outcome, word: str) -> None:
    assert Cell("ada", "notes", "call", alone, through).word == word


def test_a_failure_without_a_known_reason_fails_the_grid_and_so_does_a_reason_without_a_failure() -> None:
    cells = [Cell("ada", "notes", "call", OK, FAILED), Cell("ada", "notes", "list", OK, OK), Cell("bob", "notes", "log", OK, FAILED)]
    call, lists = Known("Not yet.", "notes", frozenset({"ada"}), frozenset({"call"})), frozenset({"list"})
    assert [sentence.split(" fails")[0] for sentence in faults(cells, [call])] == ["bob at notes: log"]
    everyone = [call, Known("Not yet.", "notes", frozenset(), frozenset({"log"})), Known("Not yet.", "notes", frozenset({"ada"}), lists)]
    assert [sentence.split(" is listed")[0] for sentence in faults(cells, everyone)] == ["ada at notes: list"]
    assert list(faults(cells, everyone, shrinking=False)) == []


def test_the_proposed_list_names_exactly_what_fails_with_the_reasons_that_were_given(tmp_path: Path) -> None:
    cells = [Cell(name, "notes", operation, OK, FAILED) for name in ("ada", "bob") for operation in ("call", "log")]
    cells.append(Cell("ada", "notes", "list", OK, OK))
    file = tmp_path / "known.yaml"
    file.write_text("\n".join(proposed(cells, [Known("Not yet.", "notes", frozenset({"ada"}), frozenset({"call"}))])))
    entries = read_known(file)
    assert list(faults(cells, entries)) == []
    assert {(entry.reason, min(entry.clients)) for entry in entries} == {
        ("Not yet.", "ada"),
        ("It said no.", "ada"),
        ("It said no.", "bob"),
    }


def test_a_table_has_a_row_for_each_client_and_a_reason_for_each_failure(parts: Kit, tmp_path: Path) -> None:
    ada, bob = clients(parts)[:2]
    upstream = upstreams(parts, tmp_path)[0]
    cells = [
        Cell(ada.name, upstream.name, "list", OK, OK),
        Cell(ada.name, upstream.name, "call", OK, FAILED),
        Cell(bob.name, upstream.name, "list", FAILED, FAILED),
        Cell(bob.name, upstream.name, "call", LACKS, LACKS),
    ]
    lines = tables(cells, [ada, bob], [upstream], [Known("Not yet.", upstream.name, frozenset({ada.name}), frozenset())]).splitlines()
    assert lines[2:] == [
        "| client | list | call |",
        "|---|---|---|",
        f"| {ada.title} | yes | **no** |",
        f"| {bob.title} | neither | - |",
        "",
        f"- Not yet. ({ada.title}: call)",
        f"- It said no. ({bob.title}: everything)",
    ]


def test_every_known_difference_names_a_server_clients_and_operations_of_the_grid(parts: Kit, tmp_path: Path) -> None:
    servers, names = {each.name for each in upstreams(parts, tmp_path)}, {each.name for each in clients(parts)}
    for entry in read_known():
        assert entry.upstream in servers
        assert entry.clients <= names
        assert entry.operations <= set(OPERATIONS)
        assert entry.reason.endswith(".")
