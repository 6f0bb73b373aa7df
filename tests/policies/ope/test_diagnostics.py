"""Diagnostics by hand, and a propensity that lies in one policy version."""

from __future__ import annotations

import math

import numpy as np
import pytest

from policies.ope.diagnostics import (
    effective_sample_size,
    expected_weights,
    unsupported_mass,
    weight_histogram,
    weight_quantiles,
)


def test_effective_sample_size_counts_units() -> None:
    assert effective_sample_size(np.ones(6), np.arange(6)) == 6
    assert effective_sample_size(np.ones(6), np.array([0, 0, 1, 1, 2, 2])) == 3
    assert effective_sample_size(np.array([3.0, 1.0]), np.array([0, 1])) == pytest.approx(16 / 10)
    assert effective_sample_size(np.zeros(3), np.arange(3)) == 0


def test_weight_quantiles_end_at_the_maximum() -> None:
    found = weight_quantiles(np.arange(101.0))
    assert found == {"50": 50, "90": 90, "99": 99, "max": 100}


@pytest.mark.parametrize("weights", [[0.0, 1e-9, 0.5, 7.0, 30.3], [0.0, 0.0], [1.0], [1e-5, 2e-5]])
def test_every_weight_is_in_one_bin(weights: list[float]) -> None:
    found = weight_histogram(np.array(weights))
    assert sum(found.counts) == len(weights)
    assert len(found.edges) == len(found.counts) + 1
    ratios = np.diff(np.log(found.edges))
    assert ratios == pytest.approx(np.full(len(ratios), ratios[0]))
    assert found.edges[-1] >= max(weights)


def test_unsupported_mass_by_hand() -> None:
    behavior = np.array([[0.996, 0.004], [0.5, 0.5]])
    target = np.array([[0.2, 0.8], [0.0, 1.0]])
    assert unsupported_mass(behavior, target, support_propensity=0.005) == pytest.approx(0.4)
    assert unsupported_mass(behavior, target, support_propensity=0.001) == 0


def _expected(scale: float, *, n: int = 30_000) -> dict[str, float]:
    """log e of the challenger by policy version, when version "new" logs propensities scaled by `scale`."""
    rng = np.random.default_rng(11)
    behavior = np.tile([0.6, 0.3, 0.1], (n, 1))
    challenger = np.tile([0.2, 0.2, 0.6], (n, 1))
    action = rng.choice(3, size=n, p=behavior[0])
    version = np.where(np.arange(n) < n // 2, "old", "new")
    found = expected_weights(
        policy_version=version,
        action=action,
        propensity=behavior[0, action] * np.where(version == "new", scale, 1.0),
        behavior=behavior,
        champion=behavior,
        challenger=challenger,
    )
    assert {e.policy for e in found} == {"champion", "challenger"}
    assert all(e.lower <= e.mean <= e.upper and e.n == n // 2 for e in found)
    return {e.policy_version: e.log_e for e in found if e.policy == "challenger"}


def test_a_lying_version_is_found_and_the_honest_one_is_not() -> None:
    honest, lying = _expected(1.0), _expected(0.9)
    assert max(honest.values()) < math.log(20)
    assert lying["new"] > math.log(1000)
    assert lying["old"] == honest["old"]


def test_mass_on_actions_never_taken_is_no_sign_of_a_lie() -> None:
    n = 20_000
    behavior = np.tile([0.5, 0.5, 0.0], (n, 1))
    target = np.tile([0.5, 0.3, 0.2], (n, 1))
    action = np.random.default_rng(12).integers(2, size=n)
    found = expected_weights(
        policy_version=np.full(n, "v"),
        action=action,
        propensity=np.full(n, 0.5),
        behavior=behavior,
        champion=behavior,
        challenger=target,
    )
    assert all(e.log_e < math.log(20) and abs(e.mean - 1) < 0.02 for e in found)
