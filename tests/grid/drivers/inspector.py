"""The MCP Inspector on the command line as a client of the grid: `inspector.py NODE PROGRAM`.

It takes one method per run. Its results say nothing of progress, logs or questions, and it has no method for the rest.
"""

import json
import subprocess
import sys
import tempfile
from typing import Any

Wish = dict[str, Any]


def tool(wish: Wish) -> list[str]:
    return ["--method", "tools/call", "--tool-name", wish["tool"], "--tool-args-json", json.dumps(wish["arguments"])]


def prompt(wish: Wish) -> list[str]:
    pairs = [word for name, value in wish["arguments"].items() for word in ("--prompt-args", f"{name}={value}")]
    return ["--method", "prompts/get", "--prompt-name", wish["prompt"], *pairs]


METHODS = {
    "list": (lambda wish: ["--method", "tools/list"], lambda result: " ".join(each["name"] for each in result["tools"])),
    "call": (tool, lambda result: " ".join(part.get("text", "") for part in result["content"])),
    "read": (lambda wish: ["--method", "resources/read", "--uri", wish["uri"]], lambda result: result["contents"][0]["text"]),
    "prompt": (prompt, lambda result: result["messages"][0]["content"]["text"]),
}


def target(job: dict[str, Any]) -> list[str]:
    if job["transport"] == "stdio":
        return ["--transport", "stdio", *job["command"]]
    header = ["--header", f"Authorization: Bearer {job['token']}"] if job["token"] else []
    return ["--server-url", job["url"], "--transport", job["transport"], *header]


def one(job: dict[str, Any], home: str, name: str, wish: Wish) -> dict[str, str]:
    if name not in METHODS:
        return {"lacks": "The command line has no method for it."}
    asked, said = METHODS[name]
    command = [*sys.argv[1:3], "--cli", *target(job), "--protocol-era", job["mode"], "--format", "json", "--quiet", *asked(wish)]
    try:
        done = subprocess.run(
            command,
            env={"HOME": home, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=job["seconds"] + 5,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"no end within {job['seconds'] + 5:g} s"}
    try:
        printed = json.loads(done.stdout or done.stderr.splitlines()[-1])
        return {"said": said(printed["result"])} if "result" in printed else {"error": printed["error"]["message"][:300]}
    except (json.JSONDecodeError, KeyError, IndexError):
        return {"error": " ".join((done.stdout + done.stderr).split())[-300:]}


with tempfile.TemporaryDirectory() as folder:
    job = json.load(sys.stdin)
    print(json.dumps({name: one(job, folder, name, wish) for name, wish in job["plan"].items()}))
