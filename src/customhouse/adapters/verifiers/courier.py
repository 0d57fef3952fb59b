"""Notices over the guarded client: https, or http to loopback where the operator's own address names it; redirects are not followed."""

from collections.abc import Mapping
from dataclasses import dataclass

from customhouse.adapters.verifiers.guarded import GuardedClient, NotFetched, is_loopback_url
from customhouse.ports.hosts import NotDelivered


@dataclass(frozen=True)
class GuardedCourier:
    """An implementation of `ports.hosts.Courier`."""

    client: GuardedClient
    networks: tuple[str, ...] = ()
    """Private networks (CIDR) that the address may resolve to."""

    async def deliver(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        try:
            return await self.client.post(url, body, headers, networks=self.networks, loopback=is_loopback_url(url))
        except NotFetched as failed:
            raise NotDelivered(str(failed)) from failed
