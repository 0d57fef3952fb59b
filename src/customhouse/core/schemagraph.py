"""How the schemas inside a schema refer to each other, and how much work one value can cause.

A `$ref` reaches only what is inside the schema (`#`, a JSON pointer, an anchor). Schemas that speak about the same value add up, and
`$defs` that refer to each other twice double the work at every step, so the number of evaluations of one value is computed
beforehand: 30 lines of `$defs` would otherwise be 2^30 evaluations.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from customhouse.core.pointer import below, shown
from customhouse.core.subschemas import Place, parts

MAX_SCHEMA_LEVELS = 32
"""Nesting of objects and arrays in a schema; the deepest real one has 18."""
MAX_SUBSCHEMAS = 4_096
MAX_LEVELS = 32
"""Levels of nesting that arguments can have at all: as many as a message."""
MAX_EVALUATIONS = 4_096
"""How often a validator may look at one value. Measured: 27 ns each, so 0.1 ms for the worst value."""
_MAX_CHAIN = 64
"""How many schemas may stand in a row that speak about the same value."""
_MAX_EDGES = 100_000
"""Bound of the analysis itself."""


class SchemaUnusable(Exception):
    """A schema cannot be used; the text is one sentence that says where and why."""


@dataclass(slots=True)
class Node:
    """One schema inside a schema, with the indexes of those it leads to."""

    same: list[int] = field(default_factory=list)
    """Schemas about the same value."""
    members: dict[str, list[int]] = field(default_factory=dict)
    """Declared member name to the schemas of its value; a name declared by a boolean schema leads nowhere."""
    matched: list[int] = field(default_factory=list)
    other: list[int] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    elements: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Graph:
    """The schemas inside a schema; index 0 is the schema itself."""

    nodes: tuple[Node, ...]
    closures: tuple[Mapping[int, int], ...]
    """For each node, the nodes that judge the same value, with how often each does."""
    max_levels: int
    """Levels of nesting in which no value is evaluated more than `MAX_EVALUATIONS` times; at most `MAX_LEVELS`."""

    def same_value(self, index: int) -> Iterable[int]:
        """All nodes that speak about the value a node speaks about, itself included."""
        return self.closures[index]


def survey(schema: Mapping[str, Any]) -> Graph:
    """The graph of a schema.

    Raises `SchemaUnusable` for references that lead out or nowhere, for loops without end and for too much of anything.
    """
    if _deeper_than(schema, MAX_SCHEMA_LEVELS):
        raise SchemaUnusable(f"The schema is nested deeper than {MAX_SCHEMA_LEVELS} levels.")
    nodes = _Survey(schema).nodes
    closures = _closures(nodes)
    return Graph(tuple(nodes), closures, _max_levels(nodes, closures))


def _deeper_than(value: Any, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            inner for outer in layer for inner in (outer.values() if isinstance(outer, dict) else outer) if isinstance(inner, dict | list)
        ]
    return bool(layer)


class _Survey:
    """Walks a schema once and collects its nodes; references are followed when everything inside is known."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.nodes: list[Node] = []
        self._root = schema
        self._indexes: dict[int, int] = {}
        self._anchors: dict[str, Any] = {}
        self._waiting: list[tuple[int, str, Mapping[str, Any]]] = []
        self._references: list[tuple[int, str, str]] = []
        self._enter(schema, "")
        self._walk()
        while self._references:
            index, pointer, reference = self._references.pop()
            self.nodes[index].same.extend(self._enter(self._target(reference, pointer), reference))
            self._walk()

    def _enter(self, schema: Any, pointer: str) -> list[int]:
        """The index of a schema, new or known; none for a boolean one, which leads nowhere."""
        if not isinstance(schema, dict):
            return []
        known = self._indexes.get(id(schema))
        if known is None:
            known = self._indexes[id(schema)] = len(self.nodes)
            if known >= MAX_SUBSCHEMAS:
                raise SchemaUnusable(f"The schema has more than {MAX_SUBSCHEMAS} schemas inside.")
            self.nodes.append(Node())
            self._waiting.append((known, pointer, schema))
        return [known]

    def _walk(self) -> None:
        while self._waiting:
            index, pointer, schema = self._waiting.pop()
            self._read_names(index, pointer, schema)
            for part in parts(schema):
                inner = self._enter(part.schema, below(pointer, *part.path))
                _link(self.nodes[index], part.place, part.name, inner)

    def _read_names(self, index: int, pointer: str, schema: Mapping[str, Any]) -> None:
        """What a schema is called and which others it calls."""
        where = shown(pointer) or "The schema"
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                raise SchemaUnusable(f"{where} has a {keyword}, whose target depends on the way to it; use $ref.")
        identity = schema.get("$id")
        if pointer and isinstance(identity, str) and not identity.startswith("#"):
            raise SchemaUnusable(f"{where} has an $id of its own; a schema inside a schema is named by $anchor.")
        for name in (schema.get("$anchor"), schema.get("$dynamicAnchor"), identity[1:] if isinstance(identity, str) else None):
            if isinstance(name, str):
                self._anchors[name] = schema
        reference = schema.get("$ref")
        if isinstance(reference, str):
            self._references.append((index, pointer, reference))

    def _target(self, reference: str, pointer: str) -> Any:
        where = shown(below(pointer, "$ref"))
        if not reference.startswith("#"):
            raise SchemaUnusable(f"{where} refers to something outside the schema; nothing is ever fetched.")
        fragment = _percent_decoded(reference[1:])
        by_anchor = fragment != "" and not fragment.startswith("/")
        target = self._anchors.get(fragment) if by_anchor else _at(self._root, fragment)
        if not isinstance(target, dict | bool):
            raise SchemaUnusable(f"{where} refers to something that is not there.")
        return target


