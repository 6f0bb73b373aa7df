"""Exact values from a table of moves."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import InputError
from policies.ope.exact import read_dynamics


def _moves(first: float = 1.0) -> pa.Table:
    """From state 0, action 0 ends with reward 1 in half of the cases and stays else; action 1 leads to 1, worth 3."""
    rows = [
        (-1, 0, -1, 0, first, 0.0),
        (0, 7, 0, -1, 0.5, 1.0),
        (0, 7, 0, 0, 0.5, 0.0),
        (0, 7, 1, 1, 1.0, 0.0),
        (1, 9, 0, -1, 1.0, 3.0),
        (1, 9, 1, -1, 1.0, 3.0),
    ]
    columns = zip(*rows, strict=True)
    names = ("state", "group", "action", "next_state", "probability", "reward")
    return pa.table({name: list(values) for name, values in zip(names, columns, strict=True)})


def test_worked_by_hand() -> None:
    dynamics = read_dynamics(_moves())
    assert dynamics.observations.to_pydict() == {"state": [0, 1], "group": [7, 9]}
    always_0, always_1 = np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    assert dynamics.value(always_0) == pytest.approx(1.0)  # v = .5 (1) + .5 v
    assert dynamics.value(always_1) == pytest.approx(3.0)
    assert dynamics.value(always_0, gamma=0.5) == pytest.approx(0.5 / 0.75)
    # half and half: v = .5 (.5 + .5 v) + .5 (3): .75 v = 1.75
    assert dynamics.value(np.full((2, 2), 0.5)) == pytest.approx(1.75 / 0.75)


def test_chances_must_sum_to_one() -> None:
    with pytest.raises(InputError, match="sum to 1"):
        read_dynamics(_moves(first=0.9))
