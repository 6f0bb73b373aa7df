"""Does drift touch the decision? Worlds in which the answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from data_contracts.errors import UsageError
from policies.gate.records import GateRows, Plan, Verdict
from policies.gate.soundness.density_ratio import density_ratio
from policies.gate.soundness.relevance import Relevance, evaluated_differences, weigh_relevance

N, M, D = 6_000, 3_000, 6
THRESHOLD = 1_000.0


def weigh(
    seed: int,
    *,
    shift: float = 0.0,
    slope: float = 0.0,
    level: float = 0.1,
    verdict: Verdict = "promote",
    product: float = 0.0,
    correlation: tuple[float, float] = (0.0, 0.0),
) -> Relevance:
    """x0 moves by `shift`, the correlation of x0 and x1 changes; Gamma = level + slope x0 + product x0 x1 + noise."""
    rng = np.random.default_rng(seed)
    old, new = rng.normal(size=(N, D)), rng.normal(size=(M, D))
    for x, rho in zip((old, new), correlation, strict=True):
        x[:, 1] = rho * x[:, 0] + math.sqrt(1 - rho**2) * x[:, 1]
    new[:, 0] += shift
    difference = level + slope * old[:, 0] + product * old[:, 0] * old[:, 1] + rng.normal(size=N)
    return weigh_relevance(
        old=old,
        new=new,
        difference=difference,
        unit_id=np.arange(N).astype(str),
        verdict=verdict,
        threshold=THRESHOLD,
    )


def test_a_shift_that_the_difference_does_not_feel_changes_nothing() -> None:
    found = weigh(1, shift=0.5)
    assert not found.changed
    # old and new overlap: E[w^2] = exp(0.25), so about 6,000 / 1.28 effective units
    assert found.effective_sample_size == pytest.approx(N / math.exp(0.25), rel=0.25)
    assert found.interval.lower < 0.1 < found.interval.upper
    assert found.reweighted_interval.lower < 0.1 < found.reweighted_interval.upper
    assert found.note.startswith("the verdict promote stays")


def test_a_shift_that_reverses_the_difference_changes_the_verdict() -> None:
    # Gamma = 0.1 - 0.4 x0: mean 0.1 before, 0.1 - 0.4 * 0.5 = -0.1 after the shift
    found = weigh(2, shift=0.5, slope=-0.4)
    assert found.changed
    assert found.difference > 0 > found.reweighted
    assert found.reweighted == pytest.approx(-0.1, abs=0.06)
    assert found.reweighted_interval.upper < 0


def test_a_shift_that_only_hides_the_difference_changes_the_verdict_too() -> None:
    found = weigh(3, shift=0.5, slope=-0.2)  # 0.1 before, 0 after
    assert found.changed
    assert found.reweighted_interval.lower <= 0


def test_a_rotation_is_seen_in_the_products() -> None:
    # E[x0 x1] goes from 0.3 to -0.3: Gamma = 0.05 + x0 x1 / 2 goes from 0.2 to -0.1
    found = weigh(4, level=0.05, product=0.5, correlation=(0.3, -0.3))
    assert found.changed
    assert found.reweighted < 0.05 < found.difference
    assert not weigh(4, level=0.2, correlation=(0.3, -0.3)).changed


@pytest.mark.parametrize(
    ("verdict", "level", "slope", "changed"),
    [
        ("block", -0.2, 0.0, False),
        ("block", -0.1, 0.5, True),  # -0.1 + 0.5 * 0.5 = 0.15
        ("hold", 0.0, 0.0, False),
        ("hold", 0.0, 0.4, True),  # 0.2 would be decided
        ("hold", 0.0, 0.04, False),  # 0.02 would not
        ("refuse", 0.1, -0.4, False),
    ],
)
def test_what_a_change_is_depends_on_the_verdict(verdict: Verdict, level: float, slope: float, changed: bool) -> None:
    assert weigh(5, shift=0.5, level=level, slope=slope, verdict=verdict).changed == changed


def test_without_overlap_it_counts_as_changed() -> None:
    for shift in (3.0, 8.0, 100.0):
        found = weigh(6, shift=shift)
        assert found.changed
        assert "no overlap" in found.note


def test_a_category_that_the_gate_has_never_read_is_no_overlap() -> None:
    rng = np.random.default_rng(7)
    old = np.zeros((N, 2))
    old[:, 0] = rng.random(N) < 0.5
    new = np.zeros((M, 2))
    new[:, 1] = rng.random(M) < 0.5  # half of the new rows have a value that no old row has
    found = weigh_relevance(
        old=old,
        new=new,
        difference=0.1 + 0.1 * rng.normal(size=N),
        unit_id=np.arange(N).astype(str),
        verdict="promote",
        threshold=THRESHOLD,
    )
    assert found.changed
    assert found.note.startswith("no overlap: the gate's rows reach 5")  # about half


def test_weights_that_do_not_balance_the_features_fail_closed() -> None:
    # the ratio of these densities is far from what a regularised classifier of products can say
    found = weigh(14, correlation=(0.6, -0.6))
    assert found.changed
    assert found.covered is not None
    assert found.covered > 0.8
    assert "weighted features still differ" in found.note


def test_too_few_rows_fail_closed() -> None:
    rng = np.random.default_rng(8)
    found = weigh_relevance(
        old=rng.normal(size=(150, 2)),
        new=rng.normal(size=(500, 2)),
        difference=np.ones(150),
        unit_id=np.arange(150).astype(str),
        verdict="promote",
        threshold=THRESHOLD,
    )
    assert found.changed
    assert "too few rows" in found.note
    assert found.reweighted is None


def test_the_interval_is_clustered_by_unit() -> None:
    # 100 units with 60 equal rows each: the error is that of 100 values, and there are 100 effective units at most
    rng = np.random.default_rng(9)
    unit = np.repeat(np.arange(100), 60)
    values = rng.normal(size=100)
    found = weigh_relevance(
        old=rng.normal(size=(N, 2)),
        new=rng.normal(size=(M, 2)),
        difference=values[unit],
        unit_id=unit.astype(str),
        verdict="hold",
        threshold=THRESHOLD,
    )
    half = (found.interval.upper - found.interval.lower) / 2
    assert half == pytest.approx(1.96 * values.std() / 10, rel=1e-3)
    assert found.effective_sample_size <= 100


def test_one_unit_alone_fails_closed() -> None:
    rng = np.random.default_rng(10)
    found = weigh_relevance(
        old=rng.normal(size=(500, 2)),
        new=rng.normal(size=(500, 2)),
        difference=np.ones(500),
        unit_id=np.full(500, "u"),
        verdict="promote",
        threshold=THRESHOLD,
    )
    assert found.changed


def test_constant_features_say_nothing() -> None:
    rng = np.random.default_rng(11)
    found = weigh_relevance(
        old=np.ones((500, 3)),
        new=np.ones((500, 3)),
        difference=1 + 0.1 * rng.normal(size=500),
        unit_id=np.arange(500).astype(str),
        verdict="promote",
        threshold=THRESHOLD,
    )
    assert not found.changed
    assert found.reweighted == pytest.approx(found.difference)


def test_the_ratio_is_the_one_of_the_densities() -> None:
    # N(0, 1) and N(1/2, 1): the ratio is exp(x / 2 - 1 / 8)
    rng = np.random.default_rng(12)
    old, new = rng.normal(size=(20_000, 1)), rng.normal(0.5, 1, size=(20_000, 1))
    one = np.ones(20_000)
    ratio = density_ratio(old, new, unit=np.arange(20_000), row_weight=one, new_row_weight=one)
    assert ratio == pytest.approx(np.exp(old[:, 0] / 2 - 1 / 8), rel=0.15)


def test_rows_of_a_downsampled_log_stand_for_their_kind() -> None:
    # of the rows with x = 0 one in four was logged, before and after: the traffic has half of each, and did not move
    rng = np.random.default_rng(13)
    x = (rng.random(N) < 0.8).astype(float)  # of 1/2 and 1/8
    weight = np.where(x == 1, 1.0, 4.0)
    found = weigh_relevance(
        old=x[:, None],
        new=np.repeat([0.0, 1.0], M // 2)[:, None],  # logged in full by now
        difference=np.where(x == 1, 0.3, -0.1) + 0.1 * rng.normal(size=N),
        unit_id=np.arange(N).astype(str),
        verdict="promote",
        threshold=THRESHOLD,
        row_weight=weight,
    )
    assert not found.changed
    assert found.difference == pytest.approx(0.1, abs=0.02)
    assert found.reweighted == pytest.approx(0.1, abs=0.02)


def test_bad_arrays_are_refused() -> None:
    good = {
        "old": np.zeros((300, 2)),
        "new": np.zeros((300, 2)),
        "difference": np.zeros(300),
        "unit_id": np.arange(300).astype(str),
        "verdict": "hold",
        "threshold": THRESHOLD,
    }
    for name, value in [("new", np.zeros((300, 3))), ("difference", np.zeros(299)), ("old", np.full((300, 2), np.nan))]:
        with pytest.raises(UsageError, match="decision relevance"):
            weigh_relevance(**{**good, name: value})  # type: ignore[arg-type]


def test_differences_are_the_gates() -> None:
    # uniform behavior over two actions, champion always 0, challenger always 1, no reward model: Gamma = +-2 r
    n = 4
    action = np.array([0, 1, 1, 0])
    rows = GateRows(
        interaction_id=np.arange(n).astype(str),
        unit_id=np.arange(n).astype(str),
        policy_version=np.full(n, "1"),
        action=action,
        reward=np.array([1.0, 1.0, 0.0, 0.0]),
        propensity=np.full(n, 0.5),
        behavior=np.full((n, 2), 0.5),
        champion=np.tile([1.0, 0.0], (n, 1)),
        challenger=np.tile([0.0, 1.0], (n, 1)),
        reward_model=np.zeros((n, 2)),
    )
    plan = Plan(n_planned=100, sigma_squared=1.0, reward_minimum=0.0, reward_maximum=1.0)
    assert evaluated_differences(rows, plan=plan, threshold=THRESHOLD).tolist() == [-2.0, 2.0, 0.0, 0.0]
