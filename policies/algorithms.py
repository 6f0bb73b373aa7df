"""Which algorithms may train a challenger, their settings, and the one interface they train through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from policies.action_probabilities import HeadSettings

if TYPE_CHECKING:
    import torch
    from d3rlpy.dataset import TransitionMiniBatch

AlgorithmName = Literal["cql", "bcq", "bc", "linear", "tabular"]
REFERENCES: tuple[AlgorithmName, ...] = ("bc", "linear")  # trained to compare with, never deployed
ONE_PASS: tuple[AlgorithmName, ...] = ("linear", "tabular")  # closed form: reads every row once, knows no seed


class AlgorithmSettings(BaseModel):
    """One algorithm's own settings; what it does not use must keep its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(3000, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    hidden_units: tuple[int, ...] = Field((64, 64), min_length=1)
    gamma: float = Field(0.99, ge=0, le=1)
    target_update_interval: int = Field(500, ge=1)
    conservatism: float = Field(0.03, ge=0, description="cql: weight (alpha) of the conservative term")
    action_flexibility: float = Field(0.05, ge=0, le=1, description="bcq: least probability ratio an action needs")


class TrainingSettings(BaseModel):
    """`training:` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithms: dict[AlgorithmName, AlgorithmSettings] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2, 3, 4), min_length=1)
    head: HeadSettings = HeadSettings()
    curve_points: int = Field(10, ge=2, description="points of each learning curve")
    workers: int = Field(2, ge=1, description="training processes, one thread each")


class Learner(Protocol):
    """What training needs of an algorithm."""

    def update(self, batch: TransitionMiniBatch) -> dict[str, float]:
        """Learn from one batch; returns its losses by name (none for a closed form)."""

    def scores_module(self) -> torch.nn.Module:
        """Scaled float32 features (n, d) -> scores (n, K), higher is better; shares the learner's weights."""

    def start_from(self, weights: Mapping[str, NDArray[np.float32]]) -> int:
        """Copy the arrays that `scores_module` also has (by name); returns how many. UsageError when shapes differ."""


def create(name: AlgorithmName, settings: AlgorithmSettings, *, n_features: int, n_actions: int, seed: int) -> Learner:
    """A fresh learner; equal arguments and batches give bit-equal weights on one thread."""
    from policies import learners  # first: it loads d3rlpy without the noise of gym, which batches need too
    from policies.ridge import RidgeLearner
    from policies.tabular import TabularLearner

    if name == "linear":
        return RidgeLearner(n_features=n_features, n_actions=n_actions)
    if name == "tabular":
        return TabularLearner(gamma=settings.gamma, n_actions=n_actions)
    build = {"cql": learners.conservative, "bcq": learners.batch_constrained, "bc": learners.cloning}[name]
    return build(settings, n_features=n_features, n_actions=n_actions, seed=seed)
