"""Mistakes in `gate.segments` and `gate.guardrails` are told before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from data_contracts.contract import read_contract, shipped_contract
from data_contracts.rewards.reward_settings import RewardSettings
from flows.gate_checks import check_gate, check_guardrails, check_segments
from policies.gate.episodes.episode_settings import EpisodeSettings
from policies.gate.segments.guardrail_settings import GuardrailMargin
from policies.gate.segments.segment_settings import SegmentSettings
from policies.gate.settings import GateSettings

CONTRACT = read_contract(shipped_contract("email_retention"))
REWARD = RewardSettings.model_validate(
    {"guardrails": {"complaint": {"limit": 0.1}, "visits": {"limit": 9, "within": "sum"}}}
)


class Found(list[tuple[Any, str, str]]):
    def __call__(self, path: Any, what: str, *, expected: str, got: str, then: str) -> None:
        self.append((path, what, then))


def _segment(column: str, *values: str) -> SegmentSettings:
    return SegmentSettings(name="loyal", column=column, values=values)


@pytest.mark.parametrize(
    ("segment", "path", "then"),
    [
        (_segment("relationshp", "loyal"), ("gate", "segments", 0, "column"), "relationship"),
        (_segment("unit_id", "loyal"), ("gate", "segments", 0, "column"), "Tag a column"),
        (_segment("relationship", "loyl"), ("gate", "segments", 0, "values"), "loyal"),
    ],
)
def test_a_segment_that_protects_nobody(segment: SegmentSettings, path: Any, then: str) -> None:
    found = Found()
    check_segments(found, [segment], CONTRACT)
    assert [f[0] for f in found] == [path]
    assert then in found[0][2]


def test_sound_ones_pass() -> None:
    found = Found()
    check_segments(found, [_segment("relationship", "loyal"), _segment("opens_30d", "0")], CONTRACT)
    check_guardrails(found, {"complaint": GuardrailMargin(margin=0.01)}, CONTRACT, REWARD)
    check_guardrails(found, {"visits": GuardrailMargin(relative=0.1, bounds=(0, 5))}, CONTRACT, REWARD)
    assert found == []


def test_a_margin_of_no_guardrail_and_a_sum_without_bounds() -> None:
    found = Found()
    check_guardrails(
        found, {"complain": GuardrailMargin(margin=0.01), "visits": GuardrailMargin(margin=1)}, CONTRACT, REWARD
    )
    assert [(f[0][-1], f[1]) for f in found] == [("complain", "guardrail"), ("visits", "bounds of guardrail visits")]


@pytest.mark.parametrize(("bound", "n"), [(None, 1), (3.0, 1), (2.0, 0)])
def test_a_refresh_needs_a_head_that_is_bounded_as_it_says(bound: float | None, n: int) -> None:
    found = Found()
    check_gate(found, GateSettings(claim="refresh"), contract=None, reward=REWARD, bound=bound)
    assert len(found) == n


def test_segments_are_not_asked_of_episodes() -> None:
    found = Found()
    gate = GateSettings(episodes=EpisodeSettings(), segments=(_segment("relationship", "loyal"),))
    check_gate(found, gate, contract=None, reward=REWARD, bound=None)
    assert len(found) == 1
