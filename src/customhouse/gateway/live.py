"""What a call reads: the view, immutable and swapped whole, and the overlay of what is blocked right now."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from customhouse.core.catalogue import Endpoint
from customhouse.core.policy import Policy, compile_policy


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class View:
    """The approved picture of a deployment."""

    endpoints: Mapping[str, Endpoint]
    """By path."""
    policy: Policy
    hosts: frozenset[bytes]
    """Values of `Host` that name this gateway, in lower case."""
    origins: frozenset[bytes]
    """Web origins that may call."""
    server_info: Mapping[str, str]
    """How the gateway introduces itself."""
    mark: object = field(default_factory=object)
    """Stands for this view where only the question is whether it is still the one: what is kept for long holds this, never the view."""


NO_VIEW = View({}, compile_policy({}, ()), frozenset(), frozenset(), {})
"""Nothing is served and nothing permitted: what a request holds that needs its view no more."""


@dataclass(slots=True)
class Live:
    """The current view, and entries that drifted since they were approved."""

    view: View
    drifted: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """By server name: kind (`tool`, `prompt`, `resource`, `template`) and name of each blocked entry."""
    drift_version: int = 0
    """Counts changes of `drifted`, so that encoded lists know when they are old."""
    draining: bool = False

    def block(self, server: str, entries: frozenset[tuple[str, str]]) -> None:
        """These entries of a server, and no others of it, are blocked from now on."""
        if self.drifted.get(server, frozenset()) != entries:
            self.drifted[server] = entries
            self.drift_version += 1

    def is_drifted(self, server: str, kind: str, name: str) -> bool:
        """Whether an entry is blocked until somebody reviews it."""
        return (kind, name) in self.drifted.get(server, ())
