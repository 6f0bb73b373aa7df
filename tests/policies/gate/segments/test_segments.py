"""Protected segments, watched segments and their margins, in worlds whose differences are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from policies.gate.judging.betting import first_stake
from policies.gate.judging.differences import TwoSided, one_step
from policies.gate.judging.judge import judge, split_alpha
from policies.gate.judging.spending import information_fractions
from policies.gate.records import GateRows, Plan
from policies.gate.segments.segment_evidence import segment_conditions, segments_evidence
from policies.gate.segments.segment_settings import ProtectedSegments, SegmentSettings
from policies.gate.segments.segments import Segment, SegmentResult, champion_values, find_segments, judge_segments
from tests.worlds.segment_worlds import LOYAL, SHARES, SegmentWorld

PLAN = Plan(n_planned=8000, sigma_squared=0.4, reward_minimum=0.0, reward_maximum=1.0)
FRACTIONS = (0.5, 1.0)
LOYAL_AT_TEN = (SegmentSettings(name="loyal", column="who", values=("loyal",)),)


def _log(effect: dict[str, float], *, n: int = 8000, seed: int = 0) -> tuple[GateRows, NDArray[np.str_]]:
    """Segments of equal size; action 0 pays .5 everywhere, action 1 pays .5 + effect. Logged evenly by the champion;
    the challenger takes action 1 at .9: the difference is .4 effect, the champion's value .5 + effect / 2."""
    rng = np.random.default_rng(seed)
    who = np.array(list(effect))[rng.integers(len(effect), size=n)]
    action = rng.integers(2, size=n)
    mean = 0.5 + action * np.array([effect[name] for name in who])
    ids = np.arange(n).astype(np.str_)
    half = np.full((n, 2), 0.5)
    rows = GateRows(
        interaction_id=ids,
        unit_id=ids,
        policy_version=np.full(n, "1"),
        action=action,
        reward=(rng.random(n) < mean) * 1.0,
        propensity=np.full(n, 0.5),
        behavior=half,
        champion=half,
        challenger=np.tile([0.1, 0.9], (n, 1)),
        reward_model=half,
    )
    return rows, who.astype(np.str_)


