"""`customhouse call`: a small MCP client for operators, over Streamable HTTP in both eras, without an SDK.

Sources: MCP 2026-07-28, basic/transports/streamable-http (request metadata, answers as JSON or events) and basic/index (`_meta`);
MCP 2025-11-25, basic/lifecycle and basic/transports. The token goes to the address that the operator named and nowhere else: redirects
are not followed, proxies of the environment are not used, and plain http is for loopback only. `SSL_CERT_FILE` names other
certificates to trust.
"""

import ipaddress
import json
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click
import httpx2

import customhouse
from customhouse.cli import display
from customhouse.cli.arguments import typed
from customhouse.core.manifest import Era
from customhouse.core.protocol.paramheaders import encode_value, header_parameters, headers_for
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION, NEWEST_LEGACY, NEWEST_MODERN
from customhouse.core.protocol.sse import EventReader, EventTooLarge
from customhouse.core.refusal import Reason

CONNECT_TIMEOUT_SECONDS = 5.0
LARGEST_ANSWER_BYTES = 16 * 1024 * 1024
MOST_PAGES = 100
"""Pages of one list; a server that never stops paging is not followed further."""
PROGRESS_MARK = "call"
CLIENT_INFO = {"name": "customhouse call", "version": customhouse.__version__}


class Failed(Exception):
    """The call did not work; the message is one line for the terminal."""


@click.command("call")
@click.argument("tool", required=False)
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--list", "listing", is_flag=True, help="List the tools that this token can see, and call none.")
@click.option(
    "--url", envvar="CUSTOMHOUSE_URL", default="http://127.0.0.1:8080/mcp", show_default=True, show_envvar=True, help="The endpoint."
)
@click.option(
    "--token", envvar="CUSTOMHOUSE_TOKEN", required=True, show_envvar=True, help="The access token; `customhouse token` mints one."
)
@click.option("--era", type=click.Choice([era.value for era in Era]), default=Era.MODERN.value, show_default=True, help="How to speak.")
@click.option("--arguments", "json_arguments", metavar="JSON", default="{}", help="The arguments as one JSON object, beside KEY=VALUE.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as JSON.")
@click.option(
    "--silence-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    help="Longest wait for a sign of life.",
)
def call(
    tool: str | None,
    pairs: tuple[str, ...],
    listing: bool,
    url: str,
    token: str,
    era: str,
    json_arguments: str,
    as_json: bool,
    silence_seconds: float,
) -> None:
    """Call a tool through the gateway and print what it answers.

    KEY=VALUE words are typed by the tool's listed input schema; a key of a list may come several times. Progress and log messages go to
    stderr. The exit code is 0 for an answer, 1 for a refusal or an error of the tool, 2 for a command that cannot be understood.
    """
    if listing == (tool is not None):
        raise click.UsageError("Name a tool, or ask for --list.")
    check_address(url)
    written = _object(json_arguments)
    try:
        with conversation(url, token, Era(era), silence_seconds) as talk:
            tools = talk.tools()
            if tool is None:
                _show_tools(tools, as_json=as_json)
                return
            listed = next((entry for entry in tools if entry.get("name") == tool), {})
            result = talk.call(tool, _arguments(pairs, written, listed), listed)
    except Failed as failed:
        click.echo(str(failed), err=True)
        sys.exit(1)
    _show_result(result, as_json=as_json)


def check_address(url: str) -> None:
    """Raises `BadParameter` for an address that no token should go to."""
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL as invalid:
        raise click.BadParameter(f"{url!r} is not a URL: {invalid}", param_hint="--url") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise click.BadParameter("An endpoint begins with https:// or, on this machine, http://.", param_hint="--url")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise click.BadParameter("An endpoint has neither credentials nor a query nor a fragment.", param_hint="--url")
    if parsed.scheme == "http" and not _is_loopback(parsed.host):
        raise click.BadParameter("A token goes over plain http to this machine only; use https.", param_hint="--url")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as invalid:
        raise click.BadParameter(f"That is not JSON: {invalid}", param_hint="--arguments") from None
    if not isinstance(value, dict):
        raise click.BadParameter("The arguments of a tool are one JSON object.", param_hint="--arguments")
    return value


