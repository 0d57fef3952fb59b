"""One whole request through an ASGI application: for the slow routes, whose answers are small.

Source: ASGI 3.0, HTTP connection scope.
"""

from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec


class Response(msgspec.Struct):
    """What the application answered."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = []
    body: bytes = b""


async def ask_application(
    application: Any, method: bytes, path: bytes, query: bytes, headers: Mapping[bytes, bytes], body: bytes
) -> Response:
    """The application's answer, whole. Raises what the application raises."""
    response = Response(headers=[])
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method.decode("latin-1"),
        "scheme": "http",
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(headers.items()),
        "client": None,
        "server": None,
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            response.status = message["status"]
            response.headers = list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            response.body += message.get("body", b"")

    await application(scope, receive, send)
    return response
