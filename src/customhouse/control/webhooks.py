"""Signed notices that somebody is asked to approve a call.

Source: Standard Webhooks 1.0.0 (github.com/standard-webhooks/standard-webhooks, spec): `webhook-id`, `webhook-timestamp` and
`webhook-signature: v1,` with the base64 of HMAC-SHA256 over `id.timestamp.body`; a secret is `whsec_` and base64 of 24 to 64 bytes.
The id of a notice is that of its request, the same in every attempt, so that a receiver who got it twice knows. A notice says where to
decide and never decides: it carries no token, and the arguments only where an operator switched that on.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from customhouse.control.approvals import presented
from customhouse.core.approval import ApprovalRequest
from customhouse.core.instants import moment_text
from customhouse.core.refusal import Refused
from customhouse.ports.approvals import Approvals
from customhouse.ports.hosts import Courier, NotDelivered
from customhouse.ports.traffic import Clock

log = logging.getLogger(__name__)

PAUSES_SECONDS = (1.0, 5.0, 25.0)
"""After each failed attempt but the last. Half a minute in all: a request that nobody heard of still stands in the list."""
GONE = 410
"""The receiver wants no more notices (Standard Webhooks, Deliverability)."""
LOOK_SECONDS = 2.0
MAX_AT_ONCE = 8
"""Notices on their way; more wait for the next look."""
SECRET_PREFIX = "whsec_"  # noqa: S105 - what a secret begins with


class Notice(msgspec.Struct, frozen=True):
    """One notice, ready to be signed."""

    id: str
    body: bytes


def secret_bytes(text: str) -> bytes:
    """The key in a secret. Raises `ValueError` with a sentence that does not hold it."""
    try:
        key = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True) if text.startswith(SECRET_PREFIX) else b""
    except binascii.Error:
        key = b""
    if not 24 <= len(key) <= 64:
        raise ValueError("The secret of the webhook is not `whsec_` and base64 of 24 to 64 bytes.")
    return key


def notice_of(request: ApprovalRequest, where: str, *, with_arguments: bool) -> Notice:
    """What is said of a request. Every text in it is made of visible characters."""
    about = presented(request)
    data: dict[str, object] = {
        "approvalId": about.id,
        "title": about.title,
        "tier": about.tier,
        "tenant": about.tenant,
        "server": about.server,
        "name": about.name,
        "groups": about.groups,
        "argumentDigest": about.argument_digest,
        "expiresAt": moment_text(about.expires_at),
        "where": where,
    }
    if with_arguments:
        data |= {"arguments": about.arguments, "argumentsCut": about.cut}
    body = {"type": "approval.asked", "timestamp": moment_text(request.asked_at), "data": data}
    return Notice(request.id, msgspec.json.encode(body))


def signed(notice: Notice, key: bytes, now: float) -> Mapping[str, str]:
    """The headers of one attempt."""
    timestamp = str(int(now))
    code = hmac.new(key, b".".join((notice.id.encode(), timestamp.encode(), notice.body)), hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": notice.id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(code).decode(),
    }


@dataclass
class Notices:
    """Sends a notice for each new request; `run` looks for them."""

    courier: Courier
    url: str
    key: bytes
    clock: Clock
    approvals: Callable[[], Approvals]
    tenants: Callable[[], Iterable[str]]
    where: Callable[[ApprovalRequest], str]
    """The address or command with which somebody decides."""
    with_arguments: bool = False
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    stopped: bool = False
    """The receiver said that it wants no more."""
    _told: dict[str, float] = field(default_factory=dict)
    """Requests whose notice was sent or given up, with their expiry."""

    async def send(self, notice: Notice) -> bool:
        """Whether the receiver has it; signed anew for each attempt, and given up after the last."""
        for pause_seconds in (*PAUSES_SECONDS, None):
            try:
                status = await self.courier.deliver(self.url, notice.body, signed(notice, self.key, self.clock.now()))
            except NotDelivered as away:
                problem = str(away)
            else:
                if 200 <= status < 300:
                    return True
                problem = f"The receiver answered with HTTP status {status}."
                self.stopped = self.stopped or status == GONE
            if self.stopped or pause_seconds is None:
                log.warning("the notice of approval %s was given up: %s", notice.id, problem)
                return False
            await self.pause(pause_seconds)
        return False

    async def look(self) -> int:
        """Send the notices of what waits and was not told yet; how many were delivered. Raises `Refused` where the store is away."""
        now = self.clock.now()
        self._told = {request_id: until for request_id, until in self._told.items() if until > now}
        waiting = await asyncio.to_thread(self._waiting)
        fresh = [] if self.stopped else [one for one in waiting if one.id not in self._told][:MAX_AT_ONCE]
        self._told |= {one.id: one.expires_at for one in fresh}
        notices = (notice_of(one, self.where(one), with_arguments=self.with_arguments) for one in fresh)
        return sum(await asyncio.gather(*map(self.send, notices)))

    async def run(self) -> None:
        """Look from time to time. After a restart what still waits is told once more, under the same id."""
        while not self.stopped:
            with contextlib.suppress(Refused):  # the store is away: the next look tries again
                await self.look()
            await self.pause(LOOK_SECONDS)

    def _waiting(self) -> list[ApprovalRequest]:
        store, now = self.approvals(), self.clock.now()
        return [one for tenant in self.tenants() for one in store.waiting(tenant, now)]
