"""Parquet is parsed by a process of its own: its death, at whatever moment, is a named error and commits nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_contracts.batches import read_batches
from data_contracts.errors import InputError
from data_contracts.home import Home
from data_contracts.readers import parquet_file
from data_contracts.readers.log_file import read_blocks
from data_contracts.store import table_version
from tests.data_contracts.small_log import TASK, parquet, row, rows, take_in
from tests.data_contracts.test_readers import COLUMNS

DYING = """
import os, signal, sys
import pyarrow as pa, pyarrow.parquet as pq
table = pq.read_table(sys.argv[1])
if {after} >= 0:
    stream = pa.ipc.new_stream(sys.stdout.buffer, table.schema)
    for _ in range({after}):
        stream.write_table(table)
    sys.stdout.flush()
{death}
"""


def program(tmp_path: Path, *, after: int, death: str) -> Path:
    path = tmp_path / "parser.py"
    path.write_text(DYING.format(after=after, death=death))
    return path


@pytest.mark.parametrize("after", [-1, 0, 1])
@pytest.mark.parametrize(
    ("death", "message"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "ended its parser with signal 11"),
        ("os._exit(1)", ""),
    ],
)
def test_a_parser_that_dies_is_a_named_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, death: str, message: str
) -> None:
    """Also between two batches, where the stream looks complete."""
    home, path = Home(tmp_path / "home"), parquet(tmp_path / "log.parquet", rows(3))
    monkeypatch.setattr(parquet_file, "PROGRAM", program(tmp_path, after=after, death=death))
    with pytest.raises(InputError, match=r"unreadable Parquet in .*log\.parquet") as caught:
        take_in(home, path)
    assert message in str(caught.value)
    assert table_version(home, TASK) is None
    assert read_batches(home, TASK) == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("n", [1, 100, 2500])
def test_the_parser_hands_over_its_last_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    """What it wrote last lies in a buffer unless the environment says otherwise, and it ends without a shutdown."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    path = parquet(tmp_path / "log.parquet", rows(n))
    assert [block.n_lines for block in read_blocks(path, COLUMNS)] == [n]


def test_a_reader_that_stops_early_ends_the_parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that would go on for ever; a process left behind is a warning, and so an error."""
    path = parquet(tmp_path / "log.parquet", rows(3))
    monkeypatch.setattr(parquet_file, "PROGRAM", program(tmp_path, after=2, death="signal.pause()"))
    blocks = read_blocks(path, COLUMNS)
    assert next(iter(blocks)).n_lines == 3
    blocks.close()  # type: ignore[attr-defined]  it is a generator


def test_the_parser_needs_no_more_than_its_memory_for_a_usual_file(tmp_path: Path) -> None:
    path = parquet(tmp_path / "log.parquet", [row(i % 5000) for i in range(60_000)])
    assert sum(block.n_lines for block in read_blocks(path, COLUMNS)) == 60_000
