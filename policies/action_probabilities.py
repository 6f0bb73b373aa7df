"""Scores -> action probabilities: the stochastic head that is trained for, evaluated, served and logged.

`action_probabilities` is the reference; policies/onnx_graph.py writes the same formula into the served graph.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from data_contracts.errors import DegenerateData


class HeadSettings(BaseModel):
    """`head:` of a task file. Every action keeps at least exploration / K."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["greedy", "softmax"] = "greedy"
    temperature: float = Field(1.0, gt=0, description="of softmax, in units of the scores")
    exploration: float = Field(0.1, ge=0, le=1, description="share spread evenly over all actions")


def action_probabilities(scores: NDArray[np.floating], *, head: HeadSettings) -> NDArray[np.float64]:
    """(n, K) probabilities pi = (1 - e) * base + e / K from (n, K) scores.

    base is 1 at the highest score (the first of equals) for `greedy`, exp(score / temperature) normalised for
    `softmax`; e is the exploration. Rows sum to 1 within 1e-12. Raises DegenerateData unless scores are finite.

    >>> action_probabilities(np.array([[1.0, 3.0]]), head=HeadSettings(exploration=0.2)).round(3).tolist()
    [[0.1, 0.9]]
    """
    if scores.ndim != 2 or scores.shape[1] < 1:
        raise DegenerateData(f"bad scores: expected shape (n, K) with K > 0, got {scores.shape}.")
    require_finite(scores, what="scores")
    exact = scores.astype(np.float64)
    base = _greedy(exact) if head.kind == "greedy" else _softmax(exact, temperature=head.temperature)
    return with_exploration(base, exploration=head.exploration)


def with_exploration(base: NDArray[np.float64], *, exploration: float) -> NDArray[np.float64]:
    """(n, K) mixture of `base` with the uniform distribution; `exploration` is the share of the latter."""
    mixture: NDArray[np.float64] = base * (1.0 - exploration) + exploration / base.shape[1]
    return mixture


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
