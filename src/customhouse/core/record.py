"""One entry of the ledger: what was asked, by whom, what was decided and how it ended.

Metrics, traces and the audit log are readers of this one value, so they cannot disagree. The exchange fills it in while it goes on; from
the moment it is appended nobody changes it.
"""

import msgspec

FORMAT = 1
"""Version of the record's layout, in every record; readers refuse what they do not know."""


class Record(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One entry. Strings are empty and numbers zero where the call did not get that far; absent fields were never known."""

    kind: str
    """`intent` before a write leaves, `closing` at the end of every exchange, `errand` for work without a caller, `start` and `stop` of the process,
    `approval` for what happened to a request for one."""
    at: float = 0.0
    """Unix seconds when the record was made."""
    call_id: str = ""
    """The gateway's own id of the exchange: 32 hexadecimal digits; joins intent and closing record."""
    trace_id: str = ""
    """W3C trace id: the client's where it sent a valid one, else the call id."""
    endpoint: str = ""
    """The path the caller used."""
    method: str = ""
    """The JSON-RPC method; `GET` and `DELETE` for requests of a session without a message."""
    era: str = ""
    revision: str = ""
    tenant: str = ""
    person: str = ""
    workload: str = ""
    client: str = ""
    groups: tuple[str, ...] = ()
    """Groups of the caller, sorted: the first 64."""
    groups_left_out: int = 0
    """How many more there were."""
    issuer: str = ""
    token_id: str = ""
    authorisation: str = ""
    """Digest of the authorisation context: the facts about the caller that the decision rested on."""
    server: str = ""
    name: str = ""
    """The server's own name of the tool or prompt, or the URI of the resource."""
    effect: str = ""
    """The reviewed class."""
    pin_digest: str = ""
    policy_digest: str = ""
    argument_digest: str = ""
    """Keyed hash of the canonical arguments: equal arguments give equal digests, and nobody without the key can guess them."""
    decision: str = ""
    """`permit` or `deny`, `ask` where a person has to approve, whatever came of it; empty where no policy was asked."""
    reasons: tuple[str, ...] = ()
    """The ids of the policies that determined the decision."""
    would: str = ""
    """What the rules of dry runs would have decided, if something else: `deny:`, `permit:`, `ask:` (an approval) or `broken:` and the ids
    of the rules; `seen` where the name would not have been unknown to the caller."""
    approval: str = ""
    """The id of the request for an approval that the call made, met or used."""
    approved_by: str = ""
    """Who approved it (`tenant/person`, several joined by commas); in a record of a verdict, whose verdict it is."""
    taint: tuple[str, ...] = ()
    """What the conversation had read when policy refused the call or asked for an approval: `untrusted`, `private`, `confidential`."""
    outcome: str = ""
    """`answered`, `tool_error`, `listed`, `accepted`, `listened`, `input_required`, `task`, `cancelled`, `caller_left`, `unknown`, or the
    name of a refusal. Of an `approval`: `asked`, `approved`, `denied`, `expired`."""
    note: str = ""
    """For operators only: what the refusal did not tell the caller; for a request about a task, the call that began it."""
    upstream_era: str = ""
    took_us: int = 0
    """From the first byte of the request to this record, in microseconds."""
    upstream_us: int = 0
    """Spent waiting for the server, in microseconds."""
    bytes_in: int = 0
    bytes_out: int = 0
