"""What the arms of a stage lead to. Pure: what was found at each horizon in, the next step out.

A verdict by the log is provisional: what carries over shows in time only. A stage ends when something is proven, or
when its planned looks are used up; never because it looks good. A good short horizon proves nothing about a long one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Conclusion = Literal["wait", "better", "worse", "exhausted", "undecided", "incomparable"]
HoldbackStep = Literal["wait", "confirm", "roll_back", "alert"]
CanaryStep = Literal["wait", "promote", "withdraw"]


@dataclass(frozen=True, slots=True)
class HorizonFound:
    """What the looks so far have shown at one horizon."""

    horizon_days: int
    looks_taken: int
    n_looks: int
    better: bool  # proven: the challenger above the champion
    worse: bool  # proven: below
    balanced: bool  # the arms have the shares they were designed with
    lift: float = 0.0  # estimate, challenger - champion, in reward


def conclude(found: Sequence[HorizonFound]) -> Conclusion:
    """`found` in order of horizons. worse: proven at any horizon. incomparable: a horizon's arms have lost units.
    better: proven at the longest. When its planned looks are used up: undecided where the challenger's units did worse
    without proof, exhausted where they did not. Else wait."""
    longest = found[-1]
    if any(h.worse and h.balanced for h in found):
        return "worse"
    if not all(h.balanced for h in found):
        return "incomparable"
    if longest.better:
        return "better"
    if longest.looks_taken < longest.n_looks:
        return "wait"
    return "undecided" if longest.lift < 0 else "exhausted"


def holdback_step(conclusion: Conclusion, *, on_regression: Literal["rollback", "alert"]) -> HoldbackStep:
    """A promotion is confirmed when it is proven, or when a whole holdback has nothing against it. Arms that cannot be
    compared confirm nothing, and neither does a challenger that did worse without proof: a person decides."""
    if conclusion == "worse":
        return "roll_back" if on_regression == "rollback" else "alert"
    return "confirm" if conclusion in ("better", "exhausted") else "wait"


def canary_step(conclusion: Conclusion) -> CanaryStep:
    """A canary must prove its challenger: what it could not prove, or not compare, is withdrawn."""
    if conclusion == "wait":
        return "wait"
    return "promote" if conclusion == "better" else "withdraw"


def words_of(found: Sequence[HorizonFound], conclusion: Conclusion) -> str:
    """One sentence for people."""
    longest = found[-1]
    if conclusion == "worse":
        days = next(h.horizon_days for h in found if h.worse and h.balanced)
        return f"units with the challenger do worse than those with the champion: proven over {days} days"
    if conclusion == "incomparable":
        days = next(h.horizon_days for h in found if not h.balanced)
        return f"the arms lost units unequally over {days} days and cannot be compared"
    if conclusion == "better":
        days = longest.horizon_days
        return f"units with the challenger do better than those with the champion: proven over {days} days"
    if conclusion == "undecided":
        return (
            f"all {longest.n_looks} planned looks over {longest.horizon_days} days proved nothing, but units with the "
            f"challenger did worse ({longest.lift:+.3g})"
        )
    if conclusion == "exhausted":
        return f"all {longest.n_looks} planned looks over {longest.horizon_days} days proved neither arm better"
    early = [h.horizon_days for h in found if h.better]
    so_far = f"better over {early[-1]} days, which proves nothing about {longest.horizon_days}; " if early else ""
    return f"{so_far}look {longest.looks_taken} of {longest.n_looks} over {longest.horizon_days} days is taken"
