"""Whether a URI can come from a URI template.

Source: RFC 6570. The template becomes an automaton of positions (Glushkov's construction) that reads the URI once and holds all readings at
once, so there is no backtracking: the number of steps is at most the length of the URI times the number of positions (CVE-2026-0621 was a
template matcher with exponential time).

What an expression matches is what people use templates for, a little wider than RFC 6570 expands them: a simple variable takes one or more
characters up to `/`, `?` or `#`; `{+var}` takes one or more of anything; an expression with another operator may be left out as a whole;
query parameters must have declared names, in any order, unless the expression is exploded. The length in `{var:3}` is not enforced.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_TEMPLATE_CHARACTERS = 1_024
MAX_EXPRESSIONS = 16
MAX_VARIABLES = 64
MAX_URI_CHARACTERS = 4_096

_SIMPLE: Final = "simple"
_VALUE: Final = "value"
_FRAGMENT: Final = "fragment"
_ANY: Final = "any"
_STOPS: Final = {_SIMPLE: "/?#", _VALUE: "&#", _FRAGMENT: "", _ANY: ""}
"""Kind of a run to the characters that end it."""

_OPERATORS = "+#./;?&"
_VARIABLE = re.compile(r"([A-Za-z0-9_.%-]{1,128})(\*|:[1-9][0-9]{0,3})?")
_UNREADABLE = re.compile("[\x00-\x20\x7f\ud800-\udfff]")
_PIECE = re.compile(r"\{([^{}]*)\}|([^{}]+)|([{}])")


class Template:
    """A compiled template."""

    __slots__ = ("_accepting", "_first", "_follow", "_kinds", "_literals", "_nullable")

    def __init__(self, automaton: "_Automaton", whole: "_Part") -> None:
        self._first = whole.first
        self._accepting = whole.last
        self._nullable = whole.nullable
        self._follow = tuple(automaton.follow)
        self._literals: dict[str, int] = {}
        self._kinds: dict[str, int] = dict.fromkeys(_STOPS, 0)
        for index, symbol in enumerate(automaton.symbols):
            table = self._kinds if symbol in _STOPS else self._literals
            table[symbol] = table.get(symbol, 0) | 1 << index

    def matches(self, uri: str) -> bool:
        """Whether the whole URI fits the template."""
        return self.examine(uri).matched

    def examine(self, uri: str) -> "Examination":
        """The answer of `matches` together with what it cost."""
        if len(uri) > MAX_URI_CHARACTERS or _UNREADABLE.search(uri):
            return Examination(matched=False, steps=0)
        steps, here, next_ones = 0, 0, self._first
        for char in uri:
            here = next_ones & self._takers(char)
            next_ones, waiting = 0, here
            while waiting:
                lowest = waiting & -waiting
                next_ones |= self._follow[lowest.bit_length() - 1]
                waiting ^= lowest
                steps += 1
            if not here:
                return Examination(matched=False, steps=steps)
        return Examination(matched=bool(here & self._accepting) if uri else self._nullable, steps=steps)

    def _takers(self, char: str) -> int:
        """The positions that a character can stand at."""
        takers = self._literals.get(char, 0)
        for kind, stops in _STOPS.items():
            if char not in stops:
                takers |= self._kinds[kind]
        return takers


@dataclass(frozen=True, slots=True)
class Examination:
    """One run of a template over a URI."""

    matched: bool
    steps: int
    """Positions visited: at most characters times positions."""


def compile_template(template: str) -> Template:
    """A template ready to match. Raises `ValueError` with the rule of RFC 6570, or the bound, that it breaks."""
    if not template or len(template) > MAX_TEMPLATE_CHARACTERS:
        raise ValueError(f"it does not have 1 to {MAX_TEMPLATE_CHARACTERS} characters")
    if _UNREADABLE.search(template):
        raise ValueError("it holds white space or control characters")
    automaton = _Automaton()
    pieces: list[_Part] = []
    expressions = variables = 0
    for expression, literal, brace in _PIECE.findall(template):
        if brace or not (expression or literal):
            raise ValueError("its braces do not pair up around a variable")
        if literal:
            pieces.append(automaton.literal(literal))
            continue
        read = _read(expression)
        expressions, variables = expressions + 1, variables + len(read.names)
        pieces.append(_BUILDERS[read.operator](automaton, read))
    if expressions > MAX_EXPRESSIONS or variables > MAX_VARIABLES:
        raise ValueError(f"it has more than {MAX_EXPRESSIONS} expressions or {MAX_VARIABLES} variables")
    return Template(automaton, automaton.chain(*pieces))


@dataclass(frozen=True, slots=True)
class _Expression:
    operator: str
    names: tuple[str, ...]
    exploded: bool


def _read(text: str) -> _Expression:
    operator = text[0] if text[0] in _OPERATORS else ""
    names, exploded = [], False
    for one in text[len(operator) :].split(","):
        found = _VARIABLE.fullmatch(one)
        if not found:
            raise ValueError("it has an expression that is not of RFC 6570")
        names.append(found[1])
        exploded = exploded or found[2] == "*"
    return _Expression(operator, tuple(names), exploded)


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of the automaton: where it can begin and end (bit sets of positions), and whether it can be empty."""

    first: int
    last: int
    nullable: bool


