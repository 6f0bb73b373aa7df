"""What the champion decides is logged in the words of the interaction record, with the propensity it was drawn with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import InputError, UsageError
from data_contracts.home import Home
from data_contracts.store import read_interactions
from policies.action_probabilities import HeadSettings
from policies.encoding import Encoding, NumberFeature
from policies.export import OnnxPolicy, export_policy, load_policy
from policies.serving import act, draw_actions
from tests.data_contracts.small_log import ACTIONS, COLUMNS, CONTRACT, TASK, take_in

NOW = datetime(2026, 11, 21, 3, 4, 5, 678, tzinfo=UTC)
OBSERVED = pa.table({"age": [20, 40, 60], "score": [0.1, -2.0, 1 / 3], "member": [True, False, True]})


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> OnnxPolicy:
    import torch

    torch.manual_seed(0)
    features = tuple(NumberFeature(kind="number", column=name) for name in ("age", "score"))
    folder = tmp_path_factory.mktemp("policy")
    export_policy(
        torch.nn.Linear(2, 3),
        encoding=Encoding(features=features),
        mean=np.array([40, 0], np.float32),
        scale=np.array([20, 1], np.float32),
        head=HeadSettings(kind="softmax", exploration=0.1),
        n_actions=3,
        folder=folder,
    )
    return load_policy(folder)


def _act(
    policy: OnnxPolicy, observed: pa.Table = OBSERVED, *, seed: int = 0, **more: object
) -> list[dict[str, object]]:
    arguments: dict[str, object] = {"version": 7, "actions": ACTIONS, "now": NOW, **more}
    return act(policy, observed, rng=np.random.default_rng(seed), **arguments)  # type: ignore[arg-type]


def test_a_row_says_who_decided_what_and_how_likely(policy: OnnxPolicy) -> None:
    rows = _act(policy)
    probabilities = policy.action_probabilities(OBSERVED)
    for row, expected, age in zip(rows, probabilities, (20, 40, 60), strict=True):
        assert row["action_probabilities"] == expected.tolist()
        assert row["propensity"] == expected[ACTIONS.index(str(row["action"]))], "bit for bit"
        assert (row["policy_version"], row["age"]) == ("7", age)
        assert row["occurred_at"] == "2026-11-21T03:04:05.000678+00:00"
        assert row["unit_id"] == row["interaction_id"]
    assert len({row["interaction_id"] for row in rows}) == 3
    assert set(rows[0]) == {
        "interaction_id", "unit_id", "occurred_at", "action", "propensity", "action_probabilities", "policy_version",
        "age", "score", "member",
    }  # fmt: skip


def test_draws_repeat_with_the_seed(policy: OnnxPolicy) -> None:
    assert _act(policy, seed=3) == _act(policy, seed=3)
    ids = [[row["interaction_id"] for row in _act(policy, seed=seed)] for seed in (3, 4)]
    assert not set(ids[0]) & set(ids[1])


def test_given_ids_and_units_are_kept(policy: OnnxPolicy) -> None:
    observed = OBSERVED.append_column("unit_id", [["u1", None, "u3"]]).append_column(
        "interaction_id", [["i1", "i2", None]]
    )
    rows = _act(policy, observed)
    assert [row["unit_id"] for row in rows[::2]] == ["u1", "u3"]
    assert [row["interaction_id"] for row in rows[:2]] == ["i1", "i2"]
    assert rows[1]["unit_id"] == "i2"
    assert [row["interaction_id"] for row in _act(policy, observed, ids=["a", "b", "c"])] == ["a", "b", "c"]


def test_an_old_log_can_be_decided_again_without_its_decisions(policy: OnnxPolicy) -> None:
    old = OBSERVED
    for name, value in (("action", "9"), ("propensity", 0.9), ("reward", 1.0), ("occurred_at", "then"), ("day", "x")):
        old = old.append_column(name, [[value] * 3])
    assert _act(policy, old) == _act(policy)


def test_what_act_returns_is_the_next_log(policy: OnnxPolicy, tmp_path: Path) -> None:
    optional = tuple(replace(c, required=False) if c.name == "reward" else c for c in COLUMNS)
    contract = replace(CONTRACT, columns=optional)
    rows = _act(policy, OBSERVED.append_column("country", [["de", "fr", "de"]]))
    log = tmp_path / "served.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert take_in(Home(tmp_path / "home"), log, contract=contract).n_accepted == 3
    stored = read_interactions(Home(tmp_path / "home"), TASK).sort_by("interaction_id")
    by_id = sorted(rows, key=lambda row: str(row["interaction_id"]))
    for column in ("interaction_id", "action", "propensity", "action_probabilities", "policy_version", "age", "score"):
        assert stored[column].to_pylist() == [row[column] for row in by_id], column
    assert stored["occurred_at"].to_pylist() == [NOW] * 3
    assert stored["reward"].null_count == 3


def test_draws_follow_the_probabilities() -> None:
    n = 200_000
    probabilities = np.tile([0.5, 0.0, 0.3, 0.2, 0.0], (n, 1))
    drawn = draw_actions(probabilities, rng=np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=5) / n
    # four standard errors of a share: 4 sqrt(.5 * .5 / 200,000) = .0045
    np.testing.assert_allclose(shares, probabilities[0], atol=0.0045)
    assert shares[1] == shares[4] == 0


class _Edge(np.random.Generator):
    """Draws what `random` may draw at most (or at least)."""

    def __init__(self, value: float) -> None:
        super().__init__(np.random.PCG64(0))
        self.value = value

    def random(self, size: int) -> np.ndarray:  # type: ignore[override, type-arg]
        return np.full(size, self.value)


@pytest.mark.parametrize("value", [0.0, 1 - 2**-53])
def test_the_ends_of_the_draw_never_take_an_impossible_action(value: float) -> None:
    weights = np.random.default_rng(0).random((5_000, 5)) * [0, 1, 1, 1, 0]
    probabilities = weights / weights.sum(axis=1, keepdims=True)  # sums of 1 - 2^-53, 1 and 1 + 2^-52 among them
    assert len(np.unique(probabilities.sum(axis=1))) > 1
    drawn = draw_actions(probabilities, rng=_Edge(value))
    assert set(drawn.tolist()) == {1 if value == 0 else 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": ("0", "1")}, "expected 3, got 2"),
        ({"now": datetime(2026, 1, 1)}, "naive moment"),
        ({"ids": ["a"]}, "expected 3, got 1"),
        ({"ids": ["a", "b", "a"]}, r"1 repeated \(a\)"),
    ],
)
def test_calls_that_do_not_fit_are_refused(policy: OnnxPolicy, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _act(policy, **change)


def test_a_missing_observation_is_refused(policy: OnnxPolicy) -> None:
    with pytest.raises(InputError, match="missing column score"):
        _act(policy, OBSERVED.drop_columns(["score"]))


def test_no_rows_are_no_decisions(policy: OnnxPolicy) -> None:
    assert _act(policy, OBSERVED.slice(0, 0)) == []
