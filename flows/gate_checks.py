"""What must hold between the gate's segments and guardrails, the contract and the reward of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from data_contracts.contract import Contract
from data_contracts.errors import ConfigurationError
from data_contracts.language.problems import KeyPath, hint, one_of, show
from data_contracts.rewards.guardrail_reading import guardrail_bounds
from data_contracts.rewards.reward_settings import RewardSettings
from policies.gate.segments.guardrail_settings import GuardrailMargin
from policies.gate.segments.segment_settings import SegmentSettings
from policies.gate.settings import GateSettings


class Add(Protocol):
    """How a mistake is reported; see `TaskFile.add`."""

    def __call__(self, path: KeyPath, what: str, *, expected: str, got: str, then: str) -> None: ...


def check_gate(
    add: Add, gate: GateSettings, *, contract: Contract | None, reward: RewardSettings, bound: float | None
) -> None:
    """Everything about `gate:` that no single value shows; a contract of None could not be read.

    `bound` is that of the head that is trained: a refresh needs one.
    """
    largest = gate.refresh.largest_ratio
    if gate.claim == "refresh" and (bound is None or bound > largest):
        then = "Write training.head.bound, or claim a lift."
        expected = f"a head bounded by {largest:g} (refresh.largest_ratio) or less"
        add(("gate", "claim"), "claim of a refresh", expected=expected, got=str(bound or "none"), then=then)
    if contract is not None:
        check_segments(add, gate.segments, contract)
        check_guardrails(add, gate.guardrails, contract, reward)
    if gate.episodes is not None and (gate.segments or gate.guardrails):
        then = "Leave them out: they are asked of single decisions."
        add(("gate", "episodes"), "gate of episodes", expected="no segments and no guardrails", got="some", then=then)


def check_segments(add: Add, segments: Sequence[SegmentSettings], contract: Contract) -> None:
    """A protected segment names a column that every row has in the store, and values that the contract knows."""
    names = tuple(c.name for c in contract.columns if {"segment", "observation"} & set(c.roles))
    for i, segment in enumerate(segments):
        path: KeyPath = ("gate", "segments", i)
        column = contract.column(segment.column)
        if column is None or segment.column not in names:
            then = hint(segment.column, names) or "Tag a column of the contract as segment."
            expected = one_of(names)
            add((*path, "column"), "column of a segment", expected=expected, got=show(segment.column), then=then)
            continue
        for value in segment.values if column.valid_values is not None else ():
            if value not in (known := column.valid_values or ()):
                then = hint(value, known) or "Correct it: nobody would be protected."
                add((*path, "values"), f"value of segment {segment.name}", expected=one_of(known), got=value, then=then)


def check_guardrails(
    add: Add, margins: Mapping[str, GuardrailMargin], contract: Contract, reward: RewardSettings
) -> None:
    """A margin is of a declared guardrail, and every guardrail of the gate has bounds."""
    declared = {channel.name: channel for channel in reward.guardrail_channels}
    for name, margin in margins.items():
        path: KeyPath = ("gate", "guardrails", name)
        if name not in declared:
            then = hint(name, tuple(declared)) or "Declare it under reward.guardrails."
            add(path, "guardrail", expected=one_of(tuple(declared)) if declared else "none", got=show(name), then=then)
            continue
        try:
            guardrail_bounds(contract, declared[name], margin.bounds)
        except ConfigurationError:
            then = "Write bounds: [least, most] of one interaction."
            add(path, f"bounds of guardrail {name}", expected="bounds, as its values add up", got="none", then=then)
