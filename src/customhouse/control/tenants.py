"""Tenants: who there is, and which issuers vouch for whose people.

Issuers are mapped to tenants in the settings, since whoever may change that mapping may be anybody; here is what came of it.
"""

from collections.abc import Mapping, Sequence

import msgspec

from customhouse.control.register import Register
from customhouse.core.identity import Caller
from customhouse.core.operators import Action, named
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.stores import Event, Stores, Tenant
from customhouse.ports.traffic import Clock

SYSTEM = "customhouse"


class Tenants:
    """The tenants of a deployment. Calls block."""

    def __init__(self, register: Register, stores: Stores, clock: Clock) -> None:
        self._register = register
        self._stores = stores
        self._clock = clock

    def seed(self, issuers: Mapping[str, Sequence[str]]) -> None:
        """Have a tenant for each that an issuer is mapped to: tenant to `iss`."""
        with self._stores.writing() as books:
            there = {tenant.name: tenant for tenant in books.tenants()}
            for name in sorted(issuers.keys() | there.keys()):
                vouched = tuple(sorted(issuers.get(name, ())))
                known = there.get(name)
                if known is None:
                    books.put_tenant(Tenant(name=name, created_at=self._clock.now(), created_by=SYSTEM, issuers=vouched))
                    books.note(Event(at=self._clock.now(), actor=SYSTEM, action="create-tenant", tenant=name, kind="tenant", name=name))
                elif known.issuers != vouched:
                    books.put_tenant(msgspec.structs.replace(known, issuers=vouched))
                    detail = {"issuers": list(vouched)}
                    books.note(
                        Event(
                            at=self._clock.now(), actor=SYSTEM, action="map-issuers", tenant=name, kind="tenant", name=name, detail=detail
                        )
                    )

    def listing(self, caller: Caller) -> list[Tenant]:
        """The tenants that the operator may read."""
        with self._stores.reading() as books:
            return [tenant for tenant in books.tenants() if self._register.reads(caller, tenant.name)]

    def create(self, caller: Caller, name: str, title: str) -> Tenant:
        """Create a tenant. Raises `Refused`: NOT_YOUR_ROLE unless for everywhere, CHANGED_MEANWHILE where there is one."""
        self._register.may(caller, Action.MANAGE_TENANTS, "")
        with self._stores.writing() as books:
            if name in {tenant.name for tenant in books.tenants()}:
                raise Refused(Reason.CHANGED_MEANWHILE, message="There is such a tenant.")
            tenant = Tenant(name=name, title=title, created_at=self._clock.now(), created_by=named(caller))
            books.put_tenant(tenant)
            books.note(Event(at=tenant.created_at, actor=tenant.created_by, action="create-tenant", tenant=name, kind="tenant", name=name))
        return tenant
