"""A decision in the words of the person on call: the verdict in one sentence, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from policies.gate.records import Verdict
from policies.gate.refusals import Check


def put_in_words(verdict: Verdict, failed: Sequence[Check], evidence: dict[str, Any]) -> tuple[str, ...]:
    """Sentences, the verdict first. `evidence` is that of the decision; `failed` are the checks it did not pass."""
    if verdict == "refuse":
        return (f"The gate refuses: {failed[0].words}.", *(f"Also: {check.words}." for check in failed[1:]))
    lift, n = evidence["lift"], evidence["n"]
    left_out = evidence["inputs"]["n_without_distribution"]
    numbers = (
        f"Lift {lift['estimate']:+.4g} per interaction, anytime-valid {lift['coverage']:.0%} interval "
        f"[{lift['lower']:+.4g}, {lift['upper']:+.4g}], on {n:,} gate rows.",
        f"Evidence (log10 e) {_log10(evidence['log_e_promote'])} for the challenger and "
        f"{_log10(evidence['log_e_block'])} against it; {_log10(evidence['log_threshold'])} is needed.",
    )
    more = (evidence["more"]["settles"],) if verdict == "hold" else ()
    without = (f"{left_out:,} rows were left out: their behavior policy's distribution is not known.",)
    return (_sentence(verdict, evidence), *numbers, *more, *(without if left_out else ()))


def _sentence(verdict: Verdict, evidence: dict[str, Any]) -> str:
    look, looks = evidence["look"], evidence["n_looks"]
    if verdict == "promote":
        return f"The log proves the challenger better than the champion at look {look} of {looks}."
    if verdict == "block":
        return f"The log proves the challenger worse than the champion at look {look} of {looks}; it is blocked."
    if look == looks:
        return f"exhausted: all {looks} planned looks are spent without enough evidence; the champion stays."
    return f"Not enough evidence yet at look {look} of {looks}; the champion stays."


def _log10(log_e: float) -> str:
    return f"{log_e / math.log(10):.1f}"
