"""One request as it is read, and what of its head is refused.

Source: RFC 9112, sections 3 (request line), 6 (message body) and 11 (smuggling). The parser refuses broken syntax; what stands here is
where the RFC leaves a choice, and the choice is always to refuse what two readers could read differently.
"""

import msgspec

from customhouse.core.refusal import Reason, Refused


class Request(msgspec.Struct, gc=False):
    """One request as it is read."""

    started: float
    method: bytes = b""
    target: bytes = b""
    headers: dict[bytes, bytes] = {}
    body: bytes = b""
    keep_alive: bool = True
    chunks_allowed: bool = True
    refused: Refused | None = None


def judge_frame(request: Request, max_body_bytes: int) -> Refused | None:
    """What RFC 9112 leaves open and this gateway does not take: the refusal of a request's head, or None."""
    headers = request.headers
    if request.target.startswith((b"http://", b"https://")):
        request.target, headers[b"host"] = origin_form(request.target)
    if not request.target.startswith(b"/"):
        return Refused(Reason.MALFORMED_HTTP, message="The request target is not a path.")
    if b"host" not in headers:
        return Refused(Reason.MALFORMED_HTTP, message="Host is missing.")
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


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Path and host of an absolute-form target, whose host overrides the header (RFC 9112 section 3.2.2)."""
    authority, slash, path = target.partition(b"://")[2].partition(b"/")
    return slash + path or b"/", authority
