"""The feedback loop: a log that keeps alternatives is left alone; each way in which the loop closes warns."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.checks import CheckResult, Section
from data_contracts.feedback.feedback_loop import Certainty, feedback_section
from data_contracts.feedback.feedback_settings import FeedbackSettings
from data_contracts.feedback.feedback_tally import MAX_LEVELS, FeedbackTally
from tests.worlds.propensity_worlds import epsilon_greedy

START = datetime(2026, 10, 5, tzinfo=UTC)  # a Monday
ACTIONS = tuple(str(a) for a in range(10))
SETTINGS = FeedbackSettings()


def week(
    number: int, epsilon: float, *, n: int = 2000, version: str = "1", seed: int = 0, propensities: bool = True
) -> pa.Table:
    """Rows of an epsilon-greedy policy over ten actions."""
    rng = np.random.default_rng((seed, number))
    distribution, action = epsilon_greedy(10, epsilon).log(rng, n)
    start = np.datetime64((START + timedelta(weeks=number)).replace(tzinfo=None), "us")
    occurred = start + (rng.random(n) * 7 * 86_400e6).astype("timedelta64[us]")
    propensity = pa.array(distribution[np.arange(n), action])
    return pa.table(
        {
            "occurred_at": pa.array(occurred).cast(pa.timestamp("us", tz="UTC")),
            "action": pa.array(ACTIONS).take(pa.array(action)),
            "policy_version": pa.repeat(version, n),
            "propensity": propensity if propensities else pa.nulls(n, pa.float64()),
            "country": pa.array(np.array(["de", "fr"])[rng.integers(2, size=n)]),
        }
    )


def section_of(
    *tables: pa.Table,
    champion: str | None = "1",
    lineage: frozenset[str] = frozenset({"1"}),
    settings: FeedbackSettings = SETTINGS,
    certainty: Certainty | None = None,
) -> Section:
    tally = FeedbackTally.empty(("country",))
    for table in tables:
        tally = tally.add(table)
    return feedback_section(
        tally, champion=champion, lineage=lineage, actions=ACTIONS, settings=settings, certainty=certainty
    )


def failed(section: Section) -> set[str]:
    assert all(check.level == "warn" for check in section.checks)
    return {check.rule for check in section.checks if not check.passed}


def check(section: Section, rule: str) -> CheckResult:
    return next(c for c in section.checks if c.rule == rule)


def test_a_log_that_explores_is_left_alone() -> None:
    for seed in range(5):
        assert failed(section_of(*(week(w, 0.2, seed=seed) for w in range(4)))) == set()


def test_exploration_is_the_chance_of_another_action() -> None:
    # epsilon 0.2 over ten actions: 1 - (0.82^2 + 9 * 0.02^2) = 0.324; standard error below 0.01
    found = check(section_of(week(0, 0.2, n=20_000)), "exploration")
    assert float(found.observed.split("%")[0]) / 100 == pytest.approx(0.324, abs=0.012)


def test_exploration_that_dies_warns() -> None:
    alive = [week(w, 0.2) for w in range(3)]
    dying = section_of(*alive, week(3, 0.02))
    assert failed(dying) == {"exploration"}
    assert "in the weeks before" in check(dying, "exploration").observed
    assert failed(section_of(*alive, week(3, 0.15))) == set()


def test_exploration_below_the_floor_warns_without_a_past() -> None:
    found = section_of(week(0, 0.005, n=5000), lineage=frozenset())
    assert "exploration" in failed(found)
    low = FeedbackSettings(min_exploration=0.0, max_unexplored=1.0)
    assert failed(section_of(week(0, 0.005, n=5000), lineage=frozenset(), settings=low)) <= {"segment_coverage"}


def test_own_data_warns_only_without_exploration() -> None:
    exploring = section_of(week(0, 0.2))
    assert check(exploring, "own_data_share").observed.startswith("100.0% of the rows, exploring 3")
    assert check(exploring, "own_data_share").passed
    closed = section_of(week(0, 0.005, n=5000))
    assert not check(closed, "own_data_share").passed
    others = section_of(week(0, 0.005, n=5000), week(0, 0.2, n=1000, version="random"))
    assert check(others, "own_data_share").passed
    assert check(section_of(week(0, 0.2), lineage=frozenset()), "own_data_share").observed == "0.0% of the rows"


def test_decisions_that_narrow_down_warn() -> None:
    wide = [week(w, 0.2) for w in range(3)]
    narrow = week(3, 0.2)
    first_three = pa.array(np.array(ACTIONS)[np.arange(narrow.num_rows) % 3])
    found = section_of(*wide, narrow.set_column(1, "action", first_three))
    assert check(found, "action_concentration").observed.startswith("3 effective actions, 9.9")
    assert "action_concentration" in failed(found)
    one = narrow.set_column(1, "action", pa.repeat("0", narrow.num_rows))
    assert "action_concentration" in failed(section_of(one))


def test_entropy_by_hand() -> None:
    # shares 1/2, 1/4, 1/4: exp(entropy) = exp(1.5 log 2) = 2.83
    rows = week(0, 0.2, n=400).set_column(1, "action", pa.array(["0", "0", "1", "2"] * 100))
    assert check(section_of(rows), "action_concentration").observed.startswith(f"{math.exp(1.5 * math.log(2)):.3g} ")


def test_observations_that_the_champion_never_explores() -> None:
    rows = week(0, 0.2)
    judged = check(section_of(rows, certainty=Certainty(1000, 600)), "unexplored_observations")
    assert not judged.passed
    assert judged.observed == "60.0% of 1,000 observations of the log leave champion 1 no second action"
    assert check(section_of(rows, certainty=Certainty(1000, 400)), "unexplored_observations").passed
    own = check(section_of(week(0, 0.005)), "unexplored_observations")  # 0.9955 for the greedy action
    assert not own.passed
    assert "its own rows" in own.observed
    assert not [c for c in section_of(rows, champion="9").checks if c.rule == "unexplored_observations"]


def test_segments_need_rows_of_every_common_action() -> None:
    rows = week(0, 0.5, n=4000)
    assert check(section_of(rows), "segment_coverage").passed
    country = np.array(rows["country"].to_pylist(), object)
    action = np.array(rows["action"].to_pylist())
    # in France action 3 is never shown any more; it is common elsewhere
    thin = rows.filter(pa.array(~((country == "fr") & (action == "3"))))
    found = section_of(thin)
    assert not check(found, "segment_coverage").passed
    table = next(t for t in found.tables if t.title == "Segments with too few rows")
    assert table.rows[0][:2] == ("country", "fr")
    assert table.rows[0][3:] == ("3", "0")


def test_a_small_level_alone_is_no_alarm() -> None:
    rows = week(0, 0.5, n=4000)
    country = rows["country"].to_pylist()
    country[:20] = ["at"] * 20
    assert check(section_of(rows.set_column(4, "country", pa.array(country))), "segment_coverage").passed


def test_a_rare_action_is_not_asked_of_every_level() -> None:
    rows = week(0, 0.5, n=4000)
    action = rows["action"].to_pylist()
    action[0] = "new"
    assert check(section_of(rows.set_column(1, "action", pa.array(action))), "segment_coverage").passed


def test_chunks_and_their_order_change_nothing() -> None:
    rows = pa.concat_tables([week(0, 0.2), week(1, 0.3, version="2")])
    shuffled = rows.take(pa.array(np.random.default_rng(1).permutation(rows.num_rows)))
    parts = [FeedbackTally.empty(("country",)).add(shuffled.slice(start, 700)) for start in range(0, 4000, 700)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    arguments = {"champion": "1", "lineage": frozenset({"1"}), "actions": ACTIONS, "settings": SETTINGS}
    assert feedback_section(merged, **arguments) == section_of(rows)


def test_an_identifier_as_segment_stays_bounded() -> None:
    rows = week(0, 0.2, n=5000)
    tally = FeedbackTally.empty(("country",))
    for start in range(0, 5000, 1000):
        ids = pa.array([f"user-{start + i}" for i in range(1000)])
        tally = tally.add(rows.slice(start, 1000).set_column(4, "country", ids))
    assert tally.levels.num_rows <= MAX_LEVELS + len(ACTIONS)
    assert tally.n == 5000
    assert sum(tally.levels["n"].to_pylist()) == 5000


def test_without_propensities_exploration_is_not_known() -> None:
    found = section_of(week(0, 0.2, propensities=False))
    assert [c for c in found.checks if c.rule in ("exploration", "unexplored_observations")] == []
    assert found.notes == ("Exploration is not known: no row has a propensity.",)


def test_too_few_rows_are_not_judged() -> None:
    found = section_of(week(0, 0.2, n=50))
    assert {c.rule for c in found.checks} == {"own_data_share", "segment_coverage"}
    assert section_of().checks == ()


def test_weeks_begin_on_monday() -> None:
    moments = [START - timedelta(microseconds=1), START, START + timedelta(days=7) - timedelta(microseconds=1)]
    rows = week(0, 0.2, n=3).set_column(0, "occurred_at", pa.array(moments, pa.timestamp("us", tz="UTC")))
    table = next(t for t in section_of(rows).tables if t.title == "Actions week by week")
    assert [(row[0], row[1]) for row in table.rows] == [("2026-09-28", "1"), ("2026-10-05", "2")]
    assert date.fromisoformat(table.rows[0][0]).weekday() == 0


def test_downsampled_rows_count_for_what_they_stand_for() -> None:
    # action 0 twice as often as action 1 in truth; a quarter of the rows of action 0 were kept
    rows = week(0, 0.2, n=300).set_column(1, "action", pa.array(["0"] * 100 + ["1"] * 200))
    rates = pa.array([0.25] * 100 + [1.0] * 200)
    found = section_of(rows.append_column("sampling_rate", rates))
    assert "one action has 66.7%" in check(found, "action_concentration").observed
