"""Fragility: would the challenger have passed had training rolled other dice?

At least five seeds of the chosen algorithm are trained; one, fixed beforehand, is deployed (the median on validation
rows), the others are evidence alone. Their lift on the gate rows shows what the seed is worth. Nobody may pick the
best of them: choosing among 10 seeds on the gate rows promotes a policy that is no better in 5-11 % of cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policies.gate.conditions import Condition
from policies.gate.judging.statistic import NEVER
from policies.gate.records import GateRows
from policies.gate.soundness.paired import Mean, clustered_mean, paired_terms


class FragilitySettings(BaseModel):
    """`gate.fragility` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    least_seeds: int = Field(5, ge=1, description="seeds of the deployed algorithm, the deployed one among them")
    max_share_worse: float = Field(0.2, ge=0, lt=1, description="of the seeds; with more below 0 the gate blocks")


@dataclass(frozen=True, slots=True)
class SeedLift:
    """What one seed's policy would lift the value by, on the same gate rows."""

    seed: int
    deployed: bool
    lift: float  # in reward
    standard_error: float
    z: float  # of lift + margin


@dataclass(frozen=True, slots=True)
class Fragility:
    """All seeds, and the two conditions that rest on them; JSON-ready by `asdict`."""

    seeds: tuple[SeedLift, ...]  # by seed
    minimum: float
    median: float
    maximum: float
    share_worse: float  # of the seeds whose lift is below 0
    lower_quartile_z: float
    conditions: tuple[Condition, ...]


def seed_columns(
    policies: Sequence[NDArray[np.float64]], *, action: NDArray[np.int64], reward_model: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """((n, S), (n, S)): of each of S other seeds the probability of the logged action, and sum_a pi(a|x) q(x, a).

    `policies` are S arrays of probabilities (n, K). These two numbers are all that a third party needs to recompute
    a seed's lift from the stored rows.
    """
    n, n_actions = reward_model.shape
    place = np.arange(n) * n_actions + action
    logged, direct = np.empty((n, len(policies))), np.empty((n, len(policies)))
    for s, policy in enumerate(policies):
        logged[:, s] = np.take(policy, place)
        direct[:, s] = np.einsum("ij,ij->i", policy, reward_model)
    return logged, direct


def assess_seeds(
    rows: GateRows,
    *,
    unit: NDArray[np.int64],
    deployed: int,
    others: Sequence[int],
    seed_logged: NDArray[np.float64],
    seed_direct: NDArray[np.float64],
    settings: FragilitySettings,
    margin: float = 0.0,
) -> Fragility:
    """Lift of every seed by DR on the gate rows, and whether the deployed one stands on luck.

    Lift of seed s: mean_i [direct_s - sum_a champion_a q_a + (pi_s(A|x) - champion_A) / b_A (r - q_A)], errors by
    `unit` (n,). `seed_logged`, `seed_direct` (n, S) belong to the seeds `others` (S,), in that order.
    Blocks when more than `max_share_worse` of the seeds have a lift below -`margin` (in reward; above 0 for a refresh),
    or the z of the lower-quartile seed (the one with index floor((S' - 1) / 4) of S' by z) against it is below 0; holds
    when there are too few seeds.
    Source: statistics of the gate, section 4.5. Caveat: all seeds saw the same training rows, so this is the spread of
    the training, not of the log.
    """
    found = [_seed_lift(deployed, clustered_mean_of_deployed(rows, unit), margin, deployed=True)]
    for s, mean in enumerate(_others(rows, seed_logged, seed_direct, unit)):
        found.append(_seed_lift(others[s], mean, margin, deployed=False))
    lifts, z = np.array([f.lift for f in found]), sorted(f.z for f in found)
    share_worse, quartile = float((lifts < -margin).mean()), z[(len(z) - 1) // 4]
    return Fragility(
        seeds=tuple(sorted(found, key=lambda f: f.seed)),
        minimum=float(lifts.min()),
        median=float(np.median(lifts)),
        maximum=float(lifts.max()),
        share_worse=share_worse,
        lower_quartile_z=quartile,
        conditions=(_enough_seeds(len(found), settings), _not_fragile(share_worse, quartile, len(found), settings)),
    )


def clustered_mean_of_deployed(rows: GateRows, unit: NDArray[np.int64]) -> Mean:
    """The deployed seed's lift: the gate's own doubly robust difference."""
    terms = paired_terms(rows, unit=unit)
    return clustered_mean(terms.value, share=terms.share, unit=unit)


def _others(
    rows: GateRows, seed_logged: NDArray[np.float64], seed_direct: NDArray[np.float64], unit: NDArray[np.int64]
) -> list[Mean]:
    place = np.arange(rows.n) * rows.behavior.shape[1] + rows.action
    behavior, champion = np.take(rows.behavior, place), np.take(rows.champion, place)
    residual = rows.reward - np.take(rows.reward_model, place)
    scaled = np.divide(residual, behavior, out=np.zeros(rows.n), where=behavior >= NEVER)
    champion_direct = np.einsum("ij,ij->i", rows.champion, rows.reward_model)
    share = rows.weight / rows.weight.mean()
    return [
        clustered_mean(
            seed_direct[:, s] - champion_direct + (seed_logged[:, s] - champion) * scaled, share=share, unit=unit
        )
        for s in range(seed_logged.shape[1])
    ]


def _seed_lift(seed: int, mean: Mean, margin: float, *, deployed: bool) -> SeedLift:
    z = Mean(mean.value + margin, mean.standard_error).z
    return SeedLift(seed=seed, deployed=deployed, lift=mean.value, standard_error=mean.standard_error, z=z)


def _enough_seeds(n: int, settings: FragilitySettings) -> Condition:
    return Condition(
        name="seeds",
        passed=n >= settings.least_seeds,
        observed=float(n),
        limit=float(settings.least_seeds),
        effect="hold",
        words=f"{n} seeds of the challenger's algorithm were trained, {settings.least_seeds} are needed to tell skill "
        "from luck; train the next challenger with more `training.seeds`",
    )


def _not_fragile(share_worse: float, quartile: float, n: int, settings: FragilitySettings) -> Condition:
    return Condition(
        name="fragility",
        passed=share_worse <= settings.max_share_worse and quartile >= 0,
        observed=share_worse,
        limit=settings.max_share_worse,
        effect="block",
        words=f"{share_worse:.0%} of {n} equally trained seeds are worse than the champion on the gate rows (at most "
        f"{settings.max_share_worse:.0%} may be), and the lower-quartile seed has z {quartile:+.1f} (at least 0); the "
        "training is luck: give it more data or a steadier algorithm",
    )
