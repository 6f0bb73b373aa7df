"""Row weights: a row of weight 3 is three rows, and a downsampled log tells the truth of the whole one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData
from data_contracts.propensities.propensity_health import weight_e_value
from policies.ope import Estimate, estimate_all
from policies.ope.diagnostics import expected_weights, unsupported_mass

ESTIMATORS = ("ips", "snips", "dm", "dr", "median_of_means")
N_ACTIONS = 3
Log = dict[str, Any]


def _log(n: int, rng: np.random.Generator) -> tuple[Log, dict[str, float]]:
    """A log over four contexts with exact values of both policies; units of two rows."""
    means = rng.uniform(0.02, 0.3, (4, N_ACTIONS))
    behavior, champion, challenger = (0.1 + 0.7 * rng.dirichlet(np.ones(N_ACTIONS), size=4) for _ in range(3))
    context = rng.integers(4, size=n)
    action = (rng.random(n)[:, None] > behavior[context].cumsum(axis=1)).sum(axis=1)
    log = {
        "action": action,
        "reward": (rng.random(n) < means[context, action]) * 1.0,
        "propensity": behavior[context, action],
        "champion": champion[context],
        "challenger": challenger[context],
        "reward_model": np.clip(means[context] + 0.1, 0, 1),
        "unit_id": np.array([f"u{i // 2}" for i in range(n)]),
    }
    values = {
        name: float((p * means).sum(axis=1).mean()) for name, p in (("champion", champion), ("challenger", challenger))
    }
    return log, {**values, "difference": values["challenger"] - values["champion"]}


def _take(log: Log, rows: NDArray[Any]) -> Log:
    return {name: values[rows] for name, values in log.items()}


def _find(estimates: tuple[Estimate, ...], estimator: str, policy: str) -> Estimate:
    return next(e for e in estimates if (e.estimator, e.policy) == (estimator, policy))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_weight_of_three_is_three_rows_of_the_same_unit(estimator: str) -> None:
    rng = np.random.default_rng(1)
    log, _ = _log(400, rng)
    times = rng.integers(1, 4, size=400)
    weighted = estimate_all(**log, weight=times * 1.0)
    repeated = estimate_all(**_take(log, np.repeat(np.arange(400), times)))
    for policy in ("champion", "challenger", "difference"):
        one, other = _find(weighted, estimator, policy), _find(repeated, estimator, policy)
        for field in ("value", "standard_error", "effective_sample_size", "lower", "upper"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-9, abs=1e-12), field


@pytest.mark.parametrize("factor", [1.0, 10.0])
def test_equal_weights_change_nothing_to_the_bit(factor: float) -> None:
    log, _ = _log(500, np.random.default_rng(2))
    if factor == 1.0:
        assert estimate_all(**log, weight=np.ones(500)) == estimate_all(**log)
    for one, other in zip(estimate_all(**log, weight=np.full(500, factor)), estimate_all(**log), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-12)


@pytest.mark.parametrize("estimator", ["ips", "snips", "dr"])
def test_downsampled_negatives_are_weighed_back_to_the_truth(estimator: str) -> None:
    """Only a tenth of the rows without reward is kept. Without weights every value is several times too high."""
    rng = np.random.default_rng(3)
    log, truth = _log(60_000, rng)
    rate = np.where(log["reward"] > 0, 1.0, 0.1)
    kept = np.flatnonzero(rng.random(60_000) < rate)
    sampled = estimate_all(**_take(log, kept), weight=1 / rate[kept])
    naive = estimate_all(**_take(log, kept))
    for policy, value in truth.items():
        found = _find(sampled, estimator, policy)
        assert abs(found.value - value) < 4.5 * found.standard_error
        assert found.standard_error < 0.02
    for policy in ("champion", "challenger"):
        assert _find(naive, estimator, policy).value > 2 * truth[policy]


def test_intervals_of_a_downsampled_log_cover_at_their_rate() -> None:
    rng = np.random.default_rng(4)
    n_covered = 0
    for _ in range(150):
        log, truth = _log(2000, rng)
        rate = np.where(log["reward"] > 0, 1.0, 0.25)
        kept = np.flatnonzero(rng.random(2000) < rate)
        found = _find(estimate_all(**_take(log, kept), weight=1 / rate[kept]), "dr", "difference")
        n_covered += found.lower <= truth["difference"] <= found.upper
    assert 130 <= n_covered <= 150, n_covered  # 142.5 +- 2.7


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_a_weight_that_is_none_is_refused(wrong: float) -> None:
    log, _ = _log(10, np.random.default_rng(5))
    with pytest.raises(DegenerateData, match="bad weight"):
        estimate_all(**log, weight=np.where(np.arange(10) == 3, wrong, 1.0))


def test_unsupported_mass_is_a_share_of_the_whole_log() -> None:
    behavior = np.array([[1.0, 0.0], [0.5, 0.5]])
    target = np.array([[0.2, 0.8], [0.2, 0.8]])
    found = unsupported_mass(behavior, target, support_propensity=0.01, weight=np.array([1.0, 3.0]))
    assert found == pytest.approx(0.8 / 4)


def test_true_propensities_of_a_downsampled_log_are_not_called_wrong() -> None:
    """Sampling that depends on the action moves the plain mean weight; the shares bring it back to 1."""
    rng = np.random.default_rng(6)
    log, _ = _log(20_000, rng)
    rate = np.where(log["action"] == 0, 0.2, 1.0)
    kept = np.flatnonzero(rng.random(20_000) < rate)
    rows, share = _take(log, kept), (1 / rate[kept]) / 5
    behavior = np.full((len(kept), N_ACTIONS), np.nan)
    behavior[:] = 1 / N_ACTIONS  # only its support is read here, and the largest weight
    behavior = np.minimum(behavior, 0.05)  # so that `possible` is above every weight
    arguments = {
        "policy_version": np.full(len(kept), "1"),
        "action": rows["action"],
        "propensity": rows["propensity"],
        "behavior": behavior,
        "champion": rows["champion"],
        "challenger": rows["challenger"],
    }
    with_shares = expected_weights(**arguments, share=share)
    plain = expected_weights(**arguments)
    assert all(found.lower <= 1 <= found.upper and found.log_e < np.log(100) for found in with_shares)
    assert any(found.log_e > np.log(1000) for found in plain)
    ones = expected_weights(**arguments, share=np.ones(len(kept)))
    assert ones == plain
    weights = rows["champion"][np.arange(len(kept)), rows["action"]] / rows["propensity"]
    assert plain[1].mean == weight_e_value(weights, maximum=weights.max() + 1).mean
