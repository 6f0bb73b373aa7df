"""How the shipped log of `email_retention` was made; run once, its output is committed.

python infra/samples/make_email_retention.py

The world is a table: 144 contexts x 3 relationships x 5 subject lines. Who reads a letter decides what a subject line
does, and the sender does not know who reads: `relationship` is independent of everything that a policy may look at.
Each topic has one style that makes most readers click more. Loyal readers click a plain subject line most often, click
any other one less, and leave a week or two after one. So whatever lifts the average takes from the loyal.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

HERE = Path(__file__).parent / "email_retention"
SEED, N_READERS, N_LETTERS, WEEKS = 20260907, 36_000, 2, 6  # each reader gets one letter in each half of the time
START = datetime(2026, 9, 7, tzinfo=UTC)  # a Monday
DAY: Final = 86_400

ACTIONS: Final = ("plain", "question", "personal", "urgent", "emoji")
CHAMPION: Final = np.array([0.5, 0.125, 0.125, 0.125, 0.125])
UNSUBSCRIBE_WEIGHT: Final = -2.0  # as the task file weighs it against a click

TOPICS: Final = ("news", "offers", "events")
DEVICES: Final = ("mobile", "desktop")
SLOTS: Final = ("morning", "noon", "evening", "night")
OPENS: Final = (0, 1, 2, 3, 4, 5)  # of the last thirty days
RELATIONSHIPS: Final = ("loyal", "regular", "new")
DEVICE_SHARES: Final = np.array([0.6, 0.4])
SLOT_SHARES: Final = np.array([0.35, 0.25, 0.3, 0.1])
OPENS_SHARES: Final = np.array([0.1, 0.2, 0.25, 0.2, 0.15, 0.1])
RELATIONSHIP_SHARES: Final = np.array([0.16, 0.59, 0.25])

BEST_STYLE: Final = {"news": "question", "offers": "emoji", "events": "personal"}
BEST_FACTOR: Final = 1.6  # of the clicks of most readers
LOYAL_FACTOR: Final = 0.76  # of the clicks of loyal readers, of every style but plain
CLICK: Final = {"loyal": 0.62, "regular": 0.22, "new": 0.20}  # with a plain subject line, opens and device apart
OPENS_SLOPE: Final = 0.06  # relative, per open above 2.35, the mean
DEVICE_FACTOR: Final = {"mobile": 1.02, "desktop": 0.97}
UNSUBSCRIBE: Final = {"loyal": 0.004, "regular": 0.004, "new": 0.008}
LOYAL_UNSUBSCRIBE: Final = 0.042  # after every style but plain
COMPLAINT: Final = 0.012  # whatever the style


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """c cells (context and relationship) and K subject lines; probabilities of each event."""

    cells: dict[str, NDArray[np.generic]]  # columns, (c,) each
    share: NDArray[np.float64]  # (c,) of the population
    click: NDArray[np.float64]  # (c, K)
    unsubscribe: NDArray[np.float64]  # (c, K)

    @property
    def reward(self) -> NDArray[np.float64]:
        """(c, K) expected reward of a letter."""
        value: NDArray[np.float64] = self.click + UNSUBSCRIBE_WEIGHT * self.unsubscribe
        return value


def make_world() -> World:
    """Exactly what the log is drawn from."""
    shape = (len(TOPICS), len(DEVICES), len(SLOTS), len(OPENS), len(RELATIONSHIPS))
    topic, device, slot, opens, who = (code.ravel() for code in np.indices(shape))
    share = DEVICE_SHARES[device] * SLOT_SHARES[slot] * OPENS_SHARES[opens] * RELATIONSHIP_SHARES[who] / len(TOPICS)
    loyal = (who == RELATIONSHIPS.index("loyal"))[:, None]
    plain = np.arange(len(ACTIONS)) == ACTIONS.index("plain")
    best = np.array([ACTIONS.index(BEST_STYLE[name]) for name in TOPICS])[topic][:, None] == np.arange(len(ACTIONS))
    usual = np.array([CLICK[name] for name in RELATIONSHIPS])[who]
    usual *= (1 + OPENS_SLOPE * (opens - OPENS_SHARES @ np.array(OPENS))) * np.array([*DEVICE_FACTOR.values()])[device]
    factor = np.where(loyal, np.where(plain, 1.0, LOYAL_FACTOR), np.where(best, BEST_FACTOR, 1.0))
    leaving = np.array([UNSUBSCRIBE[name] for name in RELATIONSHIPS])[who][:, None]
    columns = {"topic": (TOPICS, topic), "device": (DEVICES, device), "slot": (SLOTS, slot)}
    columns |= {"opens_30d": (OPENS, opens), "relationship": (RELATIONSHIPS, who)}
    return World(
        cells={name: np.array(values)[codes] for name, (values, codes) in columns.items()},
        share=share,
        click=usual[:, None] * factor,
        unsubscribe=np.where(loyal & ~plain, LOYAL_UNSUBSCRIBE, np.broadcast_to(leaving, factor.shape)),
    )


def make_log(folder: Path) -> None:
    """Letters of six weeks with their later clicks, unsubscribes and complaints, and the truth."""
    rng, world = np.random.default_rng(SEED), make_world()
    who = rng.choice(len(RELATIONSHIPS), size=N_READERS, p=RELATIONSHIP_SHARES)
    reader, half = np.divmod(np.arange(N_READERS * N_LETTERS), N_LETTERS)
    moment = (rng.random(len(reader)) + half) * (WEEKS * 7 * DAY / N_LETTERS)
    cell = _draw_cells(world, who[reader], rng)
    action = (CHAMPION.cumsum() > rng.random(len(reader))[:, None]).argmax(axis=1)
    clicked, left = (rng.random(len(reader)) < p[cell, action] for p in (world.click, world.unsubscribe))
    click_delay = np.minimum(rng.lognormal(np.log(40 * 60), 1.2, len(reader)), 1.9 * DAY)
    leave_delay = rng.uniform(7 * DAY, 13.9 * DAY, len(reader))
    complained = rng.random(len(reader)) < COMPLAINT
    complain_delay = rng.uniform(0.1 * DAY, 6 * DAY, len(reader))
    gone = np.where(left, moment + leave_delay, np.inf)
    first_gone = np.where(half == 0, np.inf, gone[np.maximum(np.arange(len(reader)) - 1, 0)])
    order = np.argsort(moment, kind="stable")
    order = order[moment[order] < first_gone[order]]  # who has left gets no second letter
    ids = np.empty(len(reader), "U16")
    ids[order] = [f"letter-{i:05d}" for i in range(len(order))]
    log = {
        "interaction_id": ids[order],
        "unit_id": np.char.add("reader-", np.char.zfill(reader[order].astype(str), 5)),
        "occurred_at": _times(moment[order]),
        "action": np.array(ACTIONS)[action[order]],
        "policy_version": np.full(len(order), "1"),
        "propensity": CHAMPION[action[order]],
        **{name: values[cell[order]] for name, values in world.cells.items()},
    }
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(log), folder / "letters.parquet", compression="zstd", compression_level=19)
    events = {"click": (clicked, click_delay), "unsubscribe": (left, leave_delay)}
    for channel, (happened, delay) in {**events, "complaint": (complained, complain_delay)}.items():
        rows = order[happened[order]]
        at = moment[rows] + delay[rows]
        _write_outcomes(folder / f"{channel}s.csv.gz", channel, zip(ids[rows], at.tolist(), strict=True))
    pq.write_table(_truth(world), folder / "truth.parquet", compression="zstd", compression_level=19)


def _draw_cells(world: World, who: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """(n,) a cell for each letter, given its reader's relationship."""
    relationship = world.cells["relationship"]
    cell = np.empty(len(who), np.int64)
    for code, name in enumerate(RELATIONSHIPS):
        rows, cells = np.flatnonzero(who == code), np.flatnonzero(relationship == name)
        cell[rows] = rng.choice(cells, size=len(rows), p=world.share[cells] / world.share[cells].sum())
    return cell


def _times(seconds: NDArray[np.float64]) -> pa.Array:
    start = int(START.timestamp())
    return pa.array((start + seconds.astype(np.int64)) * 1_000_000, pa.timestamp("us", "UTC"))


def _write_outcomes(path: Path, channel: str, events: Iterable[tuple[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["interaction_id", "channel", "value", "observed_at"])
    for interaction, seconds in sorted(events, key=lambda event: event[1]):
        at = datetime.fromtimestamp(int(START.timestamp() + seconds) + 1, UTC)
        writer.writerow([interaction, channel, 1, at.strftime("%Y-%m-%dT%H:%M:%SZ")])
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
        stream.write(text.getvalue().encode())


def _truth(world: World) -> pa.Table:
    """Every cell, its share of the population, and the expected reward of each subject line."""
    rewards = {name: world.reward[:, k] for k, name in enumerate(ACTIONS)}
    return pa.table({**world.cells, "population_share": world.share, **rewards})


if __name__ == "__main__":
    make_log(HERE)
