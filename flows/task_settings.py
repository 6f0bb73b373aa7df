"""What a task file may say: where the log is, what may be done, when to retrain, whom to tell."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_contracts.feedback.feedback_settings import FeedbackSettings
from data_contracts.propensities.propensity_settings import PropensitySettings, ServingSettings
from data_contracts.rewards.reward_settings import RewardSettings
from data_contracts.splits import SplitSettings
from data_contracts.units.influence_settings import InfluenceSettings
from flows.alerts.route import AlertRoute as AlertRoute
from policies.action_probabilities import HeadSettings
from policies.algorithms import TrainingSettings
from policies.gate.settings import GateSettings


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _exactly_one(model: BaseModel, names: tuple[str, ...]) -> None:
    given = [name for name in names if getattr(model, name) is not None]
    if len(given) != 1:
        raise ValueError(f"exactly one of {', '.join(names)}")


class Source(_Strict):
    """Where the log lies: paths or globs, relative to the task file unless absolute."""

    interactions: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()


class DeclaredPolicy(_Strict):
    """A policy that needs no training: exactly one of the fields. An ONNX file maps float32 observations
    (n, d), in the contract's order, to `scores` (n, K)."""

    uniform: Literal[True] | None = None
    constant: str | None = None
    probabilities: dict[str, float] | None = None
    onnx: str | None = None
    head: HeadSettings = HeadSettings(exploration=0.05)

    @model_validator(mode="after")
    def _one(self) -> DeclaredPolicy:
        _exactly_one(self, ("uniform", "constant", "probabilities", "onnx"))
        return self


class BehaviorPolicy(_Strict):
    """Where the whole distribution of a logged `policy_version` comes from: exactly one of the fields."""

    uniform: Literal[True] | None = None
    probabilities: dict[str, float] | None = None
    design: str | None = Field(None, description="a CSV: observation columns as key, one probability per action")
    version: int | None = Field(None, ge=1, description="a version of this task's registry, re-evaluated")
    logged: Literal["distribution", "propensity"] | None = Field(
        None,
        description="distribution: column action_probabilities; propensity: the logged action's only",
    )
    minimum: float | None = Field(
        None, gt=0, lt=1, description="with logged: propensity, the least that any action has; without, no row gates"
    )

    @model_validator(mode="after")
    def _one(self) -> BehaviorPolicy:
        _exactly_one(self, ("uniform", "probabilities", "design", "version", "logged"))
        if self.minimum is not None and self.logged != "propensity":
            raise ValueError("minimum belongs to `logged: propensity`; of other policies every probability is known")
        return self


class Actions(_Strict):
    """The declared action set; `features` is a CSV keyed by column `action`."""

    names: tuple[str, ...] = Field(min_length=2)
    features: str | None = None


class Cadence(_Strict):
    """When to retrain: a run at every tick of `cron` (UTC), training only after `after_new_rows` matured rows."""

    cron: str = "0 3 * * *"
    after_new_rows: int = Field(1000, ge=1)
    stale_after_hours: float = Field(48.0, gt=0, description="no successful run for so long opens an incident")


class Task(_Strict):
    """One task file. `name` equals the file's name; paths are relative to the file."""

    task: str
    description: str = ""
    contract: str | None = None  # default: the shipped contract of the same name, or NAME.odcs.yaml beside the file
    source: Source = Source()
    actions: Actions
    reward: RewardSettings = RewardSettings()
    champion: DeclaredPolicy
    behavior_policies: dict[str, BehaviorPolicy] = {}
    report_only: bool = Field(False, description="train nothing: every run ends in refuse and says what the log lacks")
    propensities: PropensitySettings = PropensitySettings()
    serving: ServingSettings = ServingSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    truth: str | None = None  # Parquet: observation columns, then one column of expected reward per action
    split: SplitSettings = SplitSettings()
    influence: InfluenceSettings = InfluenceSettings()
    training: TrainingSettings
    gate: GateSettings = GateSettings()
    cadence: Cadence = Cadence()
    alerts: AlertRoute = AlertRoute()
    file: Path = Field(Path(), exclude=True)  # set by the reader
