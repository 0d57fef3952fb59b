"""What every implementation of the Approvals port does. Another one joins by a row in `STORES`."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from customhouse.adapters.stores.approvals import MemoryShelves, StoredApprovals
from customhouse.adapters.stores.approvaltables import TableShelves, approvals_in
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.core.approval import ApprovalRequest, BoundCall, FloodLimits, Standing, argument_digest, request_for
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.approvals import Approvals
from tests.core.policy_world import caller

STORES: dict[str, Callable[[Path], Approvals]] = {
    "memory": lambda _: StoredApprovals(MemoryShelves()),
    "sqlite": lambda path: approvals_in(SqliteStores.open(path)),
}
ALICE, BOB = caller("alice", "support"), caller("bob", "finance")
LIMITS = FloodLimits(3, 5, 10, 10)
CHAIN = "c" * 32


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Approvals]:
    opened = STORES[request.param](tmp_path / "registry.db")
    yield opened
    opened.close()


def call_of(arguments: object, **other: Any) -> BoundCall:
    fixed = {"tenant": "acme", "principal": ALICE.principal, "endpoint": "/mcp", "method": "tools/call", "server": "billing"}
    more = {"name": "refund", "pin_digest": "sha256:pin", "argument_digest": argument_digest(arguments), "groups": ("finance",)}
    return BoundCall(**(fixed | more | other))


def asking(number: int = 1, *, at: float = 1000.0, request_id: str = "", **other: Any) -> ApprovalRequest:
    arguments = {"amount": number}
    return request_for(call_of(arguments, **other), ALICE, arguments, "write", ("r1",), request_id or f"{number:032x}", at, 900.0)


def refused(act: Callable[[], object]) -> Reason:
    with pytest.raises(Refused) as found:
        act()
    return found.value.reason


def test_what_was_asked_is_found_by_the_very_call_and_by_its_id(store: Approvals) -> None:
    kept = store.ask(asking(), LIMITS)
    assert kept == asking()
    assert store.find(asking().call, 1001.0) == kept
    assert store.get(kept.id, 1001.0) == kept
    assert store.find(asking(2).call, 1001.0) is None
    assert refused(lambda: store.get("f" * 32, 1001.0)) is Reason.NOTHING_OF_THAT_NAME


def test_an_equal_call_is_the_same_request_and_another_one_is_not(store: Approvals) -> None:
    first = store.ask(asking(), LIMITS)
    assert store.ask(asking(request_id="e" * 32, at=1005.0), LIMITS) == first
    assert store.ask(asking(2), LIMITS).id != first.id
    assert [one.id for one in store.waiting("acme", 1006.0)] == [first.id, asking(2).id]
    assert store.waiting("other", 1006.0) == ()


def test_a_flood_of_one_caller_is_refused_and_makes_room_again(store: Approvals) -> None:
    for number in range(1, 4):
        store.ask(asking(number), LIMITS)
    assert refused(lambda: store.ask(asking(4), LIMITS)) is Reason.TOO_MANY_APPROVALS
    store.decide(asking().id, BOB, approves=False, now=1010.0)
    assert store.ask(asking(4, at=1011.0), LIMITS).standing is Standing.WAITING


def test_a_verdict_is_kept_and_used_by_the_call_once(store: Approvals) -> None:
    store.ask(asking(), LIMITS)
    approved = store.decide(asking().id, BOB, True, 1010.0, note="fine")
    assert store.find(asking().call, 1011.0) == approved
    assert store.waiting("acme", 1011.0) == ()
    used = store.consume(approved.id, asking().call, CHAIN, 0, 1020.0)
    assert (used.standing, used.approved_by) == (Standing.USED, ("acme/bob",))
    assert store.find(asking().call, 1021.0) is None
    assert refused(lambda: store.consume(approved.id, asking().call, CHAIN, 0, 1021.0)) is Reason.APPROVAL_NEEDED
    assert store.consume(approved.id, asking().call, CHAIN, 1, 1022.0).round == 1
    assert refused(lambda: store.consume(approved.id, asking().call, CHAIN, 1, 1023.0)) is Reason.APPROVAL_NEEDED
    assert refused(lambda: store.consume("f" * 32, asking().call, CHAIN, 0, 1023.0)) is Reason.APPROVAL_NEEDED
    again = store.ask(asking(request_id="e" * 32, at=1030.0), LIMITS)
    assert (again.id, again.standing) == ("e" * 32, Standing.WAITING)


def test_a_refused_verdict_changes_nothing(store: Approvals) -> None:
    kept = store.ask(asking(), LIMITS)
    assert refused(lambda: store.decide(kept.id, caller("alice", "finance"), True, 1010.0)) is Reason.SELF_APPROVAL
    assert refused(lambda: store.decide("f" * 32, BOB, True, 1010.0)) is Reason.NOTHING_OF_THAT_NAME
    assert store.get(kept.id, 1011.0) == kept


def test_a_denied_call_meets_its_denial_until_that_expires(store: Approvals) -> None:
    store.ask(asking(), LIMITS)
    store.decide(asking().id, BOB, False, 1010.0, note="no")
    assert store.ask(asking(request_id="e" * 32, at=1500.0), LIMITS).standing is Standing.DENIED
    assert store.ask(asking(request_id="e" * 32, at=1910.0), LIMITS).standing is Standing.WAITING


def test_what_expired_is_over_without_a_sweep_and_forgets_its_arguments_with_one(store: Approvals) -> None:
    for number in (1, 2, 3):
        store.ask(asking(number), LIMITS)
    store.decide(asking(2).id, BOB, True, 1010.0)
    store.decide(asking(3).id, BOB, True, 1010.0)
    store.consume(asking(3).id, asking(3).call, CHAIN, 0, 1020.0)
    assert store.find(asking().call, 1900.0) is None
    assert store.get(asking().id, 1900.0).standing is Standing.EXPIRED
    assert store.expire(1900.0) == 1
    assert store.expire(1910.0) == 2
    assert store.expire(1911.0) == 0
    standings = {number: store.get(asking(number).id, 9e9) for number in (1, 2, 3)}
    assert [one.standing for one in standings.values()] == [Standing.EXPIRED, Standing.EXPIRED, Standing.USED]
    assert [one.arguments for one in standings.values()] == [{}, {}, {}]
    assert refused(lambda: store.decide(asking().id, BOB, True, 1901.0)) is Reason.APPROVAL_OVER


def test_what_is_over_goes_after_a_month_but_not_before_the_ledger_knows(store: Approvals) -> None:
    for number in (1, 2):
        store.ask(asking(number), LIMITS)
    store.expire(1900.0)
    store.hear(asking().id, 1)
    store.expire(1900.0 + 31 * 86_400.0)
    assert refused(lambda: store.get(asking().id, 9e9)) is Reason.NOTHING_OF_THAT_NAME
    assert store.get(asking(2).id, 9e9).standing is Standing.EXPIRED


def test_what_waits_for_longer_than_an_hour_still_counts(store: Approvals) -> None:
    for number in range(1, 4):
        store.ask(msgspec.structs.replace(asking(number), expires_at=1e6), LIMITS)
    assert refused(lambda: store.ask(asking(4, at=9000.0), LIMITS)) is Reason.TOO_MANY_APPROVALS


def test_what_a_revoked_approver_said_is_void_and_stays_so(store: Approvals) -> None:
    for number in (1, 2):
        store.ask(asking(number), LIMITS)
    store.decide(asking().id, BOB, True, 1010.0)
    store.revoke("acme/bob", "acme/root", 1011.0)
    assert store.find(asking().call, 1012.0) is None
    assert refused(lambda: store.consume(asking().id, asking().call, CHAIN, 0, 1012.0)) is Reason.APPROVAL_NEEDED
    assert refused(lambda: store.decide(asking(2).id, BOB, True, 1012.0)) is Reason.NOT_AN_APPROVER
    store.restore("acme/bob")
    assert store.find(asking().call, 1013.0) is None
    assert store.decide(asking(2).id, BOB, True, 1013.0).standing is Standing.APPROVED


def test_the_ledger_is_told_each_happening_once(store: Approvals) -> None:
    store.ask(asking(), LIMITS)
    assert store.unheard() == ()
    store.decide(asking().id, BOB, True, 1010.0)
    (unheard,) = store.unheard()
    assert (unheard.request.id, unheard.heard, unheard.request.happenings) == (asking().id, 0, 1)
    store.hear(asking().id, 1)
    assert store.unheard() == ()
    store.expire(9e9)
    assert [one.heard for one in store.unheard()] == [1]


def test_of_many_that_use_one_approval_at_once_exactly_one_does(store: Approvals) -> None:
    store.ask(asking(), LIMITS)
    store.decide(asking().id, BOB, True, 1010.0)

    def use(number: int) -> bool:
        try:
            store.consume(asking().id, asking().call, f"{number:032x}", 0, 1020.0)
        except Refused as lost:
            return lost.reason is not Reason.APPROVAL_NEEDED
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(use, range(32))) == 1


def test_of_many_that_ask_for_one_call_at_once_one_request_comes(store: Approvals) -> None:
    with ThreadPoolExecutor(8) as threads:
        kept = set(threads.map(lambda number: store.ask(asking(request_id=f"{number:032x}"), LIMITS).id, range(1, 17)))
    assert len(kept) == 1
    assert len(store.waiting("acme", 1001.0)) == 1


RACER = """
import sys
from pathlib import Path
from customhouse.adapters.stores.approvaltables import approvals_in
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.core.refusal import Refused
from tests.ports.test_approvals import asking
store = approvals_in(SqliteStores.open(Path(sys.argv[1])))
print("ready", flush=True)
sys.stdin.readline()
won = 0
for number in range(1, 21):
    try:
        store.consume(asking(number).id, asking(number).call, sys.argv[2] * 32, 0, 1020.0)
        won += 1
    except Refused:
        pass
