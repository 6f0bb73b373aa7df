"""How old the log is: the moment of its newest decision."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.home import Home
from data_contracts.store import read_chunks


def newest_interaction(home: Home, task: str, *, now: datetime) -> datetime | None:
    """`occurred_at` of the newest accepted interaction that is not after `now` (a wrong clock makes no log fresh).

    None when there is none. Raises IntegrityError when a file of the table is not as it was written.
    """
    newest: datetime | None = None
    for chunk in read_chunks(home, task, columns=("occurred_at",)):
        moments = chunk["occurred_at"]
        past = moments.filter(pc.less_equal(moments, pa.scalar(now, moments.type)))
        found = pc.max(past).as_py()
        if found is not None and (newest is None or found > newest):
            newest = found
    return newest
