"""A clock that a test moves, and two callers."""

from dataclasses import dataclass

from customhouse.core.identity import Caller, known


@dataclass
class Moving:
    """A clock that stands until somebody moves it."""

    at: float = 1_000.0

    def now(self) -> float:
        return 1.7e9 + self.at

    def monotonic(self) -> float:
        return self.at


def person(name: str = "alice", *, groups: tuple[str, ...] = (), scopes: frozenset[str] = frozenset(), client: str = "ide") -> Caller:
    return known(
        Caller(
            issuer="https://idp.test", tenant="acme", person=name, workload="", client=client, groups=groups, scopes=scopes, expires_at=2e9
        )
    )
