"""The slow routes: protected-resource metadata, health, readiness and metrics, and a clear no for everything else.

Sources: RFC 9728 (metadata at a path inserted after the well-known part); MCP 2026-07-28, basic/authorization; MCP 2025-11-25,
basic/transports (405 where no stream is offered).
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from customhouse.core.refusal import Reason, Refused
from customhouse.gateway.live import Live

_PRM = "/.well-known/oauth-protected-resource"


def application(live: Live, *, issuers: Sequence[str], ready: Callable[[], dict[str, bool]], metrics: Callable[[], bytes]) -> Starlette:
    """The ASGI application. `ready` names each condition and whether it holds. What it refuses it raises as `Refused`, for the door to
    word and record."""

    async def metadata(request: Request) -> Response:
        endpoint = live.view.endpoints.get("/" + request.path_params.get("path", "mcp"))
        if endpoint is None:
            raise Refused(Reason.UNKNOWN_PATH)
        document: dict[str, Any] = {
            "resource": endpoint.resource,
            "authorization_servers": list(issuers),
            "bearer_methods_supported": ["header"],
            "resource_name": f"Customhouse {endpoint.path}",
        }
        if endpoint.scopes:
            document["scopes_supported"] = list(endpoint.scopes)
        return _json(200, document)

    async def health(_: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readiness(_: Request) -> Response:
        conditions = ready()
        return _json(200 if all(conditions.values()) else 503, {"ready": all(conditions.values()), "conditions": conditions})

    async def exposition(_: Request) -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def anything_else(request: Request) -> Response:
        if request.method != "POST" and request.scope["path"] in live.view.endpoints:
            raise Refused(Reason.METHOD_NOT_ALLOWED, headers=(("Allow", "POST"),))
        raise Refused(Reason.UNKNOWN_PATH)

    async def left_over(request: Request, _: Exception) -> Response:
        """What the routes leave over, such as a method nobody knows or a line break in a path, is refused like the rest."""
        return await anything_else(request)

    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
    routes = Starlette(
        routes=[
            Route(_PRM, metadata, methods=["GET"]),
            Route(_PRM + "/{path:path}", metadata, methods=["GET"]),
            Route("/healthz", health, methods=["GET"]),
            Route("/readyz", readiness, methods=["GET"]),
            Route("/metrics", exposition, methods=["GET"]),
            Route("/{path:path}", anything_else, methods=every),
        ],
        exception_handlers={404: left_over, 405: left_over},
    )
    routes.router.redirect_slashes = False  # a redirect would be made of what the request says (CVE-2026-44427)
    return routes


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
