"""Who was erased, as salted hashes: enough to refuse later rows of theirs, too little to say who it was.

hash = BLAKE2b-128 of the id, keyed with 32 random bytes of the task. Caveat: with the salt, which lies in
the store, somebody who can guess an id can check the guess.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from data_contracts.amendments.quarantined_lines import fields_of
from data_contracts.errors import IntegrityError
from data_contracts.home import Home
from data_contracts.log_columns import LogColumn
from data_contracts.readers.block import Rejected
from data_contracts.storage import canonical_json, create_exclusive, read_json, write_atomic

IdWords = Mapping[str, str]
ID_WORDS: Final[IdWords] = {"unit_id": "unit_id", "interaction_id": "interaction_id"}  # in the store's own words
ERASED = "erased"  # the reason of a line that is refused and kept nowhere
SHORTEST_TEXT, SHORTEST_NUMBER = 3, 6  # an id of fewer characters, or digits, is looked for in fields only
SALT_BYTES, DIGEST_BYTES = 32, 16
_QUOTED = re.compile(r'"((?:[^"\\]|\\.|"")*)"')
_WORD = re.compile(r"[\w-]+")
_PIECE = re.compile(r"""[^\s"',;{}\[\]()]+""")


@dataclass(frozen=True, slots=True, repr=False)
class Tombstones:
    """Hashes of the erased units and of their interactions."""

    salt: bytes
    units: frozenset[str] = frozenset()
    interactions: frozenset[str] = frozenset()

    def hash_of(self, identifier: str) -> str:
        return blake2b(identifier.encode("utf-8", "surrogatepass"), key=self.salt, digest_size=DIGEST_BYTES).hexdigest()

    def erased_rows(self, table: pa.Table) -> NDArray[np.bool_]:
        """(n,) True where the row's unit_id or interaction_id was erased; columns that it lacks are not asked."""
        found = np.zeros(table.num_rows, dtype=np.bool_)
        for name, hashes in (("unit_id", self.units), ("interaction_id", self.interactions)):
            if hashes and name in table.column_names:
                found |= self._in(table[name], hashes)
        return found

    def mentioned_in(self, raw: bytes, words: IdWords) -> bool:
        """Whether a raw line holds an erased id: in its own field, or, where it can be told from other words, as any
        quoted text, field or word.

        For lines that are no rows. Caveat: an id that the line cut or escaped in a way of its own, or glued to other
        letters, is not seen; nor is a very short one in a line that is not whole JSON.
        """
        known, of_kind = self.units | self.interactions, {"unit_id": self.units, "interaction_id": self.interactions}
        return any(self.hash_of(value) in of_kind[kind] for kind, value in id_fields(raw, words)) or any(
            self.hash_of(text) in known for text in candidates(raw) if is_telling(text)
        )

    def without(self, rejected: list[Rejected], columns: Iterable[LogColumn]) -> list[Rejected]:
        """The lines, with nothing left of those that mention somebody erased but that they came."""
        words = id_words(columns)
        return [
            replace(line, raw=b"", reason=ERASED)
            if line.reason == ERASED or self.mentioned_in(line.raw, words)
            else line
            for line in rejected
        ]

    def _in(self, column: pa.ChunkedArray, hashes: frozenset[str]) -> NDArray[np.bool_]:
        encoded = column.combine_chunks().dictionary_encode()
        hit = np.array([i is not None and self.hash_of(i) in hashes for i in encoded.dictionary.to_pylist()], np.bool_)
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        found: NDArray[np.bool_] = np.append(hit, False)[codes]
        return found


class Stone(BaseModel):
    """One erased unit as it is stored; `plan` is what its erasure found before it changed anything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: str
    interactions: tuple[str, ...]
    state: Literal["begun", "ended"]
    begun_at: datetime
    plan: dict[str, Any]


def id_words(columns: Iterable[LogColumn]) -> IdWords:
    """What logs call the columns that say whose a row is: word -> `unit_id` or `interaction_id`."""
    own = (column for column in columns if column.name in ID_WORDS)
    return {word: column.name for column in own for word in (column.name, column.source_name)}


def is_telling(text: str) -> bool:
    """Whether a text can be told from other words: 3 characters, of digits alone 6."""
    return len(text) >= (SHORTEST_NUMBER if text.isdigit() else SHORTEST_TEXT)


def id_fields(raw: bytes, words: IdWords, header: bytes | None = None) -> Iterator[tuple[str, str]]:
    """(`unit_id` or `interaction_id`, value) of a whole line: JSON, or CSV under its header."""
    for word, value in fields_of(raw, header).items():
        if word in words and value is not None:
            yield words[word], str(value)


def candidates(raw: bytes) -> set[str]:
    """Everything in a line that could be an id: quoted texts, fields between commas, pieces and words."""
    text = raw.decode("utf-8", "replace")
    found = {field.strip(" \t\r\"'{}[]") for field in text.split(",")}
    found.update(_PIECE.findall(text))
    found.update(_WORD.findall(text))
    for quoted in _QUOTED.findall(text):
        found.update((quoted, quoted.replace('""', '"'), _unescaped(quoted)))
    return found - {""}


def read_tombstones(home: Home, task: str) -> Tombstones | None:
    """Everybody erased from a task; None when nobody was."""
    stones = read_stones(home, task)
    if not stones:
        return None
    units = frozenset(stone.unit for stone in stones)
    return Tombstones(_salt(home, task), units, frozenset(h for stone in stones for h in stone.interactions))


def read_stones(home: Home, task: str) -> list[Stone]:
    """One per erased unit, in order of their hashes. Raises IntegrityError that names a damaged one."""
    return [_parse(path) for path in sorted(_folder(home, task).glob("*.json"))]


def read_stone(home: Home, task: str, unit_hash: str) -> Stone | None:
    path = _folder(home, task) / f"{unit_hash}.json"
    return _parse(path) if path.exists() else None


def write_stone(home: Home, task: str, stone: Stone) -> None:
    write_atomic(_folder(home, task) / f"{stone.unit}.json", canonical_json(stone.model_dump(mode="json")))


def hasher(home: Home, task: str) -> Tombstones:
    """The task's salt, drawn when the first unit is erased."""
    path = _salt_path(home, task)
    create_exclusive(path, canonical_json({"salt": secrets.token_hex(SALT_BYTES)}))
    return Tombstones(_salt(home, task))


def _salt(home: Home, task: str) -> bytes:
    return bytes.fromhex(read_json(_salt_path(home, task))["salt"])


def _salt_path(home: Home, task: str) -> Path:
    return home.erasures(task) / "salt.json"


def _folder(home: Home, task: str) -> Path:
    return home.erasures(task) / "units"


def _parse(path: Path) -> Stone:
    try:
        return Stone.model_validate(read_json(path))
    except ValidationError as error:
        raise IntegrityError(
            f"damaged erasure record {path}: expected the hashes of one unit, got {error.error_count()} mistakes. "
            "Restore it from a backup: without it the unit's rows would be taken in again.",
            path=str(path),
        ) from error


def _unescaped(quoted: str) -> str:
    try:
        return str(json.loads(f'"{quoted}"', strict=False))
    except ValueError:
        return quoted
