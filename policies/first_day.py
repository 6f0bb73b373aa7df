"""The first day of a log without propensities: nothing can be judged yet, but what it would take can be said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from policies.gate.outlook.exploration import CHANGED, DaysToVerdict, days_to_verdict
from policies.gate.settings import GateSettings

# Fields to add to the logging service, the most useful first, and what each is for.
FIELDS: Final = {
    "propensity": "the probability with which the logged action was taken; without it nothing can be judged",
    "action_probabilities": "the whole distribution in the order of the actions: such rows can gate",
    "policy_version": "which deployed policy decided; each is judged by itself",
    "interaction_id": "a unique id of each decision, so that its outcome finds it and no row counts twice",
    "unit_id": "who was acted on, so that one user's rows do not count as many users",
    "reward": "in the row, or in a file of outcomes by interaction_id",
}


@dataclass(frozen=True, slots=True)
class RewardFacts:
    """What the log, or the contract, says about one reward."""

    mean: float
    variance: float
    n: int  # rows with a reward; 0: mean and variance are assumed, from the reward's range


@dataclass(frozen=True, slots=True)
class FirstDay:
    """Why nothing can be judged, and what would have to be logged for how long."""

    n_rows: int
    rows_per_action: dict[str, int]  # every declared action, in their order
    rows_per_day: float
    reward: RewardFacts
    minimum_lift: float  # relative; the lift that `days` are about
    changed: float  # share of the traffic on which the assumed challenger decides otherwise
    days: tuple[DaysToVerdict, ...]
    lacking: tuple[str, ...]  # fields of FIELDS that the log does not have

    @property
    def reason(self) -> str:
        """Why the run ends in `refuse`, in one sentence."""
        if "propensity" not in self.lacking:
            return (
                "The gate refuses: this task only reports. Remove `report_only` from the task file to train and judge."
            )
        return (
            f"The gate refuses: none of the {self.n_rows:,} rows says with which probability its action was taken, so "
            "the log cannot tell what another policy would have earned. Log the propensity, or declare the policies "
            "that logged."
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "reason": self.reason}

    def text(self) -> str:
        """Lines for a terminal."""
        return "\n".join([self.reason, "", *_rows(self), "", *_exploration(self), "", *_fields(self)])


def first_day(
    *,
    rows_per_action: Mapping[str, int],
    actions: tuple[str, ...],
    n_days: float,
    reward: RewardFacts,
    present: Collection[str],
    settings: GateSettings,
) -> FirstDay:
    """What a log without propensities already tells.

    Args:
        rows_per_action: rows by action; actions that are not declared are counted in `n_rows` alone.
        actions: the declared actions.
        n_days: the time that the rows span, in days.
        present: fields of the interaction record that the log has.
        settings: threshold and minimum lift of the gate.
    """
    n_rows = sum(rows_per_action.values())
    per_day = n_rows / n_days if n_days > 0 else float(n_rows)
    return FirstDay(
        n_rows=n_rows,
        rows_per_action={action: rows_per_action.get(action, 0) for action in actions},
        rows_per_day=per_day,
        reward=reward,
        minimum_lift=settings.minimum_lift,
        changed=CHANGED,
        days=days_to_verdict(
            n_actions=len(actions),
            lift=settings.minimum_lift * abs(reward.mean),
            reward_variance=reward.variance,
            threshold=settings.first_threshold,
            rows_per_day=per_day,
        ),
        lacking=tuple(field for field in FIELDS if field not in present),
    )


def reward_facts(*, n: int, total: float, squares: float, minimum: float, maximum: float) -> RewardFacts:
    """Mean and variance of `n` rewards from their sum and their sum of squares, and one pseudo-row at the far end of
    [minimum, maximum] (a rare event not seen yet); of a coin between the two where none is known."""
    if not n:
        return RewardFacts(mean=(minimum + maximum) / 2, variance=(maximum - minimum) ** 2 / 4, n=0)
    mean = total / n
    spread = max(squares - n * mean**2, 0.0) + max(mean - minimum, maximum - mean) ** 2
    return RewardFacts(mean=mean, variance=spread / (n + 1), n=n)


def _rows(day: FirstDay) -> list[str]:
    width = max(len(action) for action in day.rows_per_action)
    shares = (f"  {action:<{width}}  {n:>12,}" for action, n in day.rows_per_action.items())
    return [f"Rows per action ({day.rows_per_day:,.0f} a day):", *shares]


def _exploration(day: FirstDay) -> list[str]:
    known = f"mean reward {day.reward.mean:.4g}"
    basis = known if day.reward.n else f"{known} assumed, none is logged"
    title = (
        f"Days to a verdict on a lift of {day.minimum_lift:.0%} ({basis}; the challenger decides otherwise on "
        f"{day.changed:.0%} of the traffic):"
    )
    return [title, *(f"  exploring {option.rate:>4.0%}  {_days(option)}" for option in day.days)]


def _days(option: DaysToVerdict) -> str:
    if option.rows is None:
        return "never"
    rows = f"{float(f'{option.rows:.2g}'):,.0f} rows"  # two digits: more would pretend to a knowledge nobody has
    return f"about {float(f'{option.days:.2g}'):,g} days, {rows}" if option.days is not None else f"about {rows}"


def _fields(day: FirstDay) -> list[str]:
    if not day.lacking:
        return ["The log has every field; fill in the propensities."]
    return ["Add to the logging service:", *(f"  {field}: {FIELDS[field]}" for field in day.lacking)]
