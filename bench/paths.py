"""The measured ways from a client to the upstream, each a real process with its configuration written here.

nginx: https://nginx.org/en/docs/http/ngx_http_proxy_module.html (keep-alive to the upstream needs HTTP/1.1 and an empty Connection header).
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

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
def running(command: list[str], core: int, environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core, ended by its id."""
    process = subprocess.Popen(
        command, env={**os.environ, **(environment or {})}, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
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
def nginx(directory: Path, upstream_port: int, core: int, *, limited: bool = False, streaming: bool = False) -> Iterator[Way]:
    """nginx as a plain proxy, or with a rate limit, a buffered log and a changed header."""
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
    with running(["nginx", "-c", str(directory / "nginx.conf"), "-p", str(directory)], core) as process:
        wait_for(port)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.sched_setaffinity(int(children[0]), {core})
        yield Way(port, "/mcp", "x" * 800, int(children[0]))


@contextlib.contextmanager
def customhouse(directory: Path, upstream_port: int, core: int, tools: Mapping[str, str]) -> Iterator[Way]:
    """The gateway with everything on: verified token, policy, limits, pinned schema, strict reading, records."""
    for name in ("servers", "policies"):
        (directory / name).mkdir(parents=True)
    port = free_port()
    reviews = "\n".join(f"  {name}: {{class: {effect}}}" for name, effect in tools.items())
    (directory / "customhouse.yaml").write_text(SETTINGS.format(port=port))
    (directory / "servers" / "bench.yaml").write_text(DEFINITION.format(upstream=upstream_port, tools=reviews))
    (directory / "policies" / "bench.cedar").write_text(POLICY)
    environment = {"BENCH_TOKEN": "s" * 40}
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
    with running([*command, "serve", "--dir", str(directory)], core, environment) as process:
        wait_for(port)
        yield Way(port, path, token, process.pid)
