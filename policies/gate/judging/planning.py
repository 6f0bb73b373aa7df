"""The scale of the bets, from rows before the gate window; and the variance that any logging policy would give."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.gate.judging.differences import BLOCK
from policies.gate.judging.statistic import NEVER
from policies.gate.records import GateRows, Plan

COMMON: Final = 0.95  # share of the units whose rows are bet on as one group


def make_plan(
    rows: GateRows,
    *,
    n_planned: int,
    reward_minimum: float,
    reward_maximum: float,
    weight_maximum: float = 1.0,
    cluster_size: int = 1,
) -> Plan:
    """Fix the scale of the bets before the first gate row is read.

    sigma^2 = mean_x sum_a (challenger - champion)^2 / behavior * (residual variance) + Var_x(sum_a d q): the
    variance of the DR difference as the policies alone imply it, so that no rare event has to have happened.
    `weight_maximum` is the largest row weight that the log can hold; with weights, the variance is that of
    share * Gamma, share = weight / weight_maximum, which the bets are on.

    `rows` are validation rows (earlier than the gate window; rows with a number that is not finite are left out,
    and without any the reward's range stands in): a wrong plan costs power, never validity. Returns sigma^2 in
    reward^2. Raises DegenerateData when `n_planned` < 1 or the reward's bounds are not an interval.
    """
    if n_planned < 1 or not (math.isfinite(reward_minimum) and math.isfinite(reward_maximum)):
        raise DegenerateData(f"no plan: expected n_planned >= 1 and finite reward bounds, got {n_planned}.")
    if reward_minimum >= reward_maximum:
        raise DegenerateData(f"no plan: expected reward minimum < maximum, got [{reward_minimum}, {reward_maximum}].")
    reward_range = reward_maximum - reward_minimum
    used = _finite(rows)
    share = np.minimum(rows.weight[used] / weight_maximum, 1.0)
    variance = residual_variance(
        action=rows.action[used],
        reward=rows.reward[used],
        reward_model=rows.reward_model[used],
        share=share,
        pseudo=reward_range,
    )
    d, predicted = (rows.challenger - rows.champion)[used], rows.reward_model[used]
    spread = (
        difference_variance(d, rows.behavior[used], predicted, share=share, variance=variance) if used.any() else 0.0
    )
    if not (math.isfinite(spread) and spread > 0):
        spread = variance  # no rows, or the policies agree on all of them: any scale will do
    return Plan(
        n_planned=n_planned,
        sigma_squared=spread,
        reward_minimum=reward_minimum,
        reward_maximum=reward_maximum,
        weight_maximum=weight_maximum,
        cluster_size=cluster_size,
    )


def usual_rows_of_a_unit(unit_id: NDArray[np.str_]) -> int:
    """As many rows as 95 % of the units have at most, and at least 1: the size of a group that is bet on as one.

    `unit_id` (n,) of rows before the window. Units with more rows than that are bet on in several groups.
    """
    if not len(unit_id):
        return 1
    _, sizes = np.unique(unit_id, return_counts=True)
    return int(np.ceil(np.quantile(sizes, COMMON)))


def residual_variance(
    *,
    action: NDArray[np.int64],
    reward: NDArray[np.float64],
    reward_model: NDArray[np.float64],
    pseudo: float,
    share: NDArray[np.float64] | float = 1.0,
) -> float:
    """Mean (share (r - q))^2 of n rows and one pseudo-row with residual `pseudo` (a rare event not seen yet).

    `share` (n,) > 0 scales each row's part in a sum. In reward^2.
    """
    residual = (reward - reward_model[np.arange(len(action)), action]) * share
    return float(((residual**2).sum() + pseudo**2) / (len(residual) + 1))


def difference_variance(
    d: NDArray[np.float64],
    logging: NDArray[np.float64],
    predicted: NDArray[np.float64],
    *,
    variance: float,
    share: NDArray[np.float64] | float = 1.0,
) -> float:
    """Variance of one row's DR difference if `logging` (n, K) draws the actions and residuals have `variance`.

    mean_x sum_a d_a^2 / logging_a * variance + Var_x(share sum_a d_a q_a), for d = challenger - champion (n, K).
    `variance` is of residuals scaled by the rows' `share` (n,), as `residual_variance` gives it.
    Actions that are never logged are left out (infinite otherwise: support is judged elsewhere). In reward^2.
    """
    spread = 0.0
    for start in range(0, len(d), BLOCK):  # of a million rows and many actions, each intermediate would be a copy
        part, by = d[start : start + BLOCK], logging[start : start + BLOCK]
        spread += float(np.divide(part**2, by, out=np.zeros_like(part), where=by >= NEVER).sum())
    return spread / len(d) * variance + float((np.einsum("ij,ij->i", d, predicted) * share).var())


def _finite(rows: GateRows) -> NDArray[np.bool_]:
    """(n,) rows whose every number is finite."""
    matrices = (rows.behavior, rows.champion, rows.challenger, rows.reward_model)
    good = np.isfinite(rows.reward)
    for matrix in matrices:
        good &= np.isfinite(matrix).all(axis=1)
    return good
