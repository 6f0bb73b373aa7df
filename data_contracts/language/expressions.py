"""A tiny language for one column out of others, e.g. `if(height < 3, height * 100, height)`: parsed, never run as code.

or · and · not · = == != <> < <= > >= · + - · * / · unary -     from loosest to tightest
12  0.5  'text' (a quote is doubled)  true  false  null         constants
column  `a column`                                              columns; backquotes around an odd name
function(…)                                                     see expression_values.FUNCTIONS
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

LONGEST: Final = 1_000  # characters
MOST_TOKENS: Final = 200  # a chain of operators is as deep as it is long
DEEPEST: Final = 40  # levels of nesting

TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<text>'(?:[^']|'')*')|(?P<quoted>`[^`]+`)|(?P<word>[^\W\d]\w*)"
    r"|(?P<sign><=|>=|<>|!=|==|[-+*/()<>=,]))"
)
BINDING: Final = {
    "or": 1,
    "and": 2,
    **dict.fromkeys(("=", "!=", "<", "<=", ">", ">="), 4),
    **dict.fromkeys("+-", 5),
    **dict.fromkeys("*/", 6),
}
NOT, COMPARISON, NEGATIVE = 3, 4, 7
SAME: Final = {"==": "=", "<>": "!="}
CONSTANTS: Final[dict[str, bool | None]] = {"true": True, "false": False, "null": None}


class ExpressionError(Exception):
    """What is wrong, in words for a message; the caller knows file and line."""


@dataclass(frozen=True, slots=True)
class Constant:
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """A column."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """A function of its arguments; an operator is one too, and `negative` is the unary minus."""

    function: str
    arguments: tuple[Node, ...]


Node = Constant | Name | Call


def parse_expression(text: str) -> Node:
    """The tree of one expression. Raises ExpressionError that quotes the place.

    >>> parse_expression("a + 2 * b")
    Call(function='+', arguments=(Name(name='a'), Call(function='*', arguments=(Constant(value=2), Name(name='b')))))
    """
    if len(text) > LONGEST:
        raise ExpressionError(f"at most {LONGEST} characters, got {len(text)}")
    tokens = list(_tokens(text))
    if len(tokens) > MOST_TOKENS:
        raise ExpressionError(f"at most {MOST_TOKENS} words and signs, got {len(tokens)}")
    parser = _Parser(text, tokens)
    found = parser.expression(0, 0)
    if parser.next.kind != "end":
        raise parser.unexpected("the end")
    return found


def names_in(node: Node) -> set[str]:
    """Columns that an expression needs."""
    if isinstance(node, Call):
        return {name for argument in node.arguments for name in names_in(argument)}
    return {node.name} if isinstance(node, Name) else set()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ExpressionError(f"a column, number, 'text' or operator at {text[at:].lstrip()[:20]!r}")
        word, at = found[found.lastgroup], found.end()
        is_operator = found.lastgroup == "word" and word.lower() in ("and", "or", "not", *CONSTANTS)
        yield _Token(word.lower(), word) if is_operator or found.lastgroup == "sign" else _Token(found.lastgroup, word)
    yield _Token("end", "the end")


@dataclass(slots=True)
class _Parser:
    """Precedence climbing over the tokens."""

    text: str
    tokens: list[_Token]
    at: int = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.at]

    def take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def unexpected(self, expected: str) -> ExpressionError:
        return ExpressionError(f"{expected} where {self.next.text!r} stands in {self.text!r}")

    def expect(self, sign: str) -> None:
        if self.next.kind != sign:
            raise self.unexpected(repr(sign))
        self.at += 1

    def expression(self, weakest: int, depth: int) -> Node:
        if depth > DEEPEST:
            raise ExpressionError(f"at most {DEEPEST} levels of nesting")
        left = self.operand(depth + 1)
        while (binding := BINDING.get(operator := SAME.get(self.next.kind, self.next.kind), 0)) > weakest:
            self.take()
            left = Call(operator, (left, self.expression(binding, depth + 1)))
            if binding == COMPARISON and BINDING.get(SAME.get(self.next.kind, self.next.kind)) == COMPARISON:
                raise self.unexpected("one comparison (join two with and)")
        return left

    def operand(self, depth: int) -> Node:
        token = self.take()
        if token.kind in CONSTANTS:
            return Constant(CONSTANTS[token.kind])
        if token.kind == "number":
            return Constant(_number(token.text))
        if token.kind == "text":
            return Constant(token.text[1:-1].replace("''", "'"))
        if token.kind == "quoted":
            return Name(token.text[1:-1])
        if token.kind == "word":
            return self.call(token.text.lower(), depth) if self.next.kind == "(" else Name(token.text)
        if token.kind == "(":
            inner = self.expression(0, depth)
            self.expect(")")
            return inner
        if token.kind in ("not", "-"):
            binding, name = (NOT, "not") if token.kind == "not" else (NEGATIVE, "negative")
            return Call(name, (self.expression(binding, depth),))
        self.at -= 1
        raise self.unexpected("a value")

    def call(self, function: str, depth: int) -> Node:
        self.expect("(")
        arguments = []
        while self.next.kind != ")":
            arguments.append(self.expression(0, depth))
            if self.next.kind != ")":
                self.expect(",")
        self.expect(")")
        return Call(function, tuple(arguments))


def _number(text: str) -> int | float:
    if text.isdigit():
        if len(text) > 18:  # digits that an integer of 64 bits always holds
            raise ExpressionError(f"an integer of at most 18 digits, got {text}")
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        raise ExpressionError(f"a finite number, got {text}")
    return number
