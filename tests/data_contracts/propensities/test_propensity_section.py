"""Propensity health: what must be found at 100,000 rows, what must be left alone, which checks block and which warn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.checks import CheckResult
from data_contracts.contract import TableRule
from data_contracts.propensities.propensity_evidence import expected_weight
from data_contracts.propensities.propensity_section import propensity_section
from data_contracts.propensities.propensity_settings import PropensitySettings
from data_contracts.propensities.propensity_tally import PropensityTally
from tests.data_contracts.small_log import CONTRACT
from tests.worlds.propensity_worlds import WRONG, World, epsilon_greedy, rare_actions, table

N = 100_000
WORLDS = (epsilon_greedy(10, 0.1), epsilon_greedy(34, 0.2), rare_actions(10, 1e-3), rare_actions(10, 1e-4))


def checks_of(
    rows: pa.Table, actions: tuple[str, ...], settings: PropensitySettings | None = None
) -> dict[tuple[str, str], CheckResult]:
    """By rule and policy version."""
    tally = PropensityTally.empty(actions).add(rows)
    section = propensity_section(tally, contract=CONTRACT, settings=settings or PropensitySettings())
    assert section.name == "propensities"
    return {(c.rule, (c.column or "").rpartition(" ")[2]): c for c in section.checks}


def failed(rows: pa.Table, actions: tuple[str, ...], settings: PropensitySettings | None = None) -> set[str]:
    return {rule for (rule, _), check in checks_of(rows, actions, settings).items() if not check.passed}


def log(world: World, seed: int, wrong: str | None = None, n: int = N) -> pa.Table:
    distribution, action = world.log(np.random.default_rng(seed), n)
    true = distribution[np.arange(n), action]
    return table(action, WRONG[wrong](true) if wrong else true)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
@pytest.mark.parametrize("wrong", sorted(WRONG))
def test_ten_percent_are_found_at_100_000_rows(world: World, wrong: str) -> None:
    # the benchmark measures the rates; these seeds are fixed
    assert all(failed(log(world, seed, wrong), world.actions) for seed in range(3))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_true_log_is_left_alone(world: World) -> None:
    assert not any(failed(log(world, seed), world.actions) for seed in range(5))


def test_rare_actions_drown_the_mean_weight_and_calibration_finds_it() -> None:
    found = failed(log(WORLDS[3], 0, "all x 1.1"), WORLDS[3].actions)
    assert found == {"propensity_calibration"}


def test_errors_that_cancel_in_the_mean_weight_are_found_by_calibration() -> None:
    # four equal actions, the first two logged 10 % too small and too large: the mean weight stays 1
    action = np.random.default_rng(0).integers(4, size=N)
    logged = np.array([0.25 / 1.1, 0.25 / 0.9, 0.25, 0.25])[action]
    assert failed(table(action, logged), tuple("0123")) == {"propensity_calibration"}


def test_only_the_wrong_version_is_accused() -> None:
    right, wrong = log(WORLDS[0], 0), log(WORLDS[0], 1, "all / 1.1")
    wrong = wrong.set_column(0, "policy_version", pa.repeat("2", N))
    found = checks_of(pa.concat_tables([right, wrong]), WORLDS[0].actions)
    assert {version for (_, version), check in found.items() if not check.passed} == {"2"}
    mean = float(found["expected_weight", "2"].observed.split()[1])
    assert mean == pytest.approx(1.1, abs=4 * 2.83 * 1.1 / N**0.5)  # sd of a weight: sqrt(0.01 / 0.91 + 0.9 / 0.1 - 1)
    assert found["expected_weight", "2"].level == "block"


def test_the_contract_may_say_that_wrong_weights_only_warn() -> None:
    tally = PropensityTally.empty(WORLDS[0].actions).add(log(WORLDS[0], 0, n=1000))
    rule = TableRule("expected_weight", "warn", {}, "weights average to 1")
    section = propensity_section(tally, contract=replace(CONTRACT, table_rules=(rule,)), settings=PropensitySettings())
    assert {c.level for c in section.checks if c.rule == "expected_weight"} == {"warn"}


def test_silently_one_blocks() -> None:
    # a renamed column once set every propensity to 1
    action = np.random.default_rng(0).integers(3, size=100)
    found = checks_of(table(action, np.ones(100)), tuple("012"))
    check = found["silent_propensity", "1"]
    assert not check.passed
    assert check.level == "block"
    assert check.observed == "100 of 100 propensities are 1, 3 actions taken"


def test_one_action_with_propensity_one_is_no_silence() -> None:
    assert failed(table(np.zeros(100, np.int64), np.ones(100)), ("0", "1", "2")) == set()


def test_a_declared_deterministic_version_is_left_alone() -> None:
    action = np.random.default_rng(0).integers(3, size=N)
    settings = PropensitySettings(partial_support=("1",))
    assert failed(table(action, np.ones(N)), tuple("012")) == {
        "silent_propensity",
        "expected_weight",
        "propensity_calibration",
    }
    assert failed(table(action, np.ones(N)), tuple("012"), settings) == set()


def test_partial_support_still_accuses_weights_above_one() -> None:
    # two of four actions are possible in each context, each with probability 1/2
    rng = np.random.default_rng(0)
    action = 2 * rng.integers(2, size=N) + rng.integers(2, size=N)
    settings = PropensitySettings(partial_support=("1",))
    assert "expected_weight" in failed(table(action, np.full(N, 0.5)), tuple("0123"))
    assert "expected_weight" not in failed(table(action, np.full(N, 0.5)), tuple("0123"), settings)
    # the mean weight is 1/2, and of each action 1/2: only a factor of more than two is too much
    assert "expected_weight" in failed(table(action, np.full(N, 0.2)), tuple("0123"), settings)


def test_whole_distributions_with_zeros_need_no_declaration() -> None:
    rng = np.random.default_rng(0)
    half = rng.integers(2, size=N)
    action = 2 * half + rng.integers(2, size=N)
    distribution = np.where(half[:, None] == np.array([0, 0, 1, 1]), 0.5, 0.0)
    rows = table(action, np.full(N, 0.5), action_probabilities=pa.array(distribution.tolist()))
    assert failed(rows, tuple("0123")) == {"constant_propensity"}


@pytest.mark.parametrize(
    ("constant", "n_actions", "fine"),
    [(1 / 3, 3, True), (0.333, 3, True), (0.5, 3, False), (0.25, 3, False), (0.4, 3, False), (0.25, 4, True)],
)
def test_a_constant_is_a_uniform_choice_or_suspicious(constant: float, n_actions: int, fine: bool) -> None:
    action = np.arange(60) % n_actions
    found = checks_of(table(action, np.full(60, constant)), tuple(str(a) for a in range(n_actions)))
    check = found["constant_propensity", "1"]
    assert check.passed is fine
    assert check.level == "warn"


def test_missing_propensities_warn_and_nothing_else_is_judged() -> None:
    rows = table(np.arange(100) % 3, np.full(100, 1 / 3))
    none = rows.set_column(2, "propensity", pa.nulls(100, pa.float64()))
    assert checks_of(none, tuple("012")).keys() == {("propensity_missing", "1")}
    few = rows.set_column(2, "propensity", pa.array([None, None] + [1 / 3] * 98))
    check = checks_of(few, tuple("012"))["propensity_missing", "1"]
    assert (check.passed, check.level, check.n_rows) == (False, "warn", 100)
    assert check.observed.startswith("2.00% of 100 rows")
    allowed = PropensitySettings(max_missing_share=0.02)
    assert checks_of(few, tuple("012"), allowed)["propensity_missing", "1"].passed


def test_a_downsampled_log_is_judged_by_its_weights() -> None:
    # action 0 is rewarded half of the time, action 1 never; unrewarded rows are kept with probability 0.1
    rng = np.random.default_rng(0)
    action = (rng.random(4 * N) < 0.5).astype(np.int64)
    rewarded = (action == 0) & (rng.random(4 * N) < 0.5)
    rate = np.where(rewarded, 1.0, 0.1)
    kept = rng.random(4 * N) < rate
    true = table(action[kept], np.full(int(kept.sum()), 0.5), sampling_rate=pa.array(rate[kept]))
    assert failed(true, ("0", "1")) == set()
    assert failed(true.drop_columns(["sampling_rate"]), ("0", "1")) == {"propensity_calibration"}
    wrong = true.set_column(2, "propensity", pa.array(np.full(true.num_rows, 0.5 / 1.1)))
    assert "expected_weight" in failed(wrong, ("0", "1"))


def test_tables_for_people() -> None:
    distribution, action = WORLDS[0].log(np.random.default_rng(0), 2000)
    rows = table(action, distribution[np.arange(2000), action], action_probabilities=pa.array(distribution.tolist()))
    tally = PropensityTally.empty(WORLDS[0].actions).add(rows)
    section = propensity_section(tally, contract=CONTRACT, settings=PropensitySettings())
    versions, actions, bins = section.tables
    assert versions.rows[0][:4] == ("1", "2,000", "column (2,000)", "0")
    assert len(actions.rows) == 5
    assert [row[1] for row in bins.rows] == ["0.00781 - 0.0156", "0.5 - 1"]
    assert all(len(row) == len(t.columns) for t in section.tables for row in t.rows)


def test_the_evidence_of_one_row_by_hand() -> None:
    # two declared actions, propensity 1/2: the weight is 1 and no bet above wins or loses. Below, over the one action
    # that was logged, it is 2 with maximum 4: stakes s / 3 lose s / 3
    (found,) = PropensityTally.empty(("0", "1")).add(table(np.array([0]), np.array([0.5]))).versions()
    below = np.mean([1 - 0.5**k / 3 for k in range(1, 10)])
    health = expected_weight(found, n_actions=2, smallest=None, partial_support=False)
    assert health.log_e == pytest.approx(math.log((1 + below) / 2))


def test_a_log_that_lost_its_versions_is_bounded() -> None:
    names = pa.array([f"v{i}" for i in range(200)])
    rows = table(np.arange(200) % 2, np.full(200, 0.5)).set_column(0, "policy_version", names)
    tally = PropensityTally.empty(("0", "1")).add(rows)
    section = propensity_section(tally, contract=CONTRACT, settings=PropensitySettings())
    assert len({c.column for c in section.checks}) == 50
    assert section.notes == ("150 policy versions with fewer rows are not judged.",)
    assert math.isfinite(sum(c.n_rows for c in section.checks))
