"""Guardrails from the store, and the bounds that the gate's bets rely on."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from data_contracts.contract import Contract, read_contract, shipped_contract
from data_contracts.errors import ConfigurationError
from data_contracts.home import create_home
from data_contracts.ingest import ingest
from data_contracts.interactions import interaction_schema
from data_contracts.rewards.guardrail_reading import guardrail_bounds, read_guardrails
from data_contracts.rewards.reward_settings import Channel, RewardSettings

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
DAY = timedelta(days=1)
REWARD = RewardSettings.model_validate(
    {
        "channels": {"click": {"kind": "interaction", "window": "P2D"}},
        "default": 0.0,
        "guardrails": {"complaint": {"window": "P7D", "limit": 0.03}},
    }
)
LOG = pa.Table.from_pylist(
    [{"interaction_id": name, "occurred_at": MONDAY + i * DAY} for i, name in enumerate(("a", "b"))],
    schema=interaction_schema({}),
).select(["interaction_id", "occurred_at"])


@pytest.fixture
def contract() -> Contract:
    return read_contract(shipped_contract("email_retention"))


def test_values_are_those_of_the_store_as_known_at_the_moment(tmp_path: Path, contract: Contract) -> None:
    home = create_home({"SLUICE_HOME": str(tmp_path / "home")})
    before = read_guardrails(home, task="mail", reward=REWARD, interactions=LOG, as_of=MONDAY + 9 * DAY)
    assert before["value"].to_pylist() == [0.0, 0.0], "without a file of outcomes nothing has come"
    outcomes = tmp_path / "complaints.csv"
    outcomes.write_text(
        "interaction_id,channel,value,observed_at\n"
        "a,complaint,1,2026-09-13T00:00:00Z\nb,complaint,1,2026-09-14T00:00:00Z\n"
    )
    ingest(
        home,
        task="mail",
        contract=contract,
        actions=("plain",),
        paths=[outcomes],
        kind="outcomes",
        channels=REWARD.channel_names,
        now=MONDAY + 9 * DAY,
    )

    def known(days: int) -> list[tuple[float | None, bool]]:
        found = read_guardrails(home, task="mail", reward=REWARD, interactions=LOG, as_of=MONDAY + days * DAY)
        return list(zip(found["value"].to_pylist(), found["matured"].to_pylist(), strict=True))

    assert known(5) == [(0.0, False), (0.0, False)]
    assert known(7) == [(1.0, True), (1.0, False)]
    assert known(8) == [(1.0, True), (1.0, True)]
    nothing = read_guardrails(home, task="mail", reward=RewardSettings(), interactions=LOG, as_of=MONDAY)
    assert nothing.num_rows == 0


def test_bounds_are_the_contracts_widened_to_the_default_or_the_tasks_own(contract: Contract) -> None:
    channel = Channel("complaint", 7 * DAY, default=0.0)
    assert guardrail_bounds(contract, channel, None) == (0.0, 1.0)
    assert guardrail_bounds(contract, dataclasses.replace(channel, default=-2.0), None) == (-2.0, 1.0)
    assert guardrail_bounds(contract, dataclasses.replace(channel, within="sum"), (0.0, 3.0)) == (0.0, 3.0)
    with pytest.raises(ConfigurationError, match=r"no bounds of guardrail complaint.*added up"):
        guardrail_bounds(contract, dataclasses.replace(channel, within="sum"), None)
