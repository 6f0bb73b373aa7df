"""The placebo finds nothing where there is nothing, and wrong behavior probabilities where there are."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest

from policies.gate.records import GateRows
from policies.gate.soundness.paired import clustered_mean, paired_terms
from policies.gate.soundness.placebo import assess_placebo, dealt_out
from tests.policies.gate.condition_world import Drawn, draw, honest_world
from tests.policies.gate.conftest import MakeRows


def _drawn(seed: int, n: int) -> Drawn:
    rng = np.random.default_rng([8, seed])
    return draw(honest_world(rng, lift=0.2), n, rng)


def test_rewards_are_dealt_out_within_version_and_look(make_rows: MakeRows) -> None:
    # versions 1, 1, 2, 2, 2 and looks 1, 1, 1, 2, 2; row weights 1, 3, 1, 1, 1
    rows = replace(
        make_rows(5),
        policy_version=np.array(["1", "1", "2", "2", "2"]),
        reward=np.array([4.0, 0.0, 7.0, 1.0, 2.0]),
        weight=np.array([1.0, 3.0, 1.0, 1.0, 1.0]),
    )
    assert dealt_out(rows, look=np.array([1, 1, 1, 2, 2])).tolist() == [1, 1, 7, 1.5, 1.5]


def test_by_hand(make_rows: MakeRows) -> None:
    """d = (-.4, .4, 0), b = (.6, .2, .2): dw = -2/3, 2, 0; one mean reward m for all."""
    rows = replace(make_rows(4), action=np.array([0, 0, 1, 2]), reward=np.array([2.0, 0.0, 1.0, 1.0]))
    found = assess_placebo(rows, unit=np.arange(4), look=np.ones(4, np.int64))
    assert found.mean == pytest.approx((-2 / 3 - 2 / 3 + 2 + 0) / 4)
    # own spread: deviations -5/6, -5/6, 11/6, -1/6: sqrt(4/3 x 172/36) / 4 = .631; implied: sqrt(4 x 16/15) / 4 = .516
    assert found.standard_error == pytest.approx(np.sqrt(4 / 3 * 172 / 36) / 4)
    assert found.z == pytest.approx(found.mean / found.standard_error)


def test_an_honest_log_with_a_true_lift_passes() -> None:
    z = []
    for i in range(60):
        drawn = _drawn(i, 5000)
        found = assess_placebo(drawn.rows, unit=drawn.unit, look=drawn.look)
        assert [c.passed for c in found.conditions] == [True, True]
        assert found.same_policy == 0
        z.append(found.z)
    assert 0.75 < np.std(z) < 1.25  # it is standard normal: a threshold of 4 means what it says
    assert abs(np.mean(z)) < 0.4


def test_within_actions_the_lift_would_stay() -> None:
    """Why rewards are not dealt out within each logged action: one action is simply better."""
    rng = np.random.default_rng(1)
    n = 20_000
    action = rng.integers(2, size=n)
    rows = GateRows(
        interaction_id=np.array([], np.str_),
        unit_id=np.arange(n).astype(np.str_),
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < np.where(action == 1, 0.4, 0.2)) * 1.0,
        propensity=np.full(n, 0.5),
        behavior=np.full((n, 2), 0.5),
        champion=np.tile([0.9, 0.1], (n, 1)),
        challenger=np.tile([0.1, 0.9], (n, 1)),
        reward_model=np.full((n, 2), 0.3),
    )
    look = np.ones(n, np.int64)
    by_action = replace(rows, policy_version=action.astype(np.str_))
    within = replace(rows, reward=dealt_out(by_action, look=look))
    terms = paired_terms(within, unit=np.arange(n))
    assert clustered_mean(terms.value, share=terms.share, unit=np.arange(n)).z > 20
    assert abs(assess_placebo(rows, unit=np.arange(n), look=look).z) < 4


def test_wrong_behavior_probabilities_refuse() -> None:
    """What was recorded for exploration is half of what it was: weights no longer average to 0."""
    refused = 0
    for i in range(10):
        drawn = _drawn(i, 40_000)
        rows = drawn.rows
        behavior = np.where(rows.behavior < 0.3, 0.5 * rows.behavior, rows.behavior)
        found = assess_placebo(replace(rows, behavior=behavior), unit=drawn.unit, look=drawn.look)
        nothing, same = found.conditions
        assert (nothing.effect, same.passed) == ("refuse", True)
        assert "dealt out at random" in nothing.words
        refused += not nothing.passed
    assert refused >= 8


def test_a_statistic_that_finds_a_difference_in_nothing_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    from policies.gate.soundness import placebo

    drawn = _drawn(2, 1000)

    def broken(rows: GateRows, *, unit: np.ndarray) -> object:
        terms = paired_terms(rows, unit=unit)
        return replace(terms, direct=terms.direct + 1e-12)

    monkeypatch.setattr(placebo, "paired_terms", broken)
    found = placebo.assess_placebo(drawn.rows, unit=drawn.unit, look=drawn.look)
    assert [c.passed for c in found.conditions] == [True, False]
    assert asdict(found)["conditions"][1]["effect"] == "refuse"
