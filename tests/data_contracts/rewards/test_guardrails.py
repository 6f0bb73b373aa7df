"""What is watched is known for every interaction, and is never a reward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from data_contracts.errors import UsageError
from data_contracts.interactions import interaction_schema, outcome_schema
from data_contracts.rewards.guardrails import guardrails
from data_contracts.rewards.outcomes import attach_rewards
from data_contracts.rewards.reward_settings import RewardSettings

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
REWARD = RewardSettings.model_validate(
    {
        "attribution_window": "P1D",
        "default": 0.0,
        "guardrails": {
            "unsubscribe": {"window": "P3D", "limit": 0.01},
            "complaint": {"window": "P2D", "limit": 0.1, "within": "sum", "default": None},
        },
    }
)


def log(*rows: tuple[str, datetime]) -> pa.Table:
    records = [{"interaction_id": i, "occurred_at": t} for i, t in rows]
    return pa.Table.from_pylist(records, schema=interaction_schema({}))


def seen(*rows: tuple[str, str, float, datetime]) -> pa.Table:
    records = [{"interaction_id": i, "channel": c, "value": v, "observed_at": t} for i, c, v, t in rows]
    return pa.Table.from_pylist(records, schema=outcome_schema())


LATE = seen(
    ("a", "unsubscribe", 1.0, MONDAY + 3 * DAY),
    ("a", "complaint", 1.0, MONDAY + DAY),
    ("a", "complaint", 1.0, MONDAY + 2 * DAY),
    ("a", "complaint", 1.0, MONDAY + 3 * DAY),  # later than two days
    ("b", "unsubscribe", 1.0, MONDAY),  # before b
    ("z", "unsubscribe", 1.0, MONDAY),
)


def test_every_interaction_has_a_value_for_every_guardrail_and_a_maturity_of_its_own() -> None:
    table = guardrails(log(("b", MONDAY + DAY), ("a", MONDAY)), LATE, reward=REWARD, as_of=MONDAY + 3 * DAY)
    assert table.to_pydict() == {
        "interaction_id": ["b", "a", "b", "a"],
        "channel": ["complaint", "complaint", "unsubscribe", "unsubscribe"],
        "value": [None, 2.0, 0.0, 1.0],
        "matured": [True, True, False, True],
    }


def test_what_is_not_yet_observed_is_not_known() -> None:
    table = guardrails(log(("a", MONDAY)), LATE, reward=REWARD, as_of=MONDAY + DAY)
    assert table["value"].to_pylist() == [1.0, 0.0]
    assert table["matured"].to_pylist() == [False, False]
    with pytest.raises(UsageError, match="naive time"):
        guardrails(log(("a", MONDAY)), LATE, reward=REWARD, as_of=datetime(2026, 1, 6))


def test_a_guardrail_is_counted_and_never_rewarded() -> None:
    result = attach_rewards(log(("a", MONDAY)), LATE, reward=REWARD, as_of=MONDAY + 9 * DAY)
    assert result.table["reward"].to_pylist() == [0.0]
    assert (result.counts.n_guardrail, result.counts.n_orphan, result.counts.n_used) == (4, 2, 0)


def test_without_guardrails_there_is_an_empty_table() -> None:
    table = guardrails(log(("a", MONDAY)), LATE, reward=RewardSettings(), as_of=MONDAY)
    assert (table.num_rows, table.column_names) == (0, ["interaction_id", "channel", "value", "matured"])
