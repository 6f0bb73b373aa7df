"""Forgetting: is the challenger worse where the champion was good, in older weeks or in the champion's best contexts?

Older weeks are read from the training snapshot's own rows, each time slice by itself. Both the challenger and the
reward model have seen those rows, so that a lift there is too high; harm that shows all the same is real. The
champion's best contexts are read from the gate rows, which nobody has seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policies.gate.conditions import Condition
from policies.gate.judging.differences import TwoSided
from policies.gate.judging.planned_branch import moments_at_looks, needed_z
from policies.gate.records import GateRows


class ForgettingSettings(BaseModel):
    """`gate.forgetting` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slices: int = Field(4, ge=1, le=20, description="time slices of the rows before the gate window")
    strong_share: float = Field(0.25, gt=0, lt=1, description="share of the gate rows where the champion is strongest")
    margin: float = Field(
        0.05, ge=0, description="loss that is no forgetting, as a share of the champion's value there"
    )
    alpha: float = Field(0.01, gt=0, lt=0.5, description="error of finding forgetting anywhere, where there is none")
    least_units: int = Field(100, ge=2, description="a slice or part with fewer says nothing")


@dataclass(frozen=True, slots=True)
class Part:
    """The challenger against the champion on one part of the rows."""

    name: str
    kind: Literal["older", "strong"]  # older: rows that trained it, its lift there is too high; strong: gate rows
    n: int
    n_units: int
    champion_value: float  # as the reward model predicts it, in reward
    lift: float  # by DR, in reward
    standard_error: float  # by unit, at least what the policies imply
    skewness: float  # of the harm
    tail_rule: bool  # enough rows in the tails to say anything


@dataclass(frozen=True, slots=True)
class Judged:
    """A part with its two-sided interval, simultaneous over all parts at the settings' alpha, and the finding."""

    part: Part
    lower: float
    upper: float
    forgotten: bool  # the tail rule holds, and the harm is above margin * champion's value with room for skewness


@dataclass(frozen=True, slots=True)
class Forgetting:
    """All parts; JSON-ready by `asdict`."""

    parts: tuple[Judged, ...]
    conditions: tuple[Condition, ...]


def time_slices(n: int, slices: int) -> NDArray[np.int64]:
    """(n,) number 0 ... slices - 1 of the slice of each row, for rows in order of time: as many rows in each."""
    return np.arange(n) * slices // max(n, 1)


def older_parts(rows: GateRows, stream: TwoSided, *, settings: ForgettingSettings) -> tuple[Part, ...]:
    """The challenger on each time slice of rows before the gate window, in order of time, by DR.

    `rows` are the training and validation rows in the gate's form, in order of time, and `stream` what `one_step` says
    of them. The evidence stores the answer, as the rows themselves stay in the training snapshot.
    """
    slice_of = time_slices(rows.n, settings.slices)
    masks = {f"older {s + 1} of {settings.slices}": slice_of == s for s in range(settings.slices)}
    return _parts(rows, stream, masks, kind="older", settings=settings)


def strong_parts(rows: GateRows, stream: TwoSided, *, settings: ForgettingSettings) -> tuple[Part, ...]:
    """The gate rows where the champion is strongest: by its predicted value, and by its advantage over chance.

    Value: sum_a champion_a q_a; advantage: that less the mean of q over actions; the top quarter of either, known
    before any reward of the window.
    """
    value = np.einsum("ij,ij->i", rows.champion, rows.reward_model)
    masks = {
        "champion's best contexts": _largest(value, settings.strong_share),
        "champion's largest advantage": _largest(value - rows.reward_model.mean(axis=1), settings.strong_share),
    }
    return _parts(rows, stream, masks, kind="strong", settings=settings)


def assess_forgetting(parts: tuple[Part, ...], *, settings: ForgettingSettings) -> Forgetting:
    """Where is the challenger proven worse than the champion by more than the margin? Any such part holds it.

    Each part's interval is lift +- z(1 - alpha / (2 parts)) SE, so that with probability 1 - alpha none is wrong
    (Bonferroni); a finding also asks for the planned branch's tail rule and its allowance for skewness, as rare
    rewards under heavy weights look less noisy than they are. `parts` are those of `older_parts` and `strong_parts`.
    `hold`, not block: where the world has changed, to be worse in an older one may be right; a person should say so.
    """
    if not parts:
        return Forgetting(parts=(), conditions=(_condition((), settings),))
    z = NormalDist().inv_cdf(1 - settings.alpha / (2 * len(parts)))
    judged = tuple(_judge(part, z, settings) for part in parts)
    return Forgetting(parts=judged, conditions=(_condition(judged, settings),))


def _parts(
    rows: GateRows,
    stream: TwoSided,
    masks: dict[str, NDArray[np.bool_]],
    *,
    kind: Literal["older", "strong"],
    settings: ForgettingSettings,
) -> tuple[Part, ...]:
    champion = np.einsum("ij,ij->i", rows.champion, rows.reward_model) * rows.weight
    found = []
    for name, mask in masks.items():
        if not mask.any():
            continue
        harm = replace(stream.harm, bets=()).select(mask)
        moments = moments_at_looks(harm)[-1]
        if moments.n_units >= settings.least_units:
            found.append(
                Part(
                    name=name,
                    kind=kind,
                    n=harm.n,
                    n_units=int(moments.n_units),
                    champion_value=float(champion[mask].sum() / rows.weight[mask].sum()),
                    lift=-moments.mean,
                    standard_error=moments.standard_error,
                    skewness=moments.skewness,
                    tail_rule=moments.tail_rule,
                )
            )
    return tuple(found)


def _largest(values: NDArray[np.float64], share: float) -> NDArray[np.bool_]:
    return values >= np.quantile(values, 1 - share) if len(values) else np.zeros(0, np.bool_)


def _judge(part: Part, z: float, settings: ForgettingSettings) -> Judged:
    upper = part.lift + z * part.standard_error
    excess = -part.lift - settings.margin * max(part.champion_value, 0.0)
    needed = needed_z(z, skewness=part.skewness, n=part.n_units) * part.standard_error
    return Judged(
        part=part,
        lower=part.lift - z * part.standard_error,
        upper=upper,
        forgotten=part.tail_rule and part.standard_error > 0 and excess > needed,
    )


def _condition(judged: tuple[Judged, ...], settings: ForgettingSettings) -> Condition:
    forgotten = [j for j in judged if j.forgotten]
    relative = [j.upper / j.part.champion_value for j in judged if j.part.champion_value > 0]
    worst = min(forgotten or judged, key=lambda j: j.upper, default=None)
    words = "" if worst is None else f"the challenger is worse than the champion on {worst.part.name}: {_says(worst)}"
    return Condition(
        name="forgetting",
        passed=not forgotten,
        observed=min(relative, default=None),
        limit=-settings.margin,
        effect="hold",
        words=f"{words}; say whether the world has changed, or train on rows of that kind again",
    )


def _says(judged: Judged) -> str:
    part = judged.part
    seen = ", on rows that trained it" if part.kind == "older" else ""
    relative = (
        f" ({part.lift / part.champion_value:+.1%} of the champion's value there)" if part.champion_value > 0 else ""
    )
    upper = f"at most {judged.upper:+.3g}" if math.isfinite(judged.upper) else "unknown"
    return f"lift {part.lift:+.3g}{relative}, {upper}{seen}"
