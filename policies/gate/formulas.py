"""Formulas of the gate whose stored evidence this release recomputes, and what each of them wrote."""

from __future__ import annotations

from typing import Any, Final

RECOMPUTABLE: Final = (1, 2)  # rows of formula 1 all weigh 1, and formula 2 decides on them alike


def as_written(evidence: dict[str, Any], *, formula: int) -> dict[str, Any]:
    """Fresh evidence (of the newest formula, as JSON) with only what releases of `formula` wrote.

    Formula 1 knew no row weights, no limits of a unit and no median of means.
    """
    evidence = {**evidence, "plan": _without(evidence["plan"], "cluster_size")}
    if formula != 1:
        return evidence
    return {
        **{name: value for name, value in evidence.items() if name != "influence"},
        "formula": 1,
        "estimates": [found for found in evidence["estimates"] if found["estimator"] != "median_of_means"],
        "refusals": [check for check in evidence["refusals"] if check["name"] != "row_weight"],
        "plan": _without(evidence["plan"], "weight_maximum"),
        "inputs": _without(evidence["inputs"], "n_over_limit", "rows_per_unit"),
    }


def _without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}