print(won, flush=True)
"""


def test_of_two_processes_that_use_the_same_approvals_each_goes_to_one(tmp_path: Path) -> None:
    path = tmp_path / "registry.db"
    store = approvals_in(SqliteStores.open(path))
    wide = FloodLimits(100, 100, 100, 10)
    for number in range(1, 21):
        store.ask(asking(number), wide)
        store.decide(asking(number).id, BOB, True, 1010.0)
    racers = [
        subprocess.Popen([sys.executable, "-c", RACER, str(path), name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in "ab"
    ]
    outputs = []
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        out, _ = racer.communicate(timeout=30)
        outputs.append(int(out))
    assert sum(outputs) == 20
    assert {store.get(asking(number).id, 1030.0).chain[0] for number in range(1, 21)} <= {"a", "b"}
    store.close()


def test_a_writer_that_read_an_older_version_is_refused(tmp_path: Path) -> None:
    """What a database with several writers rests on; SQLite lets them come one after the other."""
    stores = SqliteStores.open(tmp_path / "registry.db")
    approvals_in(stores).ask(asking(), LIMITS)
    newer = msgspec.structs.replace(asking(), version=1)
    with TableShelves(stores).writing() as shelf:
        shelf.put(newer, asking())
        assert refused(lambda: shelf.put(msgspec.structs.replace(newer, version=2), asking())) is Reason.CHANGED_MEANWHILE
    with TableShelves(stores).writing() as shelf:
        assert refused(lambda: shelf.put(asking(request_id="e" * 32), None)) is Reason.CHANGED_MEANWHILE
    stores.close()


def test_a_store_that_was_closed_is_away(store: Approvals) -> None:
    store.close()
    assert refused(lambda: store.find(asking().call, 1001.0)) is Reason.STORE_UNAVAILABLE
