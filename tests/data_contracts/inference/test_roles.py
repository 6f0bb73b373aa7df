"""Names suggest a role, values decide whether a column can play it."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.inference.roles import guess_roles
from data_contracts.inference.sample import Kind, Sample, SampleColumn


def column(name: str, kind: Kind, **facts: object) -> SampleColumn:
    defaults: dict[str, object] = {"n": 100, "n_missing": 0, "n_distinct": 10, "values": {}, "minimum": None,
                                   "maximum": None}  # fmt: skip
    return SampleColumn(name=name, kind=kind, **{**defaults, **facts})  # type: ignore[arg-type]


def found(*columns: SampleColumn) -> dict[str, str]:
    return guess_roles(Sample(Path("log.csv"), 100, 0, columns)).found


IDENTITY = column("requestId", "string", n_distinct=100)


@pytest.mark.parametrize("name", ["item_id", "Action", "chosen-action", "variant", "armId"])
def test_spellings(name: str) -> None:
    assert found(column(name, "string"))["action"] == name


def test_a_whole_log() -> None:
    roles = found(
        IDENTITY,
        column("userId", "integer", minimum=1, maximum=9),
        column("ts", "timestamp"),
        column("item_id", "integer", minimum=0, maximum=9),
        column("pscore", "number", minimum=0.1, maximum=0.9),
        column("clicked", "boolean"),
        column("time", "number", minimum=0, maximum=1),
    )
    assert roles == {"interaction_id": "requestId", "unit_id": "userId", "occurred_at": "ts", "action": "item_id",
                     "propensity": "pscore", "reward": "clicked"}  # fmt: skip


def test_values_must_fit() -> None:
    repeated = column("request_id", "string", n_distinct=99)
    percent = column("propensity", "number", minimum=1, maximum=90)
    zero = column("prob", "number", minimum=0, maximum=0.5)
    assert found(repeated, percent, zero, column("timestamp", "string"), column("action", "string", n_distinct=1)) == {}


def test_each_column_plays_one_role_and_the_surest_name_wins() -> None:
    assert found(column("id", "string", n_distinct=100), IDENTITY)["interaction_id"] == "requestId"
    assert found(column("user_id", "string", n_distinct=100)) == {"unit_id": "user_id"}


def test_the_only_time_is_when_it_happened() -> None:
    assert found(column("when", "timestamp")) == {"occurred_at": "when"}
    assert found(column("when", "timestamp"), column("signup", "timestamp")) == {}


def test_missing_roles_are_the_required_ones() -> None:
    roles = guess_roles(Sample(Path("log.csv"), 100, 0, (IDENTITY,)))
    assert roles.missing == ("unit_id", "occurred_at", "action", "policy_version")
    assert roles.role_of("requestId") == "interaction_id"
    assert roles.role_of("other") is None