def _stream(rows: GateRows) -> TwoSided:
    look = 1 + (np.arange(rows.n) >= rows.n // 2).astype(np.int64)
    return one_step(rows, look=look, plan=PLAN, first_stake=first_stake(PLAN, threshold=split_alpha(0.05).threshold))


def _judged(rows: GateRows, segments: tuple[Segment, ...], alpha: float = 0.05) -> dict[str, SegmentResult]:
    results = judge_segments(
        _stream(rows),
        segments,
        champion_value=champion_values(rows, segments),
        plan=PLAN,
        alpha=alpha,
        fractions=FRACTIONS,
    )
    return {r.name: r for r in results}


def _failed(results: dict[str, SegmentResult]) -> set[tuple[str, str]]:
    return {(c.name, c.effect) for c in segment_conditions(list(results.values())) if not c.passed}


def test_a_better_average_hides_what_the_protected_segment_loses() -> None:
    """The rest gains .4 * .25 = .1, the loyal quarter loses .4 * .25 = .1 of .375, more than a quarter."""
    rows, who = _log({"loyal": -0.25, "a": 0.25, "b": 0.25, "c": 0.25}, seed=1)
    average = judge(_stream(rows).lift, plan=PLAN, alpha=split_alpha(0.05), fractions=FRACTIONS)
    assert average.proven
    found = _judged(rows, find_segments({"who": who}, LOYAL_AT_TEN))
    loyal = found["loyal"]
    assert loyal.champion_value == pytest.approx(0.375, abs=0.02)
    assert loyal.difference == pytest.approx(-0.1, abs=3 * 0.02)
    assert (loyal.noninferior, loyal.harm, loyal.light) == (False, True, "red")
    assert {found[f"who={name}"].light for name in "abc"} == {"watched"}
    assert _failed(found) == {("segment_noninferior", "stage"), ("segment_harm", "block")}
    words = {c.name: c.words for c in segment_conditions(list(found.values()))}
    assert "loyal" in words["segment_harm"]
    assert "not shown to lose less than 10%" in words["segment_noninferior"]


def test_no_harm_is_shown_where_there_is_none() -> None:
    rows, who = _log({"loyal": 0.0, "a": 0.25}, seed=2)
    found = _judged(rows, find_segments({"who": who}, LOYAL_AT_TEN))
    loyal = found["loyal"]
    assert (loyal.noninferior, loyal.harm, loyal.light) == (True, False, "green")
    assert loyal.lower is not None
    assert -0.1 * loyal.champion_value <= loyal.lower < 0.0
    assert not _failed(found)


def test_what_few_rows_cannot_show_is_amber_and_says_which_margin_they_can() -> None:
    rows, who = _log({"loyal": 0.0, "a": 0.25}, n=600, seed=3)
    loyal = _judged(rows, find_segments({"who": who}, LOYAL_AT_TEN))["loyal"]
    assert (loyal.noninferior, loyal.harm, loyal.light) == (False, False, "amber")
    assert loyal.standard_error is not None
    # spread .4^2 / .5 * 2 = .64, residual variance .25: SE = sqrt(.64 * .25 / n)
    assert loyal.standard_error == pytest.approx(np.sqrt(0.16 / loyal.n), rel=0.1)
    assert loyal.supportable_margin == pytest.approx(2.487 * loyal.standard_error / loyal.champion_value)
    assert loyal.supported is False
    assert replace(loyal, supportable_margin=0.08).supported


def test_every_protected_segment_is_asked_at_the_full_error() -> None:
    """Five that all must pass are no harder each than one alone."""
    rows, who = _log(dict.fromkeys("abcde", 0.0), seed=4)
    alone = _judged(rows, find_segments({"who": who}, (SegmentSettings(name="a", column="who", values=("a",)),)))["a"]
    five = tuple(SegmentSettings(name=name, column="who", values=(name,)) for name in "abcde")
    among = _judged(rows, find_segments({"who": who}, five))["a"]
    assert (among.noninferior, among.lower) == (alone.noninferior, alone.lower)
    stream = _stream(rows).lift.select(who == "a")
    margin = -0.1 * alone.champion_value
    full = judge(stream, plan=PLAN, alpha=split_alpha(0.05), fractions=FRACTIONS, margin=margin)
    last = full.looks[-1]
    assert last.boundary is not None
    assert last.standard_error is not None
    assert among.lower == last.mean - last.boundary * last.standard_error
    assert among.noninferior == full.proven


def test_harm_is_looked_for_at_a_share_of_the_error() -> None:
    rows, who = _log({"loyal": 0.0, "a": 0.0, "b": 0.0, "c": 0.0}, seed=5)
    found = _judged(rows, find_segments({"who": who}, LOYAL_AT_TEN))
    assert {r.harm_alpha for r in found.values()} == {0.0125}


def test_where_the_policies_agree_nothing_has_to_be_shown() -> None:
    """A patch serves the champion to the loyal: one row of them is enough."""
    rows, who = _log({"loyal": -0.25, "a": 0.25}, n=600, seed=6)
    patched = replace(rows, challenger=np.where((who == "loyal")[:, None], rows.champion, rows.challenger))
    loyal = _judged(patched, find_segments({"who": who}, LOYAL_AT_TEN))["loyal"]
    assert (loyal.same, loyal.noninferior, loyal.lower, loyal.light) == (True, True, 0.0, "green")


def test_a_protected_segment_without_rows_is_not_shown() -> None:
    rows, who = _log({"a": 0.25}, seed=7)
    found = _judged(rows, find_segments({"who": who}, LOYAL_AT_TEN))
    assert (found["loyal"].n, found["loyal"].noninferior, found["loyal"].light) == (0, False, "amber")
    assert _failed(found) == {("segment_noninferior", "stage")}


def test_segments_are_the_protected_ones_and_every_other_value_with_enough_rows() -> None:
    who = np.array(["loyal"] * 50 + ["regular"] * 200 + ["new"] * 99 + [""] * 300)
    where = np.array(["north"] * 500 + ["south"] * 149)
    found = find_segments({"who": who, "where": where}, LOYAL_AT_TEN)
    assert [(s.name, s.margin, int(s.rows.sum())) for s in found] == [
        ("loyal", 0.1, 50),
        ("where=north", None, 500),
        ("where=south", None, 149),
        ("who=regular", None, 200),
    ]
    many = np.repeat(np.arange(50), 100).astype(np.str_)
    assert len(find_segments({"id": many}, ())) == 20


def test_the_champions_value_is_doubly_robust_and_by_row_weight() -> None:
    """By hand: champion (.8, .2), behavior (.5, .5), model .5: .5 + w (r - .5)."""
    rows, _ = _log({"a": 0.0}, n=3, seed=8)
    rows = replace(
        rows,
        action=np.array([0, 1, 0]),
        reward=np.array([1.0, 1.0, 0.0]),
        champion=np.tile([0.8, 0.2], (3, 1)),
        weight=np.array([1.0, 1.0, 2.0]),
    )
    everything = Segment("all", "who", ("a",), None, np.ones(3, np.bool_))
    nobody = Segment("none", "who", ("z",), 0.1, np.zeros(3, np.bool_))
    # terms .5 + 1.6 * .5 = 1.3, .5 + .4 * .5 = .7, .5 - 1.6 * .5 = -.3 twice
    assert champion_values(rows, (everything, nobody)) == pytest.approx({"all": 0.35, "none": 0.0})


def test_the_evidence_is_json() -> None:
    rows, who = _log({"loyal": 0.0, "a": 0.25}, seed=9)
    results = list(_judged(rows, find_segments({"who": who}, LOYAL_AT_TEN)).values())
    evidence = json.loads(json.dumps(segments_evidence(results, alpha=0.05), allow_nan=False))
    assert evidence["alpha"] == 0.05
    assert "full alpha" in evidence["rule"]
    assert evidence["results"][0]["light"] == "green"
    assert evidence["results"][0]["supported"] is True
    assert segment_conditions([]) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        [{"name": f"s{i}", "column": "who", "values": ["a"]} for i in range(6)],
        [{"name": "s", "column": "who", "values": ["a"]}, {"name": "s", "column": "who", "values": ["b"]}],
        [{"name": "s", "column": "who", "values": []}],
        [{"name": "s", "column": "who", "values": ["a"], "margin": 0.0}],
        [{"name": "s", "column": "who", "values": ["a"], "margin": 1.0}],
    ],
)
def test_settings_that_protect_nothing_are_refused(wrong: list[dict[str, object]]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(ProtectedSegments).validate_python(wrong)


def _promotions(world: SegmentWorld, n: int) -> int:
    """Logs of n whose average is proven, loyal segment shown, and no segment proven harmed."""
    ends = tuple(np.cumsum([world.n_rows // world.n_looks] * world.n_looks).tolist())
    fractions = information_fractions(ends, n_planned=world.n_rows, n_looks=world.n_looks, min_rows=1)
    found = 0
    for seed in range(n):
        stream, segments = world.draw(np.random.default_rng([5, seed]))
        average = judge(stream.lift, plan=world.plan, alpha=split_alpha(0.05), fractions=fractions).proven
        mine = tuple(s for s in segments if s.name == LOYAL)
        (loyal,) = judge_segments(
            stream,
            mine,
            champion_value=world.champion_value(),
            plan=world.plan,
            alpha=0.05,
            fractions=fractions,
        )
        found += average and bool(loyal.noninferior) and not loyal.harm
    return found


def test_a_million_rows_tell_the_harmless_from_the_harmful() -> None:
    """The short version of tests/benchmarks/test_gate_segments.py: ten looks in place of fifty."""
    assert sum(SHARES.values()) == pytest.approx(1)
    harmless = SegmentWorld(loyal=0.1, rest=0.1, changed=0.5, n_looks=10)
    harmful = SegmentWorld(loyal=-0.2, rest=0.4 / 3, changed=0.5, n_looks=10)
    assert harmless.lift == pytest.approx(harmful.lift) == pytest.approx(0.1)
    assert _promotions(harmless, 30) >= 20
    assert _promotions(harmful, 60) == 0
