"""Refreshes: hardly worse, within a margin, within a year's budget, with a head that is bounded as declared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from data_contracts.errors import BudgetSpent, DegenerateData, UsageError
from policies.gate.judging.differences import one_step
from policies.gate.judging.judge import Alpha, judge
from policies.gate.records import GateRows, Plan
from policies.gate.refresh import (
    LossCharge,
    RefreshSettings,
    available_margin,
    bounded_head,
    charged_margin,
    claim_of,
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SETTINGS = RefreshSettings(margin=0.01, yearly_loss_budget=0.03)


def _charges(*margins: float, every: int = 30) -> list[LossCharge]:
    return [LossCharge(NOW - timedelta(days=every * (len(margins) - i)), m) for i, m in enumerate(margins)]


def test_the_margin_is_what_the_budget_has_left() -> None:
    assert available_margin([], settings=SETTINGS, now=NOW) == 0.01
    assert available_margin(_charges(0.01), settings=SETTINGS, now=NOW) == 0.01
    assert available_margin(_charges(0.01, 0.01, 0.004), settings=SETTINGS, now=NOW) == pytest.approx(0.006)
    assert charged_margin(_charges(0.01, 0.01, 0.004), now=NOW) == pytest.approx(0.024)


def test_a_spent_budget_refuses_by_name_and_says_when_it_frees() -> None:
    charges = _charges(0.01, 0.01, 0.01)  # 90, 60 and 30 days ago
    with pytest.raises(BudgetSpent, match=r"yearly loss budget of 3.0%, got 3.0% charged by 3 refreshes") as caught:
        available_margin(charges, settings=SETTINGS, now=NOW)
    frees_at = caught.value.fields["frees_at"]
    assert frees_at == NOW + timedelta(days=275)
    assert isinstance(frees_at, datetime)
    assert available_margin(charges, settings=SETTINGS, now=frees_at) == pytest.approx(0.01)
    with pytest.raises(BudgetSpent):
        available_margin(charges, settings=SETTINGS, now=frees_at - timedelta(seconds=1))


def test_a_budget_below_the_margin_bounds_the_first_refresh() -> None:
    assert available_margin([], settings=RefreshSettings(margin=0.05, yearly_loss_budget=0.02), now=NOW) == 0.02


def test_the_claim_in_units_of_reward() -> None:
    claim = claim_of(0.01, champion_value=-0.4, charges=_charges(0.01), settings=SETTINGS, now=NOW)
    assert claim.absolute == pytest.approx(0.004)
    assert (claim.charged, claim.yearly_loss_budget) == (0.01, 0.03)
    assert claim.sentence == "The challenger loses at most 1.0% of the champion's value (0.004 per interaction)."
    for value in (0.0, float("nan")):
        with pytest.raises(DegenerateData, match="no margin for a refresh"):
            claim_of(0.01, champion_value=value, charges=[], settings=SETTINGS, now=NOW)
    with pytest.raises(UsageError, match="bad margin"):
        claim_of(0.0, champion_value=1.0, charges=[], settings=SETTINGS, now=NOW)


def test_a_bounded_head_holds_for_every_action_of_every_row() -> None:
    champion = np.array([[0.5, 0.5, 0.0], [0.8, 0.1, 0.1]])
    challenger = np.array([[0.4, 0.6, 0.0], [0.7, 0.1, 0.2]])
    condition = bounded_head(champion, challenger, largest_ratio=2.0)
    assert condition.passed
    assert condition.observed == pytest.approx(2.0)
    tighter = bounded_head(champion, challenger, largest_ratio=1.9)
    assert (tighter.passed, tighter.effect) == (False, "refuse")
    assert "takes an action 2 times as often as the champion, a refresh at most 1.9 times" in tighter.words


def test_an_action_that_the_champion_never_takes_breaks_any_bound() -> None:
    condition = bounded_head(np.array([[1.0, 0.0]]), np.array([[0.999, 0.001]]), largest_ratio=1e9)
    assert (condition.passed, condition.observed) == (False, None)
    assert "infinitely many times" in condition.words


def _log(difference: float, *, seed: int, n: int = 40_000) -> GateRows:
    """Two actions of means .5 +- gap; the challenger moves .1 of probability, so that V1 - V0 = difference."""
    rng = np.random.default_rng(seed)
    champion, challenger = np.tile([0.5, 0.5], (n, 1)), np.tile([0.4, 0.6], (n, 1))
    means = np.array([0.5 - difference / 0.2, 0.5 + difference / 0.2])
    action = rng.integers(2, size=n)
    ids = np.array([f"r{i}" for i in range(n)])
    return GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < means[action]).astype(float),
        propensity=np.full(n, 0.5),
        behavior=champion,
        champion=champion,
        challenger=challenger,
        reward_model=np.full((n, 2), 0.5),
    )


def test_the_judge_proves_an_equal_challenger_within_the_margin_and_no_worse_one() -> None:
    """V0 = .5, margin 1 %: -.005. One row's difference has sd .2 x .5 = .1, so 40,000 rows know it to .0005."""
    claim = claim_of(0.01, champion_value=0.5, charges=[], settings=SETTINGS, now=NOW)
    plan = Plan(n_planned=40_000, sigma_squared=0.01, reward_minimum=0.0, reward_maximum=1.0)
    proven = {
        difference: [
            judge(
                one_step(_log(difference, seed=seed), look=np.ones(40_000, np.int64), plan=plan, first_stake=0.1).lift,
                plan=plan,
                alpha=Alpha(0.04, 0.01),
                fractions=(1.0,),
                margin=-claim.absolute,
            ).proven
            for seed in range(5)
        ]
        for difference in (0.0, -0.002, -0.007)
    }
    assert proven == {0.0: [True] * 5, -0.002: [True] * 5, -0.007: [False] * 5}
