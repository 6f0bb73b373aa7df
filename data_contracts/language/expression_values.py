"""What expressions mean: the kind of value each gives, and the values, computed by Arrow column by column.

A null makes a null, but in `coalesce`, `is_null`, `and`, `or` and the condition of `if`, where it counts as false.
Integers stay integers but in a division; a division by 0 gives null, and so does `number` of a text that is none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import LogicalType
from data_contracts.language.expressions import Constant, ExpressionError, Name, Node
from data_contracts.language.problems import hint, one_of

Kind = LogicalType | Literal["null"]
NUMERIC: Final = ("integer", "number")
PLAIN: Final = ("string", "integer", "number", "boolean")
NUMBER_TEXT: Final = r"^\s*[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$"


@dataclass(frozen=True, slots=True)
class Function:
    """`kind` of the result from those of the arguments, None where they do not fit; `takes` says in words what fits."""

    takes: str
    n_arguments: tuple[int, int | None]  # at least, at most
    kind: Callable[[tuple[Kind, ...]], Kind | None]
    compute: Callable[..., Any]


def kind_of(node: Node, columns: Mapping[str, LogicalType]) -> Kind:
    """Kind of an expression's value; raises ExpressionError for an unknown column or function, or a misfit."""
    if isinstance(node, Constant):
        return _kind_of_constant(node)
    if isinstance(node, Name):
        if node.name not in columns:
            raise ExpressionError(f"a column: {one_of(columns)}, got {_suggested(node.name, columns)}")
        return columns[node.name]
    function = FUNCTIONS.get(node.function)
    if function is None:
        words = [name for name in FUNCTIONS if name.isidentifier() and name not in OPERATOR_WORDS]
        raise ExpressionError(f"a function: {one_of(words)}, got {_suggested(node.function, words)}")
    least, most = function.n_arguments
    if not (least <= len(node.arguments) and (most is None or len(node.arguments) <= most)):
        raise ExpressionError(f"{function.takes} for {node.function!r}, got {len(node.arguments)} arguments")
    kinds = tuple(kind_of(argument, columns) for argument in node.arguments)
    found = function.kind(kinds)
    if found is None:
        raise ExpressionError(f"{function.takes} for {node.function!r}, got {', '.join(kinds)}")
    return found


def evaluate(node: Node, table: pa.Table) -> Any:
    """Values of `node` for the n rows of `table`: an Arrow array of length n, or a scalar that holds for all of them.

    `node` has passed `kind_of`. Raises pa.ArrowInvalid when an integer leaves 64 bits.
    """
    if isinstance(node, Constant):
        return pa.scalar(node.value)
    if isinstance(node, Name):
        return table[node.name]
    return FUNCTIONS[node.function].compute(*(evaluate(argument, table) for argument in node.arguments))


def fits(kind: Kind, logical_type: LogicalType) -> bool:
    """May values of `kind` stand in a column of `logical_type`? An integer column takes whole numbers only."""
    return kind in ("null", logical_type) or (kind in NUMERIC and logical_type in NUMERIC)


def _suggested(word: str, accepted: Collection[str]) -> str:
    close = hint(word, accepted)
    return f"{word!r} (d{close[1:]})" if close else repr(word)


def _kind_of_constant(node: Constant) -> Kind:
    kinds: dict[type, Kind] = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return kinds[type(node.value)]


def _all(kinds: tuple[Kind, ...], accepted: tuple[str, ...], result: Kind) -> Kind | None:
    return result if all(kind in accepted for kind in kinds) else None


def _common(kinds: tuple[Kind, ...]) -> Kind | None:
    """The kind that holds all of them; integers and numbers are numbers."""
    found = set(kinds) - {"null"}
    if found == {"integer", "number"}:
        return "number"
    return found.pop() if len(found) == 1 and found <= {*PLAIN, "timestamp"} else None


def _numeric(kinds: tuple[Kind, ...]) -> Kind | None:
    return _common(kinds) if all(kind in NUMERIC for kind in kinds) else None


def _compared(kinds: tuple[Kind, ...]) -> Kind | None:
    return "boolean" if "null" not in kinds and _common(kinds) else None


def _common_or_null(kinds: tuple[Kind, ...]) -> Kind | None:
    return "null" if set(kinds) == {"null"} else _common(kinds)


def _choice(kinds: tuple[Kind, ...]) -> Kind | None:
    return _common_or_null(kinds[1:]) if kinds[0] == "boolean" else None


def _float(value: Any) -> Any:
    return pc.cast(value, pa.float64())


def _divide(a: Any, b: Any) -> Any:
    divisor = pc.if_else(pc.equal(_float(b), 0.0), pa.scalar(None, pa.float64()), _float(b))
    return pc.divide(_float(a), divisor)


