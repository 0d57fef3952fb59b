"""The sandbox of this machine, which the tests cannot do without."""

import asyncio

import pytest

from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap, Containment


@pytest.fixture(scope="session")
def holds() -> Containment:
    """What holds on this machine. Without a sandbox nothing here can be tested, which is a failure and not a reason to skip."""
    found = asyncio.run(Bubblewrap().containment())
    if found.problem:
        pytest.fail(f"The tests need a working sandbox (scripts/debian bwrap=bubblewrap): {found.problem}")
    return found


@pytest.fixture
def bubblewrap(holds: Containment) -> Bubblewrap:
    return Bubblewrap()
