"""Placebo: where there is nothing to find, the gate's weights must find nothing.

Two questions to the same code on the same rows. A challenger that is the champion must show a difference of exactly
zero. And rewards dealt out anew among the rows of one policy version and look must show none beyond noise: they no
longer depend on the action, and E[d_A / b_A] = 0 whenever the behavior probabilities are true. The mean over all ways
of dealing them out is known, each row then has the mean reward of its version and look, so no dice are thrown.

Rewards are not dealt out within each logged action: that would keep every action's mean, and with it the lift of a
challenger that prefers better actions on the whole. Nor is the reward model used: it would forgive wrong weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.conditions import Condition
from policies.gate.judging.differences import BLOCK
from policies.gate.judging.statistic import NEVER
from policies.gate.records import GateRows
from policies.gate.soundness.paired import clustered_mean, paired_terms

LARGEST_Z: Final = 4.0  # of the placebo; an honest log exceeds it about once in 10,000 looks


@dataclass(frozen=True, slots=True)
class Placebo:
    """What the weights find in nothing; JSON-ready by `asdict`."""

    mean: float  # difference by IPS with rewards dealt out anew, in reward
    standard_error: float
    z: float
    same_policy: float  # largest |difference| of a row between the champion and itself: 0
    conditions: tuple[Condition, ...]


def assess_placebo(rows: GateRows, *, unit: NDArray[np.int64], look: NDArray[np.int64]) -> Placebo:
    """mean_i (d_A / b_A) m_i against its own error, m the mean reward of its version and look; champion by itself.

    `look` (n,) says which look read each row, `unit` (n,) the cluster. The error is clustered by unit and at least what
    the policies imply, sqrt(sum_i m_i^2 sum_a d_a^2 / b_a) / n. Refuses when |z| > 4: the weights do not average to 0,
    so the probabilities are not those that chose the actions. Source: statistics of the gate, section 4.5.
    Caveat: blind where rewards average to 0; the check of E[w] = 1 by version looks at the same thing without them.
    """
    means = dealt_out(rows, look=look)
    blank = np.zeros_like(rows.reward_model)
    terms = paired_terms(replace(rows, reward=means, reward_model=blank), unit=unit)
    found = clustered_mean(terms.value, share=terms.share, unit=unit)
    error = max(found.standard_error, _implied_error(rows, means * terms.share))
    z = found.value / error if error > 0 else 0.0
    same = paired_terms(replace(rows, challenger=rows.champion), unit=unit).value
    largest = float(np.abs(same).max(initial=0.0))
    return Placebo(
        mean=found.value,
        standard_error=error,
        z=z,
        same_policy=largest,
        conditions=(_nothing(z), _same(largest)),
    )


def dealt_out(rows: GateRows, *, look: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n,) expected reward of each row when rewards are dealt out at random within its policy version and look."""
    _, version = np.unique(rows.policy_version, return_inverse=True)
    cell = version * (int(look.max(initial=0)) + 1) + look
    weight = np.bincount(cell, weights=rows.weight)
    sums = np.bincount(cell, weights=rows.weight * rows.reward)
    means: NDArray[np.float64] = np.divide(sums, weight, out=np.zeros(len(sums)), where=weight > 0)[cell]
    return means


def _implied_error(rows: GateRows, scale: NDArray[np.float64]) -> float:
    total = 0.0
    for start in range(0, rows.n, BLOCK):
        part = slice(start, start + BLOCK)
        d, behavior = rows.challenger[part] - rows.champion[part], rows.behavior[part]
        weight = np.divide(d, behavior, out=np.zeros_like(d), where=behavior >= NEVER)
        total += float((scale[part] ** 2 * np.einsum("ij,ij->i", d, weight)).sum())
    return math.sqrt(total) / max(rows.n, 1)


def _nothing(z: float) -> Condition:
    return Condition(
        name="placebo",
        passed=abs(z) <= LARGEST_Z,
        observed=z,
        limit=LARGEST_Z,
        effect="refuse",
        words=f"with rewards dealt out at random the challenger still differs from the champion (z {z:+.1f}, at most "
        f"{LARGEST_Z:g} either way): the behavior probabilities are not those that chose the actions; check them",
    )


def _same(largest: float) -> Condition:
    return Condition(
        name="same_policy",
        passed=largest == 0,
        observed=largest,
        limit=0.0,
        effect="refuse",
        words=f"the champion differs from itself by {largest:g}: the computation is broken; report it",
    )
