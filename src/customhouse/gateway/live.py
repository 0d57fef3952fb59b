"""What a call reads: the view, immutable and swapped whole, and the overlay of what is blocked right now."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from customhouse.core.catalogue import Endpoint
from customhouse.core.policy import Policy


@dataclass(frozen=True, slots=True)
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


@dataclass(slots=True)
class Live:
    """The current view, and entries that drifted since they were approved."""

    view: View
    drifted: dict[str, frozenset[tuple[str, str]]] = field(default_factory=dict)
    """By server name: kind (`tool`, `prompt`, `resource`, `template`) and name of each blocked entry."""
    draining: bool = False

    def is_drifted(self, server: str, kind: str, name: str) -> bool:
        """Whether an entry is blocked until somebody reviews it."""
        return (kind, name) in self.drifted.get(server, ())
