"""Settings from the environment: `CUSTOMHOUSE_LISTEN__PORT=9000` stands above the file.

Two underscores descend into the tree. Text is taken as it is; numbers, truth values, lists and tables are written as in the file,
on one line: `["a", "b"]`, `{org-1: acme}`. A variable of that prefix that is no setting is refused, so that a misspelt one is not lost.
"""

from collections.abc import Iterator, Mapping

import msgspec.inspect as mi

from customhouse.config.conversion import given_type, near
from customhouse.config.document import Document, Entry, Fields, Node, Scalar, read_document
from customhouse.config.findings import Finding, Place, found
from customhouse.config.tree import Settings

PREFIX = "CUSTOMHOUSE_"
NOT_SETTINGS = frozenset({"CUSTOMHOUSE_CONTROL_URL", "CUSTOMHOUSE_DIR", "CUSTOMHOUSE_TOKEN", "CUSTOMHOUSE_URL"})
"""Variables that the commands read: the deployment directory, and endpoint and token for `customhouse call`."""


def overlaid(root: Node, environ: Mapping[str, str]) -> Document:
    """The document's root with the environment's settings in place of its own, and what is wrong with those."""
    findings: list[Finding] = []
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in NOT_SETTINGS:
            continue
        segments = name.removeprefix(PREFIX).split("__")
        path = tuple(segment.lower() for segment in segments)
        kind = _kind_at(path) if name.isupper() else None
        if kind is None:
            findings.append(found(Place(f"environment {name}"), (), "There is no such setting.", near(name, variables())))
        elif isinstance(kind, mi.StructType):
            below = f"Set one of its settings: {', '.join(_variables_below(kind, name))}."
            findings.append(found(Place(f"environment {name}"), path, "This names a group of settings.", below))
        else:
            value = _node(environ[name], kind, f"environment {name}")
            findings += value.findings
            root = _with(root, path, value.root)
    return Document(root, tuple(findings))


def variables() -> tuple[str, ...]:
    """The names of all variables that are settings."""
    return tuple(_variables_below(mi.type_info(Settings), PREFIX.removesuffix("_")))


def _variables_below(kind: mi.Type, name: str) -> Iterator[str]:
    kind = given_type(kind)
    if not isinstance(kind, mi.StructType):
        yield name
        return
    separator = "_" if f"{name}_" == PREFIX else "__"
    for known in kind.fields:
        yield from _variables_below(known.type, f"{name}{separator}{known.encode_name.upper()}")


def _kind_at(path: tuple[str, ...]) -> mi.Type | None:
    """The type of the setting at this path; None: there is none."""
    kind: mi.Type = mi.type_info(Settings)
    for segment in path:
        if isinstance(kind, mi.StructType):
            below = next((known.type for known in kind.fields if known.encode_name == segment), None)
        else:
            below = kind.value_type if isinstance(kind, mi.DictType) and segment else None
        if below is None:
            return None
        kind = given_type(below)
    return kind


def _node(text: str, kind: mi.Type, source: str) -> Document:
    place = Place(source)
    if isinstance(kind, mi.StrType | mi.LiteralType):
        return Document(Scalar(text, place))
    return read_document(text.encode("utf-8", "surrogateescape"), source, numbered=False)


def _with(node: Node, path: tuple[str, ...], value: Node) -> Node:
    """The tree with this value at this path; what is no table on the way gives way."""
    if not path:
        return value
    entries = {entry.key: entry for entry in node.entries} if isinstance(node, Fields) else {}
    first, rest = path[0], path[1:]
    inner = entries[first].node if first in entries else Fields((), value.place)
    entries[first] = Entry(first, _with(inner, rest, value), value.place)
    return Fields(tuple(entries.values()), node.place)
