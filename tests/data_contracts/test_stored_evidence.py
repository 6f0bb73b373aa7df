"""What footers and dictionaries settle is what reading every row would say, and a broken row is always found."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts import delta, store, stored_evidence
from data_contracts.contract import TableRule
from data_contracts.expectations import Expectation, row_expectations
from data_contracts.findings import Finding, measure_expectations
from data_contracts.home import Home
from data_contracts.interactions import outcome_schema
from data_contracts.rewards.outcomes import RewardSettings, attach_rewards
from data_contracts.row_source import StoredRows, TableRows
from data_contracts.stored_evidence import FileEvidence, StoredEvidence
from data_contracts.table_rules import table_expectations
from tests.data_contracts.small_log import ACTIONS, CONTRACT, START, TASK, jsonl, rows, take_in

DAY = timedelta(days=1)
N = 400  # 17 minutes apart: nearly five days, so five files
LATE = START + 30 * DAY  # everything has happened and matured
MIDDLE = START + 2 * DAY + timedelta(hours=5)  # a file is cut, and its last day has not matured
REWARD = RewardSettings(attribution_window=DAY, default=0.0)
RULES = (
    TableRule("known_policy_version", "block", {}, "declared versions only"),
    TableRule("null_share", "warn", {"column": "score", "mustBeLessOrEqualTo": 0.5}, "score is mostly there"),
    TableRule("logged_propensity_missing", "block", {}, "propensities are there"),
    TableRule("action_probabilities_sum", "block", {}, "distributions sum to 1"),
)
LOG = replace(CONTRACT, table_rules=RULES)

# column -> value of one row in the middle, and the rule that must find it
PLANTS: dict[str, tuple[str, object, str]] = {
    "null unit": ("unit_id", None, "required"),
    "null country": ("country", None, "required"),
    "null age": ("age", None, "required"),
    "infinite reward": ("reward", math.inf, "finite"),
    "infinite score": ("score", -math.inf, "finite"),
    "age": ("age", 121, "range"),
    "negative age": ("age", -1, "range"),
    "reward": ("reward", 1.5, "range"),
    "country": ("country", "xx", "valid_values"),
    "action": ("action", "9", "known_action"),
    "version": ("policy_version", "9", "known_policy_version"),
    "zero propensity": ("propensity", 0.0, "propensity"),
    "high propensity": ("propensity", 1.01, "propensity"),
    "nan propensity": ("propensity", math.nan, "propensity"),
    "null propensity": ("propensity", None, "logged_propensity_missing"),
    "distribution": ("action_probabilities", [0.5, 0.25, 0.3], "action_probabilities"),
    "twice in a file": ("interaction_id", "row-61", "unique"),
    "twice in two files": ("interaction_id", "row-390", "unique"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The stored form of a clean log, in order of time."""
    folder = tmp_path_factory.mktemp("good")
    home = Home(folder / "home")
    take_in(home, jsonl(folder / "a.jsonl", rows(N)))
    return store.read_interactions(home, TASK).sort_by("occurred_at")


def planted(table: pa.Table, plant: str) -> pa.Table:
    name, value, _ = PLANTS[plant]
    return changed(table, name, {60: value})


def changed(table: pa.Table, name: str, values: dict[int, object]) -> pa.Table:
    cells = [values.get(i, cell) for i, cell in enumerate(table[name].to_pylist())]
    return table.set_column(table.column_names.index(name), table.schema.field(name), pa.array(cells, table[name].type))


def stored(folder: Path, table: pa.Table) -> Home:
    home = Home(folder / "home")
    store.append(home, TASK, "interactions", table, batch_id="0" * 64)
    return home


def expectations(as_of: datetime) -> tuple[Expectation, ...]:
    versions = frozenset({"1"})
    return (
        *row_expectations(LOG, actions=ACTIONS, as_of=as_of),
        *table_expectations(LOG, known_versions=versions, actions=ACTIONS),
    )


def by_files(home: Home, as_of: datetime) -> tuple[int, tuple[Finding, ...]]:
    return measure_expectations(StoredRows(home, TASK, LOG, REWARD, as_of), expectations(as_of))


def by_rows(table: pa.Table, as_of: datetime) -> tuple[int, tuple[Finding, ...]]:
    visible = table.filter(pa.array([moment <= as_of for moment in table["occurred_at"].to_pylist()]))
    rewarded = attach_rewards(visible, outcome_schema().empty_table(), reward=REWARD, as_of=as_of).table
    return measure_expectations(TableRows(rewarded), expectations(as_of))


def said(measured: tuple[int, tuple[Finding, ...]]) -> list[tuple[object, ...]]:
    n_rows, found = measured
    return [(n_rows, f.expectation.rule, f.expectation.column, f.value, f.observed, f.examples) for f in found]


