"""A snapshot is named by what was known at a moment, and by nothing else."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_contracts.batches import BatchRecord, batch_id_of, write_batch
from data_contracts.contract import Column, Contract, LogicalType
from data_contracts.errors import DegenerateData, IntegrityError, UsageError
from data_contracts.home import Home
from data_contracts.ingest import ingest
from data_contracts.interactions import interaction_schema, outcome_schema
from data_contracts.log_columns import Kind
from data_contracts.rewards.outcomes import ChannelSummary
from data_contracts.rewards.reward_settings import RewardSettings
from data_contracts.snapshot import build_snapshot, list_snapshots, load_snapshot, verify_snapshots
from data_contracts.snapshot_manifest import Snapshot, logical_id, write_manifest
from data_contracts.splits import EXCLUDED, GATE, TRAIN, VALIDATION, SplitSettings
from data_contracts.storage import canonical_json, sha256_bytes
from data_contracts.store import append, read_interactions, table_version
from tests.data_contracts.small_log import digests

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = MONDAY + 30 * DAY
OWN = {"age": pa.int64()}
CONTRACT = Contract(
    id="shop", version="1.0.0", path="shop.odcs.yaml", sha256="0" * 64, outcome_columns=(),
    columns=(Column("age", "age", "integer", ("observation",)),),
    table_rules=(), owner="o", support="s", runbook="r", freshness_hours=None,
)  # fmt: skip
REWARD = RewardSettings(attribution_window=2 * DAY, default=0.0)
Row = dict[str, Any]


def interaction(number: int, *, occurred_at: datetime | None = None, **more: Any) -> Row:
    """Interaction `number` of an hourly log."""
    return {
        "interaction_id": f"i{number}",
        "unit_id": f"u{number % 7}",
        "occurred_at": occurred_at or MONDAY + number * HOUR,
        "action": "a",
        "policy_version": "1" if number % 2 else "2",
        "age": number,
        **more,
    }


def outcome(number: int, value: float, observed_at: datetime) -> Row:
    return {"interaction_id": f"i{number}", "channel": "reward", "value": value, "observed_at": observed_at}


def deliver(home: Home, rows: Sequence[Row], *, kind: Kind = "interactions", at: datetime = MONDAY) -> None:
    """One batch into the real store, as ingest leaves it."""
    schema = interaction_schema(OWN) if kind == "interactions" else outcome_schema()
    moment = "occurred_at" if kind == "interactions" else "observed_at"
    batch_id = batch_id_of(kind, [repr(rows)])
    table = pa.Table.from_pylist([{**r, "batch_id": batch_id, "day": r[moment].date()} for r in rows], schema=schema)
    version = append(home, "shop", kind, table, batch_id=batch_id)
    write_batch(home, "shop", BatchRecord(
        batch_id=batch_id, kind=kind, contract_version="1.0.0", contract_sha256="0" * 64, n_read=len(rows),
        n_accepted=len(rows), n_quarantined=0, n_duplicate=0, table_version=version, files=(), reasons={},
        table_files={}, ingested_at=at,
    ))  # fmt: skip


def build(home: Home, as_of: datetime | None = None, **changes: Any) -> Snapshot:
    arguments: dict[str, Any] = {
        "task": "shop",
        "contract": CONTRACT,
        "reward": REWARD,
        "split": SplitSettings(),
        "evaluable_versions": None,
        "as_of": as_of,
        "now": NOW,
        **changes,
    }
    return build_snapshot(home, **arguments)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "one")


def test_counts_and_rows_of_an_hourly_week(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(100)])
    snapshot = build(home, MONDAY + 99 * HOUR)  # 48 hours of window: rows 0..51 have matured
    assert snapshot.as_of == MONDAY + 99 * HOUR
    assert (snapshot.n_interactions, snapshot.n_matured, snapshot.n_episodes) == (100, 52, 100)
    # 30 % of 52 rows are 15.6: gate 16; 15 % are 7.8: validation 8
    assert (snapshot.n_train, snapshot.n_validation, snapshot.n_gate, snapshot.n_excluded) == (28, 8, 16, 48)
    assert snapshot.trained_until == MONDAY + 35 * HOUR
    assert snapshot.rows_per_policy_version == {"1": 50, "2": 50}
    assert snapshot.rewards.n_defaulted == 52
    assert snapshot.table_version == table_version(home, "shop")
    assert all((home.root / file).is_file() for file in snapshot.files)
    loaded, rows = load_snapshot(home, "shop", snapshot.snapshot_id)
    assert loaded == snapshot
    assert rows["interaction_id"].to_pylist() == [f"i{n}" for n in range(100)]
    assert rows["split"].to_pylist() == [TRAIN] * 28 + [VALIDATION] * 8 + [GATE] * 16 + [EXCLUDED] * 48
    assert rows["reward"].to_pylist() == [0.0] * 52 + [None] * 48
    assert rows["age"].to_pylist() == list(range(100))


def test_thursdays_outcome_is_not_in_wednesdays_snapshot(home: Home) -> None:
    tuesday, wednesday, thursday = (MONDAY + n * DAY for n in (1, 2, 3))
    deliver(home, [interaction(n) for n in range(72)])
    deliver(home, [outcome(0, 1.0, tuesday), outcome(30, 5.0, thursday)], kind="outcomes", at=thursday)
    before = build(home, wednesday + 12 * HOUR)  # rows 0..11 have matured; 30 has not
    after = build(home, thursday + 12 * HOUR)
    reward_before, reward_after = (
        dict(zip(rows["interaction_id"].to_pylist(), rows["reward"].to_pylist(), strict=True))
        for rows in (load_snapshot(home, "shop", s.snapshot_id)[1] for s in (before, after))
    )
    assert (reward_before["i0"], reward_before["i30"]) == (1.0, None)
    assert (reward_after["i0"], reward_after["i30"]) == (1.0, 5.0)
    assert (before.rewards.n_used, before.rewards.n_not_yet) == (1, 1)
    assert (before.n_late, before.n_late_outcomes) == (0, 1)  # Tuesday's outcome arrived after Wednesday


def test_an_outcome_that_was_seen_inside_a_window_but_after_the_moment_changes_nothing(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(72)])
    without = build(home, MONDAY + 60 * HOUR)
    deliver(home, [outcome(2, 7.0, MONDAY + 61 * HOUR)], kind="outcomes")
    assert build(home, MONDAY + 60 * HOUR) == without


def test_id_depends_on_content_alone_not_on_order_batches_or_later_commits(tmp_path: Path) -> None:
    rows = [interaction(n) for n in range(60)]
    seen = [outcome(n, float(n), MONDAY + n * HOUR + HOUR) for n in range(0, 60, 3)]
    one, many = Home(tmp_path / "one"), Home(tmp_path / "many")
    deliver(one, rows)
    deliver(one, seen, kind="outcomes")
    shuffled = random.Random(7)
    deliver(many, shuffled.sample(seen, len(seen)), kind="outcomes")
    mixed = shuffled.sample(rows, len(rows))
    for start in range(0, 60, 11):
        deliver(many, mixed[start : start + 11], at=NOW - DAY)
    first, second = build(one), build(many)
    assert first.snapshot_id == second.snapshot_id
    assert first.rows_sha256 != second.rows_sha256  # another copy, the same content
    deliver(one, [interaction(n) for n in range(500, 520)])
    assert build(one, first.as_of).snapshot_id == first.snapshot_id
    assert build(one).snapshot_id != first.snapshot_id


def id_by_formula_1(home: Home, snapshot: Snapshot) -> str:
    """The id that this snapshot had when the rows of the store had a digest each."""
    stored = read_interactions(home, "shop")
    of = dict(zip(stored["interaction_id"].to_pylist(), digests(stored).to_pylist(), strict=True))
    _, rows = load_snapshot(home, "shop", snapshot.snapshot_id)
    rows = rows.append_column("row_digest", pa.array([of[i] for i in rows["interaction_id"].to_pylist()]))
    return logical_id({**snapshot.identity(), "formula": 1}, rows)


def test_ids_of_formula_1_stay(home: Home) -> None:
    """Both ids were made by the release that knew one channel; a third party may hold them, and a store has them."""
    deliver(home, [interaction(n, reward=0.25 if n % 9 == 4 else None) for n in range(60)])
    seen = [outcome(n, n / 8, MONDAY + (n + 1) * HOUR) for n in range(0, 60, 4)]
    deliver(home, [*seen, outcome(13, -0.0, MONDAY + 14 * HOUR)], kind="outcomes")
    with_default = build(home)
    assert id_by_formula_1(home, with_default) == "5e7a60f57895de60d7f99552a8d7c4d757d97fdff4960459d58fda1ea39ddd0b"
    assert with_default.snapshot_id == "82a77c14cef69226bdb9f84842b0cda65957799e20ebc73da6e74ab5da894fc3"
    # seven rewards of .25 in the row; the outcomes of 0, 4, … 56 but for rows 4 and 40, which have their own
    assert with_default.channels == (ChannelSummary("reward", 20, (7 * 0.25 + (420 - 44) / 8) / 20),)
    without = build(home, MONDAY + 70 * HOUR, reward=RewardSettings(attribution_window=DAY))
    assert id_by_formula_1(home, without) == "b0386cf05cfac243eedafd77a01119afad60aee0484747c12a6ca9c8d6708ffe"


def test_a_manifest_of_before_there_were_channels_is_read(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    new = build(home)
    content = new.to_json()
    del content["channels"]
    content["reward_settings"] = {"attribution_window": "P2D", "channel": "reward", "default": 0.0}
    content["rewards"] = {k: v for k, v in asdict(new.rewards).items() if k not in ("n_guardrail", "n_clipped")}
    sealed = {"snapshot": content, "sha256": sha256_bytes(canonical_json(content))}
    (home.snapshots("shop") / new.snapshot_id / "manifest.json").write_bytes(canonical_json(sealed))
    assert load_snapshot(home, "shop", new.snapshot_id)[0] == replace(new, channels=())
    assert verify_snapshots(home, "shop") == []


CHANNELS = RewardSettings.model_validate(
    {
        "attribution_window": "P1D",
        "default": 0.0,
        "combine": "weighted",
        "bounds": [-1, 9],
        "channels": {
            "click": {"kind": "interaction", "within": "sum"},
            "visit": {"kind": "second_order", "weight": 0.1, "window": "P2D", "within": "last"},
        },
        "guardrails": {"complaint": {"window": "P9D", "limit": 0.01}},
    }
)


def of_channel(channel: str, number: int, value: float, observed_at: datetime) -> Row:
    return {**outcome(number, value, observed_at), "channel": channel}


def test_late_outcomes_of_a_channel_enter_the_next_snapshot(home: Home) -> None:
    wednesday, thursday = MONDAY + 2 * DAY, MONDAY + 3 * DAY
    deliver(home, [interaction(n) for n in range(72)])
    seen = [
        of_channel("click", 3, 1.0, MONDAY + 4 * HOUR),
        of_channel("click", 3, 0.5, MONDAY + 5 * HOUR),
        of_channel("visit", 3, 2.0, MONDAY + 6 * HOUR),
        of_channel("visit", 30, 4.0, thursday),  # 42 hours after interaction 30
        of_channel("complaint", 3, 1.0, MONDAY + 4 * HOUR),
    ]
    deliver(home, seen, kind="outcomes")
    before, after = (build(home, day + 12 * HOUR, reward=CHANNELS) for day in (wednesday, thursday))
    found = [
        dict(zip(rows["interaction_id"].to_pylist(), rows["reward"].to_pylist(), strict=True))
        for rows in (load_snapshot(home, "shop", s.snapshot_id)[1] for s in (before, after))
    ]
    assert [rewards["i3"] for rewards in found] == [pytest.approx(1.7)] * 2
    assert [rewards["i30"] for rewards in found] == [None, pytest.approx(0.4)]
    assert (before.n_matured, after.n_matured) == (13, 37), "by the two days of visits"
    assert (before.rewards.n_not_yet, after.rewards.n_not_yet, after.rewards.n_guardrail) == (1, 0, 1)
    assert after.channels == (ChannelSummary("click", 1, 1.5), ChannelSummary("visit", 2, 3.0))
    newest = build(home, reward=CHANNELS)
    assert newest.as_of == MONDAY + 71 * HOUR + 2 * DAY, "no guardrail holds a snapshot back"


def test_with_channels_too_the_id_does_not_depend_on_arrival(tmp_path: Path) -> None:
    chance, ids = random.Random(11), set()
    seen = [
        of_channel(chance.choice(["click", "visit", "complaint"]), n, chance.random(), MONDAY + (n + k) * HOUR)
        for n in range(60)
        for k in chance.sample(range(50), 4)
    ]
    for name in ("one", "two", "three"):
        home = Home(tmp_path / name)
        deliver(home, chance.sample([interaction(n) for n in range(60)], 60))
        mixed, start = chance.sample(seen, len(seen)), 0
        while start < len(mixed):
            size = chance.randrange(1, 90)
            deliver(home, mixed[start : start + size], kind="outcomes")
            start += size
        ids.add(build(home, reward=CHANNELS).snapshot_id)
    assert len(ids) == 1


def test_files_in_another_order_and_cut_with_garbage_and_repetition_give_the_same_id(tmp_path: Path) -> None:
    """The whole way from JSONL files through ingest."""
    lines = [
        json.dumps({**interaction(n), "occurred_at": (MONDAY + n * HOUR).isoformat(), "propensity": 0.5})
        for n in range(60)
    ]
    seen = [
        json.dumps({**outcome(n, float(n), MONDAY), "observed_at": (MONDAY + (n + 1) * HOUR).isoformat()})
        for n in range(0, 60, 3)
    ]
    names = ("interaction_id", "unit_id", "occurred_at", "action", "policy_version", "propensity")
    kinds: dict[str, LogicalType] = {"occurred_at": "timestamp", "propensity": "number"}
    columns = [Column(n, n, kinds.get(n, "string"), ("reserved",), required=True) for n in names]
    late = ("interaction_id", "channel", "value", "observed_at")
    kinds |= {"observed_at": "timestamp", "value": "number"}
    contract = replace(
        CONTRACT,
        columns=(*columns, Column("age", "age", "integer", ("observation",), required=True)),
        outcome_columns=tuple(Column(n, n, kinds.get(n, "string"), ("reserved",), required=True) for n in late),
    )

    def fill(name: str, parts: list[tuple[Kind, list[str]]]) -> Home:
        home = Home(tmp_path / name)
        for number, (kind, part) in enumerate(parts):
            path = tmp_path / f"{name}-{number}.jsonl"
            path.write_text("\n".join(part) + "\n")
            ingest(home, task="shop", contract=contract, actions=("a",), paths=[path], kind=kind, now=NOW - DAY)
        return home

    one = fill("one", [("interactions", lines), ("outcomes", seen)])
    mixed = random.Random(3).sample(lines, 60)
    mess: list[tuple[Kind, list[str]]] = [("outcomes", seen[::-1]), ("outcomes", seen[:4])]
    mess += [("interactions", [*mixed[start : start + 20], "{broken"]) for start in (40, 0, 20, 10)]
    other = fill("other", mess)
    first, second = build(one, contract=contract), build(other, contract=contract)
    assert (first.n_interactions, first.rewards.n_used, second.rewards.n_used) == (60, 20, 20)
    assert first.snapshot_id == second.snapshot_id


@pytest.mark.parametrize(
    "change",
    [
        {"contract": replace(CONTRACT, version="1.0.1")},
        {"contract": replace(CONTRACT, id="store")},
        {"split": SplitSettings(holdout=0.31)},
        {"split": SplitSettings(holdout=0.3001)},  # the same borders by another rule
        {"evaluable_versions": frozenset({"1"})},
        {"reward": RewardSettings(attribution_window=2 * DAY, default=1.0)},
        {"reward": RewardSettings(attribution_window=1 * DAY, default=0.0)},
    ],
)
def test_whatever_shapes_the_content_changes_the_id(home: Home, change: dict[str, Any]) -> None:
    deliver(home, [interaction(n) for n in range(100)])
    assert build(home, **change).snapshot_id != build(home).snapshot_id


def test_order_of_rows_is_no_part_of_the_content(home: Home) -> None:
    deliver(home, [interaction(n, occurred_at=MONDAY - n * HOUR) for n in range(60)])
    snapshot, rows = load_snapshot(home, "shop", build(home).snapshot_id)
    assert logical_id(snapshot.identity(), rows.sort_by("age")) == snapshot.snapshot_id
    assert not {"batch_id", "day", "row_digest"} & snapshot.schema.keys()


def test_one_changed_value_changes_the_id(tmp_path: Path) -> None:
    ids = set()
    variants: dict[str, dict[str, Any]] = {"a": {}, "b": {"age": 6}, "c": {"action": "b"}, "d": {"reward": 1.0}}
    for name, changed in variants.items():
        home = Home(tmp_path / name)
        deliver(home, [interaction(n, **(changed if n == 5 else {})) for n in range(60)])
        ids.add(build(home).snapshot_id)
    assert len(ids) == 4


def test_evaluable_versions_that_come_later_do_not_rename_the_past(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(100)])
    at_that_time = build(home, evaluable_versions=frozenset({"1"}))
    assert at_that_time.evaluable_versions == ("1",)
    assert build(home, evaluable_versions=frozenset({"1", "7"})).snapshot_id == at_that_time.snapshot_id


def test_moment_is_clamped_to_when_the_newest_row_matured(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    deliver(home, [outcome(59, 1.0, MONDAY + 20 * DAY)], kind="outcomes")  # outside every window
    matured = MONDAY + 59 * HOUR + 2 * DAY
    snapshots = [build(home, moment) for moment in (matured, matured + DAY, NOW, None, MONDAY + 999 * DAY)]
    assert {s.snapshot_id for s in snapshots} == {snapshots[0].snapshot_id}
    assert snapshots[0].as_of == matured
    assert build(home, matured - timedelta(microseconds=1)).snapshot_id != snapshots[0].snapshot_id


@settings(max_examples=15, deadline=None, database=None)
@given(seed=st.integers(0, 999), asked=st.integers(60, 400))
def test_clamping_loses_nothing(seed: int, asked: int) -> None:
    """A snapshot asked for at its own effective moment is the same snapshot, row by row."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        deliver(home, [interaction(n, occurred_at=MONDAY + chance.randrange(100) * HOUR) for n in range(40)])
        seen = [outcome(chance.randrange(45), 1.0 * n, MONDAY + chance.randrange(200) * HOUR) for n in range(20)]
        deliver(home, seen, kind="outcomes")
        try:
            first = build(home, MONDAY + asked * HOUR)
        except DegenerateData:
            return
        shutil.rmtree(home.snapshots("shop"))
        again = build(home, first.as_of)
        assert again.snapshot_id == first.snapshot_id
        assert again.as_of == first.as_of
        assert (again.n_matured, again.n_gate, again.borders) == (first.n_matured, first.n_gate, first.borders)


