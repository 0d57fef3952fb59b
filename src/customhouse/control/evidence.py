"""What the audit log and the books say about use: who called what last, what nobody calls, and what needs somebody's attention."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from customhouse.control.register import Register
from customhouse.core.content import Content, ServerContent
from customhouse.core.identity import Caller
from customhouse.core.instants import DAY_SECONDS, end_of_day
from customhouse.core.manifest import ServerDefinition
from customhouse.core.operators import Action
from customhouse.core.record import Record
from customhouse.core.refusal import Refused
from customhouse.core.review import Kind, State, Version, standing
from customhouse.ports.stores import Stores
from customhouse.ports.traffic import Clock

DORMANT_SECONDS: Final = 90 * DAY_SECONDS
"""A tool that nobody called for a quarter of a year is one that nobody needs to be able to call."""

SOON_SECONDS: Final = 14 * DAY_SECONDS

MAX_KEPT: Final = 100_000
"""Tools and clients whose last use is kept; beyond that, those used least recently go."""

_MARK: Final = "uses"


class Use(msgspec.Struct):
    """The last use of something."""

    first_at: float
    last_at: float
    calls: int = 0


@dataclass
class Uses:
    """Uses by what was used."""

    tools: dict[tuple[str, str, str], Use] = field(default_factory=dict)
    """By tenant, server and the server's own name of the entry."""
    clients: dict[tuple[str, str, str], Use] = field(default_factory=dict)
    """By tenant, client and person or workload."""
    until: float = 0.0
    """Unix seconds of the last record that is counted."""

    def count(self, record: Record) -> None:
        """One closing record."""
        if record.kind != "closing" or not record.tenant:
            return
        self.until = max(self.until, record.at)
        _use(self.clients, (record.tenant, record.client, record.person or record.workload), record.at)
        if record.server and record.decision == "permit":
            _use(self.tools, (record.tenant, record.server, record.name), record.at)


def _use(uses: dict[tuple[str, str, str], Use], key: tuple[str, str, str], at: float) -> None:
    use = uses.get(key)
    if use is None:
        if len(uses) >= MAX_KEPT:
            del uses[min(uses, key=lambda one: uses[one].last_at)]
        use = uses[key] = Use(at, at)
    use.last_at = max(use.last_at, at)
    use.calls += 1


