"""One request as it is read, and what of its head is refused.

Source: RFC 9112, sections 3 (request line), 6 (message body) and 11 (smuggling). The parser refuses broken syntax; what stands here is
where the RFC leaves a choice, and the choice is always to refuse what two readers could read differently.
"""

import re

import msgspec

from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.arrival import Arrival, Passed


class Request(Arrival):
    """One request as it is read; whole, it is what arrives at the exchange."""

    headers: dict[bytes, bytes] = msgspec.field(default_factory=dict)
    method: bytes = b""
    target: bytes = b""
    keep_alive: bool = True
    version: str = "1.1"
    refused: Refused | None = None

    @property
    def chunks_allowed(self) -> bool:
        """HTTP/1.0 knows neither chunks nor interim answers."""
        return self.version == "1.1"


_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]+)([^#]*)", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
"""`uri-host [":" port]` of RFC 9110 section 7.2: a name or an address, nothing of a URI around it."""


class Head(msgspec.Struct, frozen=True, gc=False):
    """A head that was read and judged once: the same bytes at the same place mean the same again."""

    method: bytes
    target: bytes
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    """Shared by every request with this head; nobody changes it."""
    body_bytes: int
    has_parameter_headers: bool
    passed: Passed

    def request(self, started: float, body: bytes) -> Request:
        """A request with this head."""
        return Request(
            self.path, self.query, self.headers, body, started, self.passed, self.has_parameter_headers, self.method, self.target
        )


MAX_HEADS = 1_024
"""Heads kept by a process, 2 to 4 KB each. A client repeats its head as long as its token and the length of its requests stay the same."""


def remembered(data: bytes, request: Request) -> tuple[bytes, Head] | None:
    """The head of a request that came whole and alone in `data`, worth keeping; None for anything unusual."""
    length = request.headers.get(b"content-length")
    if length is None or not request.keep_alive or not request.chunks_allowed or _UNUSUAL & request.headers.keys():
        return None
    end = data.find(b"\r\n\r\n") + 4
    if end < 4 or len(data) - end != int(length):
        return None
    mirrored = any(name.startswith(b"mcp-param-") for name in request.headers)
    return data[:end], Head(
        request.method, request.target, request.path, request.query, request.headers, int(length), mirrored, request.passed
    )


_UNUSUAL = frozenset({b"expect", b"upgrade", b"transfer-encoding", b"trailer", b"te"})


def judge_frame(request: Request, max_body_bytes: int) -> Refused | None:
    """What RFC 9112 leaves open and this gateway does not take: the refusal of a request's head, or None."""
    headers = request.headers
    if request.version not in ("1.1", "1.0"):
        return Refused(Reason.MALFORMED_HTTP, message="The version is neither HTTP/1.1 nor HTTP/1.0.")
    if b"host" not in headers:
        return Refused(Reason.MALFORMED_HTTP, message="Host is missing.")
    if absolute := _ABSOLUTE_FORM.fullmatch(request.target):
        # The target's host overrides the header (RFC 9112 section 3.2.2); a path that is not there is `/`.
        headers[b"host"], request.target = absolute[1], absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]
    if not request.target.startswith(b"/") or b"#" in request.target:
        return Refused(Reason.MALFORMED_HTTP, message="The request target is not a path.")
    if not _HOST.fullmatch(headers[b"host"]):
        return Refused(Reason.MALFORMED_HTTP, message="Host is not a host.")
    encoding = headers.get(b"transfer-encoding")
    if encoding is not None and (encoding.lower() != b"chunked" or b"content-length" in headers or not request.chunks_allowed):
        return Refused(Reason.MALFORMED_HTTP, message="Transfer-Encoding is not chunked alone.")
    length = headers.get(b"content-length")
    if length is not None and not length.isdigit():
        return Refused(Reason.MALFORMED_HTTP, message="Content-Length is not one number.")
    if length is not None and (len(length) > 12 or int(length) > max_body_bytes):
        return Refused(Reason.BODY_TOO_LARGE, {"allowedBytes": max_body_bytes})
    if length is None and encoding is None and request.method == b"POST":
        return Refused(Reason.LENGTH_REQUIRED)
    if headers.get(b"expect", b"100-continue").lower() != b"100-continue":
        return Refused(Reason.EXPECTATION_FAILED)
    return None


def head_without_upgrade(request: Request) -> bytes:
    """The head of a request as it would be without its wish to switch protocols. Java's own HTTP client wishes for h2c by default."""
    headers = {name: value for name, value in request.headers.items() if name not in (b"upgrade", b"http2-settings", b"connection")}
    if not request.keep_alive:
        headers[b"connection"] = b"close"
    lines = [b"%b: %b\r\n" % header for header in headers.items()]
    return b"%b %b HTTP/%b\r\n%b\r\n" % (request.method, request.target, request.version.encode(), b"".join(lines))
