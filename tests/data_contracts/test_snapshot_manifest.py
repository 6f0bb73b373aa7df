"""The form in which the content of a snapshot is hashed."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from data_contracts.snapshot_manifest import logical_id
from data_contracts.storage import canonical_json, sha256_bytes

MOMENT = datetime(2026, 10, 5, tzinfo=UTC)


def test_the_content_is_hashed_as_documented() -> None:
    """By hand: two rows in the wrong order, every type, a null in each column; -0.0 is 0.0, and batches are nothing."""
    rows = pa.table(
        {
            "interaction_id": ["b", "a"],
            "batch_id": ["x", "y"],
            "contract_version": ["1.0.0", "1.1.0"],
            "flag": [True, None],
            "n": pa.array([None, 7], pa.int64()),
            "p": pa.array([[0.25, 0.75], None], pa.list_(pa.float64())),
            "text": ["é", None],
            "time": pa.array([None, MOMENT], pa.timestamp("us", tz="UTC")),
            "x": [-0.0, None],
        }
    )
    one, two = (np.array(pair, "<i8").tobytes() for pair in ([1, 1], [0, 2]))
    moment = int(MOMENT.timestamp() * 1e6)
    parts = [
        canonical_json({"formula": 2, "n_rows": 2}),
        *(b"flag\0", b"\0\1", np.array([0, 1], "<i8").tobytes()),
        *(b"interaction_id\0", b"\1\1", one, b"ab"),
        *(b"n\0", b"\1\0", np.array([7, 0], "<i8").tobytes()),
        *(b"p\0", b"\0\1", two, np.array([0.25, 0.75], "<f8").tobytes()),
        *(b"text\0", b"\0\1", two, "é".encode()),
        *(b"time\0", b"\1\0", np.array([moment, 0], "<i8").tobytes()),
        *(b"x\0", b"\0\1", np.array([0.0, 0.0], "<f8").tobytes()),
    ]
    assert logical_id({"formula": 2}, rows) == sha256_bytes(b"".join(parts))
