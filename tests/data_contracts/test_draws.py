"""A draw is the same whatever the order and the chunks, and favours nobody."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from data_contracts.draws import DRAW, draw


def test_neither_order_nor_chunks_change_what_is_drawn() -> None:
    rows = pa.table({"interaction_id": [f"i{i}" for i in range(1000)], "x": np.arange(1000)})
    at_once = draw(rows, limit=50)
    assert (at_once.num_rows, at_once.column_names) == (50, ["interaction_id", "x", DRAW])
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(1000)))
    in_chunks = None
    for start in range(0, 1000, 130):
        in_chunks = draw(shuffled.slice(start, 130), limit=50, before=in_chunks)
    assert in_chunks is not None
    assert set(at_once["x"].to_pylist()) == set(in_chunks["x"].to_pylist())
    assert draw(rows, limit=1000)["x"].to_pylist() == list(range(1000))


def test_the_drawn_are_spread_over_the_log() -> None:
    """Ids that count up: a tenth is drawn from every tenth (four standard errors of a count of 1,000)."""
    rows = pa.table({"interaction_id": [f"{i:08d}" for i in range(100_000)], "x": np.arange(100_000)})
    counts = np.histogram(draw(rows, limit=10_000)["x"].to_numpy(), bins=10, range=(0, 100_000))[0]
    assert (np.abs(counts - 1000) < 4 * np.sqrt(1000)).all()
