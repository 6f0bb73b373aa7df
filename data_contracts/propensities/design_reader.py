"""The lines of a design, wide or long, read into cells; every mistake is collected with its line."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from data_contracts.contract import Column
from data_contracts.language.problems import Problem, examples, one_of, show

Value = str | float | int | bool | None
Key = tuple[Value, ...]

LONG: Final = ("action", "probability")
SUM_TOLERANCE: Final = 1e-6  # of a distribution as people write it; it is normalised exactly
READ: Final[dict[str, Callable[[str], Value]]] = {
    "number": lambda text: value if math.isfinite(value := float(text)) else None,
    "integer": int,
    "boolean": {"true": True, "false": False}.__getitem__,
}


class DesignReader:
    """One pass over the lines of a design; collects its mistakes."""

    def __init__(self, file: str, actions: tuple[str, ...], columns: tuple[Column, ...]) -> None:
        self.file, self.actions = file, actions
        self.columns = {column.name: column for column in columns}
        self.keys: tuple[Column, ...] = ()
        self.problems: list[Problem] = []

    def add(self, line: int, what: str, *, expected: str, got: str) -> None:
        self.problems.append(Problem(self.file, line, f"{what}: expected {expected}, got {got}. Correct the file."))

    def read(self, header: list[str], table: list[tuple[int, list[str]]]) -> dict[Key, list[float]]:
        """Distributions by key, in the order of the file."""
        long = all(name in header for name in LONG)
        self._check_header(header, long=long)
        for line, row in table:
            if len(row) != len(header):
                self.add(line, "row of the design", expected=f"{len(header)} cells", got=str(len(row)))
        if not table:
            self.add(1, "cells of the design", expected="at least one", got="none")
        if self.problems:
            return {}
        self.keys = tuple(self.columns[name] for name in header if name not in (LONG if long else self.actions))
        rows = [(line, dict(zip(header, row, strict=True))) for line, row in table]
        cells, first = self._read_long(rows) if long else self._read_wide(rows)
        for key, probabilities in cells.items():
            if abs(sum(probabilities) - 1) > SUM_TOLERANCE and not self.problems:
                got = f"{sum(probabilities):.12g}"
                self.add(first[key], "sum of a distribution", expected=f"1 within {SUM_TOLERANCE:g}", got=got)
        return cells

    def _check_header(self, header: list[str], *, long: bool) -> None:
        words = [*self.columns, *(LONG if long else self.actions)]
        for name in dict.fromkeys(name for name in header if header.count(name) > 1):
            self.add(1, "header of the design", expected="each column once", got=f"{show(name)} again")
        for name in header:
            if name not in words:
                self.add(1, "column of the design", expected=one_of(words), got=show(name))
        absent = [] if long else [name for name in self.actions if name not in header]
        if absent:
            self.add(1, "columns of the design", expected="one for every action", got=f"none for {examples(absent)}")

    def _read_wide(self, rows: list[tuple[int, dict[str, str]]]) -> tuple[dict[Key, list[float]], dict[Key, int]]:
        cells: dict[Key, list[float]] = {}
        first: dict[Key, int] = {}
        for line, row in rows:
            key = self._key(line, row)
            if first.setdefault(key, line) != line:
                self.add(line, "cell of the design", expected="each once", got=f"{show(key)} again")
            cells[key] = [self._probability(line, row[action]) for action in self.actions]
        return cells, first

    def _read_long(self, rows: list[tuple[int, dict[str, str]]]) -> tuple[dict[Key, list[float]], dict[Key, int]]:
        cells: dict[Key, list[float]] = {}
        first: dict[Key, int] = {}
        seen: set[tuple[Key, str]] = set()
        for line, row in rows:
            key, action = self._key(line, row), row["action"]
            first.setdefault(key, line)
            if action not in self.actions:
                self.add(line, "action of the design", expected=one_of(self.actions), got=show(action))
                continue
            if (key, action) in seen:
                self.add(line, "action of a cell", expected="each once", got=f"{show(action)} again")
            seen.add((key, action))
            probabilities = cells.setdefault(key, [0.0] * len(self.actions))
            probabilities[self.actions.index(action)] = self._probability(line, row["probability"])
        return cells, first

    def _key(self, line: int, row: dict[str, str]) -> Key:
        return tuple(self._value(line, column, row[column.name]) for column in self.keys)

    def _value(self, line: int, column: Column, text: str) -> Value:
        if text == "":
            return None
        try:
            value = READ.get(column.logical_type, str)(text)
        except (ValueError, KeyError):
            value = None
        if value is None:
            self.add(line, f"{column.name} of the design", expected=f"a {column.logical_type}", got=show(text))
        return value

    def _probability(self, line: int, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= 1:
            self.add(line, "probability of the design", expected="a number in [0, 1]", got=show(text))
        return value
