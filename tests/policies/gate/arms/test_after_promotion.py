"""What arms lead to: proven harm at any horizon ends a stage, a proven gain at the longest alone does."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pydantic import ValidationError

from data_contracts.home import Home
from policies.gate.arms.after_promotion import Conclusion, HorizonFound, canary_step, conclude, holdback_step, words_of
from policies.gate.arms.arm_looks import ArmLook, arm_looks_of, record_arm_look
from policies.gate.arms.arm_schedule import look_of_units, looks_taken
from policies.gate.arms.stage_settings import HoldbackSettings, StageSettings
from tests.policies.small_registry import NOW, TASK

START = np.datetime64("2026-09-01", "us")
DAY = np.timedelta64(1, "D")


def at(days: int, **found: object) -> HorizonFound:
    values: dict[str, object] = {"looks_taken": 1, "n_looks": 4, "better": False, "worse": False, "balanced": True}
    return HorizonFound(horizon_days=days, **{**values, **found})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([at(7), at(30)], "wait"),
        ([at(7, better=True), at(30)], "wait"),  # good at once proves nothing about later
        ([at(7, better=True, looks_taken=4), at(30)], "wait"),
        ([at(7), at(30, better=True)], "better"),
        ([at(7, better=True), at(30, worse=True)], "worse"),
        ([at(7, worse=True), at(30, better=True)], "worse"),
        ([at(7, looks_taken=4), at(30, looks_taken=4)], "exhausted"),
        ([at(7, looks_taken=4, lift=-0.1), at(30, looks_taken=4, lift=0.1)], "exhausted"),
        ([at(7, looks_taken=4, lift=0.1), at(30, looks_taken=4, lift=-0.1)], "undecided"),
        ([at(7, looks_taken=4, lift=0.1), at(30, looks_taken=3, lift=-0.1)], "wait"),
        ([at(7, looks_taken=4), at(30, looks_taken=4, better=True)], "better"),
        ([at(7, balanced=False), at(30, better=True)], "incomparable"),
        ([at(7), at(30, balanced=False, worse=True, looks_taken=4)], "incomparable"),
        ([at(7, worse=True), at(30, balanced=False)], "worse"),
    ],
)
def test_conclusions(found: list[HorizonFound], expected: Conclusion) -> None:
    assert conclude(found) == expected
    assert words_of(found, expected)


def test_words_name_the_horizon() -> None:
    assert words_of([at(7, better=True), at(30, worse=True)], "worse").endswith("proven over 30 days")
    assert words_of([at(7, better=True), at(30)], "wait").startswith(
        "better over 7 days, which proves nothing about 30"
    )


@pytest.mark.parametrize(
    ("conclusion", "of_holdback", "of_alert", "of_canary"),
    [
        ("wait", "wait", "wait", "wait"),
        ("better", "confirm", "confirm", "promote"),
        ("worse", "roll_back", "alert", "withdraw"),
        ("exhausted", "confirm", "confirm", "withdraw"),
        ("undecided", "wait", "wait", "withdraw"),
        ("incomparable", "wait", "wait", "withdraw"),
    ],
)
def test_steps(conclusion: Conclusion, of_holdback: str, of_alert: str, of_canary: str) -> None:
    assert holdback_step(conclusion, on_regression="rollback") == of_holdback
    assert holdback_step(conclusion, on_regression="alert") == of_alert
    assert canary_step(conclusion) == of_canary


def test_looks_are_due_at_moments_that_are_known_before() -> None:
    def taken(days: float) -> int:
        return looks_taken(
            START + np.timedelta64(int(days * 86_400e6), "us"),
            started_at=START,
            horizon=timedelta(days=7),
            attribution_window=timedelta(days=2),
            every=timedelta(days=3),
            n_looks=3,
        )

    # due on days 7 + 2 + 3, 15 and 18
    assert [taken(d) for d in (0, 11.99, 12, 14.99, 15, 17.99, 18, 400)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_unit_belongs_to_the_first_look_after_its_time() -> None:
    complete = START + DAY * np.array([9, 12, 13, 15, 19])
    look = look_of_units(
        complete,
        started_at=START,
        horizon=timedelta(days=7),
        attribution_window=timedelta(days=2),
        every=timedelta(days=3),
    )
    assert look.tolist() == [1, 1, 2, 2, 4]


def test_settings_are_strict() -> None:
    assert HoldbackSettings.model_validate(0.1) == HoldbackSettings(share=0.1)
    assert HoldbackSettings().horizons_days == (7, 30, 90)
    for wrong in (True, 0.5, {"share": 0.1, "speed": 1}, {"horizons_days": [30, 7]}, {"on_regression": "ignore"}):
        with pytest.raises(ValidationError):
            HoldbackSettings.model_validate(wrong)
    with pytest.raises(ValidationError, match="carry_over: none"):
        StageSettings(by="row")
    assert StageSettings(by="row", carry_over="none").by == "row"
    assert StageSettings().by == "unit"


def test_a_planned_look_is_taken_once(tmp_path: object) -> None:
    home = Home(tmp_path)  # type: ignore[arg-type]

    def look(taken: tuple[int, ...], *, better: bool = False, version: int = 5) -> ArmLook:
        found = (at(7, looks_taken=taken[0]), at(30, looks_taken=taken[1], better=better))
        conclusion = conclude(found)
        return record_arm_look(
            home,
            TASK,
            ArmLook(
                version=version, kind="holdback", champion=1, challenger=2, snapshot_id="5" * 64, looks_taken=taken,
                found=found, conclusion=conclusion, words="", numbers={}, actor="tester", at=NOW,
            ),
        )  # fmt: skip

    first = look((1, 0))
    assert look((1, 0), better=True) == first, "what it found stays, whatever is found later"
    second = look((2, 1), better=True)
    assert (second.conclusion, second.index) == ("better", first.index + 1)
    assert [e.seal for e in arm_looks_of(home, TASK, 5)] == [first.seal, second.seal]
    assert look((1, 0), version=6).seal not in {first.seal, second.seal}
