"""Whatever is done in whatever order: both stores say the same, and no approval is used for more than it was given for."""

import functools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from customhouse.adapters.stores.approvals import MemoryShelves, StoredApprovals
from customhouse.adapters.stores.approvaltables import approvals_in
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.core.approval import ApprovalRequest, FloodLimits, Standing
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.approvals import Approvals
from tests.core.policy_world import caller
from tests.ports.test_approvals import asking

LIMITS = FloodLimits(3, 4, 8, 10)
PEOPLE = st.sampled_from([caller(name, "finance") for name in ("alice", "bob", "carl")])
CALLS = st.integers(1, 4)
REQUESTS = st.integers(1, 12)
"""In the order in which they were asked; some of them are not there yet."""

FOLDER = tempfile.TemporaryDirectory()


@functools.cache
def without_rows() -> Path:
    """A file made once: making its tables takes longer than all that is done to them."""
    file = Path(FOLDER.name) / "registry.db"
    SqliteStores.open(file).close()
    return file


class SameApprovals(RuleBasedStateMachine):
    """Two stores and one clock."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        file = Path(self.folder.name) / "registry.db"
        shutil.copy(without_rows(), file)
        self.stores: list[Approvals] = [StoredApprovals(MemoryShelves()), approvals_in(SqliteStores.open(file))]
        self.now, self.asked, self.chains = 1000.0, 0, 0
        self.approved: set[str] = set()
        self.begun: Counter[str] = Counter()
        self.rounds: Counter[tuple[str, int]] = Counter()

    def teardown(self) -> None:
        for store in self.stores:
            store.close()
        self.folder.cleanup()

    def both(self, act: Callable[[Approvals], Any]) -> Any:
        """What both stores say, a refusal included."""
        outcomes = []
        for store in self.stores:
            try:
                outcomes.append(act(store))
            except Refused as refused:
                outcomes.append(refused.reason)
        assert outcomes[0] == outcomes[1]
        return outcomes[0]

    @rule(number=CALLS)
    def ask(self, number: int) -> None:
        self.asked += 1
        fresh = asking(number, at=self.now, request_id=f"{self.asked:032x}")
        kept = self.both(lambda store: store.ask(fresh, LIMITS))
        assert isinstance(kept, ApprovalRequest) or kept is Reason.TOO_MANY_APPROVALS
        self.both(lambda store: store.find(fresh.call, self.now))

    @rule(request=REQUESTS, who=PEOPLE, approves=st.booleans())
    def decide(self, request: int, who: Any, approves: bool) -> None:
        found = self.both(lambda store: store.decide(f"{request:032x}", who, approves, self.now))
        if isinstance(found, ApprovalRequest) and found.standing is Standing.APPROVED:
            assert who.person != "alice"
            self.approved.add(found.id)

    @rule(request=REQUESTS, number=CALLS)
    def use(self, request: int, number: int) -> None:
        self.chains += 1
        chain, call = f"{self.chains:032x}", asking(number).call
        found = self.both(lambda store: store.consume(f"{request:032x}", call, chain, 0, self.now))
        if isinstance(found, ApprovalRequest):
            assert found.id in self.approved
            assert found.call == call
            self.begun[found.id] += 1

    @rule(request=REQUESTS, number=CALLS, round_number=st.integers(1, 3))
    def go_on(self, request: int, number: int, round_number: int) -> None:
        used = self.both(lambda store: store.get(f"{request:032x}", self.now))
        chain = used.chain if isinstance(used, ApprovalRequest) and used.chain else "f" * 32
        found = self.both(lambda store: store.consume(f"{request:032x}", asking(number).call, chain, round_number, self.now))
        if isinstance(found, ApprovalRequest):
            assert found.id in self.approved
            self.rounds[found.id, round_number] += 1

    @rule(seconds=st.sampled_from([1.0, 400.0, 901.0, 3_601.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def sweep(self) -> None:
        self.both(lambda store: store.expire(self.now))
        self.both(lambda store: store.unheard())

    @rule(who=PEOPLE, restored=st.booleans())
    def change_a_right(self, who: Any, restored: bool) -> None:
        name = f"acme/{who.person}"
        self.both(lambda store: store.restore(name) if restored else store.revoke(name, "acme/root", self.now))

    @rule()
    def look(self) -> None:
        waiting = self.both(lambda store: store.waiting("acme", self.now))
        assert len({one.call.fingerprint for one in waiting}) == len(waiting)
        assert all(count == 1 for count in (*self.begun.values(), *self.rounds.values()))


TestSameApprovals = SameApprovals.TestCase
TestSameApprovals.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
