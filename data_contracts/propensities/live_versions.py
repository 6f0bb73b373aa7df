"""Who decides just now? After a promotion and a time of grace, only the champion should appear in the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from data_contracts.checks import CheckResult
from data_contracts.propensities.propensity_settings import ServingSettings
from data_contracts.rewards.outcomes import utc64

N_EXAMPLES: Final = 5


@dataclass(frozen=True, slots=True)
class Tenure:
    """A version was champion from `since` (None: always) until `until` (None: still)."""

    version: str
    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class LiveVersions:
    """Recent rows so far, and those of them that none of the champions of their moment can have decided.

    `elsewhere`: versions that decide beside the champion by declaration. Rows that name their arm (a canary, an
    experiment) are never counted.
    """

    tenures: tuple[Tenure, ...]
    elsewhere: frozenset[str]
    settings: ServingSettings
    as_of: datetime
    n_recent: int = 0
    unexpected: Mapping[str, int] | None = None  # rows by policy version
    examples: tuple[str, ...] = ()

    def add(self, rows: pa.Table) -> LiveVersions:
        """Also look at `rows`, with columns interaction_id, occurred_at, policy_version (and arm)."""
        occurred = rows["occurred_at"].to_numpy()
        end = utc64(self.as_of)
        recent = (occurred <= end) & (occurred > end - np.timedelta64(self.settings.recent, "us"))
        if "arm" in rows.column_names:
            recent &= rows["arm"].is_null().to_numpy()
        if not recent.any():
            return self
        mine, occurred = rows.filter(pa.array(recent)), occurred[recent]
        version = pc.fill_null(mine["policy_version"], "").combine_chunks()
        wrong = ~self._expected(version, occurred)
        counts = {**(self.unexpected or {})}
        for entry in pc.value_counts(version.filter(pa.array(wrong))).to_pylist():
            counts[entry["values"]] = counts.get(entry["values"], 0) + entry["counts"]
        ids = mine["interaction_id"].filter(pa.array(wrong)).slice(0, N_EXAMPLES).to_pylist()
        return replace(
            self,
            n_recent=self.n_recent + mine.num_rows,
            unexpected=counts,
            examples=(*self.examples, *ids)[:N_EXAMPLES],
        )

    def _expected(self, version: pa.Array, occurred: NDArray[np.datetime64]) -> NDArray[np.bool_]:
        expected: NDArray[np.bool_] = pc.is_in(version, pa.array(sorted(self.elsewhere), pa.string())).to_numpy(False)
        grace = np.timedelta64(self.settings.grace, "us")  # before a promotion as well: clocks differ
        for tenure in self.tenures:
            held = pc.equal(version, tenure.version).to_numpy(False).copy()
            if tenure.since is not None:
                held &= occurred >= utc64(tenure.since) - grace
            if tenure.until is not None:
                held &= occurred <= utc64(tenure.until) + grace
            expected = expected | held
        return expected


def tenures(moves: Sequence[tuple[str, datetime]]) -> tuple[Tenure, ...]:
    """Tenures from the (version, moment) of every move of alias champion, oldest first; the first had always been."""
    later = [at for _, at in moves[1:]]
    spans = zip(moves, [None, *later], [*later, None], strict=False)  # no moves, no tenures
    return tuple(Tenure(name, start, end) for (name, _), start, end in spans)


def live_versions_check(found: LiveVersions) -> CheckResult:
    """Rule `unexpected_policy_version`: no recent row was decided by another policy than the champion of its moment."""
    counts = dict(sorted((found.unexpected or {}).items()))
    shown = ", ".join(f"{n:,} by {version or 'no version'}" for version, n in list(counts.items())[:N_EXAMPLES])
    champion = found.tenures[-1].version if found.tenures else "none"
    return CheckResult(
        rule="unexpected_policy_version",
        column="policy_version",
        level="warn",
        passed=not counts,
        observed=f"{sum(counts.values()):,} of {found.n_recent:,} rows{f' ({shown})' if shown else ''}",
        limit=f"champion {champion} only, {found.settings.grace} after a promotion",
        n_rows=found.n_recent,
        description="the champion decides, and nobody else who is not declared",
        examples=found.examples,
    )