def _arguments(pairs: tuple[str, ...], written: Mapping[str, Any], listed: Mapping[str, Any]) -> dict[str, Any]:
    try:
        words = typed(pairs, _schema_of(listed))
    except ValueError as invalid:
        raise click.UsageError(str(invalid)) from None
    if twice := words.keys() & written.keys():
        raise click.UsageError(f"{min(twice)!r} is given twice: as a word and in --arguments.")
    arguments = {**written, **words}
    try:
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        raise click.UsageError("The arguments hold NaN, an infinity or text that is not Unicode; JSON has none of them.") from None
    return arguments


def _schema_of(listed: Mapping[str, Any]) -> dict[str, Any]:
    """The input schema of a listed tool; empty where the entry has none that can be read."""
    schema = listed.get("inputSchema")
    return schema if isinstance(schema, dict) else {}


class Conversation:
    """One client's exchanges with one endpoint."""

    def __init__(self, client: httpx2.Client, url: str, era: Era) -> None:
        self._client = client
        self._url = url
        self._era = era
        self._last_id = 0
        self._session_headers: dict[str, str] = {}

    def open(self) -> None:
        """Shake hands, where the era has a handshake."""
        if self._era is Era.MODERN:
            return
        params = {"protocolVersion": NEWEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
        opened = self.ask("initialize", params)
        self._session_headers["MCP-Protocol-Version"] = str(opened.get("protocolVersion"))
        self._tell("notifications/initialized")
        if "logging" in opened.get("capabilities", {}):
            self.ask("logging/setLevel", {"level": "info"})

    def close(self) -> None:
        """End the session, where there is one."""
        if "Mcp-Session-Id" in self._session_headers:
            with suppress(httpx2.TransportError):
                self._client.delete(self._url, headers=self._session_headers)

    def tools(self) -> list[dict[str, Any]]:
        """What this token can see."""
        entries: list[dict[str, Any]] = []
        params: dict[str, Any] = {}
        for _ in range(MOST_PAGES):
            page = self.ask("tools/list", params)
            entries += [entry for entry in page.get("tools", []) if isinstance(entry, dict)]
            if not isinstance(cursor := page.get("nextCursor"), str):
                break
            params = {"cursor": cursor}
        return entries

    def call(self, tool: str, arguments: Mapping[str, Any], listed: Mapping[str, Any]) -> dict[str, Any]:
        """The result of one call; `listed` is the tool's entry, empty where it is not listed."""
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": PROGRESS_MARK}}
        return self.ask("tools/call", params, _parameter_headers(listed, arguments) if self._era is Era.MODERN else {})

    def ask(self, method: str, params: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The result of one request. Raises `Failed`."""
        self._last_id += 1
        message = {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": self._with_meta(params)}
        sent = {**self._headers(method, params), **(headers or {})}
        with self._posted(message, sent) as response:
            if method == "initialize" and (session := response.headers.get("mcp-session-id")):
                self._session_headers["Mcp-Session-Id"] = session
            return _result(response, self._last_id)

    def _tell(self, method: str) -> None:
        with self._posted({"jsonrpc": "2.0", "method": method}, self._headers(method, {})) as response:
            if not response.is_success:
                raise _refusal(response.status_code, _decoded(b"".join(_bounded(response))))

    @contextmanager
    def _posted(self, message: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[httpx2.Response]:
        try:
            with self._client.stream("POST", self._url, json=message, headers=dict(headers)) as response:
                yield response
        except httpx2.TimeoutException:
            raise Failed(f"{self._url} gave no sign of life in time.") from None
        except httpx2.TransportError as broken:
            raise Failed(f"{self._url} cannot be reached: {display.line(str(broken)) or type(broken).__name__}") from None

    def _headers(self, method: str, params: Mapping[str, Any]) -> dict[str, str]:
        accepted = {"Accept": "application/json, text/event-stream"}
        if self._era is Era.LEGACY:
            return accepted | self._session_headers
        name = {"Mcp-Name": encode_value(params["name"])} if "name" in params else {}
        return accepted | {"MCP-Protocol-Version": NEWEST_MODERN, "Mcp-Method": method} | name

    def _with_meta(self, params: Mapping[str, Any]) -> dict[str, Any]:
        if self._era is Era.LEGACY:
            return dict(params)
        envelope = {META_VERSION: NEWEST_MODERN, META_CAPABILITIES: {}, META_CLIENT: CLIENT_INFO, META_LOG_LEVEL: "info"}
        return {**params, "_meta": {**params.get("_meta", {}), **envelope}}


@contextmanager
def conversation(url: str, token: str, era: Era, silence_seconds: float) -> Iterator[Conversation]:
    """An open conversation, closed at the end."""
    trust = ssl.create_default_context()
    timeout = httpx2.Timeout(silence_seconds, connect=CONNECT_TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {token}", "User-Agent": f"customhouse/{customhouse.__version__}"}
    with httpx2.Client(headers=headers, timeout=timeout, verify=trust, trust_env=False, follow_redirects=False) as client:
        talk = Conversation(client, url, era)
        try:
            talk.open()
            yield talk
        finally:
            talk.close()


def _parameter_headers(listed: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, str]:
    """The arguments that the tool wants repeated as headers; a tool with a broken annotation is called without."""
    try:
        return dict(headers_for(header_parameters(_schema_of(listed)), arguments))
    except ValueError:
        return {}


def _result(response: httpx2.Response, request_id: int) -> dict[str, Any]:
    """The result of the request with this id, from a JSON body or an event stream; messages on the way are shown."""
    for message in _messages(response):
        if message.get("id") == request_id and isinstance(message.get("result"), dict):
            result: dict[str, Any] = message["result"]
            return result
        if "error" in message:
            raise _refusal(response.status_code, message)
        _show_message(message)
    if not response.is_success:
        raise _refusal(response.status_code, {})
    raise Failed("The connection ended without an answer.")


def _messages(response: httpx2.Response) -> Iterator[dict[str, Any]]:
    if response.headers.get("content-type", "").partition(";")[0].strip() != "text/event-stream":
        yield _decoded(b"".join(_bounded(response)))
        return
    reader = EventReader(LARGEST_ANSWER_BYTES)
    try:
        for chunk in response.iter_bytes():
            yield from (_decoded(data) for data in reader.feed(chunk))
    except EventTooLarge:
        raise Failed("The answer is too large for this client.") from None


def _bounded(response: httpx2.Response) -> Iterator[bytes]:
    size = 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > LARGEST_ANSWER_BYTES:
            raise Failed("The answer is too large for this client.")
        yield chunk


def _decoded(data: bytes) -> dict[str, Any]:
    """The JSON object of these bytes; empty where they are none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _refusal(status: int, message: Mapping[str, Any]) -> Failed:
    """A refusal in one line: what happened, the reason's name, what to do next."""
    error = message.get("error")
    if not isinstance(error, dict):
        return Failed(f"refused: HTTP {status} without an explanation.")
    data = error.get("data")
    detail = data if isinstance(data, dict) else {}
    reason = str(detail.get("reason") or error.get("code"))
    words = [f"refused: {error.get('message')} [{reason}]", _next_step(reason)]
    if "retryAfterSeconds" in detail:
        words.append(f"Next try in {detail['retryAfterSeconds']} s.")
    return Failed(display.line(" ".join(filter(None, words))))


def _next_step(reason: str) -> str:
    known = Reason.__members__.get(reason.upper())
    return f"Next: {known.row.next_step}" if known and known.row.next_step else ""


def _show_message(message: Mapping[str, Any]) -> None:
    """A progress or log message, on stderr; others are of no interest to an operator."""
    params = message.get("params")
    told = params if isinstance(params, dict) else {}
    if message.get("method") == "notifications/progress":
        total = f"/{told['total']:g}" if isinstance(told.get("total"), int | float) else ""
        done = f"{told['progress']:g}" if isinstance(told.get("progress"), int | float) else "?"
        click.echo(display.line(f"progress {done}{total} {told.get('message', '')}"), err=True)
    elif message.get("method") == "notifications/message":
        data = told.get("data")
        text = data if isinstance(data, str) else json.dumps(data)
        click.echo(display.line(f"{told.get('level', 'log')}: {text}"), err=True)


def _show_tools(tools: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(display.as_json(tools))
        return
    width = max((len(str(entry.get("name"))) for entry in tools), default=0)
    for entry in tools:
        click.echo(f"{display.line(str(entry.get('name'))):{width}}  {display.line(str(entry.get('description', '')))}".rstrip())
    if not tools:
        click.echo("This token can see no tools.", err=True)


def _show_result(result: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(display.as_json(result))
    else:
        for text in display.result_lines(result):
            click.echo(text)
    if result.get("resultType", "complete") != "complete":
        click.echo("The tool asks for input, which this client cannot give.", err=True)
        sys.exit(1)
    if result.get("isError") is True:
        click.echo("The tool reports an error.", err=True)
        sys.exit(1)