def without_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "to_footer", lambda notes: {})


@pytest.mark.parametrize("plant", [None, *PLANTS])
def test_every_planted_row_is_found_as_reading_all_rows_finds_it(
    tmp_path: Path, good: pa.Table, monkeypatch: pytest.MonkeyPatch, plant: str | None
) -> None:
    monkeypatch.setattr(stored_evidence, "PART_ROWS", 1)
    table = good if plant is None else planted(good, plant)
    home = stored(tmp_path, table)
    for as_of in (LATE, MIDDLE):
        found = by_files(home, as_of)
        assert said(found) == said(by_rows(table, as_of))
        broken = [f.expectation.rule for f in found[1] if not f.expectation.limit.holds(f.value or 0)]
        hidden = plant == "twice in two files" and as_of == MIDDLE  # its twin has not happened yet
        assert (plant is not None and PLANTS[plant][2] in broken) != (plant is None or hidden)


def test_older_files_without_notes_say_the_same(
    tmp_path: Path, good: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_notes(monkeypatch)
    home = stored(tmp_path, good[:200])
    monkeypatch.undo()
    store.append(home, TASK, "interactions", planted(good, "age")[200:], batch_id="1" * 64)
    for as_of in (LATE, MIDDLE):
        assert said(by_files(home, as_of)) == said(by_rows(good, as_of))


def test_a_clean_log_is_settled_without_reading_its_numbers(
    tmp_path: Path, good: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = stored(tmp_path, good)
    read: list[str] = []
    batches: Callable[..., Iterator[pa.RecordBatch]] = FileEvidence._batches

    def watched(self: FileEvidence, columns: Sequence[str], **options: Sequence[str]) -> Iterator[pa.RecordBatch]:
        read.extend(columns)
        return batches(self, columns, **options)

    monkeypatch.setattr(FileEvidence, "_batches", watched)
    assert said(by_files(home, LATE)) == said(by_rows(good, LATE))
    assert {*read} == {"action", "policy_version", "country", "contract_version"}


def test_extremes_are_those_of_rows_that_have_happened_and_rewards_that_have_matured(
    tmp_path: Path, good: pa.Table
) -> None:
    later, waiting = 200, 180  # rows on either side of MIDDLE, which cuts the third day's file between them
    table = changed(good, "age", {later: 120})
    table = changed(table, "reward", {i: float(i == waiting) for i in range(N)})
    home = stored(tmp_path, table)
    shown = {f.expectation.column: f.observed for f in by_files(home, MIDDLE)[1] if f.expectation.rule == "range"}
    assert shown == {"reward": "0 rows (from 0.0 to 0.0)", "age": "0 rows (from 20 to 79)"}
    shown = {f.expectation.column: f.observed for f in by_files(home, LATE)[1] if f.expectation.rule == "range"}
    assert shown == {"reward": "0 rows (from 0.0 to 1.0)", "age": "0 rows (from 20 to 120)"}


def test_nothing_visible_settles_nothing(tmp_path: Path, good: pa.Table) -> None:
    home = stored(tmp_path, good)
    n_rows, found = by_files(home, START - DAY)
    assert n_rows == 0
    assert [f.value for f in found if f.expectation.rule == "rowCount"] == [0]


def test_ids_are_counted_apart_only_where_files_cannot_share_one(
    tmp_path: Path, good: pa.Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_evidence, "PART_ROWS", 1)
    ids = pa.array([f"{i:05d}" for i in range(N)])
    ordered = good.set_column(0, good.schema.field(0), ids)
    home = stored(tmp_path, ordered)
    assert len(groups(home, LATE)) == 5
    assert sorted(path for group in groups(home, LATE) for path in group) == sorted(store.checked_files(home, TASK))
    assert [len(group) for group in groups(home, MIDDLE)] == [3]  # one file is cut
    assert [len(group) for group in groups(stored(tmp_path / "b", good), LATE)] == [5]  # row-99 > row-100: they overlap


def test_files_that_share_an_end_stay_together(tmp_path: Path, good: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_evidence, "PART_ROWS", 1)
    days = good["day"].to_pylist()
    first_of_second = days.index(days[0] + DAY)
    ids = [f"{i:05d}" for i in range(N)]
    ids[first_of_second] = ids[first_of_second - 1]
    home = stored(tmp_path, good.set_column(0, good.schema.field(0), pa.array(ids)))
    assert [len(group) for group in groups(home, LATE)] == [2, 1, 1, 1]
    [twice] = [f for f in by_files(home, LATE)[1] if f.expectation.rule == "unique"]
    assert (twice.value, twice.observed) == (1, "1 row")


def groups(home: Home, until: datetime) -> list[list[Path]]:
    return StoredEvidence.of(store.checked_files(home, TASK), until=until).apart("interaction_id")
