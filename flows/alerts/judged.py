"""What a validation means for the alerts: one finding per broken rule, and which rules it judged at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from data_contracts.contract import Contract
from flows.alerts.findings import Finding
from flows.alerts.rules import GROUP, RULES, Urgency, rules_of
from flows.alerts.situation import Situation
from flows.records import Validated

OTHER: Final = "other"  # a rule without an entry
DECIDES: Final = ("action", "policy_version", "propensity", "action_probabilities")  # columns of the decision itself
MOST: Final = 5  # broken checks of one rule that are spelled out

Check = dict[str, Any]  # the fields of data_contracts.checks.CheckResult
Examples = Callable[[Sequence[str]], tuple[dict[str, str], ...]]  # interaction ids -> masked rows


def validation_findings(
    validated: Validated, *, contract: Contract, situation: Situation, examples: Examples
) -> list[Finding]:
    """One finding per rule that a check broke, and one for drift; `examples` shows rows that break a rule."""
    broken: dict[str, list[Check]] = {}
    for check in _checks(validated):
        if not check["passed"]:
            broken.setdefault(_rule(check), []).append(check)
    findings = [_finding(rule, checks, contract, situation, examples) for rule, checks in broken.items()]
    return findings + _drift(validated, situation)


def rules_judged(validated: Validated) -> tuple[str, ...]:
    """Rules about which this validation has a word: broken or whole.

    A rule that a contract dropped is whole; one of a section that is not there, or of a column that is missing, is
    unknown, and so is drift until the detector has seen enough quiet cells to say that it is over.
    """
    checks = _checks(validated)
    present = {_rule(check) for check in checks}
    measurable = all(check["passed"] for check in checks if check["rule"] == "schema")
    families = [section["name"] for section in validated.sections]
    whole = {*rules_of("contract"), *(rule for name in families for rule in rules_of(name))} if measurable else set()
    drift = validated.drift
    if drift is not None and (drift["level"] != "ok" or drift.get("may_close", True)):
        whole.add("drift")
    return tuple(sorted(present | whole | {GROUP}))


def _finding(
    rule: str, checks: Sequence[Check], contract: Contract, situation: Situation, examples: Examples
) -> Finding:
    columns = list(dict.fromkeys(str(c["column"]) for c in checks if c["column"]))
    where = f" ({_some(columns)})" if columns else ""
    ids = [str(i) for c in checks for i in c.get("examples", ())]
    return situation.finding(
        rule,
        f"{RULES[rule].means}{where}",
        observed=_some([_said(c, "observed") for c in checks]),
        limit=_some(list(dict.fromkeys(str(c["limit"]) for c in checks))),
        scope=f"task {situation.task}, {checks[0]['n_rows']:,} rows",
        urgency=_urgency(rule, checks, contract),
        blocks=any(c["level"] == "block" for c in checks),
        rows=examples(ids) if ids else (),
    )


def _urgency(rule: str, checks: Iterable[Check], contract: Contract) -> Urgency:
    """That of the rule, but a warning pages nobody, and neither does a column that no decision reads or records."""
    settings = RULES[rule]
    for check in checks:
        if check["level"] == "block" and (not settings.about_decisions or _decides(check["column"], contract)):
            return settings.urgency
    return "ticket"


def _decides(name: str | None, contract: Contract) -> bool:
    column = contract.column(name) if name is not None else None
    return name in DECIDES or column is None or "observation" in column.roles


def _drift(validated: Validated, situation: Situation) -> list[Finding]:
    drift = validated.drift
    if drift is None or drift["level"] == "ok":
        return []
    top = "; ".join(f"{m['name']} {m['observed']:.4g} (expected {m['expected']:.4g})" for m in drift["top"])
    return [
        situation.finding(
            "drift",
            f"the newest batch differs from the {drift['reference']}: {top}",
            observed=f"statistic {drift['statistic']:.3g}, level {drift['level']}",
            limit=str(drift["false_alarm_budget"]),
            blocks=drift["level"] == "block",
        )
    ]


def _checks(validated: Validated) -> list[Check]:
    return [*validated.checks, *(check for section in validated.sections for check in section["checks"])]


def _rule(check: Check) -> str:
    return check["rule"] if check["rule"] in RULES else OTHER


def _said(check: Check, field: str) -> str:
    return f"{check['column']}: {check[field]}" if check["column"] else str(check[field])


def _some(texts: Sequence[str]) -> str:
    shown = "; ".join(texts[:MOST])
    return shown if len(texts) <= MOST else f"{shown}; {len(texts) - MOST} more"
