"""Scores -> action probabilities: the stochastic head that is trained for, evaluated, served and logged.

`action_probabilities` is the reference; policies/onnx_graph.py writes the same formula into the served graph.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.errors import DegenerateData, UsageError


class HeadSettings(BaseModel):
    """`head:` of a task file. Every action keeps at least exploration / K; with a bound, champion / bound."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["greedy", "softmax"] = "greedy"
    temperature: float = Field(1.0, gt=0, description="of softmax, in units of the scores")
    exploration: float = Field(0.1, ge=0, le=1, description="share spread evenly over all actions")
    bound: float | None = Field(
        None,
        gt=1,
        exclude_if=lambda bound: bound is None,  # settings without one keep their hashes
        description="most that a probability may differ from the champion's, as a ratio, up or down",
    )

    @model_validator(mode="before")
    @classmethod
    def _bounded_explores_as_the_champion(cls, data: Any) -> Any:
        bounded = isinstance(data, dict) and data.get("bound") is not None
        return {"exploration": 0.0} | data if bounded else data

    @model_validator(mode="after")
    def _bound_fits(self) -> HeadSettings:
        if self.bound is not None and (self.kind != "greedy" or self.exploration > 0):
            raise ValueError("a bound goes with kind greedy and no exploration of its own: it explores as the champion")
        return self


def action_probabilities(
    scores: NDArray[np.floating], *, head: HeadSettings, champion: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(n, K) probabilities pi = (1 - e) * base + e / K from (n, K) scores; bounded by `champion` (n, K) where declared.

    base is 1 at the highest score (the first of equals) for `greedy`, exp(score / temperature) normalised for
    `softmax`; e is the exploration. Rows sum to 1 within 1e-12. Raises DegenerateData unless scores are finite.

    >>> action_probabilities(np.array([[1.0, 3.0]]), head=HeadSettings(exploration=0.2)).round(3).tolist()
    [[0.1, 0.9]]
    """
    if scores.ndim != 2 or scores.shape[1] < 1:
        raise DegenerateData(f"bad scores: expected shape (n, K) with K > 0, got {scores.shape}.")
    require_finite(scores, what="scores")
    exact = scores.astype(np.float64)
    if head.bound is not None:
        if champion is None:
            raise UsageError("a bounded head without a champion: expected the probabilities that bound it, got none.")
        return bounded_probabilities(exact, champion, bound=head.bound)
    base = _greedy(exact) if head.kind == "greedy" else _softmax(exact, temperature=head.temperature)
    return with_exploration(base, exploration=head.exploration)


def with_exploration(base: NDArray[np.float64], *, exploration: float) -> NDArray[np.float64]:
    """(n, K) mixture of `base` with the uniform distribution; `exploration` is the share of the latter."""
    mixture: NDArray[np.float64] = base * (1.0 - exploration) + exploration / base.shape[1]
    return mixture


def bounded_probabilities(
    scores: NDArray[np.float64], champion: NDArray[np.float64], *, bound: float
) -> NDArray[np.float64]:
    """(n, K) the distribution of largest expected score among those with champion / bound <= pi <= champion * bound.

    Every action starts at its least; what is left of 1 goes to the actions in order of their scores (the first of
    equals first), each up to its most. Exact: rows sum to 1 within 1e-12 and nothing is renormalised, so that any
    trajectory of n steps has a weight of at most bound^n against the champion.
    """
    least = champion / bound
    room = champion * bound - least
    order = np.argsort(-scores, axis=1, kind="stable")
    wanted = np.take_along_axis(room, order, axis=1)
    left = 1.0 - least.sum(axis=1, keepdims=True)
    given = np.clip(left - (np.cumsum(wanted, axis=1) - wanted), 0.0, wanted)
    extra = np.zeros_like(least)
    np.put_along_axis(extra, order, given, axis=1)
    return least + extra


def require_finite(values: NDArray[np.floating], *, what: str) -> None:
    """Raises DegenerateData with the number of rows of `values` (n, K) that hold a NaN or an infinity."""
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(bad):
        raise DegenerateData(
            f"non-finite {what}: expected finite numbers, got NaN or infinity in {len(bad):,} of {len(values):,} rows "
            f"({', '.join(f'row {i}' for i in bad[:5])}). The policy cannot serve them; look at their observations.",
            count=len(bad),
        )


def _greedy(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    base = np.zeros_like(scores)
    base[np.arange(len(scores)), scores.argmax(axis=1)] = 1.0
    return base


def _softmax(scores: NDArray[np.float64], *, temperature: float) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # a gap that overflows has probability 0
        powers = np.exp((scores - scores.max(axis=1, keepdims=True)) / temperature)
    base: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return base
