"""Two runs as a report sees them: a right promotion on a simulated world, and an honest hold on a real log."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from flows.report.facts import RunFacts

AS_OF = datetime(2026, 11, 20, 3, 0, tzinfo=UTC)
LN10 = math.log(10)


def promote_facts(**changes: Any) -> RunFacts:
    """Digits: champion .683, challenger .853 (exactly known), log10 e 22."""
    return RunFacts.model_validate({**_promote(), **changes})


def hold_facts(**changes: Any) -> RunFacts:
    """Open Bandit: 34 items, a uniform champion, click rate .0046, 5,000 gate rows."""
    return RunFacts.model_validate({**_hold(), **changes})


def least_facts(**changes: Any) -> RunFacts:
    """A run that has nothing but the required parts."""
    return RunFacts.model_validate(
        {
            "task": "tiny",
            "run_id": "20261120T030000-look",
            "started_at": AS_OF,
            "as_of": AS_OF,
            "command": "look",
            "sentence": "No look was taken.",
            "champion": {"version": 1, "origin": "declared"},
            **changes,
        }
    )


def _promote() -> dict[str, Any]:
    return {
        "task": "digits_bandit",
        "description": "Name the digit; logged by a weak classifier that explores on 30 % of the traffic.",
        "run_id": "20261120T030000-7f3a91",
        "started_at": AS_OF,
        "ended_at": AS_OF + timedelta(seconds=48.2),
        "as_of": AS_OF,
        "command": "retrain",
        "trigger": {"fired": ["rows"], "detail": "20,000 new matured rows; 2,000 are needed.", "trained": True},
        "verdict": "promote",
        "sentence": "The log proves the challenger better than the champion at look 1 of 5.",
        "reasons": [
            "Lift +0.1702 per interaction, anytime-valid 95 % interval [+0.1414, +0.1988], on 7,000 gate rows.",
            "Evidence (log10 e) 22.1 for the challenger and -31.4 against it; 3.0 is needed.",
        ],
        "champion": {
            "version": 2,
            "origin": "trained",
            "description": "cql, seed 1",
            "since": AS_OF + timedelta(seconds=47),
        },
        "previous_champion": 1,
        "challenger": {
            "version": 2,
            "algorithm": "cql",
            "seed": 1,
            "artifact_sha256": _sha("policy"),
            "state": "promoted",
            "trained_until": AS_OF - timedelta(days=9),
        },
        "lift": {
            "estimate": 0.1702,
            "lower": 0.1414,
            "upper": 0.1988,
            "coverage": 0.95,
            "relative": 0.2492,
            "champion_value": 0.6829,
            "challenger_value": 0.8531,
        },
        "gate": {
            "log_e_promote": 22.1 * LN10,
            "log_e_block": -31.4 * LN10,
            "log_threshold": math.log(1000),
            "look": 1,
            "n_looks": 5,
            "n": 7000,
            "n_units": 7000,
            "trajectory": _walk(7000, 22.1 * LN10, seed=1, noise=0.9),
            "evidence_id": _sha("evidence"),
        },
        "more": None,
        "truth": {
            "champion": 0.6841,
            "challenger": 0.8514,
            "by_policy": [{"name": "uniform", "value": 0.1}, {"name": "always right", "value": 1.0}],
        },
        "estimates": [
            _estimate("champion", "ips", 0.6802, 0.0128, 6990.2, 7000),
            _estimate("challenger", "ips", 0.8612, 0.0331, 2110.4, 7000),
            _estimate("difference", "ips", 0.1810, 0.0352, 2110.4, 7000),
            _estimate("champion", "snips", 0.6829, 0.0111, 6990.2, 7000),
            _estimate("challenger", "snips", 0.8549, 0.0207, 2110.4, 7000),
            _estimate("difference", "snips", 0.1720, 0.0219, 2110.4, 7000),
            _estimate("champion", "dm", 0.6750, 0.0089, 7000.0, 7000),
            _estimate("challenger", "dm", 0.8123, 0.0075, 7000.0, 7000),
            _estimate("difference", "dm", 0.1373, 0.0081, 7000.0, 7000),
            _estimate("champion", "dr", 0.6829, 0.0098, 6990.2, 7000),
            _estimate("challenger", "dr", 0.8531, 0.0146, 2110.4, 7000),
            _estimate("difference", "dr", 0.1702, 0.0151, 2110.4, 7000),
        ],
        "weights": _weights(median=1.24, spread=0.35, top=30.33, size=2110.4, versions=["1"], n=7000),
        "actions": [
            {"action": str(k), "champion": champion, "challenger": challenger}
            for k, (champion, challenger) in enumerate(
                zip(
                    (0.121, 0.073, 0.108, 0.094, 0.103, 0.089, 0.112, 0.098, 0.137, 0.065),
                    (0.100, 0.101, 0.098, 0.101, 0.101, 0.100, 0.101, 0.100, 0.097, 0.101),
                    strict=True,
                )
            )
        ],
        "curves": _curves(
            {
                "cql": (0.852, 0.9, 3000),
                "bcq": (0.846, 1.1, 3000),
                "bc": (0.702, 1.6, 2000),
                "linear": (0.871, None, 1),
            },
            chosen=("cql", 1),
        ),
        "candidates": _candidates(
            {"cql": 0.8495, "bcq": 0.8431, "bc": 0.6987, "linear": 0.8712}, chosen=("cql", 1), exact=True
        ),
        "data": {
            "n_read": 20213,
            "n_accepted": 20000,
            "n_quarantined": 201,
            "n_duplicate": 12,
            "quarantine_reasons": [
                {"reason": "broken JSON: unexpected end of line", "n": 140},
                {"reason": "propensity outside (0, 1]: 1.7", "n": 44},
                {"reason": "unknown action: 10", "n": 17},
            ],
            "n_interactions": 20000,
            "n_matured": 20000,
            "n_late": 0,
            "n_train": 10000,
            "n_validation": 3000,
            "n_gate": 7000,
            "n_excluded": 0,
            "n_without_distribution": 0,
            "rows_by_version": [{"policy_version": "1", "n": 20000}],
            "validation": {"level": "ok", "checks": _checks(), "data_docs": "docs/digits_bandit/index.html"},
            "drift": None,
            "clustering": "by unit",
        },
        "lineage": _lineage("digits_bandit", 3),
        "changes": ["This is the first report of digits_bandit."],
        "next": [
            "The next run is at 21 Nov 2026, 03:00 UTC (`0 3 * * *`).",
            "It trains when 2,000 new matured rows have arrived, or the data has drifted.",
        ],
    }


def _hold() -> dict[str, Any]:
    items = [str(k) for k in range(34)]
    skew = np.exp(np.random.default_rng(7).normal(0, 0.75, 34))
    shares = 0.2 / 34 + 0.8 * skew / skew.sum()
    return {
        "task": "open_bandit",
        "description": "Which of 34 items to show at which position; the reward is a click.",
        "run_id": "20261120T033000-19c04e",
        "started_at": AS_OF,
        "ended_at": AS_OF + timedelta(seconds=61.7),
        "as_of": AS_OF,
        "command": "retrain",
        "trigger": {"fired": ["rows"], "detail": "20,000 new matured rows; 1,000 are needed.", "trained": True},
        "verdict": "hold",
        "sentence": "Not enough evidence yet at look 1 of 5; the champion stays.",
        "reasons": [
            "Lift +0.0004 per interaction, anytime-valid 95 % interval [-0.0071, +0.0083], on 5,000 gate rows.",
            "Evidence (log10 e) 0.1 for the challenger and -0.1 against it; 3.0 is needed.",
            "5,000 rows were left out: their behavior policy's distribution is not known.",
        ],
        "champion": {"version": 1, "origin": "declared", "description": "uniform over 34 actions", "since": AS_OF},
        "previous_champion": None,
        "challenger": {
            "version": 2,
            "algorithm": "bcq",
            "seed": 2,
            "artifact_sha256": _sha("bcq"),
            "state": "open",
            "trained_until": AS_OF - timedelta(days=3, hours=11),
        },
        "lift": {
            "estimate": 0.00041,
            "lower": -0.0071,
            "upper": 0.0083,
            "coverage": 0.95,
            "relative": 0.0891,
            "champion_value": 0.0046,
            "challenger_value": 0.00501,
        },
        "gate": {
            "log_e_promote": 0.13 * LN10,
            "log_e_block": -0.11 * LN10,
            "log_threshold": math.log(1000),
            "look": 1,
            "n_looks": 5,
            "n": 5000,
            "n_units": 5000,
            "trajectory": _walk(5000, 0.13 * LN10, seed=5, noise=0.12),
            "looks": [{"n": 5000, "log_e_promote": 0.13 * LN10, "log_e_block": -0.11 * LN10}],
            "evidence_id": _sha("hold"),
        },
        "more": {
            "rows_read": 5000,
            "rows_per_day": 1411.0,
            "rows_at_estimate": 382_000,
            "days_at_estimate": 270.7,
            "rows_at_minimum_lift": 1_214_000,
            "days_at_minimum_lift": 860.4,
            "minimum_lift": 0.05,
            "power": 0.8,
            "rows_left": 4_000,
            "cheapest": 4,
            "options": [
                _option("as_logged", 0.0, 1_214_000, 0.0),
                _option("exploration", 0.05, 1_214_000, 0.0),
                _option("exploration", 0.5, 1_214_000, 0.0),
                _option("canary_by_unit", 0.05, 1_151_000, -0.00002),
                _option("canary_by_unit", 0.1, 1_092_000, -0.00004),
                _option("canary_by_unit", 0.2, 987_000, -0.00008),
                _option("canary_by_unit", 0.5, 602_000, -0.0002),
            ],
            "settles": (
                "A lift of 0.00023 per interaction needs 1,214,000 rows as logged today; serving the challenger on a "
                "share 0.5 of the traffic needs 602,000."
            ),
        },
        "truth": None,
        "estimates": [
            _estimate("champion", "ips", 0.0046, 0.0019, 5000.0, 5000),
            _estimate("challenger", "ips", 0.0052, 0.0026, 2860.7, 5000),
            _estimate("difference", "ips", 0.0006, 0.0023, 2860.7, 5000),
            _estimate("champion", "snips", 0.0046, 0.0019, 5000.0, 5000),
            _estimate("challenger", "snips", 0.0051, 0.0026, 2860.7, 5000),
            _estimate("difference", "snips", 0.0005, 0.0023, 2860.7, 5000),
            _estimate("champion", "dm", 0.0047, 0.0001, 5000.0, 5000),
            _estimate("challenger", "dm", 0.0049, 0.0001, 5000.0, 5000),
            _estimate("difference", "dm", 0.0002, 0.0001, 5000.0, 5000),
            _estimate("champion", "dr", 0.0046, 0.0019, 5000.0, 5000),
            _estimate("challenger", "dr", 0.00501, 0.0026, 2860.7, 5000),
            _estimate("difference", "dr", 0.00041, 0.0023, 2860.7, 5000),
        ],
        "weights": _weights(median=0.71, spread=0.8, top=27.4, size=2860.7, versions=["random"], n=5000),
        "actions": [
            {"action": item, "champion": 1 / 34, "challenger": float(share)}
            for item, share in zip(items, shares, strict=True)
        ],
        "curves": _curves(
            {
                "cql": (0.0049, 0.5, 1500),
                "bcq": (0.0053, 0.6, 1500),
                "bc": (0.0047, 3.4, 1000),
                "linear": (0.005, None, 1),
            },
            chosen=("bcq", 2),
        ),
        "candidates": _candidates(
            {"cql": 0.0049, "bcq": 0.0052, "bc": 0.0047, "linear": 0.005}, chosen=("bcq", 2), exact=False
        ),
        "data": {
            "n_read": 20000,
            "n_accepted": 20000,
            "n_quarantined": 0,
            "n_duplicate": 0,
            "n_interactions": 20000,
            "n_matured": 19204,
            "n_late": 37,
            "n_train": 7602,
            "n_validation": 2000,
            "n_gate": 9602,
            "n_excluded": 0,
            "n_without_distribution": 5000,
            "rows_by_version": [{"policy_version": "random", "n": 10000}, {"policy_version": "bts", "n": 10000}],
            "channels": [
                {"channel": "click", "n_interactions": 19204, "mean": 0.0046},
                {"channel": "complaint", "n_interactions": 0, "mean": None},
            ],
            "n_clipped": 12,
            "n_guardrail": 31,
            "validation": {"level": "warn", "checks": _checks(failed=True), "data_docs": "docs/open_bandit/index.html"},
            "drift": {
                "level": "warn",
                "reference": "the training snapshot 4be2a0c1 of version 1",
                "statistic": 171.3,
                "top": [
                    {"name": "position = 3", "kind": "category", "observed": 0.41, "expected": 0.333, "z": 4.9},
                    {"name": "reward", "kind": "reward", "observed": 0.0031, "expected": 0.0046, "z": -1.7},
                    {"name": "affinity_12", "kind": "mean", "observed": 0.0021, "expected": 0.0019, "z": 1.1},
                ],
                "false_alarm_budget": "at most 0.2 in 30 days for a warning, 0.05 for a block",
                "n_cells": 4,
                "detail": "One of 61 monitors moved beyond its budget.",
                "alarms": [
                    {
                        "group": "covariates",
                        "threshold": "block",
                        "level": "warn",
                        "statistic": 171.3,
                        "since": "2026-11-18",
                        "monitors": ["position = 3", "affinity_12"],
                        "reason": "the gate's verdict stays under the new covariates",
                    }
                ],
                "budgets": [
                    {"group": "action", "threshold": "warn", "at_most": 0.02},
                    {"group": "action", "threshold": "block", "at_most": 0.005},
                    {"group": "covariates", "threshold": "warn", "at_most": 0.14},
                    {"group": "covariates", "threshold": "block", "at_most": 0.035},
                ],
            },
            "clustering": "unknown (no unit in the log)",
        },
        "lineage": _lineage("open_bandit", 2),
        "incidents": [
            {
                "rule": "drift",
                "urgency": "ticket",
                "summary": "Positions shift towards 3 in the newest batch. See infra/RUNBOOK.md, `drift`.",
                "since": AS_OF - timedelta(hours=5),
            }
        ],
        "changes": [
            "A new challenger: version 2 (bcq, seed 2).",
            "The verdict went from none to hold.",
            "10,000 more interactions: 10,000 before, 20,000 now.",
            "Drift went from ok to warn.",
        ],
        "next": [
            "The next look needs 1,000 unread matured rows; 0 are waiting.",
            "The next run is at 21 Nov 2026, 03:30 UTC (`30 3 * * *`).",
        ],
    }


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _walk(n: int, end: float, *, seed: int, noise: float) -> list[list[float]]:
    """A bridge from 0 to `end` at 60 row counts."""
    rows = np.unique(np.linspace(1, n, 60).astype(int))
    steps = np.random.default_rng(seed).normal(0, noise, len(rows)).cumsum()
    share = rows / n
    path = share * end + steps - share * steps[-1]
    return [[int(row), float(value)] for row, value in zip(rows, path, strict=True)]


def _estimate(policy: str, estimator: str, value: float, half: float, size: float, n: int) -> dict[str, Any]:
    return {
        "policy": policy,
        "estimator": estimator,
        "value": value,
        "lower": value - half,
        "upper": value + half,
        "effective_sample_size": size,
        "n": n,
    }


def _option(kind: str, share: float, rows: int, cost: float) -> dict[str, Any]:
    return {
        "kind": kind,
        "share": share,
        "rows": rows,
        "days": rows / 1428.6,
        "branch": "planned",
        "evidence": "fresh" if kind == "canary_by_unit" else "continued",
        "cost_per_interaction": cost,
        "worst_cost_per_interaction": abs(cost) * 2,
        "total_cost": rows * cost,
        "fits_slot": False,
    }


def _weights(*, median: float, spread: float, top: float, size: float, versions: list[str], n: int) -> dict[str, Any]:
    sample = np.minimum(median * np.exp(np.random.default_rng(3).normal(0, spread, n)), top)
    sample[: n // 8] = 0.03 * np.exp(np.random.default_rng(4).normal(0, 0.3, n // 8))
    edges = np.geomspace(1e-3, top, 25)
    counts, _ = np.histogram(sample, bins=edges)
    p50, p90, p99 = np.quantile(sample, [0.5, 0.9, 0.99]).tolist()
    return {
        "effective_sample_size": size,
        "quantiles": {"p50": p50, "p90": p90, "p99": p99, "max": top},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "unsupported_mass": 0.0,
        "expected_weight": [
            {
                "policy_version": version,
                "policy": policy,
                "mean": mean,
                "lower": 0.968,
                "upper": 1.041,
                "n": n,
                "log_e": log_e,
            }
            for version in versions
            for policy, mean, log_e in (("champion", 1.0, 0.0), ("challenger", 1.007, 0.4))
        ],
    }


def _curves(ends: dict[str, tuple[float, float | None, int]], *, chosen: tuple[str, int]) -> list[dict[str, Any]]:
    rng = np.random.default_rng(11)
    found = []
    for algorithm, (end, loss, steps) in ends.items():
        for seed in (0, 1, 2):
            at = [steps] if loss is None else np.linspace(steps / 10, steps, 10).astype(int).tolist()
            reach = 1 - 0.8 * np.exp(-4 * np.array(at) / steps)
            value = end * reach * (1 + rng.normal(0, 0.012, len(at)))
            fall = (
                None
                if loss is None
                else loss * (0.25 + np.exp(-3 * np.array(at) / steps)) + rng.normal(0, loss / 80, len(at))
            )
            found.append(
                {
                    "algorithm": algorithm,
                    "seed": seed,
                    "chosen": (algorithm, seed) == chosen,
                    "points": [
                        {"step": step, "loss": None if fall is None else float(fall[i]), "value": float(value[i])}
                        for i, step in enumerate(at)
                    ],
                }
            )
    return found


def _candidates(values: dict[str, float], *, chosen: tuple[str, int], exact: bool) -> list[dict[str, Any]]:
    return [
        {
            "algorithm": algorithm,
            "seed": seed,
            "validation_value": value * (1 + 0.004 * (seed - 1)),
            "truth": value + 0.0019 * (1 - abs(seed - 1)) if exact else None,
            "deployable": algorithm in ("cql", "bcq"),
            "chosen": (algorithm, seed) == chosen,
        }
        for algorithm, value in values.items()
        for seed in (0, 1, 2)
    ]


def _checks(*, failed: bool = False) -> list[dict[str, Any]]:
    rows = [
        ("row_count", None, "block", True, "20,000", "> 0"),
        ("known_policy_version", "policy_version", "block", True, "0 unknown", "0"),
        ("propensity in (0, 1]", "propensity", "block", True, "0 rows outside", "0"),
        ("expected_weight", None, "block", True, "log10 e 0.2", "< 3"),
        ("fresh", "occurred_at", "warn", not failed, "71 h" if failed else "3 h", "≤ 48 h"),
        ("null rate", "reward", "warn", True, "0", "≤ 0.01"),
    ]
    names = ("rule", "column", "level", "passed", "observed", "limit")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _lineage(task: str, n_files: int) -> dict[str, Any]:
    return {
        "snapshot_id": _sha(f"{task} snapshot"),
        "table_version": 4,
        "contract_id": task,
        "contract_version": "1.0.0",
        "contract_sha256": _sha(f"{task} contract"),
        "settings_sha256": _sha(f"{task} settings"),
        "code_version": "0.1.0",
        "lock_sha256": _sha("lock"),
        "batches": [_sha(f"{task} batch {k}") for k in range(n_files)],
        "n_files": n_files,
    }
