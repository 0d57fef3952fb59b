"""What is known about a call so far; becomes its record, whatever happens."""

from customhouse.core.identity import Caller
from customhouse.core.manifest import ServerDefinition
from customhouse.core.record import Record


class Trail:
    """One exchange on its way. Each step adds the facts it established; nothing is ever taken back."""

    caller: Caller | None = None
    method = ""
    era = ""
    revision = ""
    server = ""
    name = ""
    effect = ""
    pin_digest = ""
    policy_digest = ""
    argument_digest = ""
    decision = ""
    reasons: tuple[str, ...] = ()
    outcome = "unknown"
    note = ""
    upstream_era = ""
    upstream_us = 0

    def __init__(self, call_id: str, endpoint: str, started: float, bytes_in: int) -> None:
        self.call_id = call_id
        self.endpoint = endpoint
        self.started = started
        self.bytes_in = bytes_in
        self.trace_id = call_id

    def means(self, server: ServerDefinition, name: str, pin_digest: str, effect: str = "") -> None:
        """The name stands for this entry of this pin."""
        self.server = server.name
        self.name = name
        self.pin_digest = pin_digest
        self.effect = effect

    def record(self, kind: str, at: float, now: float, bytes_out: int) -> Record:
        """The record of this exchange as it stands."""
        caller = self.caller
        return Record(
            kind=kind,
            at=at,
            call_id=self.call_id,
            trace_id=self.trace_id,
            endpoint=self.endpoint,
            method=self.method,
            era=self.era,
            revision=self.revision,
            tenant=caller.tenant if caller else "",
            person=caller.person if caller else "",
            workload=caller.workload if caller else "",
            client=caller.client if caller else "",
            issuer=caller.issuer if caller else "",
            token_id=caller.token_id if caller else "",
            authorisation=caller.context_digest if caller else "",
            server=self.server,
            name=self.name,
            effect=self.effect,
            pin_digest=self.pin_digest,
            policy_digest=self.policy_digest,
            argument_digest=self.argument_digest,
            decision=self.decision,
            reasons=self.reasons,
            outcome=self.outcome if kind == "closing" else "",
            note=self.note,
            upstream_era=self.upstream_era,
            took_us=int((now - self.started) * 1e6),
            upstream_us=self.upstream_us,
            bytes_in=self.bytes_in,
            bytes_out=bytes_out,
        )
