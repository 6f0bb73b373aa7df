"""Guardrails as streams of their own: margins kept, harm proven, values that come in late."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from policies.gate.records import GateRows, Plan
from policies.gate.segments.guardrail_evidence import guardrail_conditions, guardrails_evidence
from policies.gate.segments.guardrail_readings import (
    NOTHING,
    GuardrailReading,
    new_reading,
    reading_from_parquet,
    reading_to_parquet,
    values_at,
)
from policies.gate.segments.guardrail_rules import Guardrail, GuardrailRule, make_rule, put_together
from policies.gate.segments.guardrail_settings import GuardrailMargin
from policies.gate.segments.guardrails import GuardrailResult, judge_guardrails

REWARD_PLAN = Plan(n_planned=12_000, sigma_squared=0.4, reward_minimum=0.0, reward_maximum=1.0)
COMPLAINTS = GuardrailMargin(margin=0.02)


def _rows(n: int, *, seed: int, start: int = 0) -> GateRows:
    """Two actions, logged evenly by the champion; the challenger takes the second at .9."""
    ids = np.char.add("r", np.arange(start, start + n).astype(np.str_))
    half = np.full((n, 2), 0.5)
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(n, "1"),
        action=np.random.default_rng(seed).integers(2, size=n),
        reward=np.zeros(n),
        propensity=np.full(n, 0.5),
        behavior=half,
        champion=half,
        challenger=np.tile([0.1, 0.9], (n, 1)),
        reward_model=half,
    )


def _events(rows: GateRows, first: float, second: float, *, seed: int) -> NDArray[np.float64]:
    """(n,) 1 with the probability of the action: the challenger's rate is .4 (second - first) above the champion's."""
    chance = np.where(rows.action == 1, second, first)
    return (np.random.default_rng(seed).random(rows.n) < chance) * 1.0


def _rule(margin: GuardrailMargin | None = COMPLAINTS, *, better: str = "lower") -> GuardrailRule:
    before = _rows(2000, seed=50, start=100_000)
    return make_rule(
        "complaint",
        better="higher" if better == "higher" else "lower",
        margin=margin,
        bounds=(0.0, 1.0),
        rows=before,
        value=_events(before, 0.05, 0.05, seed=51),
        reward_plan=REWARD_PLAN,
    )


def _judge(rows: GateRows, value: NDArray[np.float64], rule: GuardrailRule, *, looks: int = 1) -> GuardrailResult:
    look = np.repeat(np.arange(1, looks + 1), rows.n // looks)
    (result,) = judge_guardrails(
        rows, [Guardrail(rule, value, look)], look=looks, n_looks=looks, min_rows=100, alpha=0.05
    )
    return result


def _failed(result: GuardrailResult) -> set[tuple[str, str]]:
    return {(c.name, c.effect) for c in guardrail_conditions([result]) if not c.passed}


def test_a_kept_margin_is_shown() -> None:
    """The same rate of .05 under both actions: SE = sqrt(.64 * .05 * .95 / 12,000) = .0016; .02 is 12 of them."""
    rows = _rows(12_000, seed=1)
    result = _judge(rows, _events(rows, 0.05, 0.05, seed=2), _rule(), looks=4)
    assert (result.noninferior, result.harm, result.light) == (True, False, "green")
    assert result.champion_value == pytest.approx(0.05, abs=0.01)
    assert result.standard_error == pytest.approx(0.0016, rel=0.1)
    assert result.supportable_margin == pytest.approx(2.487 * result.standard_error)
    assert not _failed(result)


def test_more_complaints_are_harm_and_fewer_are_not() -> None:
    rows = _rows(12_000, seed=3)
    worse = _judge(rows, _events(rows, 0.02, 0.12, seed=4), _rule())
    assert worse.difference == pytest.approx(0.04, abs=0.01), "in the channel's own direction"
    assert (worse.noninferior, worse.harm, worse.light) == (False, True, "red")
    assert _failed(worse) == {("guardrail_noninferior", "stage"), ("guardrail_harm", "block")}
    fewer = _judge(rows, _events(rows, 0.12, 0.02, seed=4), _rule())
    assert (fewer.noninferior, fewer.harm) == (True, False)


def test_where_higher_is_better_the_same_numbers_mean_the_opposite() -> None:
    rows = _rows(12_000, seed=3)
    more = _judge(rows, _events(rows, 0.02, 0.12, seed=4), _rule(better="higher"))
    assert (more.noninferior, more.harm) == (True, False)
    assert more.difference == pytest.approx(0.04, abs=0.01)
    less = _judge(rows, _events(rows, 0.12, 0.02, seed=4), _rule(better="higher"))
    assert (less.noninferior, less.harm) == (False, True)


def test_a_relative_margin_is_a_share_of_the_champions_rate() -> None:
    rows = _rows(12_000, seed=5)
    value = _events(rows, 0.05, 0.05, seed=6)
    result = _judge(rows, value, _rule(GuardrailMargin(relative=0.5)))
    assert result.margin == pytest.approx(0.5 * value.mean(), rel=1e-3)  # the champion wrote the log
    assert result.noninferior
    assert not _judge(rows, value, _rule(GuardrailMargin(relative=0.001))).noninferior


def test_without_a_margin_only_proven_harm_counts() -> None:
    rows = _rows(12_000, seed=7)
    result = _judge(rows, _events(rows, 0.05, 0.05, seed=8), _rule(None))
    assert (result.noninferior, result.light, result.margin) == (None, "watched", None)
    assert not _failed(result)
    assert _failed(_judge(rows, _events(rows, 0.02, 0.12, seed=8), _rule(None))) == {("guardrail_harm", "block")}


def test_what_has_not_come_in_shows_nothing() -> None:
    rows = _rows(1000, seed=9)
    unknown = Guardrail(_rule(), np.full(1000, np.nan), np.zeros(1000, np.int64))
    (result,) = judge_guardrails(rows, [unknown], look=1, n_looks=3, min_rows=100, alpha=0.05)
    assert (result.n, result.noninferior, result.difference, result.light) == (0, False, None, "amber")
    assert _failed(result) == {("guardrail_noninferior", "stage")}
    assert "not known" in guardrail_conditions([result])[0].words


def test_rows_enter_at_the_look_that_finds_them_final() -> None:
    """Half of the first look's rows, and all of the second's, are final only at the second."""
    rows = _rows(12_000, seed=10)
    value = _events(rows, 0.05, 0.05, seed=11)
    first, second = rows.interaction_id[:3000], rows.interaction_id[3000:]
    channel = np.array(["complaint"])
    readings = [
        GuardrailReading(first, np.repeat(channel, 3000), value[:3000]),
        GuardrailReading(second[::-1], np.repeat(channel, 9000), value[3000:][::-1]),
    ]
    (found,) = put_together([_rule()], readings, interaction_id=rows.interaction_id)
    assert found.look.tolist() == [1] * 3000 + [2] * 9000
    assert found.value.tolist() == value.tolist()
    (early,) = put_together([_rule()], readings[:1], interaction_id=rows.interaction_id)
    assert (int(early.known.sum()), int((early.look == 0).sum())) == (3000, 9000)
    results = [
        judge_guardrails(rows, [g], look=look, n_looks=2, min_rows=100, alpha=0.05)[0]
        for look, g in ((1, early), (2, found))
    ]
    assert [r.n for r in results] == [3000, 12_000]
    assert results[1].noninferior
    mixed = replace(found, look=np.where(np.arange(12_000) % 2 == 0, 2, 1))  # some earlier rows came in later
    again = judge_guardrails(rows, [mixed], look=2, n_looks=2, min_rows=100, alpha=0.05)[0]
    assert again.n == 12_000
    assert again.difference == pytest.approx(results[1].difference)


def test_a_baseline_takes_the_level_out_of_the_noise() -> None:
    """Ratings around .9 with spread .05: with weights around 0 +- 1 the level would be most of the variance."""
    rows = _rows(4000, seed=12)
    value = np.clip(np.random.default_rng(13).normal(0.9, 0.05, 4000), 0, 1)
    rule = _rule(better="higher")
    with_level = _judge(rows, value, replace(rule, baseline=0.0))
    without = _judge(rows, value, replace(rule, baseline=0.9))
    assert without.standard_error is not None
    assert with_level.standard_error is not None
    assert without.standard_error < 0.1 * with_level.standard_error


def test_a_reading_has_what_is_final_and_was_never_read() -> None:
    def table(*rows: tuple[str, str, float | None, bool]) -> pa.Table:
        names = ("interaction_id", "channel", "value", "matured")
        return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows])

    first = new_reading(table(("a", "x", 1.0, True), ("b", "x", 0.0, False), ("a", "y", None, True)), [])
    assert first.interaction_id.tolist() == ["a", "a"]
    assert first.channel.tolist() == ["x", "y"]
    assert np.isnan(first.value[1])
    second = new_reading(table(("a", "x", 0.0, True), ("b", "x", 1.0, True), ("a", "y", 1.0, True)), [first])
    assert (second.interaction_id.tolist(), second.value.tolist()) == (["b"], [1.0]), "nobody waits for a kinder value"
    value, look = values_at([first, second], channel="x", interaction_id=np.array(["b", "c", "a"]))
    assert look.tolist() == [2, 0, 1]
    assert value.tolist()[::2] == [1.0, 1.0]
    assert np.isnan(value[1])


def test_a_reading_is_stored_and_read_bit_for_bit() -> None:
    reading = GuardrailReading(np.array(["a", "b"]), np.array(["x", "x"]), np.array([0.1, np.nan]))
    data = reading_to_parquet(reading)
    again = reading_from_parquet(data)
    assert reading_to_parquet(again) == data
    assert again.interaction_id.tolist() == ["a", "b"]
    assert again.value.tobytes() == reading.value.tobytes()
    assert len(reading_from_parquet(reading_to_parquet(NOTHING)).value) == 0


def test_the_evidence_is_json() -> None:
    rows = _rows(1000, seed=14)
    result = _judge(rows, _events(rows, 0.05, 0.05, seed=15), _rule())
    evidence = json.loads(json.dumps(guardrails_evidence([result], alpha=0.05), allow_nan=False))
    assert evidence["results"][0]["name"] == "complaint"
    assert guardrail_conditions([]) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"margin": 0.1, "relative": 0.1},
        {"margin": 0.0},
        {"relative": -1},
        {"margin": 0.1, "bounds": [1, 0]},
        {"margin": float("inf")},
    ],
)
def test_margins_that_mean_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GuardrailMargin.model_validate(wrong)
