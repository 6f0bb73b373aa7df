"""Serving skew: does what was logged equal what the same policy computes from the same observation now?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.checks import CheckResult, FactTable
from data_contracts.draws import draw

NEEDED: Final = ("interaction_id", "policy_version", "action", "propensity")
N_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True, repr=False)
class ServedSample:
    """`limit` rows of each of `versions`, drawn among those with a propensity.

    Neither order nor chunks of the log change it; all rows where a version has no more than `limit`.
    """

    versions: frozenset[str]
    limit: int
    n_rows: Mapping[str, int]  # by version: rows with a propensity so far
    rows: Mapping[str, pa.Table]  # by version

    @classmethod
    def empty(cls, versions: frozenset[str], *, limit: int) -> ServedSample:
        return cls(versions, limit, {}, {})

    def add(self, rows: pa.Table) -> ServedSample:
        """Also draw from `rows`, with columns NEEDED and whatever the policies observe."""
        n_rows, sampled = {**self.n_rows}, {**self.rows}
        logged = rows.filter(pc.is_valid(rows["propensity"]))
        for version in self.versions & set(pc.unique(logged["policy_version"]).to_pylist()):
            mine = logged.filter(pc.equal(logged["policy_version"], version))
            n_rows[version] = n_rows.get(version, 0) + mine.num_rows
            sampled[version] = draw(mine, limit=self.limit, before=sampled.get(version))
        return replace(self, n_rows=n_rows, rows=sampled)

    def __repr__(self) -> str:
        return f"ServedSample({dict(self.n_rows)}, limit={self.limit})"


def skew_check(
    sample: pa.Table, recomputed: NDArray[np.float64], *, version: str, n_rows: int, tolerance: float
) -> tuple[CheckResult, FactTable | None]:
    """Does |logged propensity - recomputed| <= tolerance hold on every row of `sample` (n)? Blocks where it does not.

    `recomputed` (n,) is the probability that `version` gives to the logged action, NaN where it cannot be evaluated
    (such rows are counted and not compared); `n_rows` is the number of rows that the sample stands for. The table
    shows the rows with the largest gaps, None when there is nothing to show.
    """
    logged = sample["propensity"].to_numpy()
    gap = np.abs(logged - recomputed)
    comparable = np.isfinite(recomputed)
    wrong = np.flatnonzero(comparable & ~(gap <= tolerance))
    worst = wrong[np.argsort(-gap[wrong], kind="stable")][:N_EXAMPLES]
    examples = sample.take(pa.array(worst))
    check = CheckResult(
        rule="serving_skew",
        column=f"propensity of policy_version {version}",
        level="block",
        passed=not len(wrong),
        observed=_observed(gap[comparable], len(wrong), n_sampled=sample.num_rows, n_rows=n_rows),
        limit=f"within {tolerance:g}",
        n_rows=int(comparable.sum()),
        description="logged propensities equal those recomputed from the policy",
        examples=tuple(examples["interaction_id"].to_pylist()),
    )
    return check, _table(version, examples, recomputed[worst]) if len(wrong) else None


def _observed(gap: NDArray[np.float64], n_wrong: int, *, n_sampled: int, n_rows: int) -> str:
    of = f"{len(gap):,} rows" if n_sampled == n_rows else f"{len(gap):,} rows (sampled of {n_rows:,})"
    left_out = f"; {n_sampled - len(gap):,} cannot be recomputed" if n_sampled > len(gap) else ""
    largest = f", by up to {gap.max():.3g}" if len(gap) else ""
    return f"{n_wrong:,} of {of} differ{largest}{left_out}"


def _table(version: str, examples: pa.Table, recomputed: NDArray[np.float64]) -> FactTable:
    listed = zip(
        examples["interaction_id"].to_pylist(),
        examples["action"].to_pylist(),
        examples["propensity"].to_pylist(),
        recomputed.tolist(),
        strict=True,
    )
    return FactTable(
        title=f"Logged and recomputed propensities of version {version}",
        columns=("interaction", "action", "logged", "recomputed"),
        rows=tuple((str(i), str(a), f"{p:.9g}", f"{q:.9g}") for i, a, p, q in listed),
    )
