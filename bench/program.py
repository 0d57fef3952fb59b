"""The upstream of the bench as a program that speaks on stdin and stdout; it needs nothing but Python itself.

Run by the gateway, from a definition with `stdio`. It answers in the legacy era, which is what most programs speak.
"""

import json
import sys

TEXT = "x" * 410
TOOLS = [
    {"name": name, "description": f"Answers {name}.", "inputSchema": {"type": "object", "properties": {"q": {"type": "string"}}}}
    for name in ("read", "write")
]
CALLED = {"content": [{"type": "text", "text": TEXT}], "isError": False}


def result(message: dict) -> dict:  # type: ignore[type-arg]  # json says no more
    """What a request is answered with."""
    method = message["method"]
    if method == "initialize":
        return {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"}}
    if method == "tools/list":
        return {"tools": TOOLS}
    return CALLED


def main() -> None:
    """Answer until the end of the input."""
    for line in sys.stdin:
        message = json.loads(line)
        if "id" not in message or "method" not in message:
            continue
        answer: dict[str, object] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] in ("initialize", "tools/list", "tools/call"):
            answer["result"] = result(message)
        else:
            answer["error"] = {"code": -32601, "message": "unknown"}
        sys.stdout.write(json.dumps(answer, separators=(",", ":")) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
