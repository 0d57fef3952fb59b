"""What is known about a call so far: its record, filled in step by step, which is written whatever happens.

Each step adds the facts it established; nothing is ever taken back.
"""

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.manifest import ServerDefinition
from customhouse.core.record import Record


def opened(call_id: str, endpoint: str, bytes_in: int) -> Record:
    """The record of an exchange that has just begun; its trace is its own until the client names another."""
    return Record(kind="closing", call_id=call_id, trace_id=call_id, endpoint=endpoint, outcome="unknown", bytes_in=bytes_in)


def comes_from(trail: Record, caller: Caller) -> None:
    """The caller is known."""
    trail.tenant = caller.tenant
    trail.person = caller.person
    trail.workload = caller.workload
    trail.client = caller.client
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
