"""What a measured number may be: ODCS operators read into one interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from data_contracts.contract import TableRule
from data_contracts.errors import ConfigurationError

# Operator of ODCS v3.1 -> which end it sets; a strict bound is the next floating-point number.
OPERATORS: Final = (
    "mustBe",
    "mustBeGreaterThan",
    "mustBeGreaterOrEqualTo",
    "mustBeLessThan",
    "mustBeLessOrEqualTo",
    "mustBeBetween",
)


@dataclass(frozen=True, slots=True)
class Limit:
    """The closed interval [minimum, maximum]; None is no bound.

    `unit` is what is counted, in the plural, or % or empty.
    """

    minimum: float | None
    maximum: float | None
    unit: str

    def holds(self, value: float) -> bool:
        above = self.minimum is None or value >= self.minimum
        return above and (self.maximum is None or value <= self.maximum)

    def show(self, value: float) -> str:
        if not self.unit.isalpha():
            return f"{value:.6g} {self.unit}".strip()
        return f"{value:,.0f} {self.unit if value != 1 else self.unit.removesuffix('s')}"

    def __str__(self) -> str:
        if self.minimum is not None and self.minimum == self.maximum:
            return self.show(self.minimum)
        lowest = "" if self.minimum is None else f"at least {self.show(self.minimum)}"
        highest = "" if self.maximum is None else f"at most {self.show(self.maximum)}"
        return ", ".join(part for part in (lowest, highest) if part)


def none_of_the_rows() -> Limit:
    return Limit(0, 0, "rows")


def at_least(n_rows: float) -> Limit:
    return Limit(n_rows, None, "rows")


def limit_of(rule: TableRule, default: Limit | None) -> Limit:
    """The interval that a rule's operators leave, or `default` when it names none.

    Raises ConfigurationError for a bound that is not a number, and for neither operator nor default.
    """
    given = {name: rule.arguments[name] for name in OPERATORS if name in rule.arguments}
    unit = default.unit if default is not None else ""
    if not given:
        if default is None:
            raise _unusable(rule, "no limit")
        return default
    low, high = -math.inf, math.inf
    for name, bound in given.items():
        bottom, top = _interval(rule, name, bound)
        low, high = max(low, bottom), min(high, top)
    if unit == "rows":  # whole numbers: "more than 0" is "at least 1"
        low, high = math.ceil(low) if math.isfinite(low) else low, math.floor(high) if math.isfinite(high) else high
    return Limit(low if math.isfinite(low) else None, high if math.isfinite(high) else None, unit)


def _interval(rule: TableRule, operator: str, bound: float | str | list[str]) -> tuple[float, float]:
    parts = bound if isinstance(bound, list) else [bound]
    try:
        numbers = [float(part) for part in parts]
    except ValueError as error:
        raise _unusable(rule, f"{operator}: {bound}") from error
    if len(numbers) != (2 if operator == "mustBeBetween" else 1):
        raise _unusable(rule, f"{operator}: {bound}")
    first, last = numbers[0], numbers[-1]
    return {
        "mustBe": (first, first),
        "mustBeGreaterThan": (math.nextafter(first, math.inf), math.inf),
        "mustBeGreaterOrEqualTo": (first, math.inf),
        "mustBeLessThan": (-math.inf, math.nextafter(first, -math.inf)),
        "mustBeLessOrEqualTo": (-math.inf, first),
        "mustBeBetween": (first, last),
    }[operator]


def _unusable(rule: TableRule, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"unusable limit in quality rule {rule.rule}: expected one of {', '.join(OPERATORS)} with numbers, got {got}. "
        "Correct the contract.",
        check=rule.rule,
    )
