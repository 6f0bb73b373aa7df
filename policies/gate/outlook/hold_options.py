"""The ways out of a hold, and the sentence that people read of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from policies.gate.outlook.power import Branch

EXPLORATION_RATES: Final = (0.05, 0.1, 0.2, 0.5)
CANARY_SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.5)
Kind = Literal["as_logged", "exploration", "canary_by_row", "canary_by_unit"]


@dataclass(frozen=True, slots=True)
class Option:
    """One way to know; `rows` are interactions from now on."""

    kind: Kind
    share: float  # of the interactions (canary_by_unit: of the units) that are not decided by the champion
    rows: int | None  # more interactions until the verdict, in 4 of 5 cases; None: never
    days: float | None  # at the present traffic
    branch: Branch | None  # that would give the verdict
    evidence: Literal["continued", "fresh"]  # whether the rows that are read count too
    cost_per_interaction: float  # expected reward given up against the champion; negative: gained
    worst_cost_per_interaction: float  # the same if the lift is at its interval's lower end
    total_cost: float | None  # expected, until the verdict
    fits_slot: bool  # the looks that are left read so many


def settles(options: tuple[Option, ...], cheapest: int | None, *, lift: float, n: int) -> str:
    """One sentence: what the log needs for `lift` (in reward), and the cheapest of the options that at least halve it.

    `options` begin with the present logging; `cheapest` is an index or None; `n` rows are read.
    """
    now, what = options[0], f"A lift of {lift:.3g} per interaction"
    if lift <= 0 or all(option.rows is None for option in options):
        return "No log can tell them apart: the policies act alike, or no lift is worth finding."
    if now.rows is None:
        needs = f"{what} is never settled by the present logging"
    elif now.rows == 0:
        needs = f"{what} would have shown by now in 4 of 5 cases ({n:,} rows are read)"
    else:
        needs = f"{what} needs about {_about(now.rows)} more rows as logged{_in_days(now)} ({n:,} are read)"
        needs += "" if now.fits_slot else ", more than the looks left to this slot will read"
    if cheapest is None:
        return (
            f"{needs}; no exploration and no canary up to {CANARY_SHARES[-1]:.0%} halves that."
            if now.rows
            else f"{needs}."
        )
    return f"{needs}; {_describe(options[cheapest])}."


def _describe(option: Option) -> str:
    how = {
        "as_logged": "logging on",
        "exploration": f"deciding {option.share:.0%} of the traffic uniformly at random",
        "canary_by_row": f"a canary on {option.share:.0%} of the rows",
        "canary_by_unit": f"a canary on {option.share:.0%} of the units",
    }[option.kind]
    again = " counted from then on" if option.evidence == "fresh" else ""
    effect = "gain" if option.cost_per_interaction < 0 else "cost"
    return (
        f"{how} would need about {_about(option.rows or 0)} rows{again}{_in_days(option)}, at an expected {effect} of "
        f"{abs(option.cost_per_interaction):.3g} per interaction, {abs(option.total_cost or 0.0):.3g} in all"
    )


def _in_days(option: Option) -> str:
    return "" if option.days is None else f" ({_about(max(option.days, 1.0))} days)"


def _about(count: float) -> str:
    """Two significant digits: more would pretend to a knowledge of the lift that nobody has."""
    return f"{float(f'{count:.2g}'):,.0f}"
