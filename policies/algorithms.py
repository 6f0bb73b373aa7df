"""Which algorithms may train a challenger, and their settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from policies.action_probabilities import HeadSettings

AlgorithmName = Literal["cql", "bcq", "bc", "linear"]
REFERENCES: tuple[AlgorithmName, ...] = ("bc", "linear")  # trained to compare with, never deployed


class AlgorithmSettings(BaseModel):
    """One algorithm's own settings; what it does not use must keep its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(3000, ge=1)
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    hidden_units: tuple[int, ...] = (64, 64)
    gamma: float = Field(0.99, ge=0, le=1)
    target_update_interval: int = Field(500, ge=1)
    conservatism: float = Field(0.1, ge=0, description="cql: weight (alpha) of the conservative term")
    action_flexibility: float = Field(0.05, ge=0, le=1, description="bcq: least probability ratio an action needs")


class TrainingSettings(BaseModel):
    """`training:` of a task file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithms: dict[AlgorithmName, AlgorithmSettings] = Field(min_length=1)
    seeds: tuple[int, ...] = Field((0, 1, 2), min_length=1)
    head: HeadSettings = HeadSettings()
    curve_points: int = Field(10, ge=2, description="points of each learning curve")
    workers: int = Field(2, ge=1, description="training processes, one thread each")
