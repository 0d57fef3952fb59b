"""Host, Origin and Sec-Fetch-Site against what the operator listed: the guard against DNS rebinding and foreign pages.

Source: MCP 2026-07-28, basic/transports/streamable-http, Security: servers MUST validate Origin; OWASP AISVS 10.3.3: Origin and
Host independently. A request without Origin passes; Sec-Fetch-Site then tells whether a browser sent it from elsewhere. The guard holds
on every path and on loopback too (CVE-2025-66414, CVE-2026-34742).
"""

from collections.abc import Mapping

from customhouse.core.refusal import Reason, Refused

_FROM_HERE = frozenset({b"none", b"same-origin"})


def check_origin(headers: Mapping[bytes, bytes], hosts: frozenset[bytes], origins: frozenset[bytes]) -> None:
    """Raises `Refused` FOREIGN_HOST or FOREIGN_ORIGIN. Hosts are compared as `host[:port]` in lower case."""
    host = headers.get(b"host")
    if host is None or (host not in hosts and host.lower() not in hosts):
        raise Refused(Reason.FOREIGN_HOST)
    origin = headers.get(b"origin")
    if origin is not None:
        if origin not in origins:
            raise Refused(Reason.FOREIGN_ORIGIN)
    elif (site := headers.get(b"sec-fetch-site")) is not None and site not in _FROM_HERE:
        raise Refused(Reason.FOREIGN_ORIGIN)
