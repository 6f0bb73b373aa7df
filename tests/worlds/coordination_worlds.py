"""Logs of honest units of many kinds, and campaigns: units that give one action the highest reward every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

HONEST: dict[str, dict[str, Any]] = {
    "alike": {},
    "heavy users (Zipf)": {"zipf": True, "rows": 20},
    "rare rewards": {"base": 0.03, "generosity": 1.0},
    "generous and stingy": {"base": 0.3, "generosity": 0.7},
    "tastes, heavy users": {"base": 0.25, "generosity": 0.5, "taste": 1.0, "zipf": True, "rows": 20},
    "logistic tastes, sd 1.8": {"base": 0.2, "logistic": (1.5, 1.0), "zipf": True, "rows": 20},
    "a tenth likes one action (.6)": {"followers": (0.1, 0.6)},
    "a twentieth rewards everything": {"generous_to_all": 0.05},
    "reward booked per unit": {"base": 0.08, "per_unit": True},
    "two actions": {"base": 0.2, "generosity": 0.7, "zipf": True, "rows": 20, "n_actions": 2},
    "ratings": {"graded": True, "zipf": True, "rows": 20},
}
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "fabricated": {"rows": 10},  # rows of the campaign are all on its action
    "fabricated, rare rewards": {"base": 0.03, "rows": 10},
    "fabricated, common rewards": {"base": 0.35, "generosity": 0.5, "rows": 20},
    "fabricated, small log": {"rows": 20, "n_units": 400},
    "fabricated, 10 rows among heavy users": {"zipf": True, "rows": 20, "campaign_rows": 10},
    "ratings": {"graded": True, "rows": 15},
    "on what is shown": {"rows": 30, "way": "answers"},  # the log's policy picks the action, they only answer
    "on what is shown, nothing for others": {"rows": 30, "way": "answers only one"},
    "on what is shown, 4 rows": {"rows": 20, "way": "answers"},  # on the pushed action; the others have 6 and 10
    "on what is shown, 2 rows": {"rows": 10, "way": "answers"},
}
Way = Literal["fabricated", "answers", "answers only one"]


@dataclass(frozen=True)
class Log:
    """n rows in order of time."""

    unit: NDArray[np.int64]
    action: NDArray[np.int64]
    reward: Floats
    n_actions: int
    pushed: int = 1
    direction: str = "up"


def honest_log(name: str, rng: np.random.Generator) -> Log:
    """A log without any campaign; 2,000 units unless the world says otherwise."""
    return _log(rng, **HONEST[name])


def campaign(name: str, rng: np.random.Generator, *, share: float) -> Log:
    """A log in which `share` of the units push action 1."""
    return _log(rng, share=share, **CAMPAIGNS[name])


def _log(
    rng: np.random.Generator,
    *,
    n_units: int = 2000,
    n_actions: int = 5,
    rows: int = 10,
    zipf: bool = False,
    share: float = 0.0,
    way: Way = "fabricated",
    campaign_rows: int | None = None,
    graded: bool = False,
    per_unit: bool = False,
    **tastes: Any,
) -> Log:
    chance = _chances(rng, n_units, n_actions, **tastes)
    coordinated = np.arange(n_units) < round(share * n_units)
    size = np.clip(rows / 2 * rng.pareto(1.2, n_units) + 1, 1, 500) if zipf else 1 + rng.poisson(rows - 1, n_units)
    if campaign_rows is not None:
        size = np.where(coordinated, campaign_rows, size)
    unit = rng.permutation(np.repeat(np.arange(n_units), size.astype(np.int64)))
    action = rng.choice(n_actions, size=len(unit), p=rng.dirichlet(np.full(n_actions, 30.0)))
    yes = chance[unit, action] > (rng.random((n_units, n_actions))[unit, action] if per_unit else rng.random(len(unit)))
    theirs = coordinated[unit]
    action = np.where(theirs & (way == "fabricated"), 1, action)
    yes = np.where(theirs & (action == 1), True, yes & ~(theirs & (way == "answers only one")))
    reward = np.where(yes, rng.uniform(5, 10, len(unit)), rng.uniform(0, 8, len(unit))) if graded else yes * 1.0
    if graded:
        reward = np.where(theirs & (action == 1), rng.uniform(9.5, 10, len(unit)), reward)
    return Log(unit, action, reward, n_actions)


def _chances(
    rng: np.random.Generator,
    n_units: int,
    n_actions: int,
    *,
    base: float = 0.1,
    generosity: float = 0.3,
    taste: float = 0.0,
    logistic: tuple[float, float] | None = None,
    followers: tuple[float, float] | None = None,
    generous_to_all: float = 0.0,
) -> Floats:
    """(G, K) chance of a reward: the action's own, times gamma factors of unit and taste; or logistic normals."""
    means = base * rng.uniform(0.6, 1.4, n_actions)
    if logistic is not None:
        of_unit, of_both = logistic
        logit = np.log(means / (1 - means)) + rng.normal(0, of_unit, (n_units, 1))
        return 1 / (1 + np.exp(-logit - rng.normal(0, of_both, (n_units, n_actions))))
    chance = means * rng.gamma(1 / generosity**2, generosity**2, (n_units, 1))
    if taste:
        chance = chance * rng.gamma(1 / taste**2, taste**2, (n_units, n_actions))
    chance = np.clip(chance, 0, 0.8)
    if followers is not None:
        chance[rng.random(n_units) < followers[0], 1] = followers[1]
    chance[rng.random(n_units) < generous_to_all] = 1.0
    return chance
