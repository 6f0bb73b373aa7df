"""What a snapshot says of itself, and the hash of its logical content that is its name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from data_contracts.errors import IntegrityError
from data_contracts.interactions import TAKEN, content_names
from data_contracts.rewards.outcomes import ChannelSummary, RewardCounts, RewardSettings
from data_contracts.splits import Borders, SplitSettings
from data_contracts.storage import canonical_json, read_json, sha256_bytes

SNAPSHOT_ID = re.compile(r"[0-9a-f]{64}")
FORMULA = 2  # of `logical_id`; a snapshot keeps the one it was named by


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One manifest: first what decides the content and so the id, then how this copy came to be."""

    snapshot_id: str
    task: str
    as_of: datetime  # effective: no later than when the newest row had matured
    n_interactions: int
    n_matured: int
    n_episodes: int
    n_train: int
    n_validation: int
    n_gate: int
    n_excluded: int  # not matured, no reward, or an episode across a border
    rows_per_policy_version: dict[str, int]
    evaluable_versions: tuple[str, ...]  # the filter of the gate: versions present whose rows it can read
    contract_id: str
    contract_version: str
    split: SplitSettings
    borders: Borders
    schema: dict[str, str]  # logical columns and their types
    formula: int

    requested_as_of: datetime
    built_at: datetime
    n_late: int  # interactions that arrived after `requested_as_of` although they occurred before
    n_late_outcomes: int
    rewards: RewardCounts
    reward_settings: RewardSettings
    contract_sha256: str
    table_version: int  # of the Delta tables
    outcomes_version: int | None  # None: no outcome was ever ingested
    files: tuple[str, ...]  # live files of the interaction table at that version, relative to the home
    rows_sha256: str  # of interactions.parquet
    channels: tuple[ChannelSummary, ...] = ()  # empty in manifests of before there were channels

    @property
    def trained_until(self) -> datetime:
        """A later look at a challenger trained on this reads matured rows (whole episodes) that begin after it."""
        return self.borders.trained_until

    def identity(self) -> dict[str, object]:
        """What is hashed beside the rows."""
        return {
            "formula": self.formula,
            "task": self.task,
            "as_of": self.as_of,
            "evaluable_versions": self.evaluable_versions,
            "schema": self.schema,
            "contract": [self.contract_id, self.contract_version],
            "split": self.split.model_dump(),
            "borders": [self.borders.train_until, self.borders.trained_until],
        }

    def to_json(self) -> dict[str, object]:
        document: dict[str, object] = _adapter().dump_python(self, mode="json")
        return document


def logical_schema(rows: pa.Table) -> dict[str, str]:
    """Columns that make the content (not batch, digest or partition), with their types."""
    return {field.name: str(field.type) for field in rows.schema if field.name not in TAKEN}


def logical_id(identity: dict[str, object], rows: pa.Table) -> str:
    """SHA-256 over `identity` and the content of `rows` in order of interaction_id, column by column in order of name.

    Independent of the order of `rows`, of batches and of the file format. Of a column: its name, a byte for each row
    (1: it has a value), and the values (8 bytes each, little-endian; texts and lists as their lengths and what is in
    them), with 0 or nothing where there is none. Formula 1 hashed a digest of each row in place of the columns.
    """
    order = pc.sort_indices(rows["interaction_id"])
    digest = hashlib.sha256(canonical_json({**identity, "n_rows": rows.num_rows}))
    if identity["formula"] == 1:
        for part in _formula_1(rows.take(order)):
            digest.update(part)
        return digest.hexdigest()
    for name in sorted(content_names(rows.column_names)):
        digest.update(name.encode() + b"\0")
        for part in _content(rows[name].take(order).combine_chunks()):
            digest.update(part)
    return digest.hexdigest()


def _content(cells: pa.Array) -> Iterator[bytes]:
    """A column in canonical form."""
    yield cells.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8).tobytes()
    if pa.types.is_list(cells.type):
        yield pc.fill_null(pc.list_value_length(cells), 0).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield _words(cells.flatten())
    elif pa.types.is_string(cells.type):
        texts = pc.fill_null(cells, "").cast(pa.large_binary())
        yield pc.binary_length(texts).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield _text_bytes(texts)
    else:
        yield _words(cells)


def _text_bytes(texts: pa.Array) -> bytes:
    """All bytes of a column of texts without nulls, one text after the other."""
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, "<i8")[texts.offset : texts.offset + len(texts) + 1]
    return b"" if data is None else data[int(bounds[0]) : int(bounds[-1])].to_pybytes()


def _words(cells: pa.Array) -> bytes:
    """8 bytes a value, 0 for a null: numbers as f64 (-0.0 as 0.0), all else as i64 (microseconds, 0 and 1)."""
    if pa.types.is_floating(cells.type):
        numbers: NDArray[np.float64] = pc.fill_null(cells, 0.0).to_numpy(zero_copy_only=False) + 0.0
        return numbers.astype("<f8").tobytes()
    whole: NDArray[np.int64] = pc.fill_null(cells.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    return whole.astype("<i8").tobytes()


def _formula_1(rows: pa.Table) -> Iterator[bytes]:
    """interaction_id and row_digest as lengths and bytes, final reward, matured, split."""
    for column in ("interaction_id", "row_digest"):
        texts = rows[column].cast(pa.large_binary()).combine_chunks()
        yield pc.binary_length(texts).to_numpy(zero_copy_only=False).astype("<i8").tobytes()
        yield b"".join(texts.to_pylist())
    yield rows["reward"].is_valid().to_numpy().astype(np.uint8).tobytes()
    yield pc.fill_null(rows["reward"], 0.0).to_numpy().astype("<f8").tobytes()
    yield rows["matured"].to_numpy().astype(np.uint8).tobytes()
    yield rows["split"].to_numpy().astype(np.uint8).tobytes()


def write_manifest(path: Path, snapshot: Snapshot) -> None:
    """Write `snapshot` with its own hash; `path` lies in a folder that is still being built."""
    path.write_bytes(_sealed(snapshot.to_json()))


def read_manifest(path: Path) -> Snapshot:
    """Raises IntegrityError naming the file when a byte of it is not as it was written, or it is missing."""
    if not path.is_file():
        raise _broken(path, "no file")
    document = read_json(path)
    content = document.get("snapshot") if isinstance(document, dict) else None
    if (
        not isinstance(content, dict)
        or content.get("snapshot_id") != path.parent.name
        or path.read_bytes() != _sealed(content)
    ):
        raise _broken(path, "other bytes")
    try:
        snapshot: Snapshot = _adapter().validate_python(content)
    except ValidationError as error:
        raise _broken(path, f"{error.error_count()} wrong fields") from error
    return snapshot


def _sealed(content: dict[str, object]) -> bytes:
    return canonical_json({"snapshot": content, "sha256": sha256_bytes(canonical_json(content))})


def _broken(path: Path, got: str) -> IntegrityError:
    return IntegrityError(
        f"damaged manifest {path}: expected the snapshot's facts as they were written, got {got}. Restore the "
        "folder from a backup, or delete it and build the snapshot again.",
        path=str(path),
    )


@cache
def _adapter() -> TypeAdapter[Snapshot]:
    return TypeAdapter(Snapshot)
