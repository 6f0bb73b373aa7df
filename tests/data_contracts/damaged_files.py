"""Log files as accidents leave them, of every format, from a seed."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Callable

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.log_columns import Kind
from tests.data_contracts.small_log import Row, row, rows

N_ROWS = 12
TOKENS = (
    *(b"\n", b"\r\n", b"\r", b"\n\n", b"\x00", b'"', b'""', b",", b"{", b"}", b"[", b"]", b":", b"\\", b" "),
    *(b"\xff", b"\xc3", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\u0000", b"\\ud800", "ä€😀".encode()),
    *(b"NaN", b"Infinity", b"null", b"true", b"1e999", b"-", b"9" * 400, b"1" * 5000 + b".5", b"0x10"),
    *(b"[" * 2000, b'{"a":' * 2000, b'"id":"row-1",', b'{"id": "x", "id": "y"}\n', b"x" * 70_000),
)
ENCODINGS = ("utf-16", "utf-16-le", "utf-32", "latin-1", "utf-8-sig", "cp037")


def damaged(rng: random.Random) -> tuple[Kind, str, bytes]:
    """Kind of the rows, suffix and bytes of one file."""
    kind: Kind = "outcomes" if rng.random() < 0.2 else "interactions"
    start = rng.choice([0, 0, rng.randrange(10_000)])  # often the same rows again
    items = rows(N_ROWS, start) if kind == "interactions" else [_outcome(i) for i in range(start, start + N_ROWS)]
    for _ in range(rng.choice([0, 0, 1, 3])):
        _spoil(items[rng.randrange(N_ROWS)], rng)
    suffix = rng.choice(["jsonl", "jsonl", "csv", "csv", "parquet", "jsonl.gz", "csv.gz"])
    data = WRITERS[suffix.removesuffix(".gz")](items, rng)
    if suffix.endswith(".gz"):
        inside = rng.random() < 0.7
        data = gzip.compress(_mutated(data, rng) if inside else data, mtime=0)
        return kind, suffix, data if inside else _mutated(data, rng)
    return kind, suffix, _mutated(data, rng)


def _outcome(i: int) -> Row:
    return {"interaction_id": f"row-{i}", "value": i % 3 / 2, "observed_at": f"2026-10-{1 + i % 28:02}T00:00:00Z"}


def _spoil(item: Row, rng: random.Random) -> None:
    """A value that does not belong where it stands, or a word too many or too few."""
    values: list[object] = [None, True, -1, 7.9, 10**30, float("nan"), "", "x" * 5000, [], [1, "a"], {"a": {"b": 1}}]
    values += ["\ud800" if rng.random() < 0.1 else "\x00", "1", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z"]
    word = rng.choice([*item, "surprise", "reward", "contract_version", "action_probabilities", "step"])
    if rng.random() < 0.2:
        item.pop(word, None)
    else:
        item[word] = rng.choice(values)


def _jsonl(items: list[Row], rng: random.Random) -> bytes:
    ends = rng.choice([["\n"], ["\r\n"], ["\n", "\r\n", "\r"]])
    return "".join(json.dumps(item, ensure_ascii=True) + rng.choice(ends) for item in items).encode()


def _csv(items: list[Row], rng: random.Random) -> bytes:
    ends = rng.choice([["\n"], ["\r\n"], ["\n", "\r\n", "\r"]])
    header = list(row(0) if "user" in items[0] else items[0])
    lines = [",".join(header)]
    lines += [",".join(_cell(item.get(name)) for name in header) for item in items]
    return "".join(line + rng.choice(ends) for line in lines).encode("utf-8", "surrogatepass")


def _cell(value: object) -> str:
    text = "" if value is None else json.dumps(value) if isinstance(value, bool | list | dict) else str(value)
    return '"' + text.replace('"', '""') + '"' if {'"', ","} & set(text) else text


def _parquet(items: list[Row], rng: random.Random) -> bytes:
    columns = {name: [item.get(name) for item in items] for name in dict.fromkeys(w for item in items for w in item)}
    table = pa.table({name: _array(values) for name, values in columns.items()})
    for name in ("time", "observed_at"):
        if name in table.column_names and rng.random() < 0.9:
            unit, zone = (
                rng.choice(["s", "ms", "us", "ns"]),
                rng.choice(["UTC", "+02:00", "Europe/Berlin", "Nowhere", None]),
            )
            moments = pa.array([1_790_000_000 + i for i in range(len(table))], pa.int64()).cast(pa.timestamp("s"))
            table = table.set_column(table.column_names.index(name), name, moments.cast(pa.timestamp(unit, tz=zone)))
    if rng.random() < 0.1:
        table = table.append_column(table.column_names[0], table.column(0))
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=rng.choice(["snappy", "zstd", "gzip", "none", "brotli", "lz4"]),
        data_page_version=rng.choice(["1.0", "2.0"]),
        use_dictionary=rng.random() < 0.5,
        write_page_checksum=rng.random() < 0.3,
        store_schema=rng.random() < 0.7,
        row_group_size=rng.choice([5, 1000]),
    )
    return sink.getvalue()


def _array(values: list[object]) -> pa.Array:
    """As one type if the values allow it, else as text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError, UnicodeEncodeError):
        return pa.array([None if v is None else ascii(v) for v in values], pa.string())


WRITERS: dict[str, Callable[[list[Row], random.Random], bytes]] = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """None to four accidents: flipped bits, a cut, a lost or doubled piece, a foreign token, another encoding."""
    for _ in range(rng.choice([0, 1, 1, 2, 4])):
        at = rng.randrange(len(data) + 1)
        other = min(len(data), at + rng.choice([1, 8, 60, 1000]))
        accident = rng.randrange(8)
        if accident == 0 and at < len(data):
            data = data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]
        elif accident == 1:
            data = data[:at] + data[other:]
        elif accident == 2:
            data = data[:other] + data[at:]
        elif accident in (3, 4):
            data = data[:at] + rng.choice(TOKENS) + data[at:]
        elif accident == 5 and rng.random() < 0.3:
            data = data[:at]
        elif accident == 6 and rng.random() < 0.2:
            data = data.decode("latin-1").encode(rng.choice(ENCODINGS), "replace")
        elif accident == 7:
            data = data.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\n\n", b"\n"]), rng.randrange(5))
    return data
