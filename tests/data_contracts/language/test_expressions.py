"""The language of declared readings: what it says, what it refuses, and that nothing of it runs as code."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from data_contracts.contract import LogicalType
from data_contracts.interactions import LOGICAL_TYPES
from data_contracts.language.expression_values import FUNCTIONS, evaluate, fits, kind_of
from data_contracts.language.expressions import Call, Constant, ExpressionError, Name, Node, names_in, parse_expression

TABLE = pa.table(
    {
        "a": pa.array([1, 2, None, 7]),
        "x": pa.array([0.5, 0.0, 2.5, -2.5]),
        "s": pa.array(["A ", "3.5", None, "nan"]),
        "b": pa.array([True, None, False, True]),
        "odd name": pa.array([1, 1, 1, 1]),
    }
)
TYPES: dict[str, LogicalType] = {"a": "integer", "x": "number", "s": "string", "b": "boolean", "odd name": "integer"}


def values(text: str) -> list[object]:
    node = parse_expression(text)
    kind_of(node, TYPES)
    found = evaluate(node, TABLE)
    return list(found.to_pylist()) if not isinstance(found, pa.Scalar) else [found.as_py()] * 4


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("a + 2 * a - 1", "integer", [2, 5, None, 20]),
        ("(a + 2) * a", "integer", [3, 8, None, 63]),
        ("-a", "integer", [-1, -2, None, -7]),
        ("a - -1", "integer", [2, 3, None, 8]),
        ("8 - 4 - 2", "integer", [2] * 4),
        ("a * x", "number", [0.5, 0.0, None, -17.5]),
        ("a / 2", "number", [0.5, 1.0, None, 3.5]),
        ("a / x", "number", [2.0, None, None, -2.8]),  # a division by 0 is null
        ("if(b, a, 0)", "integer", [1, 0, 0, 7]),  # a null condition is false
        ("if(a > 1, 'big', 'small')", "string", ["small", "big", "small", "big"]),
        ("if(x = 0, 0, 1 / x)", "number", [2.0, 0.0, 0.4, -0.4]),
        ("if(b, null, x)", "number", [None, 0.0, 2.5, None]),
        ("coalesce(null, a, x)", "number", [1.0, 2.0, 2.5, 7.0]),
        ("coalesce(s, '-')", "string", ["A ", "3.5", "-", "nan"]),
        ("is_null(a) or b", "boolean", [True, None, True, True]),
        ("not b and a >= 1", "boolean", [False, None, None, False]),
        ("a <> 2", "boolean", [True, False, None, True]),
        ("a == 2.0", "boolean", [False, True, None, False]),
        ("lower(trim(s))", "string", ["a", "3.5", None, "nan"]),
        ("length(s)", "integer", [2, 3, None, 3]),
        ("number(s)", "number", [None, 3.5, None, None]),  # a text that is no number is null
        ("concat(text(a), '_', s)", "string", ["1_A ", "2_3.5", None, "7_nan"]),
        ("round(x)", "integer", [1, 0, 3, -3]),  # halves away from 0
        ("floor(x)", "integer", [0, 0, 2, -3]),
        ("ceil(x)", "integer", [1, 0, 3, -2]),
        ("abs(x)", "number", [0.5, 0.0, 2.5, 2.5]),
        ("least(a, x)", "number", [0.5, 0.0, None, -2.5]),
        ("greatest(x, 1)", "number", [1.0, 1.0, 2.5, 1.0]),
        ("`odd name` + 1", "integer", [2] * 4),
        ("'it''s'", "string", ["it's"] * 4),
        ("TRUE", "boolean", [True] * 4),
        ("text(true)", "string", ["true"] * 4),
        ("1e3", "number", [1000.0] * 4),
        ("null", "null", [None] * 4),
    ],
)
def test_what_an_expression_means(text: str, kind: str, expected: list[object]) -> None:
    assert kind_of(parse_expression(text), TYPES) == kind
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a value where 'the end' stands"),
        ("a b", "the end where 'b' stands in 'a b'"),
        ("a +", "a value where 'the end' stands"),
        ("(a", r"'\)' where 'the end' stands"),
        ("if(a,,b)", "a value where ',' stands"),
        ("1 < a < 3", "one comparison"),
        ("'open", 'operator at "\'open"'),
        ("a ; b", "operator at '; b'"),
        ("a.b", "operator at '.b'"),
        ("a['b']", "operator at \"\\['b'\\]\""),
        ("1e999", "a finite number"),
        ("9999999999999999999", "at most 18 digits"),
        ("(" * 60 + "a" + ")" * 60, "at most 40 levels"),
        ("a" + "+a" * 150, "at most 200 words"),
        ("a" * 2000, "at most 1000 characters"),
    ],
)
def test_what_is_no_expression(text: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words):
        parse_expression(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ax + 1", "did you mean 'x'"),
        ("lowr(s)", "did you mean 'lower'"),
        ("eval(s)", "a function: one of if, coalesce"),
        ("__import__('os')", "a function: one of"),
        ("negative(a)", ""),
        ("a + s", "two numbers for '\\+', got integer, string"),
        ("b + 1", "two numbers"),
        ("s < 1", "two values of one kind for '<'"),
        ("a = null", "two values of one kind"),  # is_null(a)
        ("if(a, 1, 2)", "a condition and two values"),
        ("if(b, 1, 'x')", "a condition and two values"),
        ("lower(a)", "a text for 'lower', got integer"),
        ("round(x, 1)", "got 2 arguments"),
        ("coalesce()", "got 0 arguments"),
        ("not a", "true or false"),
    ],
)
def test_what_does_not_fit_together(text: str, words: str) -> None:
    if not words:
        assert kind_of(parse_expression(text), TYPES) == "integer"  # the unary minus by its name
        return
    with pytest.raises(ExpressionError, match=words):
        kind_of(parse_expression(text), TYPES)


def test_the_tree() -> None:
    tree = parse_expression("a + 2 * `odd name`")
    assert tree == Call("+", (Name("a"), Call("*", (Constant(2), Name("odd name")))))
    assert names_in(tree) == {"a", "odd name"}


def test_integers_that_64_bits_cannot_hold_are_an_error() -> None:
    node = parse_expression("a * 999999999999999999 * 999999999999999999")
    with pytest.raises(pa.ArrowInvalid):
        evaluate(node, TABLE)


def test_which_values_fit_which_column() -> None:
    assert fits("integer", "number")
    assert fits("number", "integer")  # where it is whole
    assert fits("null", "string")
    assert not fits("string", "number")
    assert not fits("boolean", "integer")


def test_any_text_is_an_expression_or_a_named_error() -> None:
    rng = random.Random(20261121)
    pieces = [
        "a",
        "x",
        "s",
        "b",
        "(",
        ")",
        ",",
        "+",
        "-",
        "*",
        "/",
        "<",
        "=",
        "'t'",
        "1",
        "2.5",
        "if",
        "not",
        "and",
        "null",
    ]
    pieces += ["lower", "`odd name`", "coalesce", "é", ";", "\n", "'", "\\", "{}", "0x1"]
    parsed = 0
    for _ in range(5000):
        text = rng.choice(["", " "]).join(rng.choices(pieces, k=rng.randint(1, 9)))
        try:
            node = parse_expression(text)
            kind_of(node, TYPES)
            evaluate(node, TABLE)
            parsed += 1
        except ExpressionError:
            continue
    assert parsed > 50


def random_tree(rng: random.Random, depth: int) -> Node:
    if depth == 0 or rng.random() < 0.2:
        leaves: list[Node] = [*map(Name, TYPES), *map(Constant, (1, 0, 2.5, "t", True, None))]
        return rng.choice(leaves)
    name = rng.choice([*FUNCTIONS])
    least, most = FUNCTIONS[name].n_arguments
    return Call(name, tuple(random_tree(rng, depth - 1) for _ in range(rng.randint(least, most or 3))))


def test_what_has_a_kind_has_values_of_it() -> None:
    rng = random.Random(20261122)
    n_typed = 0
    for _ in range(20_000):
        node = random_tree(rng, rng.randint(1, 3))
        try:
            kind = kind_of(node, TYPES)
        except ExpressionError:
            continue
        found = evaluate(node, TABLE)
        n_typed += 1
        assert isinstance(found, pa.Scalar) or len(found) == TABLE.num_rows
        assert found.type == (pa.null() if kind == "null" else LOGICAL_TYPES[kind]), node
    assert n_typed > 2000
