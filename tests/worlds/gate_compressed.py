"""A world's log through the production gate, as counts: the distinct rows once, then how often each look holds them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import Differences, PairedDifference, one_step
from policies.gate.judging.judge import Alpha, Judged, judge, split_alpha
from policies.gate.judging.planning import make_plan
from policies.gate.judging.spending import information_fractions
from policies.gate.records import GateRows, Plan
from tests.worlds.gate_worlds import Array, Counts, World, draw_counts

COARSE: Final = 4  # cells that the reward model takes for one: it is mis-specified
PSEUDO_ROWS: Final = 20  # of the overall mean, added to every average of the reward model
PLANNING_ROWS: Final = 4000
EARLIER_SHARE: Final = 0.25  # rows before the window, per row of the window


@dataclass(frozen=True, slots=True)
class CompressedLog:
    """The V X K R distinct rows of a world, the plan made before the window, and the counts of its looks."""

    world: World
    cells: GateRows
    plan: Plan
    counts: Counts  # (J, V X K R)


def draw_log(world: World, rng: np.random.Generator) -> CompressedLog:
    """Rows before the window, by the first look's loggers, give reward model and plan; then the window is drawn."""
    earlier = replace(world, schedule=world.schedule[:1], n_rows=int(EARLIER_SHARE * world.n_rows))
    before = draw_counts(earlier, rng)[0]
    cells = _distinct_rows(world, fitted_reward_model(world, before))
    counts = draw_counts(world, rng).reshape(world.n_looks, -1)
    return CompressedLog(world, cells, _plan(world, cells, before.ravel(), rng), counts)


def fitted_reward_model(world: World, counts: Counts) -> Array:
    """(X, K) shrunk averages of neighbouring cells' rows; `counts` is (V, X, K, R)."""
    by_action = counts.sum(axis=0)  # (X, K, R)
    group = np.arange(len(world.share)) // COARSE
    seen = np.stack([by_action[group == g].sum(axis=0) for g in range(group[-1] + 1)])  # (G, K, R)
    overall = seen.sum(axis=(0, 1)) @ world.outcomes / max(seen.sum(), 1)
    fitted: Array = (seen @ world.outcomes + PSEUDO_ROWS * overall) / (seen.sum(axis=2) + PSEUDO_ROWS)
    return fitted[group]


def differences(log: CompressedLog, *, anytime: float, rng: np.random.Generator) -> Differences:
    """challenger - champion of the whole log in order of reading; `anytime` is the error of branch E."""
    first = np.ones(log.cells.n, dtype=np.int64)
    stake = first_stake(log.plan, threshold=1 / anytime)
    distinct = one_step(log.cells, look=first, plan=log.plan, first_stake=stake).lift
    index, look, count = _in_order(log.counts, rng)
    return _repeated(distinct, index, look=look, count=count)


def judge_world(world: World, rng: np.random.Generator, *, alpha: float = 0.05) -> Judged:
    """One decision with all looks of one slot."""
    return judge_log(draw_log(world, rng), rng, alpha=split_alpha(alpha))


def judge_log(log: CompressedLog, rng: np.random.Generator, *, alpha: Alpha) -> Judged:
    found = differences(log, anytime=alpha.anytime, rng=rng)
    return judge(found, plan=log.plan, alpha=alpha, fractions=planned_fractions(log))


def planned_fractions(log: CompressedLog) -> tuple[float, ...]:
    n_looks = log.world.n_looks
    ends = tuple(log.counts.sum(axis=1).cumsum().tolist())
    return information_fractions(ends, n_planned=log.plan.n_planned, n_looks=n_looks, min_rows=1)


def _distinct_rows(world: World, fitted: Array) -> GateRows:
    v, x, a, r = (
        axis.ravel()
        for axis in np.indices((len(world.loggers), len(world.share), world.champion.shape[1], len(world.outcomes)))
    )
    ids = np.arange(len(v)).astype(str)
    behavior = world.loggers[v, x]
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=v.astype(str),
        action=a,
        reward=world.outcomes[r],
        propensity=behavior[np.arange(len(v)), a],
        behavior=behavior,
        champion=world.champion[x],
        challenger=world.challenger[x],
        reward_model=fitted[x],
    )


def _plan(world: World, cells: GateRows, before: Counts, rng: np.random.Generator) -> Plan:
    drawn = np.sort(rng.choice(cells.n, size=PLANNING_ROWS, p=before / before.sum()))
    return make_plan(
        cells.select(drawn),
        n_planned=world.n_rows,
        reward_minimum=float(world.outcomes.min()),
        reward_maximum=float(world.outcomes.max()),
    )


def _in_order(counts: Counts, rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64], Counts]:
    """Distinct rows that occur, look by look, the cells of a look in random order.

    The first row of each context is an entry of its own with count 1: branch E treats a row that could lose more
    than all rows before it apart, and that is one row, not all its copies.
    """
    order = rng.permutation(counts.shape[1])
    look, place = np.nonzero(counts[:, order])
    index = order[place]
    return index, look + 1, counts[look, index]


def _repeated(
    distinct: Differences, index: NDArray[np.int64], *, look: NDArray[np.int64], count: Counts
) -> Differences:
    """The observations `index` of `distinct`, each `count` times, each of a unit of its own."""

    def bets(version: PairedDifference) -> PairedDifference:
        names = PairedDifference.__dataclass_fields__
        return PairedDifference(**{name: getattr(version, name)[index] for name in names})

    arrays = {
        name: getattr(distinct, name)[index]
        for name in Differences.__dataclass_fields__
        if name not in ("bets", "unit", "look", "count")
    }
    return Differences(
        bets=tuple(bets(version) for version in distinct.bets),
        unit=np.arange(len(index)),
        look=look,
        count=count,
        **arrays,
    )
