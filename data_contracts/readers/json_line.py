"""One line of JSON, read as strictly as can be; slower than a block, and able to say what is wrong."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_contracts.interactions import TIMESTAMP
from data_contracts.log_columns import LogColumn
from data_contracts.readers.block import reason

_LIMIT = 2**63
_NONE = type(None)
_CHECKED = frozenset({int, str, list})  # kinds whose value needs a look
_KINDS: dict[pa.DataType, frozenset[type]] = {  # true is no number, "1" neither, 7.0 no integer; times are text here
    pa.string(): frozenset({str, _NONE}),
    pa.float64(): frozenset({float, int, _NONE}),
    pa.int64(): frozenset({int, _NONE}),
    pa.bool_(): frozenset({bool, _NONE}),
    TIMESTAMP: frozenset({str, _NONE}),
    pa.list_(pa.float64()): frozenset({list, _NONE}),
}


class LineRejected(ValueError):
    """The line is not a row; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A column, and the exact Python types its parsed JSON may have."""

    column: LogColumn
    kinds: frozenset[type]


def slots_of(words: Mapping[str, LogColumn]) -> dict[str, Slot]:
    """Word -> slot; made once per file, because a lookup by Arrow type is slow."""
    return {word: Slot(column, _KINDS[column.type]) for word, column in words.items()}


def read_line(raw: bytes, slots: Mapping[str, Slot]) -> dict[str, object]:
    """Store name -> value of one line; timestamps stay text. Raises LineRejected with the first thing wrong.

    NaN, Infinity and numbers too large for a float stay what they are: the row rules refuse them by column.
    """
    row: dict[str, object] = {}
    for word, value in _object(raw).items():
        slot = slots.get(word)
        if slot is None:
            raise LineRejected(reason("unknown key", json.dumps(word), "a column of the contract"))
        kind = type(value)
        if kind not in slot.kinds or kind in _CHECKED:
            value = _checked(slot, value)
        row[slot.column.name] = value
    return row


def _checked(slot: Slot, value: Any) -> object:
    """What exact types do not say: 64 bits, whole characters, lists of numbers, text written as an integer."""
    column, kind = slot.column, type(value)
    if kind is int and column.integers:
        return str(value)
    if kind is int and float in slot.kinds:
        return _float(value)
    if kind is list and kind in slot.kinds and all(type(x) in (int, float) for x in value):
        return [_float(x) for x in value]
    if kind is int and kind in slot.kinds and -_LIMIT <= value < _LIMIT:
        return value
    if kind is str and kind in slot.kinds and _encodable(value):
        return value
    raise LineRejected(reason(column.name, _shown(value), column.expected))


def _object(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode().strip(" \t\r")
    except UnicodeDecodeError as error:
        raise LineRejected(f"invalid UTF-8: expected UTF-8 text, got byte {raw[error.start]:#04x}") from error
    if not text:
        raise LineRejected("blank line")
    try:
        value, end = _DECODER.raw_decode(text)
    except LineRejected:
        raise
    except RecursionError as error:
        raise LineRejected("broken JSON: expected one flat object, got one nested too deeply") from error
    except ValueError as error:
        raise LineRejected(f"broken JSON: expected one object on the line, got {error}"[:200]) from error
    if end != len(text):
        what = "two objects on one line" if text[end:].lstrip(" \t,").startswith("{") else "text after the object"
        raise LineRejected(f"{what}: expected one object on the line, got more from character {end + 1}")
    if not isinstance(value, dict):
        raise LineRejected(f"not an object: expected one JSON object, got {_shown(value)}")
    return value


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer of 400 digits
        return math.inf if value > 0 else -math.inf


def _encodable(text: str) -> bool:
    """False for half of a surrogate pair, which no UTF-8 file can hold."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = next(key for i, (key, _) in enumerate(pairs) if key in dict(pairs[:i]))
        raise LineRejected(reason("duplicate key", json.dumps(repeated), "each key once"))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs)