def _link(node: Node, place: Place, name: str, inner: list[int]) -> None:
    if place is Place.MEMBER:
        node.members.setdefault(name, []).extend(inner)
    elif place is not Place.NOWHERE:
        lists = {
            Place.SAME: node.same,
            Place.MATCHED: node.matched,
            Place.OTHER: node.other,
            Place.NAME: node.names,
            Place.ELEMENT: node.elements,
        }
        lists[place].extend(inner)


def _at(value: Any, pointer: str) -> Any:
    """What a JSON pointer leads to; None where there is nothing."""
    for step in pointer.split("/")[1:]:
        key = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and key.isascii() and key.isdigit() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value


def _percent_decoded(text: str) -> str:
    octets = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode("utf-8", "replace"))
    return octets.decode("utf-8", "replace")


def _closures(nodes: list[Node]) -> tuple[Mapping[int, int], ...]:
    """For each node how often each node judges the same value. Raises `SchemaUnusable` where that never ends or is too often."""
    done: dict[int, Counter[int]] = {}
    edges = 0
    for index in _inner_first(nodes):
        total = Counter({index: 1})
        for inner in nodes[index].same:
            total.update(done[inner])
        edges += len(total)
        if total.total() > MAX_EVALUATIONS or edges > _MAX_EDGES:
            raise SchemaUnusable(f"The schema would judge one value more than {MAX_EVALUATIONS} times.")
        done[index] = total
    return tuple(done[index] for index in range(len(nodes)))


def _inner_first(nodes: list[Node]) -> Iterator[int]:
    """Every node after the nodes that speak about the same value; a node that comes back to itself judges without end."""
    finished: set[int] = set()
    for start in range(len(nodes)):
        path: list[tuple[int, Iterator[int]]] = [] if start in finished else [(start, iter(nodes[start].same))]
        open_nodes = {start}
        while path:
            index, rest = path[-1]
            step = next((inner for inner in rest if inner not in finished), None)
            if step is None:
                path.pop()
                open_nodes.discard(index)
                finished.add(index)
                yield index
            elif step in open_nodes:
                raise SchemaUnusable("The schema refers to itself without a step into the value, so judging it would never end.")
            elif len(path) >= _MAX_CHAIN:
                raise SchemaUnusable(f"More than {_MAX_CHAIN} schemas in a row speak about the same value.")
            else:
                open_nodes.add(step)
                path.append((step, iter(nodes[step].same)))


_Fan = list[tuple[int, int]]
"""Nodes with how often each of them is asked about one value."""


def _max_levels(nodes: list[Node], closures: tuple[Mapping[int, int], ...]) -> int:
    """How deep a value can be before a part of it may be evaluated more than `MAX_EVALUATIONS` times."""
    routes = _routes(nodes, closures)
    work = {index: sum(closures[index].values()) for index in routes}
    for level in range(1, MAX_LEVELS + 1):
        above, work = work, {index: _heaviest(fans, common, work) for index, (fans, common) in routes.items()}
        if work[0] > MAX_EVALUATIONS:
            if level == 1:
                raise SchemaUnusable(f"The schema would judge one value more than {MAX_EVALUATIONS} times.")
            return level - 1
        if work == above:
            break  # every further level costs the same
    return MAX_LEVELS


def _heaviest(fans: list[_Fan], common: _Fan, work: Mapping[int, int]) -> int:
    shared = sum([work[index] * times for index, times in common])
    return shared + max((sum([work[index] * times for index, times in fan]) for fan in fans), default=0)


def _routes(nodes: list[Node], closures: tuple[Mapping[int, int], ...]) -> dict[int, tuple[list[_Fan], _Fan]]:
    """For each node that a step into a value leads to: one fan per kind of step, and the fan that every member is subject to."""
    routes: dict[int, tuple[list[_Fan], _Fan]] = {}
    waiting, edges = [0], 0
    while waiting:
        index = waiting.pop()
        if index in routes:
            continue
        by_step, common = _fans(nodes, closures[index])
        fans = [list(fan.items()) for fan in by_step]
        routes[index] = fans, list(common.items())
        reached = {inner for fan in (*by_step, common) for inner in fan}
        edges += sum([len(fan) for fan in fans]) + len(closures[index])
        if edges > _MAX_EDGES:
            raise SchemaUnusable("The schemas inside the schema refer to each other too often.")
        waiting.extend(reached)
    return routes


def _fans(nodes: list[Node], closure: Mapping[int, int]) -> tuple[list[Counter[int]], Counter[int]]:
    members: dict[str, Counter[int]] = {}
    elements: Counter[int] = Counter()
    names: Counter[int] = Counter()
    common: Counter[int] = Counter()
    for index, times in closure.items():
        node = nodes[index]
        for fan, inner in ((elements, node.elements), (names, node.names), (common, node.matched), (common, node.other)):
            _add(fan, inner, times)
        for name, inner in node.members.items():
            _add(members.setdefault(name, Counter()), inner, times)
    return [*members.values(), elements, names], common


def _add(fan: Counter[int], inner: list[int], times: int) -> None:
    for index in inner:
        fan[index] += times
