"""E-mails that pay today and wear the reader out: what is best for a decision is not best for its reader.

Every reader gets one e-mail a day, plain or with an emoji. The chance of a click is appetite x freshness x (1.2 with an
emoji, else 1). Freshness starts at 1; an emoji takes 3 % of it, and a day gives back 3 % of what is missing:
f' = f + WEAR (1 - f) - WEAR f [emoji]. Today's draw does not depend on f, so E f = 1 / (1 + p) in the long run under a
policy that sends emoji with probability p, and a reader clicks appetite (1 + 0.2 p) / (1 + p): 0.6 of it for p = 1
against 1 for p = 0. The long-run truth of "always emoji" against "never" is -40 % exactly, although every single e-mail
gains 20 % by an emoji.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.gate.arms.unit_outcomes import ArmRows

PLAIN, EMOJI = 0, 1
LIFT: Final = 0.2  # of one e-mail, today
WEAR: Final = 0.03  # of the freshness, per exposure; and what a day gives back of what is missing
APPETITE: Final = (4.0, 36.0)  # Beta: 10 % of the e-mails of a fresh reader are clicked, with a spread of 4.7 points
START: Final = np.datetime64("2026-09-01T08:00:00", "us")


@dataclass(frozen=True, slots=True, repr=False)
class Emails:
    """What `n_readers` readers got and clicked on each of `n_days` days."""

    emoji: NDArray[np.bool_]  # (n_readers, n_days)
    click: NDArray[np.bool_]  # (n_readers, n_days)

    def rows(self, readers: NDArray[np.bool_] | None = None, *, challenger: NDArray[np.bool_] | None = None) -> ArmRows:
        """One row an e-mail; `challenger` (n_readers,) is the arm of each reader."""
        chosen = np.arange(len(self.click)) if readers is None else np.flatnonzero(readers)
        n_days = self.click.shape[1]
        arm = np.zeros(len(self.click), np.bool_) if challenger is None else challenger
        return ArmRows(
            unit_id=np.repeat(np.char.add("reader-", chosen.astype(np.str_)), n_days),
            challenger=np.repeat(arm[chosen], n_days),
            occurred_at=np.tile(days(np.arange(n_days)), len(chosen)),
            reward=self.click[chosen].astype(np.float64).ravel(),
        )


def days(day: NDArray[np.int64] | int) -> NDArray[np.datetime64]:
    """Moment of the e-mail of a day, counted from 0."""
    return np.asarray(START + np.asarray(day) * np.timedelta64(timedelta(days=1), "us"))


def long_run_clicks(emoji_share: float) -> float:
    """Clicks per e-mail in the long run, of a reader with appetite 1."""
    return (1 + LIFT * emoji_share) / (1 + emoji_share)


def send(
    rng: np.random.Generator,
    emoji_share: NDArray[np.float64],
    *,
    n_days: int,
    appetite: NDArray[np.float64],
    freshness: NDArray[np.float64] | None = None,
) -> tuple[Emails, NDArray[np.float64]]:
    """`n_days` of e-mails to readers who get emoji with probability `emoji_share` (n_readers,), and their freshness
    after it. `freshness`: what they begin with, 1 by default."""
    n = len(appetite)
    fresh = np.ones(n) if freshness is None else freshness.copy()
    emoji, click = np.zeros((n, n_days), np.bool_), np.zeros((n, n_days), np.bool_)
    for day in range(n_days):
        emoji[:, day] = rng.random(n) < emoji_share
        chance = appetite * fresh * np.where(emoji[:, day], 1 + LIFT, 1.0)
        click[:, day] = rng.random(n) < chance
        fresh += WEAR * (1 - fresh) - WEAR * fresh * emoji[:, day]
    return Emails(emoji, click), fresh


def readers(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(n,) appetites."""
    return rng.beta(*APPETITE, size=n)
