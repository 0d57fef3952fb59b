"""Host, Origin and Sec-Fetch-Site are judged independently of each other."""

import pytest

from customhouse.core.protocol.origin import check_origin
from customhouse.core.refusal import Reason, Refused

HOSTS = frozenset({b"gateway.example", b"127.0.0.1:8080"})
ORIGINS = frozenset({b"https://app.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {b"host": b"gateway.example"},
        {b"host": b"Gateway.EXAMPLE"},
        {b"host": b"127.0.0.1:8080", b"origin": b"https://app.example"},
        {b"host": b"gateway.example", b"sec-fetch-site": b"none"},
        {b"host": b"gateway.example", b"sec-fetch-site": b"same-origin"},
        {b"host": b"gateway.example", b"origin": b"https://app.example", b"sec-fetch-site": b"cross-site"},
    ],
)
def test_requests_from_here_and_from_listed_origins_pass(headers: dict[bytes, bytes]) -> None:
    check_origin(headers, HOSTS, ORIGINS)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, Reason.FOREIGN_HOST),
        ({b"host": b""}, Reason.FOREIGN_HOST),
        ({b"host": b"127.0.0.1"}, Reason.FOREIGN_HOST),
        ({b"host": b"127.0.0.1:8081"}, Reason.FOREIGN_HOST),
        ({b"host": b"evil.example"}, Reason.FOREIGN_HOST),
        ({b"host": b"gateway.example/x?"}, Reason.FOREIGN_HOST),
        ({b"host": b"gateway.example,evil.example"}, Reason.FOREIGN_HOST),
        ({b"host": b"evil.example", b"origin": b"https://app.example"}, Reason.FOREIGN_HOST),
        ({b"host": b"gateway.example", b"origin": b"https://evil.example"}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"origin": b"null"}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"origin": b""}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"origin": b"http://app.example"}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"origin": b"https://gateway.example"}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"sec-fetch-site": b"cross-site"}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"sec-fetch-site": b"same-site"}, Reason.FOREIGN_ORIGIN),
        ({b"host": b"gateway.example", b"sec-fetch-site": b""}, Reason.FOREIGN_ORIGIN),
    ],
)
def test_foreign_hosts_and_pages_are_refused(headers: dict[bytes, bytes], reason: Reason) -> None:
    with pytest.raises(Refused) as caught:
        check_origin(headers, HOSTS, ORIGINS)
    assert caught.value.reason is reason