def _if(condition: Any, a: Any, b: Any) -> Any:
    return pc.if_else(pc.fill_null(condition, False), *_alike(a, b))


def _coalesce(*values: Any) -> Any:
    return pc.coalesce(*_alike(*values))


def _alike(*values: Any) -> list[Any]:
    """The values in one type, which a null alone does not have."""
    types = [value.type for value in values if not pa.types.is_null(value.type)]
    wanted = pa.float64() if pa.float64() in types else next(iter(types), pa.null())
    return [value.cast(wanted) for value in values]


def _whole(value: Any, rounded: Callable[[Any], Any]) -> Any:
    return value if pa.types.is_integer(value.type) else pc.cast(rounded(value), pa.int64())


def _round(value: Any) -> Any:
    return pc.round(value, round_mode="half_towards_infinity")


def _number(value: Any) -> Any:
    if not pa.types.is_string(value.type):
        return _float(value)
    is_number = pc.match_substring_regex(value, NUMBER_TEXT)
    return _float(pc.utf8_trim_whitespace(pc.if_else(is_number, value, pa.scalar(None, pa.string()))))


def _text(value: Any) -> Any:
    return pc.cast(value, pa.string())


def _joined(*values: Any) -> Any:
    return pc.binary_join_element_wise(*values, "", null_handling="emit_null")


TWO_NUMBERS: Final = "two numbers"
ALIKE: Final = "values of one kind"
OPERATOR_WORDS: Final = ("and", "or", "not", "negative")


def _arithmetic(compute: Callable[..., Any]) -> Function:
    return Function(TWO_NUMBERS, (2, 2), _numeric, compute)


def _comparison(compute: Callable[..., Any]) -> Function:
    return Function(f"two {ALIKE}", (2, 2), _compared, compute)


def _logic(n: int, compute: Callable[..., Any]) -> Function:
    return Function("true or false", (n, n), lambda kinds: _all(kinds, ("boolean",), "boolean"), compute)


def _of_text(compute: Callable[..., Any], result: Kind = "string") -> Function:
    return Function("a text", (1, 1), lambda kinds: _all(kinds, ("string",), result), compute)


def _to_whole(compute: Callable[..., Any]) -> Function:
    return Function(
        "a number", (1, 1), lambda kinds: _all(kinds, NUMERIC, "integer"), lambda value: _whole(value, compute)
    )


FUNCTIONS: Final[dict[str, Function]] = {
    "+": _arithmetic(pc.add_checked),
    "-": _arithmetic(pc.subtract_checked),
    "*": _arithmetic(pc.multiply_checked),
    "/": Function(TWO_NUMBERS, (2, 2), lambda kinds: _all(kinds, NUMERIC, "number"), _divide),
    "negative": Function("a number", (1, 1), _numeric, pc.negate_checked),
    "=": _comparison(pc.equal),
    "!=": _comparison(pc.not_equal),
    "<": _comparison(pc.less),
    "<=": _comparison(pc.less_equal),
    ">": _comparison(pc.greater),
    ">=": _comparison(pc.greater_equal),
    "and": _logic(2, pc.and_kleene),
    "or": _logic(2, pc.or_kleene),
    "not": _logic(1, pc.invert),
    "if": Function("a condition and two values of one kind", (3, 3), _choice, _if),
    "coalesce": Function(ALIKE, (1, None), _common_or_null, _coalesce),
    "is_null": Function("a value", (1, 1), lambda kinds: "boolean", pc.is_null),
    "lower": _of_text(pc.utf8_lower),
    "upper": _of_text(pc.utf8_upper),
    "trim": _of_text(pc.utf8_trim_whitespace),
    "length": _of_text(lambda value: pc.cast(pc.utf8_length(value), pa.int64()), "integer"),
    "concat": Function("texts", (1, None), lambda kinds: _all(kinds, ("string",), "string"), _joined),
    "abs": Function("a number", (1, 1), _numeric, pc.abs_checked),
    "round": _to_whole(_round),
    "floor": _to_whole(pc.floor),
    "ceil": _to_whole(pc.ceil),
    "least": Function("numbers", (1, None), _numeric, lambda *values: pc.min_element_wise(*values, skip_nulls=False)),
    "greatest": Function(
        "numbers", (1, None), _numeric, lambda *values: pc.max_element_wise(*values, skip_nulls=False)
    ),
    "number": Function("a text or number", (1, 1), lambda kinds: _all(kinds, ("string", *NUMERIC), "number"), _number),
    "text": Function("a plain value", (1, 1), lambda kinds: _all(kinds, PLAIN, "string"), _text),
}
