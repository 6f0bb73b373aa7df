"""Quality rules of a contract about the whole table: the standard's library metrics, and rules of Sluice's own."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, cast, get_args

from data_contracts.contract import Severity, TableRule
from data_contracts.language.problems import KeyPath, Problems, as_list, as_mapping, hint, one_of, show
from data_contracts.table_limits import OPERATORS

SEVERITIES: Final = get_args(Severity)
UNITS: Final = ("rows", "percent")
ENGINE: Final = "sluice"
INVALID_VALUES: Final = "invalidValues"  # about each row: see contract_values

Arguments = dict[str, float | str | list[str]]


@dataclass(frozen=True, slots=True)
class RuleKind:
    """A rule that a contract may name: a metric of the standard's library, or one of Sluice's own."""

    description: str
    engine: Literal["library", "sluice"]
    columns: Literal["none", "one", "many"] = "none"
    limit: Literal["required", "optional", "none"] = "required"
    units: tuple[str, ...] = ()


RULES: Final[dict[str, RuleKind]] = {
    "rowCount": RuleKind("number of rows", "library", units=("rows",)),
    "nullValues": RuleKind("rows without a value in a column", "library", "one", units=UNITS),
    "missingValues": RuleKind("rows whose value in a column stands for none", "library", "one", units=UNITS),
    "duplicateValues": RuleKind("rows that repeat a combination of columns", "library", "many", units=UNITS),
    "known_policy_version": RuleKind("every row names a declared behavior policy", "sluice", limit="optional"),
    "expected_weight": RuleKind("importance weights average to 1 for every policy version", "sluice", limit="none"),
    "null_share": RuleKind("share of rows, in [0, 1], without a value in a column", "sluice", "one"),
    "logged_propensity_missing": RuleKind("share of rows without a logged propensity", "sluice", limit="optional"),
    "action_probabilities_sum": RuleKind(
        "largest departure of a logged distribution's sum from 1", "sluice", limit="optional"
    ),
    "episode_continuity": RuleKind(
        "steps of an episode follow one another from its first logged step, and times do not go backwards",
        "sluice",
        limit="optional",
        units=UNITS,
    ),
    "one_terminal": RuleKind(
        "at most one step of an episode is terminated or truncated, and it is the last",
        "sluice",
        limit="optional",
        units=UNITS,
    ),
    "rare_action": RuleKind("rows of the declared action that has the fewest", "sluice", units=UNITS),
}
# Rules about each row, judged whether a contract names them or not: a row that breaks one is quarantined.
ROW_RULES: Final = {
    "propensity": "the propensity lies in (0, 1]",
    "action_probabilities": "a logged distribution has one probability per declared action, and they sum to 1",
    "action_in_support": "the logged action has the logged propensity, above 0, in the logged distribution",
    "known_action": "the action is one of the declared actions",
    "reward_bounds": "the reward lies inside its declared bounds",
}


def read_table_rules(
    quality: object, path: KeyPath, *, column: str | None, declared: Collection[str], problems: Problems
) -> tuple[TableRule, ...]:
    """Table rules under `quality` of object `interactions` (`column` None), or of one of its columns.

    `declared`: the names of all columns.
    """
    rules: list[TableRule] = []
    for i, raw in enumerate(as_list(quality)):
        here = (*path, i)
        if not isinstance(raw, dict) or (column and raw.get("metric") == INVALID_VALUES):
            continue  # an enumeration belongs to its column: see contract_values
        n_before = len(problems.found)
        severity = _severity(raw, here, problems)
        kind, where = raw.get("type", "library"), _Where(here, column, tuple(declared), problems)
        if kind == "library":
            found = list(_library_rule(raw, where))
        elif kind == "custom":
            found = list(_custom_rule(raw, where))
        else:
            found, then = [], "Write a metric of the library, or a custom rule of engine sluice."
            here = (*here, "type")
            problems.add(here, "type of a quality rule", expected="library or custom", got=show(kind), then=then)
        if len(problems.found) == n_before:
            said = raw.get("description")
            rules += [
                TableRule(name, severity, arguments, str(said or RULES[name].description)) for name, arguments in found
            ]
    return tuple(rules)


@dataclass(frozen=True, slots=True)
class _Where:
    """Place of one entry of `quality`."""

    path: KeyPath
    column: str | None  # None: under the object
    declared: tuple[str, ...]
    problems: Problems

    def wrong(self, below: KeyPath, what: str, *, expected: str, got: str, then: str) -> None:
        self.problems.add((*self.path, *below), what, expected=expected, got=got, then=then)

    def unknown(self, below: KeyPath, *, kind: str, where: str, accepted: Collection[str], word: str = "") -> None:
        self.problems.unknown((*self.path, *below), kind=kind, where=where, accepted=accepted, word=word)


def _library_rule(raw: dict[str, Any], where: _Where) -> Iterator[tuple[str, Arguments]]:
    """(metric, arguments): one for each column, or one for the table."""
    metric = raw.get("metric")
    accepted = [
        name
        for name, kind in RULES.items()
        if kind.engine == "library" and (kind.columns != "none" or not where.column)
    ]
    if metric not in accepted:
        place = f"quality of column {where.column}" if where.column else "quality of object interactions"
        also = [INVALID_VALUES] if where.column else []
        where.unknown(("metric",), kind="metric", where=place, accepted=[*accepted, *also], word=str(metric))
        return
    kind, given = RULES[metric], as_mapping(raw.get("arguments"))
    for word in given:
        allowed = [w for w in ("missingValues",) if metric == "missingValues"]
        allowed += ["properties"] if kind.columns != "none" and not where.column else []
        if word not in allowed:
            where.unknown(("arguments", word), kind="argument", where=f"metric {metric}", accepted=allowed)
    arguments: Arguments = {**_limits(raw, metric, (), where, most=1), **_unit(raw, metric, (), where)}
    if metric == "missingValues":
        arguments["missing_values"] = _missing_values(given, where)
    columns = [where.column] if where.column else _columns(given, metric, where)
    if kind.columns == "one":
        yield from ((metric, {**arguments, "column": column}) for column in columns)
    else:
        yield metric, {**arguments, **({"columns": columns} if kind.columns == "many" else {})}


def _custom_rule(raw: dict[str, Any], where: _Where) -> Iterator[tuple[str, Arguments]]:
    """(rule, arguments) of `engine: sluice` with `implementation: {rule: NAME, …}`."""
    if raw.get("engine") != ENGINE:
        got, then = show(raw.get("engine")), "No other engine is executed."
        where.wrong(("engine",), "engine of a custom rule", expected=ENGINE, got=got, then=then)
        return
    if where.column:
        then = "Move it to the quality of the object."
        what = f"custom rule under column {where.column}"
        where.wrong((), what, expected="it under object interactions", got="it under a column", then=then)
        return
    settings, inside = as_mapping(raw.get("implementation")), ("implementation",)
    name = settings.get("rule")
    accepted = [word for word, kind in RULES.items() if kind.engine == ENGINE]
    if isinstance(name, str) and name in ROW_RULES:
        _check_row_rule(raw, name, where)
        return
    if name not in accepted:
        words = [*accepted, *ROW_RULES]
        where.unknown((*inside, "rule"), kind="rule", where="implementation", accepted=words, word=str(name))
        return
    kind = RULES[name]
    allowed = ["rule", *(["column"] if kind.columns == "one" else []), *(OPERATORS if kind.limit != "none" else [])]
    allowed += ["unit"] if kind.units else []
    for word in settings:
        if word not in allowed:
            where.unknown((*inside, word), kind="argument", where=f"rule {name}", accepted=allowed)
    arguments = _limits(settings, name, inside, where, most=2) if kind.limit != "none" else {}
    if kind.columns == "one":
        arguments["column"] = _declared(settings.get("column"), (*inside, "column"), name, where)
    if kind.units:
        arguments |= _unit(settings, name, inside, where)
    yield name, arguments


def _check_row_rule(raw: dict[str, Any], name: str, where: _Where) -> None:
    for word in as_mapping(raw.get("implementation")):
        if word != "rule":
            below, place = ("implementation", word), f"rule {name}"
            where.unknown(below, kind="argument", where=place, accepted=("rule",))
    if raw.get("severity") in SEVERITIES and raw["severity"] != "block":
        got, then = show(raw["severity"]), "A row that breaks it is quarantined."
        where.wrong(("severity",), f"severity of rule {name}", expected="block", got=got, then=then)


def _severity(raw: dict[str, Any], path: KeyPath, problems: Problems) -> Severity:
    found = raw.get("severity")
    if found not in SEVERITIES:
        what = f"severity of quality rule {raw.get('name') or raw.get('metric') or ''}".rstrip()
        got, then = show(found) if "severity" in raw else "nothing", "block stops the run, warn only tells."
        problems.add((*path, "severity"), what, expected=one_of(SEVERITIES), got=got, then=then)
    return cast(Severity, found)


def _limits(settings: dict[str, Any], name: str, below: KeyPath, where: _Where, *, most: int) -> Arguments:
    """The operators of a rule; mustBeBetween is strict at both ends (ODCS v3.1, data quality) and becomes two."""
    words = [word for word in settings if word.startswith("must")]
    bounds: Arguments = {}
    for word in words:
        value, here = settings[word], (*below, word)
        is_pair = isinstance(value, list) and len(value) == 2 and all(map(_is_number, value)) and value[0] < value[1]
        if word not in OPERATORS:
            where.unknown(here, kind="operator", where=f"rule {name}", accepted=OPERATORS)
        elif word == "mustBeBetween" and is_pair:
            bounds |= {"mustBeGreaterThan": float(value[0]), "mustBeLessThan": float(value[1])}
        elif word != "mustBeBetween" and _is_number(value):
            bounds[word] = float(value)
        else:
            expected = "two numbers, the smaller first" if word == "mustBeBetween" else "a number"
            where.wrong(here, f"{word} of rule {name}", expected=expected, got=show(value), then="Correct it.")
    least = 1 if RULES[name].limit == "required" else 0
    if not least <= len(words) <= most:
        expected = f"{'' if least == most else 'at most '}{most} of {', '.join(OPERATORS)}"
        got = ", ".join(words) or "none"
        where.wrong(below, f"limit of rule {name}", expected=expected, got=got, then="Say what the number may be.")
    return bounds


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unit(settings: dict[str, Any], name: str, below: KeyPath, where: _Where) -> Arguments:
    units, unit = RULES[name].units, settings.get("unit", "rows")
    if unit not in units:
        what, then = f"unit of {'rule' if below else 'metric'} {name}", hint(str(unit), units) or "Correct it."
        where.wrong((*below, "unit"), what, expected=one_of(units), got=show(unit), then=then)
    return {"unit": str(unit)}


def _missing_values(given: dict[str, Any], where: _Where) -> list[str]:
    """The words that stand for no value; null always does."""
    words = given.get("missingValues")
    if isinstance(words, list) and words and all(word is None or isinstance(word, str) for word in words):
        return [word for word in words if word is not None]
    here, expected = ("arguments", "missingValues"), "a list of texts, or null"
    where.wrong(here, "missingValues of a rule", expected=expected, got=show(words), then="Correct it.")
    return []


def _columns(given: dict[str, Any], metric: str, where: _Where) -> list[str]:
    """Columns that a metric under the object is about."""
    if RULES[metric].columns == "none":
        return []
    here, names = ("arguments", "properties"), given.get("properties")
    if not isinstance(names, list) or not names:
        what, then = f"columns of metric {metric}", "Name them, or move the rule under its column."
        where.wrong(here, what, expected="arguments: {properties: [names]}", got=show(names), then=then)
        return []
    return [_declared(name, (*here, i), metric, where) for i, name in enumerate(names)]


def _declared(name: object, below: KeyPath, rule: str, where: _Where) -> str:
    if name not in where.declared:
        where.unknown(below, kind="column", where=f"rule {rule}", accepted=where.declared, word=str(name))
    return str(name)
