"""One ODCS v3.1 file per task, read into typed records: what a row means and what must hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from data_contracts.language.problems import Problem

Role = Literal["reserved", "observation", "segment", "extra"]
LogicalType = Literal["string", "number", "integer", "boolean", "timestamp", "array"]  # array: action_probabilities
Severity = Literal["block", "warn"]
Way = Literal["rename", "default", "expression"]


@dataclass(frozen=True, slots=True)
class Reading:
    """How rows logged under a major version below `before` hold a column; of several, the smallest that fits counts.

    `rename`: `value` is the column they have it in; `default`: the value of all of them; `expression`: see expressions.
    """

    before: int  # a major version
    way: Way
    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fill:
    """What stands in a text column where the log has no value: `value` itself, that of column `value`, or the digest of
    the row's content."""

    way: Literal["constant", "copy", "digest"]
    value: str


@dataclass(frozen=True, slots=True)
class Retired:
    """A column that the contract has no longer, computed from those it has, for policies that still read it."""

    name: str
    logical_type: LogicalType
    until: int  # the major version that dropped it
    expression: str


@dataclass(frozen=True, slots=True)
class Column:
    """One property of the contract's schema.

    `name` is the word in the store, `source_name` the word in the log (ODCS physicalName).
    `minimum`/`maximum` bound the value (both inclusive), `valid_values` enumerates it. `logical_type` is the log's: a
    text column of the store may be written as integer, a reward as boolean.
    """

    name: str
    source_name: str
    logical_type: LogicalType
    roles: tuple[Role, ...]  # ("reserved",) or any of observation, segment, extra
    required: bool = False
    unique: bool = False
    minimum: float | None = None
    maximum: float | None = None
    valid_values: tuple[str, ...] | None = None
    reads: tuple[Reading, ...] = ()
    fill: Fill | None = None
    zone: str | None = None  # of times without an offset; None: they are refused

    def reading(self, major: int) -> Reading | None:
        """How rows of major version `major` hold the column; None: under its own name, as it is."""
        return min((r for r in self.reads if r.before > major), key=lambda r: r.before, default=None)


@dataclass(frozen=True, slots=True)
class TableRule:
    """A rule about the whole of the accepted rows, judged at validation (ODCS quality).

    `rule` is a key of contract_rules.RULES. `arguments` may hold `column` (or `columns`), `unit` (rows or percent),
    `missing_values`, and operators of ODCS (`mustBeGreaterThan`, …) with their bounds.
    """

    rule: str  # e.g. rowCount, null_share, expected_weight, known_policy_version
    severity: Severity
    arguments: dict[str, float | str | list[str]]
    description: str


@dataclass(frozen=True, slots=True)
class Completeness:
    """SLA: at least `percent` % of what was to be expected came (see sla)."""

    element: Literal["interactions", "outcomes"]
    percent: float


@dataclass(frozen=True, slots=True)
class Server:
    """Where the log lies, as the contract tells people; a task's `source` is what is read."""

    name: str
    type: str
    location: str
    environment: str


@dataclass(frozen=True, slots=True)
class Contract:
    """A parsed contract. `sha256` is of the file's bytes."""

    id: str
    version: str
    path: str
    sha256: str
    columns: tuple[Column, ...]  # of object `interactions`, in file order
    outcome_columns: tuple[Column, ...]  # of object `outcomes`; empty when rewards come in the row
    table_rules: tuple[TableRule, ...]
    owner: str
    support: str  # channel or address to reach the owner
    runbook: str
    freshness_hours: float | None  # SLA: the newest row may be this old
    freshness_severity: Severity = "warn"
    completeness: tuple[Completeness, ...] = ()
    completeness_severity: Severity = "warn"
    servers: tuple[Server, ...] = ()
    retired: tuple[Retired, ...] = ()

    @property
    def observation(self) -> tuple[Column, ...]:
        return tuple(c for c in self.columns if "observation" in c.roles)

    @property
    def own_columns(self) -> tuple[Column, ...]:
        """Columns beside the reserved ones."""
        return tuple(c for c in self.columns if "reserved" not in c.roles)

    @property
    def major(self) -> int:
        from data_contracts.language.contract_version import version_of

        return version_of(self.version).major

    def column(self, name: str) -> Column | None:
        return next((c for c in self.columns if c.name == name), None)

    @property
    def reward_bounds(self) -> tuple[float, float]:
        """[minimum, maximum] of one reward: of column `reward`, else of outcomes' `value`; always declared."""
        column = self.column("reward") or next(c for c in self.outcome_columns if c.name == "value")
        if column.minimum is None or column.maximum is None:  # the parser refuses this earlier
            raise ValueError("reward bounds are not declared")
        return column.minimum, column.maximum


def read_contract(path: Path) -> Contract:
    """Read one contract; raises ConfigurationError with every mistake in `fields["problems"]`."""
    from data_contracts.language.contract_reader import (
        parse_contract,  # loads pydantic and YAML: the records need neither
    )
    from data_contracts.language.problems import refuse

    contract, problems = parse_contract(path)
    if contract is None:
        raise refuse(problems)
    return contract


def contract_problems(path: Path) -> list[Problem]:
    """Every mistake in a contract, in the order of its lines; empty when `read_contract` would succeed."""
    from data_contracts.language.contract_reader import parse_contract

    return parse_contract(path)[1]


def shipped_contract(task: str) -> Path:
    """Where the contract of a shipped task lies (whether or not it exists)."""
    from data_contracts.home import check_name

    return Path(__file__).parent / "contracts" / f"{check_name(task, what='task name')}.odcs.yaml"
