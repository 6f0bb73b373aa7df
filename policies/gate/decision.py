"""The verdict: refuse, block, promote, stage or hold, with reasons in words and every number behind it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from data_contracts.errors import UsageError
from data_contracts.storage import canonical_json
from policies.gate.conditions import HARM, Condition, strictest
from policies.gate.episodes.episode_rows import EpisodeColumns
from policies.gate.episodes.episodic_look import read_episodes
from policies.gate.inputs import LookInputs
from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import TwoSided, one_step
from policies.gate.judging.judge import Judged, judge, lower_bound, split_alpha
from policies.gate.looks.special_days import without_special_days
from policies.gate.question import Question, bias_budget
from policies.gate.reading import Reading
from policies.gate.reasons import put_in_words
from policies.gate.records import SOURCES, GateDecision, GateRows, Plan, Verdict
from policies.gate.refresh import bounded_head
from policies.gate.refusals import Check, check_evaluability, check_inputs, weights_of_versions
from policies.gate.segments.guardrail_evidence import guardrail_conditions, guardrails_evidence
from policies.gate.segments.guardrail_rules import Guardrail
from policies.gate.segments.guardrails import judge_guardrails
from policies.gate.segments.patch import find_patch
from policies.gate.segments.segment_evidence import segment_conditions, segments_evidence
from policies.gate.segments.segments import champion_values, find_segments, judge_segments
from policies.gate.settings import GateSettings
from policies.gate.shown import estimates_of, how_much_longer, influence_of, trajectory_of, weights_of
from policies.gate.soundness.soundness import Soundness, assess_soundness

FORMULA: Final = 3  # version of everything that decides; formulas 1 and 2 are in formula_2
PARTS: Final = (
    "exploitation", "placebo", "forgetting", "agreement", "fragility", "segments", "guardrails", "patch", "episodes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Average:
    """Both directions of the whole stream."""

    lift: Judged
    harm: Judged


def decide(
    rows: GateRows,
    *,
    settings: GateSettings,
    plan: Plan,
    inputs: LookInputs,
    guardrails: tuple[Guardrail, ...] = (),
    episodes: EpisodeColumns | None = None,
) -> GateDecision:
    """Refuse, else block, else promote or stage, else hold; a pure function of its arguments.

    promote when the mean difference is proven above -margin (0 for a lift) at this look or an earlier one, by either
    branch of the judge at the slot's alpha, and every condition holds; block when the opposite is proven at the
    period's alpha. P(promote | not better) <= the slot's alpha over all planned looks.

    Args:
        rows: all gate rows of looks 1 ... look, in the order in which they were read.
        settings: as the challenger was frozen with them.
        plan: fixed before the first gate row was read.
        inputs: what else the look was told.
        guardrails: the watched channels on these rows, as far as their values are final.
        episodes: of a task with episodes, the columns beside the rows; None: every row is a decision by itself.

    Raises UsageError when the looks do not fit the rows. Source: statistics of the gate, sections 4.2 to 4.5.
    """
    _check_looks(rows, inputs, settings)
    checks, weights = _evaluability(rows, settings, plan, inputs)
    refused = tuple(check for check in checks if not check.passed)
    question = _question(rows, episodes, settings, plan, inputs)
    reading = None if refused else _read(rows, episodes, guardrails, question)
    average = None if reading is None else _judge_average(reading.stream, question)
    conditions = () if reading is None else reading.parts.conditions
    verdict = _verdict(refused, average, conditions)
    lift = None if reading is None else _lift(reading, question)
    estimates = reading.estimates if reading is not None else () if weights is None else estimates_of(rows)
    evidence = {
        "formula": FORMULA,
        "n": rows.n,
        "n_units": len(rows.units[0]),
        "n_days": None if np.isnat(rows.day).any() else len(np.unique(rows.day)),
        "look": inputs.look,
        "n_looks": settings.looks,
        **_wealth(average, inputs),
        "average": None if average is None else {"lift": asdict(average.lift), "harm": asdict(average.harm)},
        "lift": lift,
        "trajectory": [] if reading is None else trajectory_of(reading.stream, question),
        "conditions": [asdict(condition) for condition in conditions],
        **(dict.fromkeys(PARTS) if reading is None else {**dict.fromkeys(PARTS), **reading.parts.shown}),
        "calendar": _calendar(rows, reading, average, question),
        "sources": {name: int((rows.source == code).sum()) for code, name in enumerate(SOURCES)},
        "estimates": [asdict(estimate) for estimate in estimates],
        "weights": weights,
        "influence": None if weights is None or episodes is not None else influence_of(rows, question),
        "more": None if lift is None or reading is None else how_much_longer(rows, reading, lift, question),
        "plan": {name: _json(value) for name, value in asdict(plan).items()},
        "settings": settings.model_dump(mode="json"),
        "refusals": [asdict(check) for check in checks],
        "inputs": inputs.to_json(),
    }
    plain = json.loads(canonical_json(evidence))  # what is stored is what the words are made of
    reasons = put_in_words(verdict, plain)
    return GateDecision(verdict=verdict, reasons=reasons, evidence={"sentence": reasons[0], **plain})


def _check_looks(rows: GateRows, inputs: LookInputs, settings: GateSettings) -> None:
    look, ends = inputs.look, inputs.look_ends
    increasing = all(a < b for a, b in zip((0, *ends), ends, strict=False))
    fits = len(ends) == look and ends[-1:] == (rows.n,) and 1 <= look <= settings.looks
    if not (fits and (increasing or rows.n == 0)):
        raise UsageError(
            f"bad looks for the gate: expected look 1 ... {settings.looks} and as many increasing row counts, the last "
            f"{rows.n}, got look {look} and {ends}."
        )


def _evaluability(
    rows: GateRows, settings: GateSettings, plan: Plan, inputs: LookInputs
) -> tuple[tuple[Check, ...], dict[str, Any] | None]:
    """Every check, and the weights where the rows are sound enough to compute any."""
    checks = check_inputs(rows, plan, n_without_distribution=inputs.n_without_distribution)
    if not all(check.passed for check in checks):
        return checks, None
    expected = weights_of_versions(rows, plan)
    more = check_evaluability(
        rows,
        expected,
        settings=settings,
        overlap=inputs.overlap,
        matured_share=math.nan if inputs.matured_share is None else inputs.matured_share,
    )
    return checks + more, weights_of(rows, expected, settings)


def _question(
    rows: GateRows, episodes: EpisodeColumns | None, settings: GateSettings, plan: Plan, inputs: LookInputs
) -> Question:
    ends, least, n_episodes = inputs.look_ends, settings.min_rows_per_look, None
    if episodes is not None and rows.n:
        first = np.flatnonzero(episodes.step == 0)
        n_episodes = len(first)
        ends = tuple(np.searchsorted(first, ends).tolist())
        least = max(1, round(least * n_episodes / rows.n))
    bias = bias_budget(rows.reward, matured_share=inputs.matured_share, n_episodes=n_episodes)
    return Question(settings, plan, inputs, bias, ends=ends, least_per_look=least)


def _read(
    rows: GateRows, episodes: EpisodeColumns | None, guardrails: tuple[Guardrail, ...], question: Question
) -> Reading:
    look = np.searchsorted(np.array(question.inputs.look_ends), np.arange(rows.n), side="right") + 1
    if episodes is not None:
        return read_episodes(rows, episodes, look=look, question=question)
    stake = first_stake(question.plan, threshold=question.inputs.alpha.threshold)
    stream = one_step(rows, look=look, plan=question.plan, first_stake=stake)
    return Reading(stream, estimates_of(rows), "dr", _parts(rows, stream, guardrails, question))


def _judge_average(stream: TwoSided, question: Question) -> Average:
    inputs = question.inputs
    lift = judge(
        stream.lift,
        plan=question.plan,
        alpha=inputs.alpha,
        fractions=question.fractions,
        margin=0.0 - inputs.margin,
        bias=question.bias,
    )
    harm = judge(
        stream.harm, plan=question.plan, alpha=question.full_alpha, fractions=question.fractions, bias=question.bias
    )
    return Average(lift, harm)


def _parts(rows: GateRows, stream: TwoSided, guardrails: tuple[Guardrail, ...], question: Question) -> Soundness:
    """What must hold beside the average, with everything that is shown of it."""
    settings, inputs = question.settings, question.inputs
    sound = assess_soundness(rows, stream, question)
    segments = find_segments(rows.segments, settings.segments)
    results = judge_segments(
        stream,
        segments,
        champion_value=champion_values(rows, segments),
        plan=question.plan,
        alpha=settings.alpha,
        fractions=question.fractions,
        bias=question.bias,
    )
    watched = judge_guardrails(
        rows,
        guardrails,
        look=inputs.look,
        n_looks=settings.looks,
        min_rows=settings.min_rows_per_look,
        alpha=settings.alpha,
    )
    patch = find_patch(stream, segments, results, question)
    bound = settings.refresh.largest_ratio
    refresh = inputs.claim == "refresh"
    bounded = (bounded_head(rows.champion, rows.challenger, largest_ratio=bound),) if refresh else ()
    shown = {
        **sound.shown,
        "segments": segments_evidence(results, alpha=settings.alpha) if results else None,
        "guardrails": guardrails_evidence(watched, alpha=settings.alpha) if watched else None,
        "patch": None if patch is None else asdict(patch),
    }
    return Soundness(shown, (*bounded, *segment_conditions(results), *guardrail_conditions(watched), *sound.conditions))


def _verdict(refused: tuple[Check, ...], average: Average | None, conditions: tuple[Condition, ...]) -> Verdict:
    """The strictest of what was found; a condition that stops a promotion says nothing while there is none."""
    if refused or average is None:
        return "refuse"
    harmful = any(not c.passed and c.name in HARM for c in conditions)
    if average.harm.proven or harmful:
        return "block"
    if not average.lift.proven:
        return "hold"
    return strictest(conditions) or "promote"


def _lift(reading: Reading, question: Question) -> dict[str, Any]:
    """The estimate of the difference (kept within the possible range), and the interval that holds at every look."""
    values = {estimate.policy: estimate.value for estimate in reading.estimates if estimate.estimator == reading.by}
    estimate = min(max(values["difference"], -question.reward_range), question.reward_range)
    lower, upper = interval_of(reading.stream, question)
    return {
        "estimate": estimate,
        "lower": min(lower, estimate),
        "upper": max(upper, estimate),
        "coverage": question.settings.interval,
        "relative": estimate / values["champion"] if values["champion"] > 0 else None,
        "champion_value": values["champion"],
        "challenger_value": values["challenger"],
    }


def interval_of(stream: TwoSided, question: Question) -> tuple[float, float]:
    """Anytime-valid interval of the mean difference, each side at half of what the coverage leaves; in reward."""
    alpha = split_alpha((1 - question.settings.interval) / 2)
    lower, upper = (
        lower_bound(side, plan=question.plan, alpha=alpha, fractions=question.fractions, bias=question.bias)
        for side in (stream.lift, stream.harm)
    )
    return lower, -upper


def _wealth(average: Average | None, inputs: LookInputs) -> dict[str, Any]:
    """The betting branch's evidence in natural logs: the largest so far, and at every look."""
    found: dict[str, Any] = {"log_threshold": math.log(inputs.alpha.threshold)}
    if average is None:
        return {**found, "log_e_promote": None, "log_e_block": None, "log_e_at_looks": None}
    sides = {
        "promote": [look.log_e for look in average.lift.looks],
        "block": [look.log_e for look in average.harm.looks],
    }
    return {
        **found,
        "log_e_promote": max(sides["promote"]),
        "log_e_block": max(sides["block"]),
        "log_e_at_looks": sides,
    }


def _calendar(
    rows: GateRows, reading: Reading | None, average: Average | None, question: Question
) -> dict[str, Any] | None:
    """The second verdict, of single decisions; None where no row meets the calendar."""
    if reading is None or average is None or reading.stream.lift.n != rows.n:
        return None
    found = without_special_days(
        reading.stream,
        rows.day,
        question.settings.calendar,
        plan=question.plan,
        alpha=question.inputs.alpha,
        fractions=question.fractions,
        proven=average.lift.proven,
        harm=average.harm.proven,
    )
    return None if found is None else asdict(found)


def _json(number: float) -> float | None:
    """JSON has no NaN: null stands for a number that is not finite (and is refused)."""
    return number if math.isfinite(number) else None
