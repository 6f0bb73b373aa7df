"""A policy on rows that it cannot read: NaN for these, the same bits for the others."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Column
from data_contracts.errors import InputError
from policies.action_probabilities import HeadSettings
from policies.complete_rows import probabilities_of_complete_rows
from policies.encoding import fit_encoding
from policies.export import OnnxPolicy, export_policy, load_policy

COLUMNS = (
    Column("x", "x", "number", ("observation",)),
    Column("member", "member", "boolean", ("observation",)),
    Column("country", "country", "string", ("observation",)),
)
ROWS = pa.table(
    {
        "x": [0.5, None, float("nan"), 1e300, -2.0, 0.0],
        "member": [True, True, True, True, None, False],
        "country": ["de", "de", "de", "de", "de", None],
    }
)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> OnnxPolicy:
    """Scores of three actions from x, member and the country."""
    import torch

    encoding = fit_encoding(pa.table({"x": [1.0], "member": [True], "country": ["de"]}), columns=COLUMNS)
    torch.manual_seed(0)
    scores = torch.nn.Linear(encoding.n_features, 3)
    folder = tmp_path_factory.mktemp("policy")
    zeros, ones = np.zeros(encoding.n_features, np.float32), np.ones(encoding.n_features, np.float32)
    head = HeadSettings(exploration=0.1)
    export_policy(scores, encoding=encoding, mean=zeros, scale=ones, head=head, n_actions=3, folder=folder)
    return load_policy(folder)


def test_rows_with_gaps_are_nan_and_the_others_unchanged(policy: OnnxPolicy) -> None:
    found = probabilities_of_complete_rows(policy, ROWS)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, True, False]
    alone = policy.action_probabilities(ROWS.take([0, 5]))
    assert found[[0, 5]].tolist() == alone.tolist()


def test_without_a_column_nothing_is_known(policy: OnnxPolicy) -> None:
    assert np.isnan(probabilities_of_complete_rows(policy, ROWS.drop_columns(["country"]))).all()
    assert probabilities_of_complete_rows(policy, ROWS.slice(0, 0)).shape == (0, 3)


def test_another_type_is_an_error(policy: OnnxPolicy) -> None:
    wrong = ROWS.set_column(0, "x", pa.array(["a"] * 6))
    with pytest.raises(InputError, match="column x"):
        probabilities_of_complete_rows(policy, wrong)
