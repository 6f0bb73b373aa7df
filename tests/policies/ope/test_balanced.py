"""Balanced weights: exact where they are valid, and refused by name where they are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from policies.ope import balanced, ips
from policies.ope.balanced import Loggers
from policies.ope.estimates import clustered_standard_error
from policies.ope.records import LoggedRewards, target_terms

N_LOOKS = 50
MEANS = np.array([[0.1, 0.5, 0.4], [0.8, 0.2, 0.3]])  # of 2 contexts and 3 actions
OLD = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05]])  # takes the bad actions
NEW = np.array([[0.05, 0.9, 0.05], [0.9, 0.05, 0.05]])
TARGET = np.array([[0.02, 0.96, 0.02], [0.96, 0.02, 0.02]])
TRUTH = float((TARGET * MEANS).sum(axis=1).mean())


def _log(n: int, rng: np.random.Generator, logger: NDArray[np.int64]) -> tuple[LoggedRewards, Loggers, Any]:
    context = rng.integers(2, size=n)
    policies = np.stack([OLD, NEW])
    behavior = policies[logger, context]
    action = (behavior.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=2)
    reward = (rng.random(n) < MEANS[context, action]) * 1.0
    logged = LoggedRewards(action, reward, behavior[np.arange(n), action], np.zeros((n, 3)), rng.permutation(n) // 2)
    return logged, Loggers(logger, policies[:, context, action].T), TARGET[context]


def _side_by_side(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return (rng.random(n) < 0.3).astype(np.int64)


def _one_after_the_other(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return (np.arange(n) >= 0.7 * n).astype(np.int64)


def test_by_hand() -> None:
    # shares 2/3 and 1/3; mixture 2/3 .5 + 1/3 .2 = .4, and 2/3 .1 + 1/3 .7 = .3; w = .8/.4 = 2, .6/.3 = 2, 0
    behavior = np.array([[0.5, 0.2], [0.1, 0.7], [0.5, 0.2]])
    logged = LoggedRewards(
        np.array([0, 1, 0]), np.array([1.0, 2.0, 5.0]), np.array([0.5, 0.7, 0.5]), np.zeros((3, 2)), np.arange(3)
    )
    target = np.array([[0.8, 0.2], [0.4, 0.6], [0.0, 1.0]])
    found = balanced.evaluate(logged, target, loggers=Loggers(np.array([0, 1, 0]), behavior), n_looks=1)
    assert found.weights == pytest.approx([2, 2, 0])
    assert found.value == pytest.approx((2 * 1 + 2 * 2) / 3)
    declared = Loggers(np.array([0, 1, 0]), behavior, share=np.array([0.5, 0.5]))  # mixtures .35, .4, .35
    assert balanced.evaluate(logged, target, loggers=declared, n_looks=1).weights == pytest.approx([0.8 / 0.35, 1.5, 0])


@pytest.mark.parametrize("drawn", [_side_by_side, _one_after_the_other])
def test_a_window_read_once_when_closed_is_unbiased_and_quieter_than_ips(drawn: Any) -> None:
    rng = np.random.default_rng(1)
    logged, loggers, target = _log(20_000, rng, drawn(20_000, rng))
    found, plain = (
        balanced.evaluate(logged, target, loggers=loggers, n_looks=1),
        ips.evaluate(target_terms(logged, target)),
    )
    errors = [clustered_standard_error(e.influence, logged.unit) for e in (found, plain)]
    assert abs(found.value - TRUTH) < 4 * errors[0]
    assert errors[0] < 0.5 * errors[1]
    assert found.weights.max() < 4 < 15 < plain.weights.max()


def test_early_looks_at_loggers_side_by_side_are_valid() -> None:
    rng = np.random.default_rng(2)
    logged, loggers, target = _log(20_000, rng, _side_by_side(20_000, rng))
    found = balanced.evaluate(logged, target, loggers=loggers, n_looks=N_LOOKS)
    assert abs(found.value - TRUTH) < 4 * clustered_standard_error(found.influence, logged.unit)


def test_loggers_that_followed_each_other_are_refused_before_the_window_closes() -> None:
    rng = np.random.default_rng(3)
    logged, loggers, target = _log(20_000, rng, _one_after_the_other(20_000, rng))
    with pytest.raises(DegenerateData, match=r"before the window closes.*followed each other") as caught:
        balanced.evaluate(logged, target, loggers=loggers, n_looks=N_LOOKS)
    assert caught.value.fields == {"logger": 0}
    # what the refusal is for: the rows read by then are off by 20 standard errors
    whole = balanced.evaluate(logged, target, loggers=loggers, n_looks=1)
    early = whole.influence[:10_000] + whole.value
    assert abs(early.mean() - TRUTH) > 20 * early.std() / 100


def test_a_slow_change_of_shares_and_a_wrongly_declared_share_are_refused() -> None:
    rng = np.random.default_rng(4)
    n = 20_000
    logged, loggers, target = _log(n, rng, (rng.random(n) < np.linspace(0.1, 0.5, n)).astype(np.int64))
    with pytest.raises(DegenerateData, match="before the window closes"):
        balanced.evaluate(logged, target, loggers=loggers, n_looks=2)
    logged, loggers, target = _log(n, rng, _side_by_side(n, rng))
    declared = Loggers(loggers.logger, loggers.behavior, share=np.array([0.5, 0.5]))
    with pytest.raises(DegenerateData, match=r"expected logger 0 in 50\.0%"):
        balanced.evaluate(logged, target, loggers=declared, n_looks=2)


def test_honest_loggers_are_not_refused() -> None:
    rng = np.random.default_rng(5)
    for n in (300, 2000) * 100:
        loggers = Loggers(_side_by_side(n, rng), np.full((n, 2), 0.5))
        balanced.require_side_by_side(loggers, unit=np.arange(n) // 2)


def test_a_canary_drawn_by_unit_is_side_by_side() -> None:
    rng = np.random.default_rng(6)
    n = 20_000
    unit = np.arange(n) // 40  # forty rows of a unit in a row, all of one logger: by rows it would seem to follow
    loggers = Loggers((rng.random(500) < 0.1).astype(np.int64)[unit], np.full((n, 2), 0.5))
    balanced.require_side_by_side(loggers, unit=unit)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"logger": np.array([0, 1, 2])}, "bad loggers: expected codes"),
        ({"logger": np.array([0, 1])}, "bad loggers: expected codes"),
        ({"behavior": np.full((3, 2), 1.5)}, "bad behavior of the loggers"),
        ({"behavior": np.full((3, 2), np.nan)}, "bad behavior of the loggers"),
        ({"share": np.array([0.5, 0.6])}, "bad shares of the loggers"),
        ({"share": np.array([1.0])}, "bad shares of the loggers"),
        ({"behavior": np.zeros((3, 2))}, "some logger takes, got 3 rows"),
        ({"logger": np.zeros(2, np.int64), "behavior": np.full((2, 2), 0.5)}, "expected 3 rows, got 2"),
    ],
)
def test_loggers_that_make_no_sense_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    logged = LoggedRewards(np.zeros(3, np.int64), np.ones(3), np.ones(3), np.zeros((3, 1)), np.arange(3))
    sound: dict[str, Any] = {"logger": np.array([0, 1, 0]), "behavior": np.full((3, 2), 0.5)}
    with pytest.raises(DegenerateData, match=message):
        balanced.evaluate(logged, np.ones((3, 1)), loggers=Loggers(**{**sound, **change}), n_looks=1)


def test_too_few_units_show_nothing() -> None:
    loggers = Loggers(np.arange(80) % 2, np.full((80, 2), 0.5))
    with pytest.raises(DegenerateData, match="expected 100 units"):
        balanced.require_side_by_side(loggers, unit=np.arange(80))
