"""The command line's side of the operators' API: one request, its answer, and what was refused in two lines.

The token goes to the address that the operator named and nowhere else: redirects are not followed, proxies of the environment are not used,
and plain http is for loopback only. `SSL_CERT_FILE` names other certificates to trust.
"""

import functools
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import click
import httpx2

from customhouse.cli import display
from customhouse.cli.call import Failed, check_address

ANSWER_SECONDS = 120.0
"""A step on a large deployment builds its whole view; a capture asks a server."""

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class OperatorsApi:
    """Where the API is, and who asks."""

    url: str
    token: str

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The answer of one operation; `path` is below the prefix. Raises `Failed`, and `Declined` for a refusal."""
        headers = {"Authorization": f"Bearer {self.token}"}
        timeout = httpx2.Timeout(ANSWER_SECONDS, connect=5.0)
        trust = ssl.create_default_context()
        params = {key: value for key, value in (query or {}).items() if value not in ("", None)}
        try:
            with httpx2.Client(headers=headers, timeout=timeout, verify=trust, trust_env=False, follow_redirects=False) as client:
                response = client.request(method, f"{self.url}/api/v1{path}", json=body, params=params)
                answer = response.json()
        except httpx2.TransportError as broken:
            raise Failed(f"The operators' API at {self.url} cannot be reached: {broken}.") from None
        except ValueError:
            raise Failed(f"What answers at {self.url} is not the operators' API.") from None
        if response.status_code >= 300 or not isinstance(answer, dict):
            raise Declined(answer if isinstance(answer, dict) else {})
        return answer


class Declined(Failed):
    """The API refused; the message says why and what to do."""

    def __init__(self, refusal: Mapping[str, Any]) -> None:
        self.reason = str(refusal.get("reason", ""))
        self.detail = refusal.get("detail") or {}
        lines = [f"{refusal.get('sentence', 'The API refused.')} {refusal.get('nextStep', '')}".rstrip()]
        lines += [f"  {name}: {_told(value)}" for name, value in self.detail.items() if value not in ([], "")]
        super().__init__("\n".join(display.safe(line) for line in lines))


def _told(value: object) -> str:
    return "; ".join(map(str, value)) if isinstance(value, list) else str(value)


def version_path(kind: str, name: str, number: int) -> str:
    """The path of a version."""
    return f"/versions/{quote(kind, safe='')}/{quote(name, safe='')}/{number}"


def with_api(command: F) -> F:
    """A command that is handed an `OperatorsApi` first; what fails is told in lines, with exit code 1."""

    @click.option(
        "--url", envvar="CUSTOMHOUSE_CONTROL_URL", default="http://127.0.0.1:8081", show_default=True, show_envvar=True, help="The API."
    )
    @click.option(
        "--token",
        envvar="CUSTOMHOUSE_TOKEN",
        required=True,
        show_envvar=True,
        help="The operator's access token; `customhouse token --operator` mints one.",
    )
    @functools.wraps(command)
    def run(*args: Any, url: str, token: str, **kwargs: Any) -> Any:
        check_address(url)
        try:
            return command(OperatorsApi(url.rstrip("/"), token), *args, **kwargs)
        except Failed as failed:
            click.echo(str(failed), err=True)
            sys.exit(1)

    return run  # type: ignore[return-value]  # click adds parameters that the type cannot tell
