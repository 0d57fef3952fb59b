"""The one HTTP client for documents of issuers and for notices: it connects to the very address it has classified.

A name is resolved once per fetch, every address is classified, and the connection goes to one of those addresses while Host
and TLS keep the name; a second answer of the resolver is never asked for (DNS rebinding). No redirect is followed, no proxy
of the environment is used, no cookie is kept, and what the other side says in an error is not passed on.
Source: MCP 2026-07-28 security best practices, Server-Side Request Forgery; CVE-2026-58196, CVE-2026-54450, CVE-2026-44430.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx2

from customhouse.adapters.verifiers.documents import read_object
from customhouse.core.address import AddressClass, class_of, may_connect

Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""A host name and a port in, the addresses in the resolver's order out. Raises OSError where there are none."""

_MAX_ADDRESSES = 4
"""How many addresses of one name are tried, in the resolver's order."""

_HEADERS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "customhouse"}
"""Identity coding, so that the size limit counts what is really read."""


class NotFetched(Exception):
    """A document could not be had. Its text is one safe sentence; nothing in it comes from the other side."""


class GuardedClient:
    """Fetches JSON documents over HTTPS, or over plain HTTP from loopback where the caller allows it."""

    def __init__(self, *, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        self._resolve = resolve or resolved
        self._tls = tls or ssl.create_default_context()

    async def get_json(
        self,
        url: str,
        *,
        networks: tuple[str, ...] = (),
        loopback: bool = False,
        max_bytes: int = 262_144,
        timeout_seconds: float = 5.0,
    ) -> dict[str, Any]:
        """The JSON object at a URL.

        `networks` and `loopback` open addresses as in `may_connect`; `timeout_seconds` bounds the whole fetch.
        Raises `NotFetched`.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                body = await self._get(_checked(url, loopback=loopback), networks, loopback, max_bytes)
        except TimeoutError as slow:
            raise NotFetched("The document did not arrive in time.") from slow
        try:
            return read_object(body)
        except ValueError as broken:
            raise NotFetched("The document is not one JSON object.") from broken

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        networks: tuple[str, ...] = (),
        loopback: bool = False,
        timeout_seconds: float = 5.0,
    ) -> int:
        """POST a body; the status of the answer, of which nothing else is read. `networks`, `loopback` and time as in `get_json`.

        Raises `NotFetched`.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._post(_checked(url, loopback=loopback), body, headers, networks, loopback)
        except TimeoutError as slow:
            raise NotFetched("The receiver did not answer in time.") from slow

    async def _post(self, url: httpx2.URL, body: bytes, headers: Mapping[str, str], networks: tuple[str, ...], loopback: bool) -> int:
        failure: Exception | None = None
        for address in await self._addresses(url, networks, loopback):
            transport = _Pinned(address, self._tls)
            try:
                async with (
                    httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=None) as client,
                    client.stream("POST", url, content=body, headers={"User-Agent": "customhouse", **headers}) as answer,
                ):
                    return answer.status_code
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as unreachable:
                failure = unreachable
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as broken:
                raise NotFetched("The connection broke before the receiver answered.") from broken
        raise NotFetched("No connection to the host of the receiver could be made.") from failure

    async def _get(self, url: httpx2.URL, networks: tuple[str, ...], loopback: bool, max_bytes: int) -> bytes:
        failure: Exception | None = None
        for address in await self._addresses(url, networks, loopback):
            try:
                return await self._read_from(address, url, max_bytes)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as unreachable:
                failure = unreachable
            except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as broken:
                raise NotFetched("The connection broke before the document was read.") from broken
        raise NotFetched("No connection to the host of the document could be made.") from failure

    async def _addresses(self, url: httpx2.URL, networks: tuple[str, ...], loopback: bool) -> tuple[str, ...]:
        """All addresses of the host, if the gateway may connect to every one of them."""
        try:
            addresses = await self._resolve(url.host, _port(url))
        except (OSError, UnicodeError) as unknown:
            raise NotFetched("The host of the document has no address.") from unknown
        for address in addresses:
            if not may_connect(address, networks=networks, loopback=loopback):
                raise NotFetched(f"The host of the document has a {class_of(address).value} address, which is not allowed.")
            if url.scheme == "http" and class_of(address) is not AddressClass.LOOPBACK:
                raise NotFetched("Plain HTTP is allowed to loopback only.")
        return addresses[:_MAX_ADDRESSES]

    async def _read_from(self, address: str, url: httpx2.URL, max_bytes: int) -> bytes:
        transport = _Pinned(address, self._tls)
        async with (
            httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=None) as client,
            client.stream("GET", url, headers=_HEADERS) as answer,
        ):
            _check_head(answer)
            return await _read_body(answer, max_bytes)


class _Pinned(httpx2.AsyncBaseTransport):
    """Sends a request to one address, whatever the URL's host resolves to now. It lives for one fetch, so no connection
    that was verified for one name is ever used for another."""

    def __init__(self, address: str, tls: ssl.SSLContext) -> None:
        self._address = address
        self._inner = httpx2.AsyncHTTPTransport(verify=tls, trust_env=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        pinned = httpx2.Request(
            request.method,
            request.url.copy_with(host=self._address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
        )
        return await self._inner.handle_async_request(pinned)

    async def aclose(self) -> None:
        await self._inner.aclose()


async def resolved(host: str, port: int) -> tuple[str, ...]:
    """What the system's resolver says, without repetitions."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_loopback_url(url: str) -> bool:
    """Whether an operator wrote a URL that names this machine itself."""
    try:
        host = httpx2.URL(url).host
    except httpx2.InvalidURL:
        return False
    return host == "localhost" or class_of(host) is AddressClass.LOOPBACK


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port; empty for what is no URL."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        return "", "", 0
    return parsed.scheme, parsed.host, _port(parsed)


def _checked(url: str, *, loopback: bool) -> httpx2.URL:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as broken:
        raise NotFetched("The address of the document is not a URL.") from broken
    if parsed.scheme not in (("https", "http") if loopback else ("https",)):
        raise NotFetched("The address of the document is not an https URL.")
    if not parsed.host or parsed.userinfo or parsed.fragment:
        raise NotFetched("The address of the document has no host, or carries credentials or a fragment.")
    return parsed


def _port(url: httpx2.URL) -> int:
    return url.port or (80 if url.scheme == "http" else 443)


def _check_head(answer: httpx2.Response) -> None:
    if 300 <= answer.status_code < 400:
        raise NotFetched("The document's host answered with a redirect, which is never followed.")
    if answer.status_code != 200:
        raise NotFetched(f"The document's host answered with HTTP status {answer.status_code}.")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise NotFetched("The document is compressed, although it was asked for as it is.")


async def _read_body(answer: httpx2.Response, max_bytes: int) -> bytes:
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > max_bytes:
            raise NotFetched(f"The document is larger than {max_bytes} bytes.")
    return bytes(body)