def test_late_rows_are_counted(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)], at=MONDAY + 3 * DAY)
    deliver(home, [interaction(n) for n in range(100, 103)], at=MONDAY + 9 * DAY)
    deliver(home, [interaction(n, occurred_at=MONDAY) for n in (200, 201)], at=MONDAY + 9 * DAY)
    assert build(home, MONDAY + 4 * DAY).n_late == 2
    assert build(home).n_late == 0


def test_an_older_table_version_reproduces_what_was_there(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    version = table_version(home, "shop")
    first = build(home)
    deliver(home, [interaction(300, occurred_at=MONDAY)])
    assert build(home, first.as_of).snapshot_id != first.snapshot_id
    assert build(home, first.as_of, table_version=version).snapshot_id == first.snapshot_id


def test_episodes_stay_whole(home: Home) -> None:
    episodes = [interaction(n, episode_id=f"e{n // 6}", step=n % 6, terminated=n % 6 == 5) for n in range(60)]
    deliver(home, [*episodes, interaction(60), interaction(61)])
    snapshot, rows = load_snapshot(home, "shop", build(home).snapshot_id)
    assert snapshot.n_episodes == 12
    parts: dict[str, set[int]] = {}
    for episode, part in zip(rows["episode_id"].to_pylist(), rows["split"].to_pylist(), strict=True):
        parts.setdefault(episode, set()).add(part)
    assert all(len(found) == 1 for episode, found in parts.items() if episode is not None)
    assert parts["e0"] == {TRAIN}
    assert parts["e9"] == {GATE}
    assert snapshot.borders.n_straddling_episodes == sum(found == {EXCLUDED} for found in parts.values())


def test_rows_without_reward_are_left_out_and_counted(home: Home) -> None:
    deliver(home, [interaction(n, reward=None if n < 6 else 1.0) for n in range(60)])
    snapshot = build(home, reward=RewardSettings())
    assert (snapshot.n_matured, snapshot.n_excluded, snapshot.rewards.n_missing) == (60, 6, 6)


def test_nothing_to_learn_from_is_said_plainly(home: Home) -> None:
    with pytest.raises(DegenerateData, match="no interactions in shop"):
        build(home)
    deliver(home, [interaction(n) for n in range(60)])
    with pytest.raises(DegenerateData, match=r"nothing visible in shop as of 2026-01-04.* got 0 of 60"):
        build(home, MONDAY - DAY)
    with pytest.raises(DegenerateData, match=r"got 31 younger ones. The first matures at 2026-01-07T00:00:00\+00:00"):
        build(home, MONDAY + 30 * HOUR)
    with pytest.raises(DegenerateData, match="no reward in shop"):
        build(home, reward=RewardSettings())
    with pytest.raises(UsageError, match="naive time"):
        build(home, datetime(2026, 2, 1))
    assert list_snapshots(home, "shop") == []


def test_a_rebuilt_snapshot_is_recognised_and_not_rewritten(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    first = build(home)
    files = {p: p.stat().st_mtime_ns for p in home.snapshots("shop").rglob("*")}
    assert build(home, now=NOW + DAY) == first
    assert {p: p.stat().st_mtime_ns for p in home.snapshots("shop").rglob("*")} == files
    assert list_snapshots(home, "shop") == [first]


def test_a_new_process_gives_the_same_id(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    first = build(home)
    shutil.rmtree(home.snapshots("shop"))
    program = f"""
import sys, datetime as d, pathlib
from data_contracts.contract import Column, Contract, LogicalType
from data_contracts.home import Home
from data_contracts.rewards.outcomes import RewardSettings
from data_contracts.snapshot import build_snapshot
from data_contracts.splits import SplitSettings
snapshot = build_snapshot(
    Home(pathlib.Path(sys.argv[1])), task="shop", contract={CONTRACT!r},
    reward=RewardSettings(attribution_window=d.timedelta(days=2), default=0.0), split=SplitSettings(),
    evaluable_versions=None, as_of=None, now=d.datetime(2027, 1, 1, tzinfo=d.timezone.utc))
print(snapshot.snapshot_id, "torch" in sys.modules)
"""
    command = [sys.executable, "-c", program, str(home.root)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == [first.snapshot_id, "False"]


def test_any_flipped_byte_is_found_and_named(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    snapshot = build(home)
    folder = home.snapshots("shop") / snapshot.snapshot_id
    assert verify_snapshots(home, "shop") == []
    chance = random.Random(1)
    for name in ("interactions.parquet", "manifest.json"):
        path = folder / name
        whole = path.read_bytes()
        for position in chance.sample(range(len(whole)), 40):
            damaged = bytearray(whole)
            damaged[position] ^= 1 << chance.randrange(8)
            path.write_bytes(damaged)
            with pytest.raises(IntegrityError) as error:
                load_snapshot(home, "shop", snapshot.snapshot_id)
            assert error.value.fields["path"] == str(path)
            [problem] = verify_snapshots(home, "shop")
            assert str(path) in problem
        path.unlink()
        with pytest.raises(IntegrityError, match=name):
            load_snapshot(home, "shop", snapshot.snapshot_id)
        path.write_bytes(whole)
    assert verify_snapshots(home, "shop") == []


def test_a_forged_snapshot_is_found_by_its_content(home: Home, tmp_path: Path) -> None:
    """Rows and manifest that fit each other, but not the name that policies refer to."""
    deliver(home, [interaction(n) for n in range(60)])
    honest = build(home)
    other = Home(tmp_path / "other")
    deliver(other, [interaction(n, reward=1.0) for n in range(60)])
    forged = build(other)
    folder = home.snapshots("shop") / honest.snapshot_id
    source = other.snapshots("shop") / forged.snapshot_id
    shutil.copy(source / "interactions.parquet", folder / "interactions.parquet")
    write_manifest(folder / "manifest.json", replace(honest, rows_sha256=forged.rows_sha256))
    load_snapshot(home, "shop", honest.snapshot_id)
    [problem] = verify_snapshots(home, "shop")
    assert problem.startswith(f"wrong content in {folder}")


def test_unknown_snapshots_are_refused(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    build(home)
    (home.snapshots("shop") / ".tmp-killed").mkdir()  # what a killed build leaves behind is no snapshot
    assert verify_snapshots(home, "shop") == []
    for name in ("f" * 64, "../../etc", ""):
        with pytest.raises(UsageError, match="expected one of the 1 in the store"):
            load_snapshot(home, "shop", name)


def test_manifest_is_plain_json(home: Home) -> None:
    deliver(home, [interaction(n) for n in range(60)])
    snapshot = build(home)
    document = json.loads((home.snapshots("shop") / snapshot.snapshot_id / "manifest.json").read_text())
    assert document["snapshot"]["n_interactions"] == 60
    assert document["snapshot"]["borders"]["trained_until"] == "2026-01-06T17:00:00Z"
    assert str(home.root) not in json.dumps(document)