class Evidence:
    """Reads the audit log on and on, and answers from it. Calls block."""

    def __init__(
        self,
        register: Register,
        stores: Stores,
        clock: Clock,
        more: Callable[[], Iterable[Record]],
        last: Callable[[int, Callable[[Record], bool]], Sequence[Record]],
    ) -> None:
        self._register = register
        self._stores = stores
        self._clock = clock
        self._more = more
        """The records that were written since it was asked before."""
        self._last = last
        """The last records that are wanted, oldest first."""
        self._lock = threading.Lock()
        self._uses = self._kept()

    def read_on(self) -> None:
        """Count what was called since, and keep the counts."""
        with self._lock:
            counted = self._uses.until
            for record in self._more():
                if record.at > counted:
                    self._uses.count(record)
            if self._uses.until > counted:
                self._keep()

    def records(self, caller: Caller, limit: int) -> list[dict[str, Any]]:
        """The last records of the tenants whose audit the operator may read. Raises `Refused` NOT_YOUR_ROLE."""
        everywhere = self._may_audit(caller, "")
        if not everywhere:
            self._register.may(caller, Action.READ_AUDIT, caller.tenant)
        found = self._last(limit, lambda record: everywhere or (bool(record.tenant) and self._may_audit(caller, record.tenant)))
        return [msgspec.to_builtins(record) for record in found]

    def inventory(self, caller: Caller) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
        """Servers, clients, and sentences about what needs attention, of what the operator may read."""
        self.read_on()
        now = self._clock.now()
        served = {key: pairs for key, pairs in self._register.served().items() if self._register.reads(caller, pairs[0][0].tenant)}
        servers = [row for (kind, _), pairs in sorted(served.items(), key=str) if kind is Kind.SERVER for row in self._rows(pairs, now)]
        clients = [
            {"tenant": tenant, "client": client, "name": name, "firstSeen": use.first_at, "lastSeen": use.last_at, "requests": use.calls}
            for (tenant, client, name), use in sorted(self._uses.clients.items())
            if self._register.reads(caller, tenant)
        ]
        return servers, clients, [sentence for row in servers for sentence in row["attention"]]

    def _rows(self, pairs: Sequence[tuple[Version, Content]], now: float) -> Iterable[dict[str, Any]]:
        for version, content in pairs:
            if not isinstance(content, ServerContent) or version.state is State.RETIRED:
                continue
            definition = content.definition
            pinned = [str(tool["name"]) for tool in content.pin.manifest.tools] if content.pin else []
            uses = {
                name: self._uses.tools.get((version.tenant, version.name, name), Use(0.0, 0.0))
                for name in pinned
                if name in definition.tools
            }
            with self._stores.reading() as books:
                stands = standing(version, books.reviews([version.digest]), now)
            dormant = [name for name, use in uses.items() if now - max(use.last_at, version.activated_at) > DORMANT_SECONDS]
            yield {
                "name": version.name,
                "version": version.number,
                "state": version.state.value,
                "tenant": version.tenant,
                "owner": definition.owner,
                "contact": definition.contact,
                "onCall": definition.on_call,
                "classification": definition.classification or "",
                "runbook": definition.runbook,
                "reviewBy": definition.review_by,
                "where": definition.where,
                "digest": version.digest,
                "pin": content.pin.digest if content.pin else "",
                "activatedAt": version.activated_at,
                "reviewsHoldUntil": stands.holds_until,
                "lastUsed": max((use.last_at for use in uses.values()), default=0.0),
                "tools": {
                    name: {"class": definition.tools[name].effect.value, "lastUsed": use.last_at, "calls": use.calls}
                    for name, use in uses.items()
                },
                "unreviewed": sorted(set(pinned) - definition.tools.keys()),
                "dormant": dormant,
                "waivers": [f"{waiver.rule}: {waiver.reason} (granted by {waiver.granted_by})" for waiver in definition.waivers],
                "attention": [f"{version.name}: {sentence}" for sentence in _attention(definition, stands.holds_until, dormant, now)],
            }

    def _may_audit(self, caller: Caller, tenant: str) -> bool:
        try:
            self._register.may(caller, Action.READ_AUDIT, tenant)
        except Refused:
            return False
        return True

    def _kept(self) -> Uses:
        with self._stores.reading() as books:
            kept = books.mark(_MARK)
        if kept is None:
            return Uses()
        value = msgspec.json.decode(kept, type=_Kept)
        return Uses({(a, b, c): use for a, b, c, use in value.tools}, {(a, b, c): use for a, b, c, use in value.clients}, value.until)

    def _keep(self) -> None:
        value = _Kept(
            [(*key, use) for key, use in self._uses.tools.items()],
            [(*key, use) for key, use in self._uses.clients.items()],
            self._uses.until,
        )
        with self._stores.writing() as books:
            books.put_mark(_MARK, msgspec.json.encode(value))


class _Kept(msgspec.Struct):
    tools: list[tuple[str, str, str, Use]]
    clients: list[tuple[str, str, str, Use]]
    until: float


def _attention(definition: ServerDefinition, holds_until: float, dormant: Sequence[str], now: float) -> Iterable[str]:
    if not holds_until:
        yield "its reviews are not enough any more."
    elif holds_until - now < SOON_SECONDS:
        yield f"its reviews expire in {_days(holds_until - now)}."
    if definition.review_by and (left := end_of_day(definition.review_by) - now) < SOON_SECONDS:
        yield f"its owner has to look at it by {definition.review_by}." if left > 0 else f"nobody looked at it by {definition.review_by}."
    credential = definition.credential
    if credential is not None and credential.expires_on and (left := end_of_day(credential.expires_on) - now) < SOON_SECONDS:
        yield f"its credential expires on {credential.expires_on}." if left > 0 else f"its credential expired on {credential.expires_on}."
    if dormant:
        yield f"nobody called {', '.join(dormant[:10])} for 90 days."


def _days(seconds: float) -> str:
    days = int(seconds // DAY_SECONDS)
    return f"{days} days" if days != 1 else "a day"
