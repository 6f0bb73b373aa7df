"""Agreement: five ways to read the same lift must not contradict each other.

IPS, SNIPS and DR with either reward model aim at the same number when the propensities are true; SNIPS forgives a
common factor in them and DR does not, so a gap between the two beyond noise says that something is wrong with the
log. The direct method believes its model: that it disagrees is a remark, never a reason.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policies.gate.conditions import Condition
from policies.gate.records import GateRows
from policies.ope import dm, dr, ips, snips
from policies.ope.estimates import clustered_standard_error
from policies.ope.records import Evaluation, LoggedRewards, Terms, target_terms


class AgreementSettings(BaseModel):
    """`gate.agreement` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    largest_gap: float = Field(3.0, gt=0, description="between DR and SNIPS, in standard errors of their difference")


@dataclass(frozen=True, slots=True)
class Reading:
    """The lift as one estimator reads it, and how far that is from DR."""

    estimator: str
    lift: float  # in reward
    standard_error: float
    gap: float  # lift - the lift by DR
    gap_z: float  # gap / standard error of the paired gap; 0 for DR itself


@dataclass(frozen=True, slots=True)
class Agreement:
    """All readings; JSON-ready by `asdict`."""

    readings: tuple[Reading, ...]  # dr first
    warnings: tuple[str, ...]  # sentences that stop nothing
    conditions: tuple[Condition, ...]


def other_columns(rows: GateRows, predicted: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """((n,), (n,)) of another reward model's predictions (n, K): that of the logged action, and sum_a d_a q_a.

    These two numbers are all that a third party needs to recompute its DR from the stored rows; d = challenger -
    champion.
    """
    logged = np.take(predicted, np.arange(rows.n) * predicted.shape[1] + rows.action)
    return logged, np.einsum("ij,ij->i", rows.challenger - rows.champion, predicted)


def assess_agreement(
    rows: GateRows,
    *,
    unit: NDArray[np.int64],
    other_logged: NDArray[np.float64],
    other_direct: NDArray[np.float64],
    settings: AgreementSettings,
) -> Agreement:
    """The lift by DR, SNIPS, IPS, DR with another class of reward model (`dr_other`) and DM, with paired gaps.

    `unit` (n,) clusters every error; `other_logged`, `other_direct` (n,) are `other_columns` of the other model.
    The gap's error is that of the rows' differences in influence, which is far below either estimator's own.
    Holds when |DR - SNIPS| > `largest_gap` of them; warns when `dr_other` is as far off, or DM has the other sign.
    Source: statistics of the gate, section 4.5. Caveat: agreement proves little, as all but DM share the weights.
    """
    low, high = _terms(rows, unit)
    weight = high.weights - low.weights
    other = other_direct + weight * (rows.reward - other_logged)
    mean = high.logged.mean(other)
    found = {name: module.evaluate(high) - module.evaluate(low) for name, module in _MODULES.items()}
    found["dr_other"] = Evaluation(mean, high.logged.reweighted(other - mean), np.abs(weight))
    readings = tuple(_reading(name, evaluation, found["dr"], unit) for name, evaluation in found.items())
    by_name = {reading.estimator: reading for reading in readings}
    return Agreement(
        readings=readings,
        warnings=_warnings(by_name, settings),
        conditions=(_condition(by_name["snips"], settings),),
    )


_MODULES = {"dr": dr, "snips": snips, "ips": ips, "dm": dm}


def _terms(rows: GateRows, unit: NDArray[np.int64]) -> tuple[Terms, Terms]:
    logged = LoggedRewards(
        action=rows.action,
        reward=rows.reward,
        propensity=rows.propensity,
        reward_model=rows.reward_model,
        unit=unit,
        weight=rows.weight,
    )
    return target_terms(logged, rows.champion), target_terms(logged, rows.challenger)


def _reading(name: str, found: Evaluation, reference: Evaluation, unit: NDArray[np.int64]) -> Reading:
    gap = found.value - reference.value
    error = clustered_standard_error(found.influence - reference.influence, unit)
    return Reading(
        estimator=name,
        lift=found.value,
        standard_error=clustered_standard_error(found.influence, unit),
        gap=gap,
        gap_z=gap / error if error > 0 else 0.0,
    )


def _condition(found: Reading, settings: AgreementSettings) -> Condition:
    return Condition(
        name="agreement",
        passed=abs(found.gap_z) <= settings.largest_gap,
        observed=found.gap_z,
        limit=settings.largest_gap,
        effect="hold",
        words=f"DR and SNIPS differ by {found.gap:+.4g}, {abs(found.gap_z):.1f} standard errors of that difference (at "
        f"most {settings.largest_gap:g}): the propensities or a few heavy weights are at odds with the rest; look at "
        "the weights of each policy version",
    )


def _warnings(by_name: dict[str, Reading], settings: AgreementSettings) -> tuple[str, ...]:
    found = []
    other, model, reference = by_name["dr_other"], by_name["dm"], by_name["dr"]
    if abs(other.gap_z) > settings.largest_gap:
        found.append(
            f"DR with another class of reward model differs by {other.gap:+.4g}, {abs(other.gap_z):.1f} standard "
            "errors of their difference"
        )
    if model.lift * reference.lift < 0:
        found.append(f"the reward model alone sees a lift of {model.lift:+.4g} where DR sees {reference.lift:+.4g}")
    return tuple(found)
