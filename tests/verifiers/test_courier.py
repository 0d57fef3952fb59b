"""A notice goes to the address that an operator wrote, and no further."""

from collections.abc import AsyncIterator

import pytest

from customhouse.adapters.verifiers.courier import GuardedCourier
from customhouse.adapters.verifiers.guarded import GuardedClient
from customhouse.ports.hosts import NotDelivered
from tests.verifiers.support import Site, http, site


@pytest.fixture
async def hooks() -> AsyncIterator[Site]:
    async with site() as running:
        running.answers["/hook"] = http(b"", "204 No Content")
        running.answers["/moved"] = http(b"", "302 Found", "Location: https://elsewhere.example/")
        yield running


@pytest.fixture(scope="module")
def courier() -> GuardedCourier:
    return GuardedCourier(GuardedClient())


async def test_a_body_arrives_with_its_headers(courier: GuardedCourier, hooks: Site) -> None:
    assert await courier.deliver(hooks.url + "/hook", b'{"a":1}', {"webhook-id": "x", "content-type": "application/json"}) == 204
    (request,) = hooks.requests
    assert request.startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"webhook-id: x\r\n" in request.lower()


async def test_a_redirect_is_a_status_and_is_not_followed(courier: GuardedCourier, hooks: Site) -> None:
    assert await courier.deliver(hooks.url + "/moved", b"{}", {}) == 302
    assert len(hooks.requests) == 1


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example/", "https://169.254.169.254/latest", "https://10.0.0.1/", "https://u:p@hooks.example/", "ftp://x/", "https:///"],
)
async def test_an_address_that_is_not_allowed_gets_nothing(courier: GuardedCourier, url: str) -> None:
    with pytest.raises(NotDelivered):
        await courier.deliver(url, b"{}", {})


async def test_nobody_there_is_one_sentence(courier: GuardedCourier) -> None:
    with pytest.raises(NotDelivered, match="No connection"):
        await courier.deliver("http://127.0.0.1:1/", b"{}", {})
