"""A permit names the server, the session and whether the call changes things, and carries no credential."""

import msgspec
import pytest

from customhouse.core.manifest import ServerDefinition
from customhouse.core.permit import permit
from tests.core.policy_world import caller


@pytest.mark.parametrize(("stateless", "shared"), [(True, True), (False, False)])
def test_a_session_is_the_callers_own_unless_the_server_was_reviewed_as_stateless(stateless: bool, shared: bool) -> None:
    server = ServerDefinition(name="n", owner="o", contact="c", tenant="acme", url="http://127.0.0.1/mcp", stateless=stateless)
    alice, bob = (permit("1", caller(person), server, changes_things=False) for person in ("alice", "bob"))
    assert (alice.session_key == bob.session_key) is shared
    assert (alice.session_key == "") is shared


def test_a_permit_holds_nothing_of_the_token() -> None:
    server = ServerDefinition(name="n", owner="o", contact="c", tenant="acme", url="http://127.0.0.1/mcp")
    one = permit("1", msgspec.structs.replace(caller("alice"), token_id="jti-1"), server, changes_things=True)
    assert [field.name for field in msgspec.structs.fields(one)] == ["call_id", "server", "session_key", "changes_things"]
    assert "jti-1" not in repr(one)
