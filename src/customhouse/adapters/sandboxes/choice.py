"""Which way a server is started: in the sandbox, unless a waiver in its definition says otherwise."""

from dataclasses import dataclass

from customhouse.core.launch import Launch
from customhouse.ports.hosts import Child, Sandboxes


@dataclass(frozen=True, slots=True)
class ByWaiver:
    """Two ways as one; an implementation of `ports.hosts.Sandboxes`. There is no way from a sandbox that fails to none."""

    contained: Sandboxes
    bare: Sandboxes

    async def start(self, launch: Launch) -> Child:
        """Start the server as its definition says."""
        return await (self.contained if launch.sandboxed else self.bare).start(launch)
