"""YAML 1.2 text in; values that know where they were written out.

libyaml (through PyYAML's event parser) reads the syntax; what a plain scalar means is decided here by the core schema of
YAML 1.2.2, section 10.3.2: `no`, `on` and `1:30` are text, `0o17` and `0x1F` are numbers. A plain number with a leading zero is
refused, because YAML 1.1 reads it as octal and YAML 1.2 as decimal. Every key of a mapping is text.

Left out on purpose, so that a file means what it looks like and costs what it weighs: anchors, aliases, tags, directives other
than `%YAML 1.2`, several documents, duplicate keys, byte order marks, and anything beyond the bounds below. The events are read
instead of a composed tree, since composing recurses in C without a bound.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import yaml

from customhouse.config.findings import ConfigurationInvalid, Finding, Key, Place, found

MAX_DOCUMENT_BYTES = 1_048_576
"""Far beyond any file written by hand."""
MAX_DEPTH = 16
"""Nesting of the settings tree is at most 5; the arguments in a decision table are deeper."""

_UNICODE_BREAKS = re.compile("[\x85\u2028\u2029]")
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_MAX_DIGITS = 18
"""A whole number of 18 digits fits 64 bits with room."""


Value = bool | int | float | str | None
"""What a scalar can be."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value."""

    value: Value
    place: Place


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: "tuple[Node, ...]"
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with what it holds."""

    key: str
    node: "Node"
    place: Place


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping, its keys in the order of the file, no key twice."""

    entries: tuple[Entry, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that could not be read; a finding says why."""

    place: Place


Node = Scalar | Items | Fields | Broken


@dataclass(frozen=True, slots=True)
class Document:
    """What was read, and what was wrong with it."""

    root: Node
    findings: tuple[Finding, ...] = ()


def read_plain(path: Path, file: str) -> object:
    """The value of a YAML file as plain Python values. Raises `ConfigurationInvalid`; `file` names it in findings."""
    document = read_file(path, file)
    if document.findings:
        raise ConfigurationInvalid(document.findings)
    return plain(document.root)


def read_file(path: Path, file: str) -> Document:
    """The document in a file; a file that cannot be opened is a finding."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        problem = f"The file cannot be read ({error.strerror})."
        return _refused(Place(file), problem, "Make it a regular file that this user may read.")
    return read_document(data, file)


def read_document(data: bytes, file: str, *, numbered: bool = True) -> Document:
    """The document in these bytes. Without `numbered`, places have no lines (one value of the environment)."""
    if len(data) > MAX_DOCUMENT_BYTES:
        return _refused(Place(file), f"The document is larger than {MAX_DOCUMENT_BYTES} bytes.", "Split it or remove what is not needed.")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return _refused(Place(file, 1 if numbered else 0), "The document starts with a byte order mark.", "Save it as UTF-8 without one.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return _refused(_place(file, data, error.start, numbered), "The document is not UTF-8.", "Save it as UTF-8.")
    if odd := _UNICODE_BREAKS.search(text):
        place = _place(file, data, len(text[: odd.start()].encode()), numbered)
        problem = f"The document holds the invisible line break U+{ord(odd[0]):04X}."
        return _refused(place, problem, "Remove it, or write it as an escape in double quotes.")
    return _Reader(text, file, numbered).document()


def plain(node: Node) -> object:
    """A node without its places."""
    match node:
        case Scalar(value=value):
            return value
        case Items(nodes=nodes):
            return [plain(inner) for inner in nodes]
        case Fields(entries=entries):
            return {entry.key: plain(entry.node) for entry in entries}
        case Broken():
            return None


class Unresolved(Exception):
    """A plain scalar that does not say clearly what it is."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy


def resolved(text: str) -> Value:
    """What a plain scalar means by the core schema of YAML 1.2.2. Raises `Unresolved`."""
    if text in _NULL:
        return None
    if text in _TRUTH:
        return _TRUTH[text]
    if _LEADING_ZERO.fullmatch(text):
        remedy = "Put it in quotes if it is text, or drop the zero if it is a number."
        raise Unresolved("A number with a leading zero is octal to some readers and decimal to others.", remedy)
    for form, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if form.fullmatch(text):
            return _whole(text, base)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _whole(text: str, base: int) -> int:
    if len(text) > _MAX_DIGITS:
        raise Unresolved(f"The number has more than {_MAX_DIGITS} digits.", "Put it in quotes if it is text.")
    return int(text, 0 if base != 10 else 10)


class _TooDeep(Exception):
    """Raised to leave the reading of a document at once; the finding is written already."""


class _Reader:
    """One document, read event by event."""

    def __init__(self, text: str, file: str, numbered: bool) -> None:
        self._text = text
        self._file = file
        self._numbered = numbered
        self._events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.CBaseLoader)
        self._findings: list[Finding] = []

    def document(self) -> Document:
        try:
            root = self._root()
        except _TooDeep:
            root = Broken(Place(self._file))
        except yaml.YAMLError as error:
            self._report(self._place_of(error), (), f"The YAML is not well formed: {_sentence(error)}.", "Correct it there.")
            root = Broken(Place(self._file))
        return Document(root, tuple(self._findings))

    def _root(self) -> Node:
        root: Node | None = None
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                self._report(self._at(event), (), "The file holds more than one document.", "Keep one, without `---` between.")
                break
            self._check_directives(event)
            root = self._node(next(self._events), ())
        return root or Scalar(None, Place(self._file, 1 if self._numbered else 0))

    def _check_directives(self, event: yaml.DocumentStartEvent) -> None:
        if event.version not in (None, (1, 2)):
            self._report(self._at(event), (), "The file says that it is not YAML 1.2.", "Remove the %YAML directive.")
        if event.tags:
            self._report(self._at(event), (), "The file declares tags.", "Remove the %TAG directive.")

    def _node(self, event: yaml.Event, key: Key, place: Place | None = None) -> Node:
        """The node that starts with this event; what a key holds is found at the key's own line."""
        place = place or self._at(event)
        if isinstance(event, yaml.AliasEvent):
            self._report(place, key, "Aliases (`*name`) are not read.", "Write the value out here.")
            return Broken(place)
        self._check_properties(event, key, place)
        if len(key) > MAX_DEPTH:
            self._report(place, key[:MAX_DEPTH], f"The document is nested deeper than {MAX_DEPTH} levels.", "Make it flatter.")
            raise _TooDeep
        if isinstance(event, yaml.SequenceStartEvent):
            return self._items(key, place)
        if isinstance(event, yaml.MappingStartEvent):
            return self._fields(key, place)
        return self._scalar(cast(yaml.ScalarEvent, event), key, place)

    def _check_properties(self, event: yaml.Event, key: Key, place: Place) -> None:
        if getattr(event, "anchor", None) is not None:
            self._report(place, key, "Anchors (`&name`) are not read.", "Remove the anchor and write each value out.")
        if getattr(event, "tag", None) is not None:
            self._report(place, key, "Tags (`!name`) are not read.", "Remove the tag; quotes make a value text.")

    def _items(self, key: Key, place: Place) -> Node:
        nodes: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            nodes.append(self._node(event, (*key, len(nodes))))
        return Items(tuple(nodes), place)

    def _fields(self, key: Key, place: Place) -> Node:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at = self._at(event)
            name = self._name(event, key)
            node = self._node(next(self._events), (*key, name), at)
            if name in entries:
                first = entries[name].place
                self._report(at, (*key, name), f"The key stands here a second time; the first is at {first}.", "Keep one of them.")
                continue
            entries[name] = Entry(name, node, at)
        return Fields(tuple(entries.values()), place)

    def _name(self, event: yaml.Event, key: Key) -> str:
        """The text of a key, whatever a plain scalar of that text would mean as a value."""
        if isinstance(event, yaml.ScalarEvent):
            self._check_properties(event, (*key, str(event.value)), self._at(event))
            return str(event.value)
        if not isinstance(self._node(event, (*key, "?")), Broken):
            self._report(self._at(event), key, "A key is a list or a table.", "Write a name as the key.")
        return "?"

    def _scalar(self, event: yaml.ScalarEvent, key: Key, place: Place) -> Node:
        text = str(event.value)
        if event.style:
            return Scalar(text, place)
        try:
            return Scalar(resolved(text), place)
        except Unresolved as unclear:
            self._report(place, key, unclear.problem, unclear.remedy)
            return Broken(place)

    def _report(self, place: Place, key: Key, problem: str, remedy: str) -> None:
        self._findings.append(found(place, key, problem, remedy))

    def _at(self, event: yaml.Event) -> Place:
        return Place(self._file, event.start_mark.line + 1 if self._numbered and event.start_mark else 0)

    def _place_of(self, error: yaml.YAMLError) -> Place:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        if mark is not None:
            # At the end of the text the mark is one line too far.
            line = min(mark.line, self._text.rstrip("\n").count("\n"))
            return Place(self._file, line + 1 if self._numbered else 0)
        data = self._text.encode()
        return _place(self._file, data, getattr(error, "position", len(data)), self._numbered)


def _sentence(error: yaml.YAMLError) -> str:
    return str(getattr(error, "problem", None) or getattr(error, "reason", None) or "unknown reason")


def _place(file: str, data: bytes, end: int, numbered: bool) -> Place:
    return Place(file, data.count(b"\n", 0, end) + 1 if numbered else 0)


def _refused(place: Place, problem: str, remedy: str) -> Document:
    return Document(Broken(place), (found(place, (), problem, remedy),))
