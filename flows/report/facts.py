"""What a Reward Report says, as one frozen record: the page is drawn from it, and it is stored beside the page.

Every part that a run may not have is None or empty. Times are aware; numbers are finite (JSON knows no NaN).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, AwareDatetime, Field, ValidationError

from data_contracts.errors import IntegrityError
from data_contracts.storage import read_json
from flows.report.data_facts import Data, Incident, Lineage, Part
from flows.report.gate_facts import GateChecks, Standing
from policies.gate.records import Verdict

Command = Literal["retrain", "look", "backfill", "demo"]


class Trigger(Part):
    """Why a challenger was trained in this run, or why not."""

    fired: tuple[str, ...] = ()
    detail: str = ""
    trained: bool
    why_not: str | None = None


class Champion(Part):
    """Who serves at the end of the run."""

    version: int
    origin: str
    description: str = ""
    since: AwareDatetime | None = None


class Challenger(Part):
    """Who was looked at; `closed`: the slot is free again without a promotion."""

    version: int
    algorithm: str
    seed: int | None = None
    artifact_sha256: str
    state: Literal["promoted", "open", "closed"]
    trained_until: AwareDatetime | None = None


class Lift(Part):
    """Challenger minus champion, in units of reward per interaction, with its anytime-valid interval."""

    estimate: float
    lower: float
    upper: float
    coverage: float = Field(gt=0, lt=1)
    relative: float | None = None  # to the champion's value; None where that is 0
    champion_value: float
    challenger_value: float


class Look(Part):
    """Evidence of both directions at the end of one planned look; natural logs."""

    n: int
    log_e_promote: float
    log_e_block: float


class Gate(Part):
    """What the look read and how much evidence it found; natural logs."""

    log_e_promote: float | None = None  # None where the gate refused before it counted evidence
    log_e_block: float | None = None
    log_threshold: float
    look: int
    n_looks: int
    n: int
    n_units: int
    trajectory: tuple[tuple[int, float], ...] = ()  # (rows, log e for the challenger)
    looks: tuple[Look, ...] = ()
    evidence_id: str | None = None


class Exploration(Part):
    """Rows until the gate would know, if a share `rate` of the traffic were logged by `kind`; None: it never would."""

    kind: Literal["as_logged", "uniform", "challenger"]  # as_logged: as it is today
    rate: float
    rows: int | None = None
    days: float | None = None
    cost_per_interaction: float | None = None  # reward given up; negative: gained


class Option(Part):
    """One way to know sooner; rows are interactions from now on."""

    kind: Literal["as_logged", "exploration", "canary_by_row", "canary_by_unit"]
    share: float
    rows: int | None = None
    days: float | None = None
    branch: str | None = None
    evidence: Literal["continued", "fresh"]
    cost_per_interaction: float
    worst_cost_per_interaction: float
    total_cost: float | None = None
    fits_slot: bool


class More(Part):
    """How much longer until the gate would know. Rows are from now on (in reports of older releases, with
    `exploration`: from the first gate row)."""

    rows_left: int | None = None  # that the looks left to the slot are expected to read
    lift: float | None = None  # to be proven, in reward
    power: float | None = None  # chance that so many rows give the verdict
    boundary: float | None = None
    options: tuple[Option, ...] = ()
    cheapest: int | None = None  # index of the option that at least halves the rows at the least cost
    rows_read: int | None = None
    rows_per_day: float
    rows_at_estimate: int | None = None
    days_at_estimate: float | None = None
    rows_at_minimum_lift: int | None = None
    days_at_minimum_lift: float | None = None
    minimum_lift: float  # relative to the champion's value
    exploration: tuple[Exploration, ...] = ()
    settles: str


class NamedValue(Part):
    name: str
    value: float


class Truth(Part):
    """Exact values where the world is simulated."""

    champion: float
    challenger: float | None = None
    by_policy: tuple[NamedValue, ...] = ()


class Estimate(Part):
    """One policy value by one estimator, in units of reward per interaction."""

    policy: Literal["champion", "challenger", "difference"]
    estimator: str
    value: float
    lower: float | None = None
    upper: float | None = None
    standard_error: float | None = None
    effective_sample_size: float | None = None  # in units
    n: int
    n_units: int | None = None
    weight_maximum: float | None = None
    clipped: bool = False


class Quantiles(Part):
    """Of the importance weights; the gate's evidence names them 50, 90 and 99."""

    p50: float = Field(validation_alias=AliasChoices("p50", "50"))
    p90: float = Field(validation_alias=AliasChoices("p90", "90"))
    p99: float = Field(validation_alias=AliasChoices("p99", "99"))
    max: float


class Histogram(Part):
    """Counts between increasing edges (one edge more than counts); the first bin also holds smaller weights."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class ExpectedWeight(Part):
    """Mean weight on the rows of one policy version; 1 when its logged propensities are true."""

    policy_version: str
    policy: Literal["champion", "challenger"] = "challenger"
    mean: float
    lower: float
    upper: float
    n: int
    log_e: float


class Weights(Part):
    """Of the challenger on the gate rows, unclipped."""

    effective_sample_size: float
    quantiles: Quantiles
    histogram: Histogram
    unsupported_mass: float
    expected_weight: tuple[ExpectedWeight, ...] = ()


class ActionShare(Part):
    """Mean probability of one action over the same observations, in [0, 1]."""

    action: str
    champion: float
    challenger: float


class CurvePoint(Part):
    step: int
    loss: float | None = None
    value: float | None = None  # of the served stochastic policy on the validation rows


class Curve(Part):
    algorithm: str
    seed: int
    chosen: bool
    points: tuple[CurvePoint, ...] = ()


class Candidate(Part):
    """One training of this challenger; `deployable` is False for references."""

    algorithm: str
    seed: int
    validation_value: float | None = None
    truth: float | None = None
    deployable: bool
    chosen: bool


class RunFacts(Part):
    """Everything one Reward Report says."""

    task: str
    description: str = ""
    run_id: str
    started_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    as_of: AwareDatetime
    command: Command
    trigger: Trigger | None = None
    verdict: Verdict | None = None
    sentence: str
    reasons: tuple[str, ...] = ()
    override: bool = False
    per: Literal["interaction", "episode"] = "interaction"  # what values and lift are rewards of
    champion: Champion
    previous_champion: int | None = None
    challenger: Challenger | None = None
    lift: Lift | None = None
    gate: Gate | None = None
    more: More | None = None
    checks: GateChecks | None = None
    standing: Standing | None = None
    truth: Truth | None = None
    estimates: tuple[Estimate, ...] = ()
    window: Literal["gate", "validation"] = "gate"  # the rows that the estimates rest on
    weights: Weights | None = None
    actions: tuple[ActionShare, ...] = ()
    curves: tuple[Curve, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    data: Data = Data()
    lineage: Lineage = Lineage()
    incidents: tuple[Incident, ...] = ()
    changes: tuple[str, ...] = ()
    next: tuple[str, ...] = ()


def read_facts(path: Path) -> RunFacts:
    """The facts of an earlier report from its `report.json`; IntegrityError when the file is not one."""
    try:
        return RunFacts.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise IntegrityError(
            f"broken report in {path}: expected the facts of one run, got {error.error_count()} problems "
            f"({'.'.join(map(str, first['loc']))}: {first['msg']}). Restore it, or run again.",
            path=str(path),
        ) from error
