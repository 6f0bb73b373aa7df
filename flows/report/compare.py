"""What changed since the last report, in words; what stayed the same is not mentioned."""

from __future__ import annotations

import math
from collections.abc import Iterator

from data_contracts.errors import UsageError
from flows.report.facts import RunFacts
from flows.report.numbers import format_count, format_ratio, format_time, format_to, format_value

NARROWER = 0.05  # smallest relative change of an interval's length worth a line


def describe_changes(previous: RunFacts | None, current: RunFacts) -> list[str]:
    """Sentences, the weightiest first. Raises UsageError when the reports are of different tasks."""
    if previous is None:
        return [f"This is the first report of {current.task}."]
    if previous.task != current.task:
        raise UsageError(
            f"two tasks in one comparison: expected reports of {current.task}, got one of {previous.task}. "
            "Compare with the task's own last report."
        )
    parts = (_champion, _challenger, _verdict, _evidence, _lift, _incidents, _rows, _quarantine, _versions, _health)
    found = [sentence for part in (*parts, _provenance) for sentence in part(previous, current)]
    return found or [f"Nothing has changed since run {previous.run_id} ({format_time(previous.as_of)})."]


def _champion(old: RunFacts, new: RunFacts) -> Iterator[str]:
    if old.champion.version != new.champion.version:
        yield f"The champion moved from version {old.champion.version} to version {new.champion.version}."
    if new.override and not old.override:
        yield "The champion was promoted by override, without a promote verdict."


def _challenger(old: RunFacts, new: RunFacts) -> Iterator[str]:
    before, now = old.challenger, new.challenger
    if now is not None and (before is None or before.version != now.version):
        seed = "" if now.seed is None else f", seed {now.seed}"
        yield f"A new challenger: version {now.version} ({now.algorithm}{seed})."
    elif before is not None and now is None:
        yield f"No challenger was looked at; the last report had version {before.version} ({before.state})."
    elif before is not None and now is not None and before.state != now.state:
        yield f"Challenger version {now.version} went from {before.state} to {now.state}."


def _verdict(old: RunFacts, new: RunFacts) -> Iterator[str]:
    if old.verdict != new.verdict:
        yield f"The verdict went from {old.verdict or 'none'} to {new.verdict or 'none'}."
    if _same_challenger(old, new) and old.gate and new.gate and new.gate.look > old.gate.look:
        added = format_count(new.gate.n - old.gate.n)
        yield f"Look {new.gate.look} of {new.gate.n_looks}, with {added} gate rows that no earlier look had read."


def _evidence(old: RunFacts, new: RunFacts) -> Iterator[str]:
    if not (_same_challenger(old, new) and old.gate and new.gate):
        return
    before, now = old.gate.log_e_promote, new.gate.log_e_promote
    if before is not None and now is not None and before != now:
        needed = format_value(new.gate.log_threshold / math.log(10))
        yield (
            f"Evidence for the challenger (log10 e) went from {format_value(before / math.log(10), 2)} to "
            f"{format_value(now / math.log(10), 2)}; {needed} is needed."
        )


def _lift(old: RunFacts, new: RunFacts) -> Iterator[str]:
    if not (_same_challenger(old, new) and old.lift and new.lift):
        return
    before, now = old.lift.upper - old.lift.lower, new.lift.upper - new.lift.lower
    if old.lift.estimate != new.lift.estimate:
        yield (
            f"The estimated lift went from {format_to(old.lift.estimate, now, signed=True)} to "
            f"{format_to(new.lift.estimate, now, signed=True)}."
        )
    if before > 0 and abs(now / before - 1) >= NARROWER:
        word = "narrower" if now < before else "wider"
        share = format_ratio(abs(now / before - 1)).lstrip("+")
        yield f"Its interval is {share} {word}: {format_value(before, 2)} long before, {format_value(now, 2)} now."


def _incidents(old: RunFacts, new: RunFacts) -> Iterator[str]:
    before, now = {i.rule for i in old.incidents}, {i.rule for i in new.incidents}
    if opened := sorted(now - before):
        yield f"New open incidents: {', '.join(opened)}."
    if closed := sorted(before - now):
        yield f"Resolved incidents: {', '.join(closed)}."


def _rows(old: RunFacts, new: RunFacts) -> Iterator[str]:
    for what, before, now in (
        ("interactions", old.data.n_interactions, new.data.n_interactions),
        ("matured interactions", old.data.n_matured, new.data.n_matured),
        ("late rows", old.data.n_late, new.data.n_late),
    ):
        if before is not None and now is not None and before != now:
            word = "more" if now > before else "fewer"
            added = format_count(abs(now - before))
            yield f"{added} {word} {what}: {format_count(before)} before, {format_count(now)} now."


def _quarantine(old: RunFacts, new: RunFacts) -> Iterator[str]:
    known = {found.reason for found in old.data.quarantine_reasons}
    fresh = [found for found in new.data.quarantine_reasons if found.reason not in known]
    if fresh:
        yield "New reasons for quarantine: " + ", ".join(f"{f.reason} ({format_count(f.n)})" for f in fresh[:5]) + "."


def _versions(old: RunFacts, new: RunFacts) -> Iterator[str]:
    before = {rows.policy_version for rows in old.data.rows_by_version}
    now = {rows.policy_version for rows in new.data.rows_by_version}
    if before and (added := sorted(now - before)):
        yield f"New policy versions in the log: {', '.join(added)}."


def _health(old: RunFacts, new: RunFacts) -> Iterator[str]:
    a, b = old.data.validation, new.data.validation
    if a and b and a.level != b.level:
        yield f"The contract's checks went from {a.level} to {b.level}."
    c, d = old.data.drift, new.data.drift
    if c and d and c.level != d.level:
        yield f"Drift went from {c.level} to {d.level}."
    elif d and not c and d.level != "ok":
        yield f"Drift is at {d.level}; the last report had none to compare with."


def _provenance(old: RunFacts, new: RunFacts) -> Iterator[str]:
    a, b = old.lineage, new.lineage
    if a.contract_version != b.contract_version:
        yield f"The contract went from version {a.contract_version or 'none'} to {b.contract_version or 'none'}."
    elif a.contract_sha256 != b.contract_sha256:
        yield f"The contract's file changed, but its version is still {b.contract_version or 'none'}."
    if a.settings_sha256 != b.settings_sha256:
        yield "The task's settings changed."
    if a.code_version != b.code_version:
        yield f"The code went from {a.code_version or 'unknown'} to {b.code_version or 'unknown'}."
    if a.lock_sha256 != b.lock_sha256:
        yield "The locked dependencies changed."


def _same_challenger(old: RunFacts, new: RunFacts) -> bool:
    return (
        old.challenger is not None and new.challenger is not None and old.challenger.version == new.challenger.version
    )
