"""A decision in the words of the person on call: the verdict in one sentence, then what it rests on."""

from __future__ import annotations

from typing import Any

from policies.gate.conditions import HARM
from policies.gate.records import Verdict


def put_in_words(verdict: Verdict, evidence: dict[str, Any]) -> tuple[str, ...]:
    """Sentences, the verdict first; `evidence` is that of the decision. No p-values: nobody reads them right."""
    refused = [check["words"] for check in evidence["refusals"] if not check["passed"]]
    stopped = [_capital(c["words"]) for c in evidence["conditions"] if not c["passed"] and _matters(c, evidence)]
    if evidence["lift"] is None:
        return (f"The gate refuses: {refused[0]}.", *(f"Also: {words}." for words in refused[1:]))
    lift, n = evidence["lift"], evidence["n"]
    what = "interaction" if evidence["episodes"] is None else "episode"
    numbers = (
        f"Lift {lift['estimate']:+.4g} per {what}, anytime-valid {lift['coverage']:.0%} interval "
        f"[{lift['lower']:+.4g}, {lift['upper']:+.4g}], on {n:,} gate rows of {evidence['n_units']:,} units."
    )
    more = (evidence["more"]["settles"],) if verdict == "hold" else ()
    return (_sentence(verdict, evidence), numbers, *(f"{words}." for words in stopped), *more, *_beside(evidence))


def _matters(condition: dict[str, Any], evidence: dict[str, Any]) -> bool:
    """A condition of a promotion says nothing while there is none to stop; proven harm always does."""
    return bool(evidence["average"]["lift"]["proven"]) or condition["name"] in HARM


def _beside(evidence: dict[str, Any]) -> tuple[str, ...]:
    """What a reader of the verdict must know of its rows."""
    left_out, calendar = evidence["inputs"]["n_without_distribution"], evidence["calendar"]
    found = []
    if left_out:
        found.append(f"{left_out:,} rows were left out: their behavior policy's distribution is not known.")
    period = evidence["settings"]["close_on_days"]
    if period is not None and evidence["inputs"]["closes_at"] is None and (evidence["n_days"] or period) < period:
        found.append(
            f"The rows are of {evidence['n_days']} days, not of a whole period of {period}: days weigh unevenly."
        )
    if calendar is not None:
        found.append(calendar["sentence"])
    return tuple(found)


def _sentence(verdict: Verdict, evidence: dict[str, Any]) -> str:
    look, looks = evidence["look"], evidence["n_looks"]
    average = evidence["average"]
    at = f"at look {look} of {looks}"
    claim = "better" if evidence["inputs"]["claim"] == "lift" else "hardly worse"
    if verdict == "promote":
        return f"The log proves the challenger {claim} than the champion {at}."
    if verdict == "block" and average["harm"]["proven"]:
        return f"The log proves the challenger worse than the champion {at}; it is blocked."
    if verdict in ("block", "refuse", "stage"):
        ends = {"block": "it is blocked", "refuse": "it cannot be judged", "stage": "it may serve in part"}[verdict]
        harmful = any(not c["passed"] and c["name"] in HARM for c in evidence["conditions"])
        if not average["lift"]["proven"]:
            return f"The log proves that the challenger harms a part {at}; {ends}."
        but = "harms a part of the traffic" if harmful else "does not meet every condition"
        return f"The log proves the challenger {claim} on average {at}, but it {but}; {ends}."
    if look == looks:
        return f"exhausted: all {looks} planned looks are spent without enough evidence; the champion stays."
    if average["lift"]["proven"]:
        return f"The log proves the challenger {claim} on average {at}, but a condition does not hold; it waits."
    return f"Not enough evidence yet {at}; the champion stays."


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]
