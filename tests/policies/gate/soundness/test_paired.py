"""The paired terms are the gate's own stream, and their means have the clustered error."""

from __future__ import annotations

import numpy as np
import pytest

from policies.gate.judging.differences import one_step
from policies.gate.records import Plan
from policies.gate.soundness.paired import Mean, clustered_mean, paired_terms
from tests.policies.gate.condition_world import draw, honest_world
from tests.policies.gate.conftest import MakeRows


def test_the_terms_add_up_to_the_stream_that_the_gate_judges(plan: Plan) -> None:
    rng = np.random.default_rng(1)
    rows = draw(honest_world(rng), 1000, rng).rows
    stream = one_step(rows, look=np.ones(1000, np.int64), plan=plan, first_stake=0.1).lift
    terms = paired_terms(rows, unit=stream.unit)
    assert terms.value == pytest.approx(stream.value, abs=1e-14)
    assert terms.direct.tolist() == stream.direct.tolist()


def test_a_mean_by_hand() -> None:
    # units a: 1 and 3, b: 5; by shares 1, 1, 2 the mean is 14/4 = 3.5, deviations -2.5, -.5, 1.5; relative weights
    # .75, .75, 1.5: unit sums -2.25 and 2.25, error sqrt(2 (2.25^2 + 2.25^2)) / 3 = 1.5
    found = clustered_mean(np.array([1.0, 3, 5]), share=np.array([1.0, 1, 2]), unit=np.array([0, 0, 1]))
    assert (found.value, found.standard_error) == (pytest.approx(3.5), pytest.approx(1.5))
    assert found.z == pytest.approx(3.5 / 1.5)
    assert Mean(0.0, 0.0).z == 0


def test_equal_policies_differ_by_exactly_zero(make_rows: MakeRows) -> None:
    rows = make_rows(50)
    same = paired_terms(
        type(rows)(**{f: getattr(rows, f) for f in rows.__slots__} | {"challenger": rows.champion}), unit=np.arange(50)
    )
    assert not same.value.any()
