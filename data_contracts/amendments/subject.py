"""Whom an erasure is about, in clear, and where their ids stand in rows, lines and text. Nothing here is stored."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.amendments.tombstones import ID_WORDS, IdWords, candidates, id_fields, is_telling

REDACTED: Final = "[erased]"
_ID_LISTS: Final[IdWords] = {"examples": "interaction_id"}  # of rows that break a check
_WORD = re.compile(r"[\w-]+")


@dataclass(frozen=True, repr=False)
class Subject:
    """A unit and the interactions that are its own."""

    unit: str
    interactions: frozenset[str]
    words: IdWords = field(default_factory=lambda: ID_WORDS)  # what the log calls these columns
    masks: frozenset[str] = frozenset()  # what alerts show in the place of the ids

    @cached_property
    def ids(self) -> frozenset[str]:
        return self.interactions | {self.unit}

    def ids_in(self, column: str) -> frozenset[str]:
        """Ids that a cell of the column must not be: its own kind, and in other columns those that cannot be chance."""
        own = {"unit_id": frozenset({self.unit}), "interaction_id": self.interactions}
        return own.get(column, self._searchable)

    def rows_of(self, table: pa.Table) -> NDArray[np.bool_]:
        """(n,) True where the row is the unit's: by `unit_id` where the table has it, else by `interaction_id`."""
        if "unit_id" in table.column_names:
            own = pc.equal(table["unit_id"], self.unit)
        else:
            own = pc.is_in(table["interaction_id"], value_set=pa.array(sorted(self.interactions), pa.string()))
        found: NDArray[np.bool_] = pc.fill_null(own, False).to_numpy()
        return found

    def mentioned_in(self, raw: bytes, header: bytes | None = None) -> bool:
        """Whether a raw line (of a CSV file with that header) holds one of the ids, as in Tombstones; an odd id is
        seen anywhere."""
        text = raw.decode("utf-8", "replace")
        return (
            any(value in self.ids_in(kind) for kind, value in id_fields(raw, self.words, header))
            or not self._searchable.isdisjoint(candidates(raw))
            or any(odd in text for odd in self._odd)
        )

    def redact(self, text: str) -> str:
        """The text without the ids that can be told from other words."""
        for spelling in self._odd:
            text = text.replace(spelling, REDACTED)
        return _WORD.sub(lambda word: REDACTED if word[0] in self._plain else word[0], text)

    def redact_names(self, lines: pa.Table) -> pa.Table:
        """Lines of the quarantine with the ids gone from their files' names; the same table where there is none."""
        names = lines["file"].to_pylist()
        clean = [None if name is None else self.redact(name) for name in names]
        if clean == names:
            return lines
        return lines.set_column(lines.column_names.index("file"), "file", pa.array(clean, pa.string()))

    def redact_json(self, value: Any, key: str = "") -> Any:
        """The same for every text in a JSON value, keys included, and for an id under a `key` that says so; numbers
        stay. Of an object that is a row of the subject nothing stays but its keys."""
        if isinstance(value, str):
            return REDACTED if self._is_own(key, value) else self.redact(value)
        if isinstance(value, dict):
            if any(isinstance(inner, str) and self._is_own(name, inner) for name, inner in value.items()):
                return dict.fromkeys(value, REDACTED)
            return {self.redact(name): self.redact_json(inner, name) for name, inner in value.items()}
        return [self.redact_json(inner, key) for inner in value] if isinstance(value, list) else value

    def _is_own(self, key: str, value: str) -> bool:
        kind = self.words.get(key) or _ID_LISTS.get(key)
        return kind is not None and (value in self.ids_in(kind) or value in self.masks)

    @cached_property
    def _searchable(self) -> frozenset[str]:
        return frozenset(filter(is_telling, self.ids))

    @cached_property
    def _plain(self) -> frozenset[str]:
        """Ids that are one word: found by looking at each word of a text once."""
        return frozenset(i for i in self._searchable if _WORD.fullmatch(i))

    @cached_property
    def _odd(self) -> tuple[str, ...]:
        """Spellings of the other ids, longest first: as they are, and as JSON and HTML write them."""
        write: tuple[Callable[[str], str], ...] = (str, _in_json, _in_ascii_json, html.escape)
        spellings = {spell(i) for i in self._searchable - self._plain for spell in write} | self.masks
        return tuple(sorted(spellings, key=lambda spelling: (-len(spelling), spelling)))


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]
