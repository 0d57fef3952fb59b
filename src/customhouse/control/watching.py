"""When a server is looked at again, and what is recorded of a look; see `snapshots` for what a look is."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable

from customhouse.core.manifest import ServerDefinition
from customhouse.core.permit import Purpose
from customhouse.core.record import Record
from customhouse.core.refusal import Refused
from customhouse.ports.traffic import Clock, Ledger

log = logging.getLogger(__name__)

SOON_SECONDS = 2.0
"""How long after a server said that a list changed it is looked at: whoever changes one thing often changes several."""

REST_SECONDS = 10.0
"""Between two looks at a server that says again and again that it changed."""


async def watch(look: Callable[[], Awaitable[None]], early: asyncio.Event, clock: Clock, interval_seconds: float) -> None:
    """Look again and again: after an interval, or soon where `early` is set meanwhile. Ends by cancellation, or as a look ends."""
    while True:
        early.clear()  # what changes while the server is looked at is looked at once more
        await look()
        looked_at = clock.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(interval_seconds * _jitter()):
                await early.wait()
                rest = looked_at + REST_SECONDS - clock.monotonic()
                await asyncio.sleep(max(SOON_SECONDS, rest) * _jitter())


async def record_look(ledger: Ledger, clock: Clock, definition: ServerDefinition, digest: str, outcome: str, note: str) -> None:
    """Record an errand; `digest` is of the manifest it is about. Without a ledger it is said in the log: a look changes nothing."""
    record = Record(
        kind="errand",
        at=clock.now(),
        method=Purpose.CAPTURE.value,
        tenant=definition.tenant,
        server=definition.name,
        pin_digest=digest,
        outcome=outcome,
        note=note[:1000],
    )
    try:
        await ledger.append(record, durable=False)
    except Refused as unrecorded:
        log.warning("a capture of %s could not be recorded: %s", definition.name, unrecorded.note)


def _jitter() -> float:
    """So that many gateways do not ask one server, nor one of them many servers, in the same moment."""
    return random.uniform(0.9, 1.1)  # noqa: S311 - no secret
