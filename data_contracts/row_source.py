"""The accepted rows of a task up to a moment, for whoever must not hold them all at once: in chunks, or as SQL."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa

from data_contracts import store
from data_contracts.contract import Contract
from data_contracts.home import Home
from data_contracts.interactions import interaction_schema
from data_contracts.language.evolution import is_read_as_stored, read_as, stored_columns
from data_contracts.log_columns import own_types
from data_contracts.rewards.outcomes import RewardSettings, attach_rewards, utc64
from data_contracts.stored_evidence import StoredEvidence, microseconds
from data_contracts.witnesses import Need, as_table, witness

if TYPE_CHECKING:
    import duckdb

MATURED: Final = "matured"
RELATION: Final = "interactions"  # what SQL reads from
PART: Final = "read_parquet(getvariable('part'))"  # the same, of a part of the rows; a view would open each file twice
SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "memory_limit": "600MB",  # beyond it DuckDB spills
    "threads": 1,
}
NEEDED: Final = ("interaction_id", "occurred_at", "reward")  # to give a chunk its rewards


class Rows(Protocol):
    """n rows with the columns of interaction_schema, final `reward` (null where unknown) and `matured`."""

    @property
    def schema(self) -> pa.Schema: ...

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows, in chunks of bounded size with `columns` (all, when None); may be called again."""
        ...

    def connect(self) -> duckdb.DuckDBPyConnection:
        """A connection for `register`, without access to anything but the rows."""
        ...

    def register(self, connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """Make the rows table `interactions` of `connection`, at least with `columns`, for one query."""
        ...

    def register_parts(self, connection: duckdb.DuckDBPyConnection, column: str) -> Iterator[str]:
        """Make one part of the rows after the other a relation, at least with the text `column`, for one query each.

        Gives what to select from. Every row is in one part; no two parts share a value of `column`.
        """
        ...

    def witnesses(self, needs: Mapping[str, Need]) -> pa.Table:
        """Rows that stand for all rows (see witnesses), with those columns of `needs` of which that much is known."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class TableRows:
    """Rows that are in memory; without column `matured` all of them are."""

    table: pa.Table

    def __post_init__(self) -> None:
        if MATURED not in self.table.column_names:
            matured = pa.array(np.ones(self.table.num_rows, np.bool_))
            object.__setattr__(self, "table", self.table.append_column(MATURED, matured))

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        yield self.table if columns is None else self.table.select(list(columns))

    def connect(self) -> duckdb.DuckDBPyConnection:
        return _connect(())

    def register(self, connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        connection.register(RELATION, self.table)

    def register_parts(self, connection: duckdb.DuckDBPyConnection, column: str) -> Iterator[str]:
        self.register(connection, [column])
        yield RELATION

    def witnesses(self, needs: Mapping[str, Need]) -> pa.Table:
        return as_table({})  # reading what is in memory costs no more


@dataclass(frozen=True, repr=False)
class StoredRows:
    """Rows of the store's newest version that occurred until `as_of`, with their rewards as known then, read as
    `contract` reads rows of its older versions."""

    home: Home
    task: str
    contract: Contract
    reward: RewardSettings
    as_of: datetime

    @cached_property
    def schema(self) -> pa.Schema:
        return interaction_schema(own_types(self.contract)).append(pa.field(MATURED, pa.bool_()))

    @cached_property
    def stored(self) -> pa.Schema:
        """What the store's table has."""
        return store.interaction_table_schema(self.home, self.task)

    @cached_property
    def files(self) -> list[Path]:
        """The table's files, whose bytes have been checked once for all readings."""
        return store.checked_files(self.home, self.task)

    @cached_property
    def outcomes(self) -> pa.Table:
        """All outcomes in order of `observed_at`."""
        return store.read_outcomes(self.home, self.task).sort_by("observed_at")

    def chunks(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        wanted = self.schema.names if columns is None else list(columns)
        for chunk in self.as_logged({*wanted, *NEEDED} - {MATURED}):
            yield self._rewarded(chunk).select(wanted)

    def as_logged(self, columns: Collection[str]) -> Iterator[pa.Table]:
        """The same rows with `reward` as it came in the row, whether or not they have matured."""
        needed = stored_columns(self.contract, {*columns, "occurred_at"})
        read = [name for name in self.stored.names if name in needed]
        for chunk in store.read_chunks(self.home, self.task, columns=read, files=self.files):
            visible = chunk.filter(pa.array(chunk["occurred_at"].to_numpy() <= utc64(self.as_of)))
            if visible.num_rows:
                yield read_as(visible, self.contract, columns={*columns, "occurred_at"})

    def connect(self) -> duckdb.DuckDBPyConnection:
        return _connect((self.home.table(self.task, "interactions"),))

    def register(self, connection: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> None:
        """The files themselves where rows read as they are stored, else a stream of chunks."""
        if self._plain and self._reads_as_stored:
            self._register_files(connection)
            return
        names = [name for name in self.schema.names if name in {*columns, *NEEDED, MATURED}]
        schema = pa.schema([self.schema.field(name) for name in names])
        batches = (batch for chunk in self.chunks(names) for batch in chunk.cast(schema).to_batches())
        connection.register(RELATION, pa.RecordBatchReader.from_batches(schema, batches))

    def register_parts(self, connection: duckdb.DuckDBPyConnection, column: str) -> Iterator[str]:
        """Groups of files whose values of `column` do not overlap, where rows read as they are stored."""
        if not self._reads_as_stored or self.schema.field(column) != self.stored.field(column):
            self.register(connection, [column])
            yield RELATION
            return
        for group in self.evidence.apart(column):
            paths = [glob.escape(str(path)) for path in group]
            connection.execute("set variable part = ?", [paths])
            yield PART

    def witnesses(self, needs: Mapping[str, Need]) -> pa.Table:
        """From the files' footers and dictionaries, where rows read as they are stored and there are any."""
        if not self._reads_as_stored or not self.evidence.files:
            return as_table({})
        found = {name: self._witness(name, need) for name, need in needs.items()}
        columns = {name: column for name, column in found.items() if column is not None}
        if "reward" in columns:
            columns[MATURED] = pa.array([True])
        return as_table(columns)

    def _witness(self, name: str, need: Need) -> pa.Array | None:
        field = self.schema.field(name)
        if name in ("day", MATURED) or field.type != self.stored.field(name).type:
            return None
        if name == "reward" and not (self._plain and self._all_matured):
            return None
        note = self.evidence.note(name)
        if name == "reward":
            note = note.filled(self.reward.default)
        texts = need == "values" and not note.is_empty and pa.types.is_string(field.type)
        return witness(note, field.type, need=need, values=self.evidence.texts(name) if texts else None)

    @cached_property
    def evidence(self) -> StoredEvidence:
        """What the files' footers and dictionaries say of the rows."""
        return StoredEvidence.of(self.files, until=self.as_of)

    @property
    def _plain(self) -> bool:
        return self.reward.follows_from_row and not self.outcomes.num_rows

    @property
    def _all_matured(self) -> bool:
        last = self.evidence.note("occurred_at").largest
        return last is not None and last <= microseconds(self.as_of - self.reward.attribution_window)

    @cached_property
    def _reads_as_stored(self) -> bool:
        """No row has to be read anew because it was logged under an older version."""
        if not {field.name for field in self.schema} - {MATURED} <= {*self.stored.names}:
            return False
        versions = self.evidence.texts("contract_version")
        return versions is not None and is_read_as_stored(versions, self.contract)

    def _register_files(self, connection: duckdb.DuckDBPyConnection) -> None:
        paths = [glob.escape(str(file)) for file in self.files]
        connection.read_parquet(paths, union_by_name=True, hive_partitioning=True).create_view("stored", replace=True)
        values = {
            "as_of": self.as_of,
            "matured_before": self.as_of - self.reward.attribution_window,
            "fallback": self.reward.default,
        }
        for name, value in values.items():
            connection.execute(f"set variable {name} = ?", [value])
        connection.execute(files("data_contracts").joinpath("stored_rows.sql").read_text())

    def _rewarded(self, chunk: pa.Table) -> pa.Table:
        observed = self.outcomes["observed_at"].to_numpy()
        occurred = chunk["occurred_at"].to_numpy()
        first = np.searchsorted(observed, occurred.min())
        last = np.searchsorted(observed, occurred.max() + np.timedelta64(self.reward.longest_window, "us"), "right")
        outcomes = self.outcomes.slice(first, last - first)
        return attach_rewards(chunk, outcomes, reward=self.reward, as_of=self.as_of).table


def _connect(folders: tuple[Path, ...]) -> duckdb.DuckDBPyConnection:
    """Rows of others: one thread, bounded memory, no extension, no network, no file outside `folders`."""
    import duckdb

    connection = duckdb.connect(":memory:", config=SETTINGS)
    connection.execute("set TimeZone = 'UTC'")
    # DuckDB 2.0 asks for the pattern as well as for the file that it finds by it
    allowed = [f"{path}/" for folder in folders for path in (folder, glob.escape(str(folder)))]
    connection.execute("set allowed_directories = ?", [allowed])
    connection.execute("set enable_external_access = false")
    return connection
