"""What the benchmarks of the gate share: seeds, sizes, exact limits of a rate, and one decision by every method."""

from __future__ import annotations

import os
import secrets
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.stats import beta

from policies.gate.judging.judge import split_alpha
from tests.benchmarks.gate_peers import promoted_by_peers
from tests.worlds.gate_compressed import draw_log, judge_log
from tests.worlds.gate_worlds import World

SLUICE = "Sluice (planned or betting)"
PLANNED, BETTING = "  its planned branch alone", "  its betting branch alone"


def fresh_seed() -> int:
    """Printed by every benchmark; SLUICE_GATE_SEED gives a run again."""
    return int(os.environ.get("SLUICE_GATE_SEED") or secrets.randbits(32))


def size(name: str, default: int) -> int:
    """How many decisions: SLUICE_GATE_<NAME>, or what the benchmark asks."""
    return int(os.environ.get(f"SLUICE_GATE_{name}", default))


@dataclass(slots=True)
class Rate:
    """k of n."""

    k: int = 0
    n: int = 0

    def add(self, happened: bool) -> None:
        self.k += happened
        self.n += 1

    @property
    def share(self) -> float:
        return self.k / self.n if self.n else float("nan")

    @property
    def upper(self) -> float:
        """Clopper-Pearson, one-sided 95 %."""
        return float(beta.ppf(0.95, self.k + 1, self.n - self.k)) if self.k < self.n else 1.0

    def __str__(self) -> str:
        return f"{self.share:6.2%} (<= {self.upper:.2%})"


@dataclass(slots=True)
class Table:
    """Promotions by method (row) and kind of world (column)."""

    rates: dict[str, dict[str, Rate]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Rate)))

    def add(self, column: str, promoted: dict[str, bool]) -> None:
        for method, happened in promoted.items():
            self.rates[method][column].add(happened)

    def __str__(self) -> str:
        columns = list(next(iter(self.rates.values())))
        lines = [" " * 32 + "".join(f"{column:>24}" for column in columns)]
        for method, found in self.rates.items():
            lines.append(f"{method:<32}" + "".join(f"{found[column]!s:>24}" for column in columns))
        counts = {column: found.n for column, found in next(iter(self.rates.values())).items()}
        return "\n".join([*lines, f"decisions: {counts}"])


def decide_everywhere(world: World, rng: np.random.Generator, *, alpha: float, bootstrap: bool) -> dict[str, bool]:
    """Method -> whether it promotes at any look of this world's log, drawn once for all of them."""
    log = draw_log(world, rng)
    judged = judge_log(log, rng, alpha=split_alpha(alpha))
    return {
        SLUICE: judged.proven,
        PLANNED: judged.branch in ("planned", "both"),
        BETTING: judged.branch in ("anytime", "both"),
        **promoted_by_peers(log, rng, bootstrap=bootstrap),
    }


def fill(
    table: Table, column: str, draw: Callable[[np.random.Generator], World], *, n: int, n_bootstrap: int, seed: int
) -> None:
    """`n` fresh worlds, one decision each; world i of a seed is the same however many are drawn."""
    key = [seed, *column.encode()]
    for i in range(n):
        rng = np.random.default_rng([*key, i])
        table.add(column, decide_everywhere(draw(rng), rng, alpha=0.05, bootstrap=i < n_bootstrap))
