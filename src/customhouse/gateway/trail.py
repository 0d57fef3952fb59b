"""What is known about a call so far: its record, filled in step by step, which is written whatever happens.

Each step adds the facts it established; nothing is ever taken back.
"""

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.manifest import ServerDefinition
from customhouse.core.record import Record

MAX_GROUPS = 64
"""Groups of a caller that are written down: tokens carry up to a few dozen, and a record has to stay small."""


def opened(call_id: str, endpoint: str, bytes_in: int) -> Record:
    """The record of an exchange that has just begun; its trace is its own until the client names another."""
    return Record(kind="closing", call_id=call_id, trace_id=call_id, endpoint=endpoint, outcome="unknown", bytes_in=bytes_in)


def comes_from(trail: Record, caller: Caller) -> None:
    """The caller is known."""
    trail.tenant = caller.tenant
    trail.person = caller.person
    trail.workload = caller.workload
    trail.client = caller.client
    if caller.groups:
        trail.groups, trail.groups_left_out = caller.groups[:MAX_GROUPS], max(0, len(caller.groups) - MAX_GROUPS)
    trail.issuer = caller.issuer
    trail.token_id = caller.token_id
    trail.authorisation = caller.context_digest


def means(trail: Record, server: ServerDefinition, name: str, pin_digest: str, effect: str = "") -> None:
    """The name stands for this entry of this pin."""
    trail.server = server.name
    trail.name = name
    trail.pin_digest = pin_digest
    trail.effect = effect


def intent_of(trail: Record, at: float, took_us: int) -> Record:
    """What is written before a server hears of a call; how it ends is not known yet."""
    return msgspec.structs.replace(trail, kind="intent", at=at, outcome="", took_us=took_us)
