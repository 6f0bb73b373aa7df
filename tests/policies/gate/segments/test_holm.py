"""Step-down against the textbook procedure on ordered p-values."""

from __future__ import annotations

import numpy as np
import pytest

from policies.gate.segments.holm import step_down


def _asked(p_values: list[float]) -> list[bool]:
    return [a.proven for a in step_down([lambda alpha, p=p: p <= alpha for p in p_values], alpha=0.05)]


def test_numbers_worked_out_by_hand() -> None:
    """m = 4: .01 <= .05 / 4; then .015 <= .05 / 3; then .03 > .05 / 2, so it and .04 stay."""
    answers = step_down([lambda alpha, p=p: p <= alpha for p in (0.04, 0.01, 0.03, 0.015)], alpha=0.05)
    assert [a.proven for a in answers] == [False, True, False, True]
    assert [a.alpha for a in answers] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])
    assert step_down([], alpha=0.05) == ()


@pytest.mark.parametrize("seed", range(30))
def test_the_same_set_as_on_ordered_p_values(seed: int) -> None:
    p = np.random.default_rng(seed).beta(0.3, 4, size=6)
    order = np.argsort(p)
    passed = p[order] <= 0.05 / (6 - np.arange(6))
    n = int(np.argmin(passed)) if not passed.all() else 6
    expected = [bool(i in order[:n]) for i in range(6)]
    assert _asked(p.tolist()) == expected
