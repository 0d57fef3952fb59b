"""A proposal names a secret of its own tenant, when it is made and when it is activated."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from customhouse.adapters.stores.memory import MemoryStores
from customhouse.config.load import Loaded
from customhouse.control.register import Register
from customhouse.core.manifest import BearerCredential
from customhouse.core.operators import Assignment, Role
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, State, Step
from customhouse.ports.stores import Tenant
from customhouse.wiring_control import findings_of
from tests.config.deployments import loaded
from tests.control.test_register import HALF_YEAR, NOW, Time, person, server

ROLES = tuple(
    Assignment(role=role, groups=(f"local/{role.value}", f"abroad/{role.value}")) for role in (Role.DEVELOPER, Role.REVIEWER, Role.OPERATOR)
)
TOKEN = BearerCredential("env:NOTES_TOKEN")
LISTED = "control: {secrets: {local: [env:NOTES_TOKEN]}}\n"


class Two:
    """Two tenants, each with its own people, and the check that a control process makes."""

    def __init__(self, where: Loaded) -> None:
        self.stores = MemoryStores()
        self.at(where)
        with self.stores.writing() as books:
            for name in ("local", "abroad"):
                books.put_tenant(Tenant(name=name, created_at=NOW, created_by="local/root"))

    def at(self, where: Loaded) -> None:
        """The same books under other settings."""
        self.register = Register(self.stores, Time(), ROLES, HALF_YEAR, partial(findings_of, where), lambda served: ())

    def reviewed(self, name: str, tenant: str, **fields: Any) -> int:
        """Propose a server and have it accepted by two others."""
        developer = person("dev", "developer", tenant=tenant)
        version = self.register.propose(developer, Kind.SERVER, name, server(name=name, tenant=tenant, **fields)).version
        for one in ("ann", "ben"):
            reviewer = person(one, "reviewer", tenant=tenant)
            self.register.judge(reviewer, Kind.SERVER, name, version.number, version.digest, accepts=True)
        return version.number

    def activate(self, name: str, tenant: str, number: int) -> State:
        operator = person("ops", "operator", tenant=tenant)
        return self.register.step(operator, Kind.SERVER, name, number, Step.ACTIVATE).version.state


def test_a_tenant_does_not_send_the_credential_of_another_to_a_host_of_its_own(tmp_path: Path) -> None:
    two = Two(loaded(tmp_path, LISTED))
    assert two.activate("notes", "local", two.reviewed("notes", "local", credential=TOKEN)) is State.ACTIVE
    with pytest.raises(Refused) as refused:
        two.reviewed("mine", "abroad", url="https://evil.example/mcp", credential=TOKEN)
    assert refused.value.reason is Reason.CONTENT_INVALID
    assert "mine.yaml: credential.bearer: The tenant 'abroad' has no such secret." in str(refused.value.detail)


def test_a_secret_that_was_taken_from_a_tenant_is_not_activated(tmp_path: Path) -> None:
    two = Two(loaded(tmp_path, LISTED))
    number = two.reviewed("notes", "local", credential=TOKEN)
    two.at(loaded(tmp_path, "control: {secrets: {abroad: [env:NOTES_TOKEN]}}\n"))
    with pytest.raises(Refused) as refused:
        two.activate("notes", "local", number)
    assert refused.value.reason is Reason.CONTENT_INVALID
