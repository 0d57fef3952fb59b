"""Hints for the person who reviews a tool: what speaks for which class, and what in its words is odd. Never a decision, never a gate.

Facts: 3.9 % of 6,044 published tools carry any annotation, and nothing holds a server to one (MCP 2025-11-25, ToolAnnotations: "all
properties are hints"), so an annotation is one witness among several, and one that its own name contradicts is said so. Descriptions that
talk to the model, and parameters that ask for what it knows, are known attacks (threat class T1, tool poisoning; T2, a tool that speaks of
another server's tools). The lists of words are English and short: what they miss is what the reviewer is for.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

Direction = Literal["read", "write", "destructive", "idempotent", "sink", "confidential", "untrusted", "odd"]


class Hint(msgspec.Struct, frozen=True, order=True):
    """One thing that a reviewer should have seen."""

    speaks_for: Direction
    """A class, a label, or `odd` for what no honest tool needs."""
    source: Literal["annotation", "name", "parameter", "text"]
    sentence: str


def hints(tool: Mapping[str, Any], elsewhere: Collection[str] = ()) -> tuple[Hint, ...]:
    """What a tool of a manifest shows of itself. `elsewhere` are the names of other servers' tools."""
    annotations = tool.get("annotations")
    annotated = annotations if isinstance(annotations, Mapping) else {}
    name = str(tool.get("name", ""))
    found = [*_of_annotations(annotated), *_of_name(name), *_of_parameters(tool.get("inputSchema"))]
    spoken = {hint.speaks_for for hint in found if hint.source != "annotation"}
    if annotated.get("readOnlyHint") is True and spoken & {"write", "destructive"}:
        found.append(Hint("odd", "annotation", "The server calls it read-only, and its name or parameters say otherwise."))
    return tuple(sorted({*found, *_of_text(tool, name, elsewhere)}))


_ANNOTATIONS: Final[Mapping[tuple[str, bool], Direction]] = {
    ("readOnlyHint", True): "read",
    ("readOnlyHint", False): "write",
    ("destructiveHint", True): "destructive",
    ("idempotentHint", True): "idempotent",
    ("openWorldHint", True): "untrusted",
}


def _of_annotations(annotations: Mapping[str, Any]) -> Iterator[Hint]:
    for (key, value), direction in _ANNOTATIONS.items():
        if annotations.get(key) is value:
            yield Hint(direction, "annotation", f"The server says `{key}: {str(value).lower()}`.")


_VERBS: Final[Mapping[Direction, frozenset[str]]] = {
    "read": frozenset(
        [
            "get",
            "list",
            "search",
            "read",
            "find",
            "fetch",
            "lookup",
            "describe",
            "show",
            "count",
            "view",
            "check",
            "status",
            "query",
            "browse",
            "download",
        ]
    ),
    "write": frozenset(
        [
            "create",
            "add",
            "update",
            "set",
            "put",
            "write",
            "edit",
            "insert",
            "upload",
            "import",
            "save",
            "rename",
            "move",
            "assign",
            "comment",
            "append",
            "enable",
            "disable",
            "start",
            "copy",
            "schedule",
            "register",
            "tag",
            "archive",
            "restore",
        ]
    ),
    "destructive": frozenset(
        [
            "delete",
            "remove",
            "drop",
            "send",
            "post",
            "publish",
            "pay",
            "refund",
            "purge",
            "reset",
            "cancel",
            "close",
            "merge",
            "deploy",
            "execute",
            "exec",
            "run",
            "kill",
            "transfer",
            "revoke",
            "email",
            "notify",
            "invite",
            "approve",
            "reboot",
            "terminate",
            "truncate",
            "wipe",
            "charge",
            "buy",
            "order",
            "submit",
        ]
    ),
}
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def _of_name(name: str) -> Iterator[Hint]:
    words = [word.lower() for word in _WORD.findall(name)]
    for direction, verbs in _VERBS.items():
        yield from (Hint(direction, "name", f"Its name says `{word}`.") for word in words if word in verbs)


_PARAMETERS: Final[Mapping[str, tuple[Direction, str]]] = {
    **dict.fromkeys(["to", "recipient", "recipients", "cc", "bcc", "email", "emails", "phone", "channel"], ("sink", "it reaches somebody")),
    **dict.fromkeys(
        ["url", "uri", "urls", "endpoint", "webhook", "callback", "host", "hostname"], ("sink", "it connects to where it is told")
    ),
    **dict.fromkeys(["amount", "price", "currency", "iban", "account", "payee"], ("destructive", "money moves")),
    **dict.fromkeys(["sql", "command", "cmd", "code", "script", "shell", "expression"], ("destructive", "it runs what it is given")),
    **dict.fromkeys(["content", "body", "text", "data", "payload", "patch"], ("write", "something is stored or sent")),
    **dict.fromkeys(["password", "token", "secret", "apikey", "credentials"], ("odd", "it asks for a secret")),
    **dict.fromkeys(
        [
            "systemprompt",
            "conversationhistory",
            "chathistory",
            "conversation",
            "messages",
            "reasoning",
            "thoughts",
            "memory",
            "modelname",
            "toolsused",
        ],
        ("odd", "it asks for what the model knows"),
    ),
    **dict.fromkeys(["overwrite", "force", "recursive"], ("destructive", "what was there can be lost")),
}


def _of_parameters(schema: object) -> Iterator[Hint]:
    for name in sorted(set(_parameter_names(schema))):
        direction, why = _PARAMETERS.get(re.sub(r"[^a-z0-9]", "", name.lower()), ("odd", ""))
        if why:
            yield Hint(direction, "parameter", f"It has a parameter `{name}`: {why}.")


def _parameter_names(schema: object) -> Iterator[str]:
    """Of objects at any depth."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            properties = node.get("properties")
            yield from (str(name) for name in properties) if isinstance(properties, Mapping) else ()
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node


_ORDERS: Final = re.compile(
    r"ignore (?:all |any |the )?(?:previous|prior|other|earlier)|do(?: not|n't) (?:tell|mention|inform|show|reveal)"
    r"|(?:always|first|must) (?:call|use|invoke|run|read) |before (?:using|calling|you|any)|instead of (?:using|calling|the)"
    r"|system prompt|<(?:important|system|instructions?|secret)>|without (?:telling|asking|informing)|you (?:must|should always|are now)",
    re.IGNORECASE,
)
_PLACES: Final = re.compile(r"(?:~|/home/\w+|\$HOME)?/\.(?:ssh|aws|env|config|cursor|claude)\b|\bid_rsa\b|/etc/passwd", re.IGNORECASE)
_SHORTEST_NAME: Final = 5
"""Names of tools that are shorter, or one plain word, are everyday words as well."""


def _of_text(tool: Mapping[str, Any], name: str, elsewhere: Iterable[str]) -> Iterator[Hint]:
    text = "\n".join(_texts({key: value for key, value in tool.items() if key != "name"}))
    yield from (Hint("odd", "text", f"It speaks to the model: `{found}`.") for found in sorted({m[0] for m in _ORDERS.finditer(text)}))
    yield from (Hint("odd", "text", f"It names a private place: `{found}`.") for found in sorted({m[0] for m in _PLACES.finditer(text)}))
    words = set(re.findall(r"[A-Za-z0-9_.-]+", text))
    for other in sorted(words.intersection(elsewhere) - {name}):
        if len(other) >= _SHORTEST_NAME and re.search(r"[_.\-A-Z0-9]", other[1:]):
            yield Hint("odd", "text", f"It mentions `{other}`, a tool of another server.")


def _texts(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, Mapping):
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node
