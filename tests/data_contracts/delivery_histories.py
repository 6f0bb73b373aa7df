"""Generated histories of deliveries, and what must come of them by a model of a few lines."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from data_contracts.contract import Column, LogicalType
from data_contracts.home import Home
from data_contracts.ingest import IngestResult, ingest
from data_contracts.log_columns import Kind
from data_contracts.rewards.reward_settings import RewardSettings
from tests.data_contracts import small_log
from tests.data_contracts.small_log import Row, csv_file, jsonl, parquet

START, WINDOW = datetime(2026, 10, 1, tzinfo=UTC), timedelta(days=2)
AS_OF, NOW = START + timedelta(days=9), START + timedelta(days=60)
ACTIONS = ("a", "b")
MOMENT: dict[Kind, str] = {"interactions": "occurred_at", "outcomes": "observed_at"}
CONFLICT: dict[Kind, Row] = {"interactions": {"age": 1}, "outcomes": {"value": 1.0}}  # values that log() never gives


def _column(name: str, kind: LogicalType = "string", required: bool = True) -> Column:
    bounds = (0.0, 1.0) if name in ("reward", "value") else (None, None)
    role = "observation" if name == "age" else "reserved"
    return Column(name, name, kind, (role,), required=required, minimum=bounds[0], maximum=bounds[1])


CONTRACT = replace(
    small_log.CONTRACT,
    columns=(
        *map(_column, ("interaction_id", "unit_id", "action", "policy_version")),
        _column("occurred_at", "timestamp"),
        _column("reward", "number", required=False),
        _column("age", "integer"),
    ),
    outcome_columns=(
        *map(_column, ("interaction_id", "channel")),
        _column("value", "number"),
        _column("observed_at", "timestamp"),
    ),
)


@dataclass(frozen=True, slots=True)
class File:
    """Rows of one kind in one file."""

    kind: Kind
    suffix: str
    rows: tuple[Row, ...]


History = list[list[File]]  # batches, each of files of one kind
Rows = dict[Kind, list[Row]]


def log(rng: random.Random, channels: Sequence[str]) -> Rows:
    """Interactions with none to three outcomes each, and an outcome of no interaction; clocks may be years off."""
    interactions = [_interaction(i, rng) for i in range(rng.randint(5, 40))]
    outcomes = [_outcome(row, rng, channels) for row in interactions for _ in range(rng.choice([0, 0, 1, 1, 2, 3]))]
    outcomes.append(_outcome({**interactions[0], "interaction_id": "orphan"}, rng, channels))
    return {"interactions": interactions, "outcomes": list({_key("outcomes", row): row for row in outcomes}.values())}


def history(rng: random.Random, rows: Rows, *, conflicts: float = 0.0) -> History:
    """The rows duplicated, reordered, split, merged, outcomes also before their interactions.

    `conflicts`: share of the rows that come a second time with another payload.
    """
    batches: History = []
    for kind, items in rows.items():
        lines = [*items, *rng.sample(items, rng.randrange(len(items) // 2 + 1))]
        lines += [{**row, **CONFLICT[kind]} for row in items if rng.random() < conflicts]
        rng.shuffle(lines)
        cuts = sorted(rng.sample(range(1, len(lines)), min(rng.randrange(3), len(lines) - 1))) if lines[1:] else []
        files = [_file(rng, kind, lines[a:b]) for a, b in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
        again = rng.random()
        if again < 0.2:
            files.append(rng.choice(files))
        elif again < 0.4:
            files.append(_file(rng, kind, [*files[0].rows, *files[-1].rows]))
        while files:
            n_files = rng.randint(1, 2)
            batches.append(files[:n_files])
            files = files[n_files:]
    rng.shuffle(batches)
    return batches


def deliver(home: Home, folder: Path, batches: History, *, reward: RewardSettings) -> list[IngestResult]:
    """Write and ingest every batch in order."""
    results = []
    for number, files in enumerate(batches):
        paths = [_write(folder / f"{number}-{k}.{file.suffix}", file) for k, file in enumerate(files)]
        results.append(
            ingest(
                home,
                task=small_log.TASK,
                contract=CONTRACT,
                actions=ACTIONS,
                paths=paths,
                kind=files[0].kind,
                channels=reward.channel_names,
                now=NOW,
            )
        )
    return results


def accepted_rows(batches: History) -> dict[Kind, dict[tuple[object, ...], Row]]:
    """The model of ingest: of each identity the first row whose year is possible."""
    found: dict[Kind, dict[tuple[object, ...], Row]] = {"interactions": {}, "outcomes": {}}
    for file in (file for files in batches for file in files):
        for row in file.rows:
            if 1970 <= _moment(row[MOMENT[file.kind]]).year <= 2200:
                found[file.kind].setdefault(_key(file.kind, row), row)
    return found


def final_rewards(found: dict[Kind, dict[tuple[object, ...], Row]], reward: RewardSettings) -> dict[object, object]:
    """The model of attach_rewards for `earliest` and `sum`: interaction_id -> reward; None while not matured."""
    finals: dict[object, object] = {}
    for row in found["interactions"].values():
        occurred = _moment(row["occurred_at"])
        seen = [] if row["reward"] is None else [(occurred, 0, row["reward"], reward.channel)]  # before others of then
        for outcome in found["outcomes"].values():
            observed = _moment(outcome["observed_at"])
            if outcome["interaction_id"] == row["interaction_id"] and occurred <= observed <= occurred + WINDOW:
                seen.append((observed, 1, outcome["value"], outcome["channel"]))
        firsts = [min(x for x in seen if x[3] == channel) for channel in {x[3] for x in seen}]
        value = sum(x[2] for x in firsts) if reward.combine == "sum" else min(seen)[2] if seen else None
        if occurred <= AS_OF:
            matured = occurred + WINDOW <= AS_OF
            finals[row["interaction_id"]] = (value if seen else reward.default) if matured else None
    return finals


def _interaction(i: int, rng: random.Random) -> Row:
    return {
        "interaction_id": f"i{i}",
        "unit_id": f"u{i % 5}",
        "action": rng.choice(ACTIONS),
        "policy_version": "1",
        "occurred_at": _written(START + timedelta(minutes=rng.randrange(10 * 24 * 60)), rng),
        "reward": rng.choice([None, None, None, 0.0, 0.5]),
        "age": rng.randint(18, 80),
    }


def _outcome(row: Row, rng: random.Random, channels: Sequence[str]) -> Row:
    observed = _moment(row["occurred_at"]) + timedelta(minutes=rng.choice([-5, 0, 1, 600, 2880, 2881, 9000]))
    return {
        "interaction_id": row["interaction_id"],
        "channel": rng.choice(channels),
        "value": rng.choice([0.0, 0.25, 0.5]),
        "observed_at": _written(observed, rng),
    }


def _written(moment: datetime, rng: random.Random) -> str:
    """With some offset, and in one of twenty rows by a clock that is years off."""
    years = rng.choice([-80, -3, 3, 400]) if rng.random() < 0.05 else 0
    zone = timezone(timedelta(minutes=rng.choice([0, 0, 120, -330])))
    return moment.replace(year=max(1, min(9000, moment.year + years))).astimezone(zone).isoformat()


def _file(rng: random.Random, kind: Kind, rows: Sequence[Row]) -> File:
    """In some format; Arrow's text holds no year after 2262 in nanoseconds."""
    far = any(_moment(row[MOMENT[kind]]).year > 2200 for row in rows)
    return File(kind, rng.choice(["jsonl", "csv", "csv.gz", "jsonl" if far else "parquet"]), tuple(rows))


def _key(kind: Kind, row: Row) -> tuple[object, ...]:
    id_ = row["interaction_id"]
    return (id_,) if kind == "interactions" else (id_, row["channel"], _moment(row["observed_at"]))


def _moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text)).astimezone(UTC)


def _write(path: Path, file: File) -> Path:
    if file.suffix == "jsonl":
        return jsonl(path, file.rows)
    return parquet(path, file.rows) if file.suffix == "parquet" else csv_file(path, file.rows)


def identities(rows: Iterable[Row], kind: Kind) -> set[tuple[object, ...]]:
    """What tells the payloads of rows apart: all their values, moments in UTC."""
    words = CONTRACT.columns if kind == "interactions" else CONTRACT.outcome_columns
    return {tuple(_moment(row[c.name]) if c.name == MOMENT[kind] else row[c.name] for c in words) for row in rows}
