"""What follows from an alarm: which groups block, which warn, which are weighed, and when an incident may close."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from data_contracts.drift.cells import BATCH
from data_contracts.drift.detector import AT, budgets, detect, group_members
from data_contracts.drift.levels import judge, weigh_relevance
from data_contracts.drift.records import DriftResult, Kind
from data_contracts.drift.walk import Walk

KINDS: tuple[Kind, ...] = ("mean", "reward", "pipeline", "action", "weight")
CALM, WARN, BLOCK = 0.1, 1_000.0, 10_000.0  # e-values that, at a weight of 1/5, pass nothing, WARN and BLOCK


def walk_of(cells: list[dict[str, float]], *, read_covariates: bool = False, missing: float = 0.0) -> Walk:
    """One cell a day, of batch 1, 2, …; each names the e-values that are not calm; `missing` is z of the pipeline."""
    e = np.array([[cell.get(kind, CALM) for kind in KINDS] for cell in cells])
    weights, members = np.full(len(KINDS), 0.2), group_members(KINDS)
    z = np.where(e > CALM, 5.0, 0.0)
    z[:, KINDS.index("pipeline")] = missing
    return Walk(
        names=tuple(f"a {kind}" for kind in KINDS),
        kinds=KINDS,
        expected=np.zeros(e.shape),
        observed=np.zeros(e.shape),
        z=z,
        e=e,
        block=detect(e[None], weights, members, threshold=AT["block"]),
        warn=detect(e[None], weights, members, threshold=AT["warn"]),
        moment=np.arange(1, len(cells) + 1) * BATCH + np.arange(len(cells)),
        budgets=budgets(weights, members),
        policies_read_covariates=read_covariates,
    )


def judged(cells: list[dict[str, float]], **how: object) -> DriftResult:
    walk = walk_of(cells, **how)  # type: ignore[arg-type]
    return judge(walk, np.array([len(cells) - 1]), name="r", n_waiting=0)


def test_calm_is_ok() -> None:
    result = judged([{}])
    assert (result.level, result.alarms, result.relevance_needed) == ("ok", (), False)


@pytest.mark.parametrize("kind", KINDS)
def test_every_group_warns_at_warn(kind: str) -> None:
    result = judged([{kind: WARN}])
    assert result.level == "warn"
    assert [(a.threshold, a.relevance_needed) for a in result.alarms] == [("warn", False)]


@pytest.mark.parametrize(
    ("kind", "level", "weighed"),
    [("mean", "block", True), ("action", "block", False), ("reward", "warn", False), ("weight", "warn", False)],
)
def test_what_follows_at_the_block_threshold(kind: str, level: str, weighed: bool) -> None:
    result = judged([{kind: BLOCK}])
    assert (result.level, result.relevance_needed) == (level, weighed)
    assert result.alarms[0].monitors[0] == f"a {kind}"
    assert result.top[0].name == f"a {kind}"
    assert result.statistic == pytest.approx(BLOCK / 5, rel=1e-3)


def test_rewards_that_move_while_more_of_them_are_missing_are_a_broken_pipeline() -> None:
    assert judged([{"reward": BLOCK}], missing=4.5).level == "block"
    assert judged([{"reward": BLOCK}], missing=3.5).level == "warn"
    assert judged([{"reward": BLOCK}], missing=-9.0).level == "warn"  # fewer are missing: a pipeline that was mended
    assert judged([{"reward": WARN}], missing=9.0).level == "warn"


def test_an_action_mix_that_follows_covariates_is_weighed_with_them() -> None:
    both = [{"mean": BLOCK, "action": BLOCK}]
    assert [a.relevance_needed for a in judged(both, read_covariates=True).alarms] == [True, True]
    assert [a.relevance_needed for a in judged(both).alarms if a.group == "action"] == [False]
    earlier = [{"mean": BLOCK}, {}, {}, {"action": BLOCK}]  # long calm again when the actions move
    assert not judged(earlier, read_covariates=True).relevance_needed


def test_weighing_blocks_only_where_the_verdict_changes() -> None:
    asks = judged([{"mean": BLOCK, "reward": WARN}])
    kept = weigh_relevance(asks, verdict_changes=False, note="the verdict stays")
    assert (kept.level, kept.relevance_needed) == ("warn", False)
    assert "the verdict stays" in kept.detail
    changed = weigh_relevance(asks, verdict_changes=True, note="the verdict changes")
    assert (changed.level, changed.relevance_needed) == ("block", False)
    assert changed.alarms[0].group == "covariates"


def test_weighing_frees_nothing_that_blocks_for_another_reason() -> None:
    asks = judged([{"mean": BLOCK, "action": BLOCK}])
    assert weigh_relevance(asks, verdict_changes=False, note="stays").level == "block"
    unasked = judged([{"action": BLOCK}])
    assert weigh_relevance(unasked, verdict_changes=False, note="stays") == unasked


def test_only_the_newest_batch_decides() -> None:
    assert judged([{"action": BLOCK}, {}]).level == "ok"


def test_since_is_the_day_after_the_last_calm_one_across_restarts() -> None:
    cells: list[dict[str, float]] = [{}, {}, {"mean": BLOCK}, {"mean": BLOCK}, {"mean": BLOCK}]
    assert judged(cells).alarms[0].since == "1970-01-03"


def test_an_incident_may_close_after_seven_quiet_cells() -> None:
    loud: list[dict[str, float]] = [{"mean": BLOCK}]
    for n_quiet, may_close in [(0, False), (6, False), (7, True)]:
        result = judged([*loud, *[{}] * n_quiet])
        assert (result.quiet_cells, result.may_close) == (n_quiet, may_close)
    uneasy = {"mean": 60.0}  # a statistic of 12: no alarm, but not quiet
    assert judged([*loud, *[{}] * 6, uneasy, {}]).quiet_cells == 1


def test_the_result_is_json_and_states_its_budgets() -> None:
    result = judged([{"mean": BLOCK, "action": WARN}])
    stored = json.loads(json.dumps(asdict(result), allow_nan=False))
    assert stored["alarms"][0]["group"] == "covariates"
    assert sum(b["at_most"] for b in stored["budgets"] if b["threshold"] == "block") == pytest.approx(0.05)
    assert "5 %" in stored["false_alarm_budget"]