_EMPTY: Final = _Part(0, 0, nullable=True)


class _Automaton:
    """Positions while they are being laid out."""

    def __init__(self) -> None:
        self.symbols: list[str] = []
        self.follow: list[int] = []

    def one(self, symbol: str) -> _Part:
        """A single position: a literal character or a kind of run."""
        bit = 1 << len(self.symbols)
        self.symbols.append(symbol)
        self.follow.append(0)
        return _Part(bit, bit, nullable=False)

    def literal(self, text: str) -> _Part:
        return self.chain(*[self.one(char) for char in text])

    def run(self, kind: str) -> _Part:
        """One or more characters of a kind."""
        return self.repeated(self.one(kind))

    def chain(self, *pieces: _Part) -> _Part:
        whole = _EMPTY
        for piece in pieces:
            self._connect(whole.last, piece.first)
            whole = _Part(
                whole.first | (piece.first if whole.nullable else 0),
                piece.last | (whole.last if piece.nullable else 0),
                nullable=whole.nullable and piece.nullable,
            )
        return whole

    def either(self, pieces: list[_Part]) -> _Part:
        first = last = 0
        for piece in pieces:
            first, last = first | piece.first, last | piece.last
        return _Part(first, last, nullable=any(piece.nullable for piece in pieces))

    def repeated(self, piece: _Part) -> _Part:
        self._connect(piece.last, piece.first)
        return piece

    def _connect(self, last: int, first: int) -> None:
        for index in range(last.bit_length()):
            if last >> index & 1:
                self.follow[index] |= first


def _optional(piece: _Part) -> _Part:
    return _Part(piece.first, piece.last, nullable=True)


def _simple(automaton: _Automaton, _: _Expression) -> _Part:
    return automaton.run(_SIMPLE)


def _reserved(automaton: _Automaton, _: _Expression) -> _Part:
    return automaton.run(_ANY)


def _prefixed(automaton: _Automaton, prefix: str, kind: str) -> _Part:
    """The prefix and a run that may be empty, or nothing."""
    return _optional(automaton.chain(automaton.one(prefix), _optional(automaton.run(kind))))


def _segments(automaton: _Automaton, expression: _Expression) -> _Part:
    """`/a/b`: as many segments as variables, or any number where one is exploded."""
    segments = [_prefixed(automaton, "/", _SIMPLE) for _ in expression.names]
    return automaton.chain(*segments[:-1], automaton.repeated(segments[-1]) if expression.exploded else segments[-1])


def _query(automaton: _Automaton, expression: _Expression) -> _Part:
    """`?a=1&b=2`; the continuation `{&a,b}` begins with `&`."""
    head = automaton.chain(automaton.one(expression.operator), _pair(automaton, expression))
    rest = automaton.repeated(automaton.chain(automaton.one("&"), _pair(automaton, expression)))
    return _optional(automaton.chain(head, _optional(rest)))


def _pair(automaton: _Automaton, expression: _Expression) -> _Part:
    if expression.exploded:
        return _optional(automaton.run(_VALUE))
    names = automaton.either([automaton.literal(name) for name in expression.names])
    return automaton.chain(names, _optional(automaton.chain(automaton.one("="), _optional(automaton.run(_VALUE)))))


_BUILDERS: Final = {
    "": _simple,
    "+": _reserved,
    "#": lambda automaton, _: _prefixed(automaton, "#", _FRAGMENT),
    ".": lambda automaton, _: _prefixed(automaton, ".", _SIMPLE),
    ";": lambda automaton, _: _prefixed(automaton, ";", _SIMPLE),
    "/": _segments,
    "?": _query,
    "&": _query,
}
