"""What may open an incident: one record per rule, with its urgency and what explains it.

A rule pages only when served decisions are wrong or about to stop, or when nobody could see that they are. Everything
else is a ticket. `infra/RUNBOOK.md` has an entry for each rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Urgency = Literal["page", "ticket"]  # page: a person must act now; ticket: in working hours
Family = Literal[
    "group", "contract", "sla", "propensities", "outcomes", "feedback_loop", "influence", "drift", "run", "store"
]

RUNBOOK: Final = "infra/RUNBOOK.md"
GROUP: Final = "contract"  # the rule of an incident that stands for many rules of one contract
GROUPED: Final[tuple[Family, ...]] = ("contract", "sla", "propensities", "outcomes", "feedback_loop", "influence")


@dataclass(frozen=True, slots=True)
class Rule:
    """`means` is one line for the table of the runbook; `effect` says what is wrong with what is served, or what waits.

    `about_decisions`: pages only where a broken column is one that a decision reads or records. `explained_by` names
    rules, and families, whose break is the cause of this one's. `closes_at_once`: one passing check is the last word,
    whatever the task's `resolve_after`.
    """

    urgency: Urgency
    family: Family
    means: str
    effect: str
    command: str = "sluice validate {task}"
    about_decisions: bool = False
    explained_by: tuple[str, ...] = ()
    closes_at_once: bool = False


_INPUT = "The champion may decide on what is broken here: the log holds what it saw."
_PROBABILITY = "What is served is not what is logged, or the log is wrong; these rows prove nothing about any policy."
_LOG = "Decisions are served as before; this part of the log is not to be trusted."
_REWARD = "Decisions are served as before; rewards are incomplete, and so is what is learned from them."
_NARROW = "Decisions are served as before; the log teaches less and less about other actions."
_STEER = "Decisions are served as before; a few units weigh more in the next policy than they should."
_STATUS = "sluice status {task}"

RULES: Final[dict[str, Rule]] = {
    "contract": Rule("page", "group", "many rules of one contract are broken at once", _INPUT),
    "schema": Rule("page", "contract", "a column is missing or has another type", _INPUT),
    "required": Rule("page", "contract", "a value that must be there is missing", _INPUT, about_decisions=True),
    "range": Rule("page", "contract", "a number lies outside its bounds", _INPUT, about_decisions=True),
    "valid_values": Rule("page", "contract", "a word that the contract does not list", _INPUT, about_decisions=True),
    "finite": Rule("page", "contract", "NaN or infinity", _INPUT, about_decisions=True),
    "null_share": Rule("page", "contract", "too many rows without a value", _INPUT, about_decisions=True),
    "nullValues": Rule("page", "contract", "rows without a value", _INPUT, about_decisions=True),
    "missingValues": Rule("page", "contract", "rows whose value stands for none", _INPUT, about_decisions=True),
    "known_action": Rule("page", "contract", "an action that nobody declared is taken", _INPUT),
    "known_policy_version": Rule("page", "contract", "a policy that nobody declared decides", _INPUT),
    "propensity": Rule("page", "contract", "a propensity outside (0, 1]", _PROBABILITY),
    "action_probabilities": Rule("page", "contract", "a logged distribution that is none", _PROBABILITY),
    "action_probabilities_sum": Rule(
        "page",
        "contract",
        "logged distributions do not sum to 1",
        _PROBABILITY,
        explained_by=("action_probabilities",),
    ),
    "expected_weight": Rule(
        "page",
        "contract",
        "importance weights do not average to 1",
        _PROBABILITY,
        explained_by=("silent_propensity", "constant_propensity", "serving_skew"),
    ),
    "unique": Rule("ticket", "contract", "a key occurs twice", _LOG),
    "duplicateValues": Rule("ticket", "contract", "a combination of values occurs twice", _LOG),
    "as_of": Rule("ticket", "contract", "decisions dated in the future", _LOG),
    "rowCount": Rule("ticket", "contract", "too few rows, or too many", _LOG),
    "logged_propensity_missing": Rule("ticket", "contract", "rows without a propensity cannot gate", _LOG),
    "episode_continuity": Rule("ticket", "contract", "episodes with missing steps", _LOG),
    "one_terminal": Rule("ticket", "contract", "episodes that end twice, or go on after their end", _LOG),
    "rare_action": Rule("ticket", "contract", "an action is taken less often than promised", _NARROW),
    "other": Rule("ticket", "contract", "a check that has no entry of its own here", _LOG),
    "freshness": Rule("page", "sla", "no decision has been logged for longer than the SLA allows", _LOG),
    "completeness": Rule(
        "ticket",
        "sla",
        "fewer rows arrive than the SLA promises",
        _LOG,
        explained_by=("freshness",),
    ),
    "propensity_calibration": Rule(
        "page",
        "propensities",
        "actions are taken more or less often than their propensities say",
        _PROBABILITY,
        explained_by=("expected_weight", "silent_propensity", "constant_propensity", "serving_skew"),
    ),
    "silent_propensity": Rule("page", "propensities", "propensities are 1 where the policy explores", _PROBABILITY),
    "constant_propensity": Rule(
        "ticket",
        "propensities",
        "every propensity is the same number",
        _PROBABILITY,
        explained_by=("silent_propensity",),
    ),
    "propensity_missing": Rule(
        "ticket",
        "propensities",
        "too many rows without a propensity",
        _LOG,
        explained_by=("logged_propensity_missing",),
    ),
    "serving_skew": Rule(
        "page",
        "propensities",
        "a policy serves other probabilities than its registered bytes give",
        "Served decisions are not those of the policy that was approved.",
        command="sluice verify {task}",
    ),
    "unexpected_policy_version": Rule(
        "page",
        "propensities",
        "another policy than the champion still decides after the grace time",
        "Part of the traffic is not decided by the champion.",
        command="sluice policies {task}",
        explained_by=("known_policy_version",),
    ),
    "outcome_delay": Rule("ticket", "outcomes", "outcomes arrive later than they used to", _REWARD),
    "outcome_completeness": Rule(
        "ticket",
        "outcomes",
        "too few decisions have an outcome",
        _REWARD,
        explained_by=("outcome_delay",),
    ),
    "guardrail": Rule(
        "page",
        "outcomes",
        "complaints, unsubscribes or the like are above their limit",
        "What the champion does harms: consider the version before it.",
        command="sluice policies {task}",
    ),
    "exploration": Rule("ticket", "feedback_loop", "exploration dies", _NARROW),
    "action_concentration": Rule(
        "ticket",
        "feedback_loop",
        "a few actions take nearly all decisions",
        _NARROW,
        explained_by=("exploration",),
    ),
    "unexplored_observations": Rule(
        "ticket",
        "feedback_loop",
        "many observations are never explored",
        _NARROW,
        explained_by=("exploration",),
    ),
    "segment_coverage": Rule("ticket", "feedback_loop", "a segment has too few rows to be judged", _NARROW),
    "own_data_share": Rule("ticket", "feedback_loop", "the champion wrote nearly all of its next data", _NARROW),
    "concentration": Rule("ticket", "influence", "a few units carry too much of the weight", _STEER),
    "coordination": Rule("ticket", "influence", "units act as one", _STEER),
    "drift": Rule(
        "ticket",
        "drift",
        "the newest rows differ from what the champion was trained on",
        "The champion's evidence comes from a world that has moved.",
        explained_by=("contract", "propensities"),
        closes_at_once=True,
    ),
    "quarantine": Rule(
        "page",
        "run",
        "most lines of a delivery break the contract",
        "Nobody sees what is decided now; the rejected lines lie in quarantine.",
        command="sluice quarantine {task}",
        explained_by=("schema",),
    ),
    "run_failed": Rule(
        "ticket", "run", "a run ended in an error", "This run stopped; the next one takes over.", command=_STATUS
    ),
    "stale": Rule(
        "page",
        "run",
        "no run has succeeded within the task's SLA",
        "Nothing watches this task: no other alert of it can come, and no new policy either.",
        command=_STATUS,
        closes_at_once=True,
    ),
    "gate_refused": Rule(
        "ticket",
        "run",
        "the gate could not evaluate several challengers in a row",
        "No challenger can be promoted.",
        command="sluice policies {task}",
    ),
    "regression": Rule(
        "page",
        "run",
        "units of the new policy do worse than those held back",
        "The policy that was promoted last harms over time what its log could not show.",
        command="sluice policies {task}",
        closes_at_once=True,
    ),
    "arm_shares": Rule(
        "ticket",
        "run",
        "the arms of a canary or a holdback lose units unequally",
        "The arms cannot be compared, so nothing can be proven by them.",
        command="sluice validate {task}",
        closes_at_once=True,
    ),
    "integrity": Rule(
        "page",
        "store",
        "stored bytes do not match their hash",
        "Stored bytes do not match their hash; what they prove is open until they are restored.",
        command="sluice verify {task}",
        closes_at_once=True,
    ),
    "test": Rule(
        "ticket",
        "store",
        "somebody tries whether alerts arrive",
        "Nothing is wrong; somebody tries whether alerts arrive.",
        command="sluice alerts",
        closes_at_once=True,
    ),
}


def rules_of(*families: Family) -> tuple[str, ...]:
    """The rules of these families, in the order of the table."""
    return tuple(name for name, rule in RULES.items() if rule.family in families)


def explains(cause: str, rule: str, *, blocks: bool) -> bool:
    """Whether a break of rule `cause` explains one of `rule`; a family explains only by a break that `blocks`.

    A column that is missing or of another type (schema) explains everything that is measured on columns.
    """
    named = RULES[rule].explained_by
    measured = RULES[rule].family in ("contract", "propensities", "drift")
    if cause == rule:
        return False
    return cause in named or (blocks and RULES[cause].family in named) or (cause == "schema" and measured)
