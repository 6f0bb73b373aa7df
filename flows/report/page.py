"""What the template shows beyond the facts themselves: charts, and tables that are derived from the facts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from flows.report.bars import draw_actions, draw_parts, draw_weights, largest_changes
from flows.report.charts import Mark, Row, draw_estimates, draw_evidence, draw_learning, draw_lift
from flows.report.data_facts import Data
from flows.report.facts import ActionShare, Candidate, Estimate, RunFacts
from policies.algorithms import REFERENCES

ESTIMATORS = {
    "ips": "IPS",
    "snips": "SNIPS",
    "dm": "direct method",
    "dr": "doubly robust",
    "median_of_means": "median of means",
    "pdis": "PDIS",
    "wpdis": "WPDIS",
    "dr_pdis": "DR-PDIS",
    "drl": "DRL",
    "fqe": "FQE",
}


@dataclass(frozen=True, slots=True)
class EstimateRow:
    """One line of the table of values: an estimator, and what it says of both policies and their difference."""

    name: str
    champion: Estimate | None
    challenger: Estimate | None
    difference: Estimate | None

    @property
    def all(self) -> tuple[Estimate | None, ...]:
        return self.champion, self.challenger, self.difference

    @property
    def of_challenger(self) -> Estimate | None:
        return self.challenger or self.difference or self.champion


@dataclass(frozen=True, slots=True)
class LearningPanel:
    algorithm: str
    reference: bool
    svg: str


def lift_chart(facts: RunFacts) -> str:
    return draw_lift(facts.lift, _true_lift(facts), per=facts.per) if facts.lift else ""


def value_chart(facts: RunFacts) -> str:
    """Champion against challenger, one line an estimator."""
    rows = _rows(facts.estimates, ("champion", "challenger"))
    truth = {"champion": facts.truth.champion} if facts.truth else {}
    if facts.truth and facts.truth.challenger is not None:
        truth["challenger"] = facts.truth.challenger
    label = "Policy values by estimator, champion against challenger."
    return draw_estimates(rows, truth=truth, axis=f"reward per {facts.per}", label=label) if rows else ""


def difference_chart(facts: RunFacts) -> str:
    """The paired difference, one line an estimator, with zero marked."""
    rows = _rows(facts.estimates, ("difference",))
    exact = _true_lift(facts)
    truth = {} if exact is None else {"difference": exact}
    label = "Paired difference challenger minus champion by estimator."
    axis = f"difference in reward per {facts.per}"
    return draw_estimates(rows, truth=truth, axis=axis, label=label, zero=True) if rows else ""


def estimate_table(facts: RunFacts) -> list[EstimateRow]:
    """The same estimates as a table, one line an estimator."""
    found = {(e.estimator, e.policy): e for e in facts.estimates}
    return [
        EstimateRow(
            ESTIMATORS.get(name, name),
            found.get((name, "champion")),
            found.get((name, "challenger")),
            found.get((name, "difference")),
        )
        for name in dict.fromkeys(e.estimator for e in facts.estimates)
    ]


def model_disagrees(facts: RunFacts) -> bool:
    """The direct method and the doubly robust estimate put the difference on opposite sides of zero."""
    value = {e.estimator: e.value for e in facts.estimates if e.policy == "difference"}
    return value.get("dm", 0.0) * value.get("dr", 0.0) < 0


def usual_span(facts: RunFacts) -> float:
    """Median length of the intervals: one number of decimals for the whole table."""
    spans = sorted(e.upper - e.lower for e in facts.estimates if e.lower is not None and e.upper is not None)
    return spans[len(spans) // 2] if spans else 0.0


def evidence_chart(facts: RunFacts) -> str:
    return (
        draw_evidence(facts.gate)
        if facts.gate and (facts.gate.trajectory or facts.gate.log_e_promote is not None)
        else ""
    )


def learning_panels(facts: RunFacts) -> list[LearningPanel]:
    """One panel an algorithm on a common scale; deployable ones first."""
    algorithms = list(dict.fromkeys(curve.algorithm for curve in facts.curves))
    values = [p.value for curve in facts.curves for p in curve.points if p.value is not None]
    return [
        LearningPanel(
            name, name in REFERENCES, draw_learning([c for c in facts.curves if c.algorithm == name], values=values)
        )
        for name in sorted(algorithms, key=lambda name: (name in REFERENCES, algorithms.index(name)))
    ]


def weights_chart(facts: RunFacts) -> str:
    return draw_weights(facts.weights) if facts.weights and facts.weights.histogram.counts else ""


def actions_chart(facts: RunFacts) -> str:
    return draw_actions(facts.actions) if facts.actions else ""


def changed_actions(facts: RunFacts) -> list[ActionShare]:
    return largest_changes(facts.actions)


def shares(facts: RunFacts) -> list[float]:
    return [share for action in facts.actions for share in (action.champion, action.challenger)]


def three_digits(values: Iterable[float]) -> float:
    """As the width of an interval: three digits of the largest value, so that a column lines up."""
    return 0.2 * max((abs(value) for value in values), default=1.0)


def lines_parts(data: Data) -> list[tuple[str, int, str]]:
    """Accepted, quarantined, duplicate, erased; empty when the run read no lines."""
    if not data.n_read:
        return []
    parts = [("accepted", data.n_accepted), ("quarantined", data.n_quarantined), ("duplicate", data.n_duplicate)]
    parts += [("erased", data.n_erased)] if data.n_erased else []
    return [(name, count or 0, name) for name, count in parts]


def split_parts(data: Data) -> list[tuple[str, int, str]]:
    """The matured rows by use; empty when nothing was split."""
    counts = (data.n_train, data.n_validation, data.n_gate, data.n_excluded)
    if not any(counts):
        return []
    names = ("train", "validation", "gate window", "excluded")
    styles = ("train", "validation", "gate", "excluded")
    return [(name, count or 0, css) for name, count, css in zip(names, counts, styles, strict=True)]


def parts_chart(parts: list[tuple[str, int, str]], label: str) -> str:
    return draw_parts(parts, label=label) if parts else ""


def better_references(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The best training of each reference that beats the chosen candidate: by exact value where known, else on the
    validation rows."""
    known = list(candidates)
    chosen = next((c for c in known if c.chosen), None)
    if chosen is None:
        return []
    exact = all(c.truth is not None for c in known)
    found: dict[str, Candidate] = {}
    for other in known:
        best = found.get(other.algorithm, chosen)
        if not other.deployable and _worth(other, exact=exact) > _worth(best, exact=exact):
            found[other.algorithm] = other
    return list(found.values())


def _worth(candidate: Candidate, *, exact: bool) -> float:
    value = candidate.truth if exact else candidate.validation_value
    return -math.inf if value is None else value


def _true_lift(facts: RunFacts) -> float | None:
    if facts.truth is None or facts.truth.challenger is None:
        return None
    return facts.truth.challenger - facts.truth.champion


def _rows(estimates: Iterable[Estimate], policies: tuple[str, ...]) -> list[Row]:
    wanted = [e for e in estimates if e.policy in policies]
    names = dict.fromkeys(e.estimator for e in wanted)
    return [
        Row(
            ESTIMATORS.get(name, name),
            tuple(
                Mark(e.policy, e.value, e.lower, e.upper)
                for p in policies
                for e in wanted
                if e.estimator == name and e.policy == p
            ),
        )
        for name in names
    ]
