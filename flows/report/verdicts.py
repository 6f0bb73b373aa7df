"""What each verdict means and what to do about it, in plain language."""

from __future__ import annotations

from dataclasses import dataclass

from flows.report.facts import RunFacts
from policies.gate.conditions import HARM


@dataclass(frozen=True, slots=True)
class Headline:
    """The banner: `css` picks colour and icon, `word` says the same without either."""

    css: str
    word: str
    means: str
    do: str


def headline(facts: RunFacts) -> Headline:
    """The banner of a run; sentences may hold `code` between backticks."""
    if facts.verdict is None:
        return _without_look(facts)
    return {"promote": _promote, "stage": _stage, "hold": _hold, "block": _block, "refuse": _refuse}[facts.verdict](
        facts
    )


def _promote(facts: RunFacts) -> Headline:
    means = (
        "On rows that neither trained nor chose it, the challenger earned more than the champion, with evidence above "
        "the threshold that was fixed before the first of these rows was read."
    )
    challenger = facts.challenger
    if challenger is not None and challenger.state == "promoted":
        return Headline(
            "promote",
            "Promote",
            f"{means} It serves now, as version {challenger.version}.",
            f"Nothing needs to be done. `sluice rollback {facts.task} --reason …` takes it back.",
        )
    version = challenger.version if challenger else "…"
    return Headline(
        "promote",
        "Promote",
        f"{means} It does not serve yet: this run did not move the champion.",
        f"To let it serve: `sluice promote {facts.task} --version {version} --reason …`.",
    )


def _stage(facts: RunFacts) -> Headline:
    return Headline(
        "stage",
        "Stage",
        "The challenger is better on average, but not yet shown to be harmless in every protected segment.",
        "Let it serve a small part of the traffic, or only the segments in which it is proven; the next look reads "
        "the rows that this yields.",
    )


def _hold(facts: RunFacts) -> Headline:
    means = (
        "The log cannot yet tell the challenger from the champion. This says nothing against the challenger: with the "
        "rows at hand, chance alone can make a difference of this size. The champion keeps serving."
    )
    if facts.challenger is not None and facts.challenger.state == "closed":
        return Headline(
            "hold",
            "Hold",
            f"{means} The planned looks are used up, so its slot is free again.",
            "The next run may train a new challenger on all data to date. Waiting alone does not revive this one.",
        )
    return Headline(
        "hold",
        "Hold",
        means,
        "Keep logging; the next look reads only rows that no look has read. More exploration settles it sooner: see "
        "“How much longer”. Promoting by hand would be a bet, not a finding.",
    )


def _block(facts: RunFacts) -> Headline:
    failed = [c.name for c in facts.checks.conditions if not c.passed and c.effect == "block"] if facts.checks else []
    if any(name in HARM for name in failed):
        return Headline(
            "block",
            "Block",
            "The log shows that a part of the traffic, or what a guardrail watches, gets worse under the challenger, "
            "whatever the average says. It is not promoted, and its slot is closed. The champion keeps serving.",
            "Nothing needs to be undone. “Who might lose” below names the part; give the policy what tells that part "
            "from the rest, or leave it to the champion.",
        )
    if failed:
        return Headline(
            "block",
            "Block",
            "The average looks better, but what it rests on does not hold: see the conditions that failed below. It is "
            "not promoted, and its slot is closed. The champion keeps serving.",
            "Nothing needs to be undone. Each failed condition says what to change before the next training.",
        )
    return Headline(
        "block",
        "Block",
        "The log shows that the challenger earns less than the champion, beyond what chance explains. It is not "
        "promoted, and its slot is closed. The champion keeps serving.",
        "Nothing needs to be undone. Action shares, weights and learning curves below show where it differs; the next "
        "run trains on more data.",
    )


def _refuse(facts: RunFacts) -> Headline:
    return Headline(
        "refuse",
        "Refuse",
        "The challenger cannot be judged from this log. That is a finding about the log, not about the challenger: any "
        "number that can still be computed must not decide anything. The champion keeps serving.",
        "Mend what the reasons name (propensities, exploration, maturity, contract), then run again; the next "
        "challenger is judged on rows logged after that.",
    )


def _without_look(facts: RunFacts) -> Headline:
    validation = facts.data.validation
    if validation is not None and validation.level == "block":
        return Headline(
            "block",
            "Data blocked",
            "The data breaks its contract, so nothing was trained and no look was taken. The champion keeps serving.",
            f"The checks that failed are listed under “Data health”. Mend the log, or readmit rows with "
            f"`sluice quarantine {facts.task}`; the next clean run closes the incident.",
        )
    return Headline(
        "none",
        "No look",
        "This run did not consult the gate, so there is no verdict. The champion keeps serving.",
        "Nothing needs to be done; what starts the next training or look is listed under “What happens next”.",
    )
