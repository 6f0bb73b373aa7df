"""No free peek: whoever wants to know what gate rows say of the open challenger takes a look, or is refused.

Rows of a later snapshot's validation part can be rows that looks at a challenger trained earlier have still to read.
Everything that estimates a version's value on rows asks here first.
"""

from __future__ import annotations

import numpy as np

from data_contracts.errors import UsageError
from flows.context import Context
from policies.logged_interactions import LoggedInteractions
from policies.registry import aliases, read_version


def refuse_peek(context: Context, *, versions: tuple[int, ...], rows: LoggedInteractions) -> None:
    """Raises UsageError when one of `versions` is the open challenger and a row is later than its training."""
    challenger = aliases(context.home, context.name)["challenger"]
    if challenger is None or challenger not in versions:
        return
    until = read_version(context.home, context.name, challenger).trained_until
    border = np.datetime64("0001-01-01") if until is None else np.datetime64(until.replace(tzinfo=None), "us")
    n_later = int((rows.occurred_at > border).sum())
    if n_later:
        raise UsageError(
            f"no peek at version {challenger} of {context.name}: expected rows up to the end of its training, got "
            f"{n_later:,} that its planned looks read or have still to read. `sluice look` spends the next one.",
            version=challenger,
        )
