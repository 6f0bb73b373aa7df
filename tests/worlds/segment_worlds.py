"""A log of 3 % conversion in eight segments, as counts: a million rows in a few thousand lines, drawn exactly.

The champion takes its favourite of five actions with probability .84 and each other with .04; it wrote the log. On a
share `changed` of every segment's traffic the challenger's favourite is another action, whose conversion is what makes
value(challenger) - value(champion) the wanted share of the champion's value in each segment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import Differences, TwoSided, one_step
from policies.gate.judging.judge import split_alpha
from policies.gate.judging.planning import difference_variance
from policies.gate.records import GateRows, Plan
from policies.gate.segments.segments import Segment

CONVERSION, N_ACTIONS, EXPLORATION = 0.03, 5, 0.2
SHARES: Final = {"a": 0.30, "b": 0.22, "c": 0.15, "loyal": 0.10, "d": 0.09, "e": 0.06, "f": 0.05, "g": 0.03}
LOYAL: Final = "loyal"


@dataclass(frozen=True, slots=True)
class SegmentWorld:
    """`loyal` and `rest`: true relative lift there; the log has n_rows over n_looks."""

    loyal: float
    rest: float
    changed: float  # share of the traffic on which the policies differ
    n_rows: int = 1_000_000
    n_looks: int = 50

    @property
    def lift(self) -> float:
        """Of the average, relative."""
        return SHARES[LOYAL] * self.loyal + (1 - SHARES[LOYAL]) * self.rest

    @property
    def plan(self) -> Plan:
        """As rows before the window would give it, where nothing is known of the challenger's actions."""
        d, champion = _policies()
        spread = self.changed * difference_variance(
            d[None, :], champion[None, :], np.full((1, N_ACTIONS), CONVERSION), variance=CONVERSION * (1 - CONVERSION)
        )
        return Plan(self.n_rows, spread, reward_minimum=0.0, reward_maximum=1.0)

    def conversions(self) -> NDArray[np.float64]:
        """(8, K) of the changed traffic; on the rest every action converts alike."""
        relative = np.array([self.loyal if name == LOYAL else self.rest for name in SHARES])
        result = np.full((len(SHARES), N_ACTIONS), CONVERSION)
        # V0 = CONVERSION + changed * (EXPLORATION / K) * gain, V1 - V0 = changed * (1 - EXPLORATION) * gain
        least = EXPLORATION / N_ACTIONS
        result[:, 1] += relative * CONVERSION / (self.changed * (1 - EXPLORATION - relative * least))
        return result

    def champion_value(self) -> dict[str, float]:
        """Exact, by segment."""
        least = EXPLORATION / N_ACTIONS
        gain = self.conversions()[:, 1] - CONVERSION
        return dict(zip(SHARES, (CONVERSION + self.changed * least * gain).tolist(), strict=True))

    def draw(self, rng: np.random.Generator) -> tuple[TwoSided, tuple[Segment, ...]]:
        """One log of all looks, and its segments (loyal protected at 10 %)."""
        lines, kinds = self._kinds(), len(self._kinds().segment)
        per_look = self.n_rows // self.n_looks
        counts = np.zeros((self.n_looks, kinds), np.int64)
        for code, share in enumerate(SHARES.values()):
            mine = lines.segment == code
            counts[:, mine] = rng.multinomial(round(per_look * share), lines.chance[mine], size=self.n_looks)
        singles = np.zeros((1, kinds), np.int64)
        singles[0] = np.minimum(counts[0], 1)  # a row that could lose more than any before it is one row, not a bundle
        counts[0] -= singles[0]
        all_counts = np.concatenate([singles, counts])
        look = np.concatenate([[1], np.arange(1, self.n_looks + 1)])
        row, kind = np.nonzero(all_counts)
        segment = lines.segment[kind]
        stream = TwoSided(
            *(
                _counted(side, kind=kind, look=look[row], count=all_counts[row, kind].astype(np.float64))
                for side in (lines.stream.lift, lines.stream.harm)
            )
        )
        names = [
            Segment(name, "segment", (name,), 0.1 if name == LOYAL else None, segment == code)
            for code, name in enumerate(SHARES)
        ]
        return stream, tuple(names)

    def _kinds(self) -> _Kinds:
        """Every kind of row: segment x changed x action x reward."""
        d, champion = _policies()
        segment, changed, action, reward = (
            code.ravel() for code in np.indices((len(SHARES), 2, N_ACTIONS, 2), dtype=np.int64)
        )
        rate = np.where(changed == 1, self.conversions()[segment, action], CONVERSION)
        chance = np.where(changed == 1, self.changed, 1 - self.changed) * champion[action]
        chance = chance * np.where(reward == 1, rate, 1 - rate)
        n = len(segment)
        rows = GateRows(
            interaction_id=np.arange(n).astype(np.str_),
            unit_id=np.arange(n).astype(np.str_),
            policy_version=np.full(n, "1"),
            action=action,
            reward=reward.astype(np.float64),
            propensity=champion[action],
            behavior=np.tile(champion, (n, 1)),
            champion=np.tile(champion, (n, 1)),
            challenger=champion + d * changed[:, None],
            reward_model=np.full((n, N_ACTIONS), CONVERSION),
        )
        stake = first_stake(self.plan, threshold=split_alpha(0.05).threshold)
        stream = one_step(rows, look=np.ones(n, np.int64), plan=self.plan, first_stake=stake)
        return _Kinds(segment, chance, stream)


@dataclass(frozen=True, slots=True, repr=False)
class _Kinds:
    segment: NDArray[np.int64]
    chance: NDArray[np.float64]  # within its segment
    stream: TwoSided


def _policies() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(K,) challenger - champion where they differ, and the champion."""
    least = EXPLORATION / N_ACTIONS
    champion = np.full(N_ACTIONS, least)
    champion[0] += 1 - EXPLORATION
    challenger = np.full(N_ACTIONS, least)
    challenger[1] += 1 - EXPLORATION
    return challenger - champion, champion


def _counted(
    stream: Differences, *, kind: NDArray[np.int64], look: NDArray[np.int64], count: NDArray[np.float64]
) -> Differences:
    """Rows of the kinds, with how many each stands for; every row is a unit of its own."""
    chosen = stream.select(kind)  # type: ignore[arg-type]  # indices select as well
    return replace(chosen, look=look, count=count, unit=np.arange(len(kind), dtype=np.int64))
