"""Units that push one action in concert: always the same extreme reward on it, as no spread of tastes explains."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from data_contracts.units.taste_mixture import Habits, fit_habits, tally

FALSE_ALARMS: Final = 0.005  # of a clean log, over all actions and both directions
MATERIAL: Final = 0.02  # share of an action's units beyond what is expected: fewer are left to the caps
FEWEST_ROWS: Final = 2  # of a unit on an action: one row says nothing of a habit
MOST_ROWS: Final = 20  # of a unit on an action, the earliest: enough to know a habit
FEWEST_UNITS: Final = 50  # with so many rows, for an action to be judged
ALIKE: Final = 0.005  # share of units that answered alike throughout: below it there is nothing to explain
LARGEST_MEAN: Final = 0.5  # chance of an extreme reward among honest units: above it, always is no habit but a success
LARGEST_SHARE: Final = 0.75  # of extreme rewards among all rows
TOPS: Final = (0.75, 0.9)  # quantiles of graded rewards from which one is extreme; a large campaign shifts the upper
CLEAR: Final = 4.0  # standard errors between what is found and what the other actions let expect

Direction = Literal["up", "down"]
NOTHING: Final = Habits(always=0.0, keen=0.0, honest_mean=0.0, log_ratio=0.0, p_value=1.0)


@dataclass(frozen=True, slots=True)
class Push:
    """How one action's rewards look unit by unit, in one direction."""

    action: int
    direction: Direction
    border: float  # the least extreme reward
    n_units: int  # with FEWEST_ROWS rows or more on the action
    mean: float  # share of extreme rewards among these units' rows
    habits: Habits
    expected: float  # share of units that always answer alike, as the other actions let expect
    p_value: float  # times the number of actions and directions judged; at most 1

    @property
    def alarming(self) -> bool:
        """Improbable among honest units, material, beside the other actions, and apart from the merely keen."""
        excess = self.habits.always - self.expected
        clear = excess >= CLEAR * math.sqrt(self.expected * (1 - self.expected) / self.n_units)
        apart = self.habits.always > self.habits.keen  # a following thins out towards certainty; a campaign does not
        return self.p_value <= FALSE_ALARMS and excess >= MATERIAL and clear and apart


def find_pushes(
    unit: NDArray[np.int64], action: NDArray[np.int64], reward: NDArray[np.float64], *, n_actions: int
) -> tuple[Push, ...]:
    """Every action that can be judged, in both directions; rows in order of time, shapes (n,), codes from 0.

    An extreme reward is at least (`down`: at most) a quantile of all, of TOPS. Units may differ in what they like, how
    often they come and how freely they reward: `fit_habits` allows any law of that, action by action. Habits that are
    usual in the log are taken off: `expected` is the larger of the median share over the other actions (units that
    reward everything) and the median of share / mean times the action's mean (rewards booked per unit). Deterministic.
    Caveat: blind to units with a single row on the action, and where more than half of the answers are extreme anyway;
    an honest following that rewards one action every time, and no other, looks the same as a campaign.
    """
    found = [
        push
        for direction, border, extreme in _extremes(reward)
        for push in _judge(unit * n_actions + action, extreme, direction=direction, border=border, n_actions=n_actions)
    ]
    return tuple(_beside_the_others(push, found) for push in found)


def _extremes(reward: NDArray[np.float64]) -> list[tuple[Direction, float, NDArray[np.bool_]]]:
    """Directions and borders from which rewards are extreme, each with a mask (n,) of them."""
    found: list[tuple[Direction, float, NDArray[np.bool_]]]
    found = [("up", border, reward >= border) for border in _borders(reward)]
    return [*found, *(("down", -border, reward <= -border) for border in _borders(-reward))]


def _borders(values: NDArray[np.float64]) -> list[float]:
    """The TOPS quantiles, each or the next value that few enough rows reach; one where they coincide."""
    if not len(values):
        return []
    distinct, counts = np.unique(values, return_counts=True)
    reached = np.cumsum(counts[::-1])[::-1] / len(values)  # share of rows at or above each value
    few = distinct[reached <= LARGEST_SHARE]
    found = [few[few >= quantile] for quantile in np.quantile(values, TOPS)]
    return sorted({float(rest[0]) for rest in found if len(rest)})


def _judge(
    group: NDArray[np.int64], extreme: NDArray[np.bool_], *, direction: Direction, border: float, n_actions: int
) -> list[Push]:
    """`group` (n,) = unit * n_actions + action."""
    pushes: list[Push] = []
    of_group, n, k = _answers(group, extreme)
    for action in range(n_actions):
        mine = (of_group % n_actions == action) & (n >= FEWEST_ROWS)
        if mine.sum() < FEWEST_UNITS:
            continue
        own_n, own_k = n[mine], k[mine]
        habits = fit_habits(tally(own_n, own_k)) if (own_k == own_n).mean() > ALIKE else NOTHING
        if habits.honest_mean <= LARGEST_MEAN:
            mean = float(own_k.sum() / own_n.sum())
            pushes.append(Push(action, direction, border, len(own_n), mean, habits, 0.0, habits.p_value))
    return pushes


def _answers(
    group: NDArray[np.int64], extreme: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Distinct groups, and of the first MOST_ROWS rows of each how many there are and how many are extreme."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    start = np.flatnonzero(np.diff(ordered, prepend=-1))
    size = np.diff(start, append=len(group))
    early = np.arange(len(group)) - np.repeat(start, size) < MOST_ROWS
    n = np.add.reduceat(early, start, dtype=np.int64)
    k = np.add.reduceat(early & extreme[order], start, dtype=np.int64)
    return ordered[start], n, k


def _beside_the_others(push: Push, found: list[Push]) -> Push:
    alike = [p for p in found if (p.direction, p.border) == (push.direction, push.border) and p.mean > 0]
    others = [p for p in alike if p is not push]
    expected = 0.0
    if others:
        share = float(np.median([p.habits.always for p in others]))
        ratio = float(np.median([p.habits.always / p.mean for p in others]))
        expected = min(max(share, ratio * push.mean), 1.0)
    return replace(push, expected=expected, p_value=min(1.0, push.habits.p_value * len(found)))
