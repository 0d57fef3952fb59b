"""What the grid asks of each server: the operations, which tools stand for them, and the words that prove that it worked.

A server's plan holds the operations that it offers. `expect` lists words that must come back; everything else goes to the driver of the
client (`tests/grid/drivers`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Wish = Mapping[str, Any]
Plan = Mapping[str, Wish]

OPERATIONS: Mapping[str, str] = {
    "list": "tools are listed",
    "call": "a tool is called",
    "progress": "the steps of a tool are heard before its result",
    "log": "a log message of a tool is heard",
    "cancel": "the client cancels a call and goes on; the servers of the grid say that they noticed",
    "form": "the server asks a person with a form and gets the answer",
    "url": "the server asks a person to open a page and gets the consent",
    "sampling": "the server asks the client's model and gets the answer",
    "roots": "the server asks for the client's folders and gets them",
    "read": "a resource is read",
    "subscribe": "a resource is subscribed to, it changes, the change is heard",
    "prompt": "a prompt is got",
    "complete": "the argument of a prompt is completed",
}
"""Each operation and what it means that it works."""

MODEL_SAYS = "Paris"
WATCHED = "grid://watched"


def sdk(key: str, root_uri: str) -> Plan:
    """The servers in `tests/grid/servers`; `key` names this run, so that one does not see the cancellation of another."""
    return {
        "list": {"expect": ["echo", "touch"]},
        "call": {"tool": "echo", "arguments": {"text": "hello"}, "expect": ["echo: hello"]},
        "progress": {"tool": "count", "arguments": {"steps": 3}, "expect": ["progress 1 2 3;", "counted to 3"]},
        "log": {"tool": "speak", "arguments": {"text": "heard you"}, "word": "heard you", "expect": ["heard you"]},
        "cancel": {
            "tool": "hang",
            "arguments": {"key": key},
            "probe": {"tool": "was_cancelled", "arguments": {"key": key}},
            "expect": ["stopped by its cancellation"],
        },
        "form": {"tool": "ask_form", "arguments": {}, "answer": {"colour": "blue"}, "expect": ["form: accept blue"]},
        "url": {"tool": "ask_url", "arguments": {}, "expect": ["url: accept"]},
        "sampling": {"tool": "ask_model", "arguments": {}, "expect": [f"model: {MODEL_SAYS}"]},
        "roots": {"tool": "ask_roots", "arguments": {}, "expect": [f"roots: {root_uri}"]},
        "read": {"uri": "grid://text", "expect": ["a text to read"]},
        "subscribe": {"uri": WATCHED, "tool": "touch", "arguments": {}, "expect": [f"updated {WATCHED}"]},
        "prompt": {"prompt": "greet", "arguments": {"name": "Ada"}, "expect": ["Greet Ada."]},
        "complete": {"prompt": "greet", "argument": {"name": "name", "value": "a"}, "expect": ["ada alan"]},
    }


def everything(root_uri: str) -> Plan:
    """`@modelcontextprotocol/server-everything`. It offers the tools that ask only to a session whose client declared that it answers."""
    page, resource = "https://example.org/sign-in", "demo://resource/dynamic/text/1"
    return {
        "list": {"expect": ["echo", "get-sum"]},
        "call": {"tool": "echo", "arguments": {"message": "hello"}, "expect": ["Echo: hello"]},
        "progress": {
            "tool": "trigger-long-running-operation",
            "arguments": {"duration": 0.3, "steps": 3},
            # The last step comes together with the result, and a client that has its result no longer listens.
            "expect": ["progress 1 2", "completed"],
        },
        "log": {"tool": "toggle-simulated-logging", "arguments": {}, "word": "message", "expect": ["message"]},
        "cancel": {
            "tool": "trigger-long-running-operation",
            "arguments": {"duration": 20, "steps": 100},
            "probe": {"tool": "echo", "arguments": {"message": "still here"}},
            "expect": ["Echo: still here"],
        },
        "form": {"tool": "trigger-elicitation-request", "arguments": {}, "answer": {"name": "Ada"}, "expect": ["User provided", "Ada"]},
        "url": {"tool": "trigger-url-elicitation", "arguments": {"url": page}, "expect": ["User completed the URL"]},
        "sampling": {"tool": "trigger-sampling-request", "arguments": {"prompt": "Capital of France?"}, "expect": [MODEL_SAYS]},
        # The server asks for them 350 ms after the session begins, outside of any call.
        "roots": {"tool": "get-roots-list", "arguments": {}, "settle_seconds": 1.0, "expect": [root_uri]},
        "read": {"uri": resource, "expect": ["Resource 1"]},
        "subscribe": {"uri": resource, "tool": "toggle-subscriber-updates", "arguments": {}, "expect": [f"updated {resource}"]},
        "prompt": {"prompt": "args-prompt", "arguments": {"city": "Delft"}, "expect": ["Delft"]},
        "complete": {"prompt": "completable-prompt", "argument": {"name": "department", "value": "E"}, "expect": ["Engineering"]},
    }


def time() -> Plan:
    """`mcp-server-time`."""
    zone = "Europe/Amsterdam"
    return {
        "list": {"expect": ["get_current_time"]},
        "call": {"tool": "get_current_time", "arguments": {"timezone": zone}, "expect": [zone]},
    }


def git(repository: Path) -> Plan:
    """`mcp-server-git`, in a repository with one branch and nothing on it."""
    return {
        "list": {"expect": ["git_status"]},
        "call": {"tool": "git_status", "arguments": {"repo_path": str(repository)}, "expect": ["On branch grid"]},
    }


def filesystem(folder: Path, root_uri: str) -> Plan:
    """`@modelcontextprotocol/server-filesystem`. It asks for the client's folders as soon as the session begins, outside of any call."""
    return {
        "list": {"expect": ["read_text_file"]},
        "call": {"tool": "read_text_file", "arguments": {"path": str(folder / "note.txt")}, "expect": ["a note to read"]},
        "roots": {
            "tool": "list_allowed_directories",
            "arguments": {},
            "settle_seconds": 0.5,
            "expect": [root_uri.removeprefix("file://")],
        },
    }
