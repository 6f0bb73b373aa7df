"""A feed of outcomes that is late, broken or harmful is seen in its section; a sound one is not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, Section
from data_contracts.errors import UsageError
from data_contracts.interactions import TIMESTAMP, interaction_schema, outcome_schema
from data_contracts.rewards.outcome_checks import outcome_section
from data_contracts.rewards.outcome_rows import COLUMNS, looked_at_since
from data_contracts.rewards.reward_settings import RewardSettings

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
N = 30_000  # over 30 days
SETTINGS: dict[str, Any] = {
    "attribution_window": "P3D",
    "default": 0.0,
    "channels": {"click": {"kind": "interaction", "quality": "high", "delay": "P2D"}},
    "guardrails": {"unsubscribe": {"window": "P5D", "limit": 0.02, "severity": "block"}},
}


class World:
    """N interactions over the last 30 days in arms a and b; outcomes as the methods add them."""

    def __init__(self, seed: int | None = 7) -> None:
        self.chance = np.random.default_rng(seed)
        self.age = self.chance.random(N) * 30  # days
        self.arm = np.where(self.chance.random(N) < 0.5, "a", "b")
        self.rate: NDArray[np.float64] | None = None
        self.found: list[tuple[str, NDArray[np.int64], NDArray[np.float64]]] = []

    def outcomes_of(self, channel: str, *, share: float, delay: float, arms: str = "ab") -> World:
        """A share of the interactions of these arms has one, after an exponential delay of so many days."""
        hit = (self.chance.random(N) < share) & np.isin(self.arm, list(arms))
        after = self.chance.exponential(delay, N)
        rows = np.flatnonzero(hit & (after <= self.age))
        self.found.append((channel, rows, after[rows]))
        return self

    def without_the_last(self, days: float, arms: str = "ab") -> World:
        """Nothing that was observed in the last days is there, of these arms."""
        kept = []
        for channel, rows, after in self.found:
            there = (self.age[rows] - after > days) | ~np.isin(self.arm[rows], list(arms))
            kept.append((channel, rows[there], after[there]))
        self.found = kept
        return self

    def interactions(self) -> pa.Table:
        cells = {
            "interaction_id": pa.array([f"i{n}" for n in range(N)]),
            "unit_id": pa.array([f"u{n}" for n in range(N)]),
            "occurred_at": ago(self.age),
            "policy_version": pa.array(["1"] * N),
            "arm": pa.array(self.arm),
        }
        if self.rate is not None:
            cells["sampling_rate"] = pa.array(self.rate)
        schema = interaction_schema({})
        return pa.table([cells.get(f.name, pa.nulls(N, f.type)) for f in schema], schema=schema).select(list(COLUMNS))

    def outcomes(self) -> pa.Table:
        tables = [outcome_schema().empty_table()]
        for channel, rows, after in self.found:
            cells = {
                "interaction_id": pa.array([f"i{n}" for n in rows]),
                "channel": pa.array([channel] * len(rows), pa.string()),
                "value": pa.array(np.ones(len(rows))),
                "observed_at": ago(self.age[rows] - after),
            }
            columns = [cells.get(f.name, pa.nulls(len(rows), f.type)) for f in outcome_schema()]
            tables.append(pa.table(columns, schema=outcome_schema()))
        return pa.concat_tables(tables)

    def section(self, **words: Any) -> Section:
        reward = RewardSettings.model_validate({**SETTINGS, **words})
        return outcome_section(self.interactions(), self.outcomes(), reward=reward, as_of=AS_OF)


def ago(days: NDArray[np.float64]) -> pa.Array:
    now = np.datetime64(AS_OF.replace(tzinfo=None), "us")
    return pa.array(now - (days * 86_400_000_000).astype("m8[us]")).cast(TIMESTAMP)


def sound(seed: int | None = 7) -> World:
    return World(seed).outcomes_of("click", share=0.2, delay=0.5).outcomes_of("unsubscribe", share=0.005, delay=1.0)


def failed(section: Section) -> list[tuple[str, str | None]]:
    return [(check.rule, check.column) for check in section.checks if not check.passed]


def check_of(section: Section, rule: str, column: str) -> CheckResult:
    return next(check for check in section.checks if (check.rule, check.column) == (rule, column))


def test_a_sound_feed_passes_every_check() -> None:
    section = sound().section()
    assert (section.name, failed(section), section.notes) == ("outcomes", [], ())
    assert [(c.rule, c.column, c.level) for c in section.checks] == [
        ("outcome_delay", "click", "warn"),
        ("outcome_delay", "click", "warn"),
        ("outcome_completeness", "click", "block"),
        ("outcome_completeness", "unsubscribe", "warn"),
        ("guardrail", "unsubscribe", "block"),
    ]


def test_false_alarms_are_rare() -> None:
    """20 fresh feeds: clicks after the declared 2 days are 1.8 % where 10 % may be, harm is a quarter of its limit."""
    for _ in range(20):
        assert failed(sound(None).section()) == []


def test_outcomes_that_miss_their_window_are_seen_and_the_arm_is_named() -> None:
    world = (
        World().outcomes_of("click", share=0.2, delay=0.5, arms="a").outcomes_of("click", share=0.2, delay=3, arms="b")
    )
    section = world.section()
    window, declared = (c for c in section.checks if c.rule == "outcome_delay")
    assert (window.passed, declared.passed) == (False, False)
    # exponential with mean 3 days, until 6 days: (e^-1 - e^-2) / (1 - e^-2) = 27 % miss three days
    assert window.observed.endswith("outcomes after the window, arm b")
    assert float(window.observed.split(" %")[0]) == pytest.approx(26.9, abs=9)
    assert window.limit == "at most 5 %"
    assert "declared delay of 2 d" in declared.description


def test_the_declared_share_of_late_outcomes_is_the_limit() -> None:
    world = World().outcomes_of("click", share=0.2, delay=1.5).outcomes_of("unsubscribe", share=0.005, delay=1.0)
    channels = {"click": {"kind": "interaction"}}
    # (e^-2 - e^-4) / (1 - e^-4) = 11.9 %
    assert failed(world.section(channels=channels)) == [("outcome_delay", "click")]
    assert failed(world.section(channels=channels, feed={"max_late": 0.2})) == []


def test_a_feed_that_stopped_is_seen_although_young_rows_have_few_outcomes_anyway() -> None:
    section = sound().without_the_last(1.5).section()
    check = check_of(section, "outcome_completeness", "click")
    assert (check.passed, check.level) == (False, "block")
    assert check.limit == "at least 50 % of those expected"
    came, expected = (int(word.replace(",", "")) for word in check.observed.split() if word[0].isdigit())
    # 1,000 rows a day, a fifth with a click: 400 in two days, a quarter of them before the feed stopped
    assert (came, expected) == (pytest.approx(100, abs=70), pytest.approx(400, abs=140))
    assert failed(sound().without_the_last(0.1).section()) == [], "a delivery that is two hours behind is no alarm"


def test_a_feed_that_stopped_for_one_arm_alone_is_seen_there() -> None:
    check = check_of(sound().without_the_last(2, arms="b").section(), "outcome_completeness", "click")
    assert not check.passed
    assert check.observed.endswith("arm b")


def test_a_feed_that_stopped_long_ago_does_not_mend_itself_by_being_forgotten() -> None:
    world = sound().without_the_last(25)
    check = check_of(world.section(), "outcome_completeness", "click")
    assert (check.passed, check.observed[:14]) == (False, "none since 202")
    assert failed(world.section(feed={"min_share": 0})) == [], "0: completeness is not checked"


def test_a_channel_that_never_spoke_is_a_note() -> None:
    section = World().outcomes_of("click", share=0.2, delay=0.5).section()
    assert failed(section) == []
    assert section.notes == (
        f"no outcome of channel unsubscribe for the {section.checks[0].n_rows:,} latest interactions",
    )


def test_a_guardrail_above_its_limit_is_seen_before_it_matures() -> None:
    harm = (
        World().outcomes_of("click", share=0.2, delay=0.5).outcomes_of("unsubscribe", share=0.06, delay=1.0, arms="b")
    )
    check = check_of(harm.section(), "guardrail", "unsubscribe")
    assert (check.passed, check.level, check.limit) == (False, "block", "at most 0.02")
    assert check.observed.endswith("arm b")
    chance = World().outcomes_of("click", share=0.2, delay=0.5).outcomes_of("unsubscribe", share=0.025, delay=1.0)
    above = check_of(chance.section(), "guardrail", "unsubscribe")
    assert above.passed, "a little above the limit may be chance"
    assert float(above.observed.split()[0]) > 0.02


def test_a_guardrail_where_more_is_better_waits_for_maturity() -> None:
    """Half of the interactions see a return within 10 days; young ones have not had the time."""
    guardrails = {"return": {"window": "P10D", "limit": 0.46, "better": "higher"}}
    world = World().outcomes_of("click", share=0.2, delay=0.5).outcomes_of("return", share=0.5, delay=2.0)
    section = world.section(guardrails=guardrails)
    assert check_of(section, "guardrail", "return").passed
    row = next(row for row in section.tables[1].rows if row[1] == "all")
    assert float(row[3]) < 0.465 < float(row[4]), "so far, and when matured"
    fewer = World().outcomes_of("click", share=0.2, delay=0.5).outcomes_of("return", share=0.3, delay=2.0)
    assert failed(fewer.section(guardrails=guardrails)) == [("guardrail", "return")]


def test_rates_are_of_the_full_log_where_silence_was_downsampled() -> None:
    """Clicks on a tenth of the rows; four of five silent rows were not logged, those that were carry rate .2."""
    world = World().outcomes_of("click", share=0.1, delay=0.01)
    hit = np.isin(np.arange(N), world.found[0][1])
    world.rate = np.where(hit, 1.0, 0.2)
    world.age = np.where(hit | (world.chance.random(N) < 0.2), world.age, 1000)  # out of sight
    row = world.section().tables[0].rows[0]
    assert float(row[5].removesuffix(" %")) == pytest.approx(10, abs=3)  # unweighted: 36 %


def test_the_table_says_how_often_how_much_and_how_late() -> None:
    section = sound().section()
    table = section.tables[0]
    assert table.columns[:7] == ("channel", "kind", "quality", "arm", "interactions", "with outcome", "mean")
    assert [row[:4] for row in table.rows] == [("click", "interaction", "high", arm) for arm in ("all", "a", "b")]
    everybody = dict(zip(table.columns, table.rows[0], strict=True))
    assert everybody["mean"] == "1"
    assert float(everybody["with outcome"].removesuffix(" %")) == pytest.approx(20, abs=3)
    # exponential of half a day: median 8.3 h, nine of ten by 27.6 h
    assert everybody["50% by"].endswith(" h")
    assert float(everybody["50% by"].removesuffix(" h")) == pytest.approx(8.3, abs=1.5)
    assert float(everybody["90% by"].removesuffix(" h")) == pytest.approx(27.6, abs=5)
    assert section.tables[1].rows[0][5] == "≤ 0.02"


def test_without_arms_the_policy_versions_are_compared_and_small_ones_are_put_together() -> None:
    world = sound()
    versions = pa.array([str(n % 20) for n in range(N)])
    log = world.interactions()
    log = log.set_column(log.schema.get_field_index("arm"), "arm", pa.nulls(N, pa.string()))
    log = log.set_column(log.schema.get_field_index("policy_version"), "policy_version", versions)
    reward = RewardSettings.model_validate(SETTINGS)
    rows = outcome_section(log, world.outcomes(), reward=reward, as_of=AS_OF).tables[0].rows
    assert (len(rows), rows[0][3], rows[-1][3]) == (10, "all", "others")


def test_rewards_in_the_row_are_outcomes_without_delay() -> None:
    log = World().interactions()
    chosen = pa.array(np.ones(N))
    rewarded = log.set_column(log.schema.get_field_index("reward"), "reward", chosen)
    empty = outcome_schema().empty_table()
    section = outcome_section(rewarded, empty, reward=RewardSettings(), as_of=AS_OF)
    assert failed(section) == []
    assert section.tables[0].rows[0][5] == "100 %"
    newest = pa.compute.greater(log["occurred_at"], pa.scalar(AS_OF - 2 * DAY, TIMESTAMP))
    broken = pa.compute.if_else(newest, None, 1.0)
    silent = log.set_column(log.schema.get_field_index("reward"), "reward", broken)
    assert failed(outcome_section(silent, empty, reward=RewardSettings(), as_of=AS_OF)) == [
        ("outcome_completeness", "reward")
    ]


def test_what_lies_before_the_time_looked_at_changes_nothing() -> None:
    world = sound()
    reward = RewardSettings.model_validate(SETTINGS)
    since = looked_at_since(reward, AS_OF)
    assert since == AS_OF - 15 * DAY  # three times a window of 3 days and a recent time of 2
    log = world.interactions()
    newer = log.filter(pa.compute.greater_equal(log["occurred_at"], pa.scalar(since, TIMESTAMP)))
    assert 0 < newer.num_rows < N
    late = world.outcomes()
    assert outcome_section(newer, late, reward=reward, as_of=AS_OF) == outcome_section(
        log, late, reward=reward, as_of=AS_OF
    )


def test_an_empty_log_is_judged_without_a_stumble() -> None:
    empty = interaction_schema({}).empty_table()
    reward = RewardSettings.model_validate(SETTINGS)
    section = outcome_section(empty, outcome_schema().empty_table(), reward=reward, as_of=AS_OF)
    assert failed(section) == []
    assert section.notes == ("no interactions lately: nothing of their outcomes could be judged",)
    with pytest.raises(UsageError, match="naive time"):
        outcome_section(empty, outcome_schema().empty_table(), reward=reward, as_of=datetime(2026, 3, 1))
