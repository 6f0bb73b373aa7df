"""A declared design: the probability of every action for every combination of a few observation columns, as CSV.

Wide: key columns, then one column per action. Long: key columns, `action` and `probability` (an action that is left out
has probability 0). Without a key column the design is one distribution. An empty key cell stands for null.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.contract import Column
from data_contracts.errors import InputError
from data_contracts.interactions import LOGICAL_TYPES
from data_contracts.language.problems import Problem, examples, refuse, shown_path
from data_contracts.propensities.design_reader import DesignReader, Key

NO_KEY: Final = ("timestamp", "array")  # types that no design is keyed by


@dataclass(frozen=True, slots=True, repr=False)
class DesignTable:
    """m cells of K probabilities, in the order of the declared actions."""

    name: str
    keys: tuple[Column, ...]
    cells: tuple[Key, ...]  # m combinations of values, each once
    probabilities: NDArray[np.float64]  # (m, K)

    def distribution(self, rows: pa.Table) -> NDArray[np.float64]:
        """(n, K) of n rows with the key columns; NaN where the design has no cell for a row.

        Raises InputError when a key column is not among the rows.
        """
        missing = [column.name for column in self.keys if column.name not in rows.column_names]
        if missing:
            raise InputError(
                f"design table {self.name} does not fit the rows: expected columns {examples(missing)}, got none of "
                "that name. Key it by observation columns of the contract."
            )
        cell = self._cell_of(rows)
        return np.where(cell[:, None] >= 0, self.probabilities[cell], np.nan)

    def _cell_of(self, rows: pa.Table) -> NDArray[np.int64]:
        """(n,) index of each row's cell, -1 for none: one key column after the other, as digits of a number."""
        codes = np.zeros(len(self.cells), np.int64)
        found = np.zeros(rows.num_rows, np.int64)
        for i, column in enumerate(self.keys):
            type_ = LOGICAL_TYPES[column.logical_type]
            values = pa.array(dict.fromkeys(cell[i] for cell in self.cells), type_)
            declared = pc.index_in(pa.array([cell[i] for cell in self.cells], type_), values).to_numpy()
            logged = pc.fill_null(pc.index_in(rows[column.name].cast(type_), values), -1).to_numpy()
            wanted = codes * len(values) + declared
            known = np.unique(wanted)
            codes = np.searchsorted(known, wanted)
            seen = np.where((found >= 0) & (logged >= 0), found * len(values) + logged, -1)
            place = np.minimum(np.searchsorted(known, seen), len(known) - 1)
            found = np.where(known[place] == seen, place, -1)
        return np.append(np.argsort(codes), -1)[found]  # -1 takes the last: none

    def __repr__(self) -> str:
        return f"DesignTable({self.name!r}, keys={[c.name for c in self.keys]}, cells={len(self.cells)})"


def read_design(path: Path, *, actions: tuple[str, ...], columns: Sequence[Column]) -> DesignTable:
    """The design at `path`; raises ConfigurationError with every mistake and its line."""
    design, problems = parse_design(path, actions=actions, columns=columns)
    if design is None:
        raise refuse(problems)
    return design


def parse_design(
    path: Path, *, actions: tuple[str, ...], columns: Sequence[Column]
) -> tuple[DesignTable | None, list[Problem]]:
    """The design, or None and its mistakes; `columns` are the contract's observation columns."""
    reader = DesignReader(shown_path(path), actions, tuple(c for c in columns if c.logical_type not in NO_KEY))
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            lines = csv.reader(stream, strict=True)
            header = next(lines, [])
            table = [(lines.line_num, row) for row in lines if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reader.add(1, "unreadable design", expected="CSV in UTF-8", got=str(error))
        return None, reader.problems
    cells = reader.read(header, table)
    if reader.problems:
        return None, reader.problems
    probabilities = np.array(list(cells.values()), np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return DesignTable(path.name, reader.keys, tuple(cells), probabilities), []
