"""2,000 histories of deliveries against the model; tests/data_contracts/test_delivery_histories.py runs a few."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.data_contracts.test_delivery_histories import SEED, check_history

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(7200)]
N_HISTORIES = int(os.environ.get("SLUICE_BENCH_HISTORIES", "2000"))
SNAPSHOT_ID = re.compile(r"[0-9a-f]{64}")


def test_every_history_ends_where_the_model_does(tmp_path: Path) -> None:
    ends: Counter[str] = Counter()
    for number in range(N_HISTORIES):
        folder = tmp_path / str(number)
        folder.mkdir()
        ends["a snapshot" if SNAPSHOT_ID.fullmatch(check_history(folder, number)) else "too little to split"] += 1
        shutil.rmtree(folder)
    print(f"\n{N_HISTORIES:,} histories, seeds {SEED} + number, end where the model does: {dict(ends)}")
    assert ends["a snapshot"] > N_HISTORIES / 2
