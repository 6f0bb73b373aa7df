"""Readers refuse what is not surely a row, say where it stands, and read the rest without a change of meaning."""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts.errors import InputError
from data_contracts.interactions import TIMESTAMP
from data_contracts.log_columns import columns_of
from data_contracts.readers import commas as commas_module
from data_contracts.readers import csv_file as csv_module
from data_contracts.readers import jsonl as jsonl_module
from data_contracts.readers import lines as lines_module
from data_contracts.readers.block import Block, Rejected
from data_contracts.readers.cells import convert
from data_contracts.readers.log_file import read_blocks
from data_contracts.row_digest import row_digests
from tests.data_contracts.small_log import CONTRACT, csv_file, jsonl, parquet, row, rows

COLUMNS = columns_of(CONTRACT, "interactions")
HEADER = ",".join(c.source_name for c in CONTRACT.columns)
GOOD_CSV = "row-9,user-2,2026-10-01T02:33:00+00:00,0,1,0.25,1.0,29,1.125,false,fr"


def read(path: Path) -> tuple[pa.Table, list[Rejected]]:
    blocks: list[Block] = list(read_blocks(path, COLUMNS))
    for block in blocks:
        assert block.n_lines == block.table.num_rows + len(block.rejected)
    table = pa.concat_tables([block.table for block in blocks], promote_options="default")
    return table, [line for block in blocks for line in block.rejected]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{broken", "broken JSON: expected one object on the line"),
        (json.dumps(row(1))[:-1], "broken JSON"),
        (json.dumps(row(1)) + json.dumps(row(2)), "two objects on one line"),
        (json.dumps(row(1)) + ",", "text after the object"),
        (json.dumps(row(1)) + " // note", "text after the object"),
        ('{"id": "a", "id": "b"}', 'duplicate key "id": expected each key once'),
        ('{"id": null, "id": null}', "duplicate key"),
        ('{"nested": {"a": 1, "a": 2}}', "duplicate key"),
        ("[1, 2]", "not an object"),
        ("7", "not an object"),
        ("null", "not an object"),
        ("", "blank line"),
        ("  \t\r", "blank line"),
        (b'{"id": "\xff"}', "invalid UTF-8: expected UTF-8 text, got byte 0xff"),
        (json.dumps(row(1, extra=1)), 'unknown key "extra": expected a column of the contract'),
        (json.dumps(row(1, age=7.9)), "age 7.9: expected an integer"),
        (json.dumps(row(1, age=7.0)), "age 7.0: expected an integer"),
        (json.dumps(row(1, age=2**63)), "age 9223372036854775808: expected an integer"),
        (json.dumps(row(1, p=True)), "propensity true: expected a finite number"),
        (json.dumps(row(1, p="1")), 'propensity "1": expected a finite number'),
        (json.dumps(row(1, p=[1])), "propensity [1]: expected a finite number"),
        (json.dumps(row(1, member=1)), "member 1: expected true or false"),
        (json.dumps(row(1, country=5)), "country 5: expected text"),
        (json.dumps(row(1, item=1.0)), "action 1.0: expected text or an integer"),
        (json.dumps(row(1, country="\ud800")), "country"),
        (json.dumps(row(1, time="2026-10-01T00:00:00")), "occurred_at 2026-10-01T00:00:00: expected an ISO 8601"),
        (json.dumps(row(1, time="2026-02-30T00:00:00Z")), "occurred_at"),
        (
            json.dumps(row(1, time=1_790_000_000)),
            "occurred_at 1790000000: expected an ISO 8601 timestamp with an offset",
        ),
        ("{" * 100_000, "broken JSON"),
        ('{"age": ' + "[" * 100_000 + "]" * 100_000 + "}", "broken JSON"),
        ('{"age": ' + "9" * 10_000 + "}", "broken JSON"),
        ('{"id": "a\tb"}', "broken JSON"),
        ("{'id': 1}", "broken JSON"),
    ],
)
def test_a_bad_json_line_is_refused_with_its_reason_and_the_others_are_not(
    tmp_path: Path, line: str | bytes, reason: str
) -> None:
    table, rejected = read(jsonl(tmp_path / "log.jsonl", [*rows(3), line, *rows(3, start=3)]))
    raw = line if isinstance(line, bytes) else line.encode()
    assert table["interaction_id"].to_pylist() == [f"row-{i}" for i in range(6)]
    assert [(r.line, r.raw) for r in rejected] == [(4, raw)]
    assert rejected[0].reason.startswith(reason)
    assert rejected[0].offset == sum(len(json.dumps(r)) + 1 for r in rows(3))


def test_one_object_over_two_lines_is_two_bad_lines(tmp_path: Path) -> None:
    text = json.dumps(row(1))
    cut = text.index(', "age"')
    table, rejected = read(jsonl(tmp_path / "log.jsonl", [row(0), text[:cut], text[cut:], row(2)]))
    assert table.num_rows == 2
    assert [r.line for r in rejected] == [2, 3]


def test_objects_moved_across_lines_cannot_hide_in_the_count(tmp_path: Path) -> None:
    """Two objects on a line and none on the next: as many objects as lines, which Arrow's parser would take."""
    table, rejected = read(jsonl(tmp_path / "log.jsonl", [json.dumps(row(0)) + json.dumps(row(1)), "", row(2)]))
    assert table["interaction_id"].to_pylist() == ["row-2"]
    assert [r.line for r in rejected] == [1, 2]


def test_json_values_keep_their_meaning(tmp_path: Path) -> None:
    good = row(1, p=1, item="2", score=-3, time="2026-10-01 02:00:00.123456789+02:00", country="fr")
    table, rejected = read(jsonl(tmp_path / "log.jsonl.gz", [good, row(2, item=2)]))
    first = table.to_pylist()[0]
    assert rejected == []
    assert (first["propensity"], first["action"], first["score"]) == (1.0, "2", -3.0)
    assert first["occurred_at"].isoformat() == "2026-10-01T00:00:00.123456+00:00"
    assert table["action"].to_pylist() == ["2", "2"]


def test_line_endings_marks_and_a_missing_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(r).encode() for r in rows(3)))
    offsets = [offset for block in read_blocks(path, COLUMNS) for offset in block.offset.tolist()]
    data = path.read_bytes()
    assert len(offsets) == 3
    assert offsets[0] == 3
    assert all(data[o : o + 5] == b'{"id"' for o in offsets)


@pytest.mark.parametrize("block_bytes", [1, 7, 300, 1 << 20])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_blocks_of_any_size_give_the_same_rows_lines_and_offsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, block_bytes: int
) -> None:
    path = tmp_path / f"log.{kind}"
    if kind == "jsonl":
        jsonl(path, [*rows(20), "oops", *rows(20, start=20)])
    else:
        csv_file(path, rows(20), extra=["oops", *(GOOD_CSV for _ in range(20))])
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", block_bytes)
    blocks = list(read_blocks(path, COLUMNS))
    data = path.read_bytes()
    places = [
        (line, offset, b.raw(i)) for b in blocks for i, (line, offset) in enumerate(zip(b.line, b.offset, strict=True))
    ]
    places += [(r.line, r.offset, r.raw) for b in blocks for r in b.rejected]
    physical = data.split(b"\n")[:-1]
    assert len(places) == 41
    for line, offset, raw in places:
        assert raw == physical[line - 1] == data[offset : offset + len(raw)]


def test_a_file_may_use_the_stores_words_but_not_both(tmp_path: Path) -> None:
    own = {c.source_name: c.name for c in CONTRACT.columns}
    in_store_words = [{own[k]: v for k, v in r.items()} for r in rows(4)]
    table, rejected = read(jsonl(tmp_path / "own.jsonl", [*in_store_words, row(9)]))
    assert table["interaction_id"].to_pylist() == ["row-0", "row-1", "row-2", "row-3"]
    assert rejected[0].reason.startswith('unknown key "id"')
    assert read(csv_file(tmp_path / "own.csv", in_store_words))[0].num_rows == 4
    assert read(parquet(tmp_path / "own.parquet", in_store_words))[0].num_rows == 4


def test_a_stray_first_line_does_not_turn_the_words_of_the_file(tmp_path: Path) -> None:
    table, rejected = read(jsonl(tmp_path / "log.jsonl", ['{"interaction_id": "x", "action": "0"}', *rows(5)]))
    assert table.num_rows == 5
    assert [r.line for r in rejected] == [1]


def test_a_column_that_first_comes_late_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_module, "BLOCK_BYTES", 4096)
    late = [*rows(300), row(300, arm="b"), *rows(50, start=301)]
    table, rejected = read(jsonl(tmp_path / "log.jsonl", late))
    assert rejected == []
    assert [v for v in table["arm"].to_pylist() if v] == ["b"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "blank line"),
        (GOOD_CSV + ",7", "wrong number of fields: expected 11, got 12"),
        (GOOD_CSV.rsplit(",", 1)[0], "wrong number of fields: expected 11, got 10"),
        (GOOD_CSV.replace("user-2", '"user-2'), "broken quotes"),
        (GOOD_CSV.replace("user-2", 'user"-2'), "broken quotes"),
        (GOOD_CSV.replace("user-2", '"user"-2'), "broken quotes"),
        (GOOD_CSV.replace("user-2", "us\rer-2"), "broken quotes"),
        (GOOD_CSV.replace(",29,", ",29.0,"), "age 29.0: expected an integer"),
        (GOOD_CSV.replace(",29,", ",0x1d,"), "age 0x1d: expected an integer"),
        (GOOD_CSV.replace(",29,", ", 29,"), "age  29: expected an integer"),
        (GOOD_CSV.replace(",0.25,", ",nan,"), "propensity nan: expected a finite number"),
        (GOOD_CSV.replace(",0.25,", ",1e999,"), "propensity 1e999: expected a finite number"),
        (GOOD_CSV.replace(",0.25,", ",a quarter,"), "propensity a quarter: expected a finite number"),
        (GOOD_CSV.replace("false", "0"), "member 0: expected true or false"),
        (
            GOOD_CSV.replace("+00:00", ""),
            "occurred_at 2026-10-01T02:33:00: expected an ISO 8601 timestamp with an offset",
        ),
    ],
)
def test_a_bad_csv_line_is_refused_with_its_reason_and_the_others_are_not(
    tmp_path: Path, line: str, reason: str
) -> None:
    path = csv_file(tmp_path / "log.csv", rows(3), extra=[line, GOOD_CSV])
    table, rejected = read(path)
    assert table["interaction_id"].to_pylist() == ["row-0", "row-1", "row-2", "row-9"]
    assert [(r.line, r.raw) for r in rejected] == [(5, line.encode())]
    assert rejected[0].reason.startswith(reason)


def test_a_quoted_newline_breaks_both_of_its_lines(tmp_path: Path) -> None:
    """Also where the second half has as many fields as a whole row."""
    two_lines = GOOD_CSV.replace("row-9", '"row\n-9"')
    table, rejected = read(csv_file(tmp_path / "log.csv", rows(2), extra=[two_lines]))
    assert table.num_rows == 2
    assert [r.line for r in rejected] == [4, 5]


def test_csv_quotes_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    quoted = GOOD_CSV.replace("user-2", '"user, the ""2nd"""') + ',"[0.25, 0.5, 0.25]"'
    path.write_text(f"{HEADER},action_probabilities\n{quoted}\r\n{GOOD_CSV},\n")
    table, rejected = read(path)
    assert rejected == []
    assert sorted(table["unit_id"].to_pylist()) == ['user, the "2nd"', "user-2"]
    assert [0.25, 0.5, 0.25] in table["action_probabilities"].to_pylist()


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("id,user", "user,id"), "the contract's order ['id', 'user'"),
        (HEADER.replace(",p,", ","), "required columns ['p']"),
        (HEADER + ",surprise", "'surprise'"),
        ("," + HEADER, "1 others ['']"),
        (HEADER + ",age", "'age'"),
        (HEADER.replace("id,", "interaction_id,", 1), "'interaction_id'"),
        ('"' + HEADER, "line 1"),
    ],
)
def test_a_wrong_csv_header_names_file_line_and_expectation(tmp_path: Path, header: str, message: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text(f"{header}\n{GOOD_CSV}\n")
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(path) in str(caught.value)
    assert "line 1: expected" in str(caught.value)
    assert message in str(caught.value)


def test_an_optional_column_may_be_missing_from_a_csv(tmp_path: Path) -> None:
    without = [{k: v for k, v in r.items() if k != "score"} for r in rows(3)]
    assert "score" not in read(csv_file(tmp_path / "log.csv", without))[0].column_names


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.csv.gz", "log.jsonl.gz", "log.parquet", "header.csv"])
def test_an_empty_file_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table({c.source_name: pa.array([], pa.string()) for c in CONTRACT.columns[:1]}), path)
    else:
        path.write_bytes(gzip.compress(b"") if name.endswith("gz") else f"{HEADER}\n".encode() * (name == "header.csv"))
    with pytest.raises(InputError, match=r"empty file|required columns"):
        read(path)


@pytest.mark.parametrize("name", ["log.txt", "log", "log.parquet.gz", "log.csv.zip", ".gz"])
def test_an_unknown_suffix_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("x\n")
    with pytest.raises(InputError, match="unknown kind of file"):
        read(path)


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_truncated_file_is_an_error(tmp_path: Path, keep: float) -> None:
    for path in (jsonl(tmp_path / "log.jsonl.gz", rows(500)), parquet(tmp_path / "log.parquet", rows(500))):
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        with pytest.raises(InputError, match=f"unreadable.*{path.name}"):
            read(path)


def test_parquet_types_widen_but_never_narrow(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows(3))
    table = table.set_column(2, "time", table["time"].cast(pa.timestamp("ns", tz="Europe/Berlin")))
    table = table.set_column(7, "age", table["age"].cast(pa.int8()))
    table = table.set_column(5, "p", table["p"].cast(pa.float32()))
    table = table.set_column(10, "country", table["country"].dictionary_encode())
    pq.write_table(table, tmp_path / "log.parquet")
    found, _ = read(tmp_path / "log.parquet")
    assert found.schema.field("occurred_at").type == TIMESTAMP
    assert found["action"].to_pylist() == ["0", "1", "2"]
    assert found["age"].to_pylist() == [20, 21, 22]
    assert found["propensity"].to_pylist() == [0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("name", "type_", "message"),
    [
        ("time", pa.timestamp("us"), "timestamp with an offset in column time, got timestamp"),
        ("age", pa.float64(), "an integer in column age, got double"),
        ("p", pa.string(), "a finite number in column p, got string"),
        ("country", pa.binary(), "text in column country, got binary"),
        ("member", pa.int8(), "true or false in column member, got int8"),
    ],
)
def test_a_parquet_column_of_another_type_is_an_error(
    tmp_path: Path, name: str, type_: pa.DataType, message: str
) -> None:
    table = pa.Table.from_pylist(rows(3)).drop_columns(["time"])
    table = table.add_column(2, "time", pa.array([0, 1, 2]).cast(pa.timestamp("us", tz="UTC")))
    at = table.column_names.index(name)
    pq.write_table(table.set_column(at, name, table[name].cast(type_)), tmp_path / "log.parquet")
    with pytest.raises(InputError, match=message):
        read(tmp_path / "log.parquet")


def test_a_parquet_with_a_missing_or_unknown_column_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"required columns \['p'\]"):
        read(parquet(tmp_path / "a.parquet", [{k: v for k, v in r.items() if k != "p"} for r in rows(2)]))
    with pytest.raises(InputError, match="__index_level_0__"):
        read(parquet(tmp_path / "b.parquet", [row(1, __index_level_0__=3)]))


@pytest.mark.parametrize("type_", [pa.float64(), pa.int64()])
def test_whole_column_and_cell_by_cell_conversion_agree(type_: pa.DataType) -> None:
    """A value must mean the same whether or not its block holds a misfit: every text of up to four characters."""
    alphabet = "019.eE+-"
    texts = [""]
    texts += [t + c for t in texts for c in alphabet]
    for _ in range(3):
        texts = sorted({t + c for t in texts for c in ("", *alphabet)})
    whole = {}
    for text in texts:
        cells, misfit = convert(pa.array([text]), type_)
        whole[text] = None if misfit[0] else cells[0].as_py()
    cells, misfit = convert(pa.array([*texts, "x"]), type_)
    each = {t: None if bad else v for t, v, bad in zip(texts, cells.to_pylist(), misfit, strict=False)}
    assert each == whole
    assert whole["-01"] == -1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-10-01T00:00:00Z", "2026-10-01T00:00:00+00:00"),
        ("2026-10-01 02:00:00+02:00", "2026-10-01T00:00:00+00:00"),
        ("2026-10-01T00:00:00.5-0330", "2026-10-01T03:30:00.500000+00:00"),
        ("2026-10-01T02:00:00+02", "2026-10-01T00:00:00+00:00"),
        ("2026-10-01T00:00:00.9999999Z", "2026-10-01T00:00:00.999999+00:00"),
        ("2026-10-01T00:00:00", None),
        ("2026-10-01", None),
        ("2026-10-01T24:00:00Z", None),
        ("2026-10-01T00:00:00+25:00", None),
        ("2026-13-01T00:00:00Z", None),
        ("", None),
    ],
)
def test_timestamps(text: str, expected: str | None) -> None:
    for texts in ([text], [text, "nonsense"], [text, "2026-10-01T00:00:00.1234567Z"]):
        cells, misfit = convert(pa.array(texts), TIMESTAMP)
        found = cells[0].as_py()
        assert (found.isoformat() if found else None) == expected
        assert bool(misfit[0]) == (expected is None)


def test_timestamps_of_one_length_and_shape_mean_what_they_mean_alone() -> None:
    """One text may speak for all others of its shape only where they differ in digits alone."""
    rng = random.Random(20261106)
    good = ["2026-10-01T00:00:00Z", "2026-10-01T00:00:00.123456Z", "2026-10-01 02:00:00+02:00", None]
    for _ in range(40):
        texts = [rng.choice(good) for _ in range(rng.randint(1, 20))]
        for _ in range(rng.randrange(4)):
            text, at = rng.choice([t for t in [*texts, "x" * 20] if t]), rng.randrange(19)
            texts.append(text[:at] + rng.choice("019Zx-:.T ") + text[at + 1 :])
        cells, misfit = convert(pa.array(texts, pa.string()), TIMESTAMP)
        alone = [convert(pa.array([text], pa.string()), TIMESTAMP) for text in texts]
        assert cells.to_pylist() == [cell[0].as_py() for cell, _ in alone]
        assert misfit.tolist() == [bool(bad[0]) for _, bad in alone]


def test_null_cells_are_no_misfits() -> None:
    for type_ in (pa.float64(), pa.int64(), pa.bool_(), TIMESTAMP, pa.list_(pa.float64())):
        cells, misfit = convert(pa.array([None, "?"], pa.string()), type_)
        assert cells.null_count == 2
        assert misfit.tolist() == [False, True]
        assert np.asarray(misfit).dtype == np.bool_


ACCIDENTS = [
    b"0",
    b"1",
    b".",
    b"-",
    b"e",
    b"+",
    b" ",
    b'"',
    b"\\",
    b"\xc3\xa9",
    b"\xc3",
    b"\t",
    b"}",
    b"{",
    b",",
    b"\r",
]
ACCIDENTS += [b"Z", b":", b"NaN", b"Infinity", b"null", b"true", b"[", b"]", b"\x00", b"\\u0000", b"\\ud800"]


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_line_means_the_same_alone_in_a_block_and_read_slowly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The fast path must take nothing that the slow one refuses, and read nothing differently."""
    rng = random.Random(20261103)
    path = tmp_path / f"log.{kind}"
    (jsonl if kind == "jsonl" else csv_file)(path, rows(3))
    header, *good = [b"", *path.read_bytes().splitlines()] if kind == "jsonl" else path.read_bytes().splitlines()
    lines = []
    for line in good * 50:
        at = rng.randrange(len(line))
        lines += [line[:at] + rng.choice(ACCIDENTS) + line[at + rng.randrange(3) :]]
    prefix = header + b"\n" if header else b""

    def meanings(*some: bytes) -> list[object]:
        path.write_bytes(prefix + b"".join(line + b"\n" for line in some))
        table, rejected = read(path)
        digests = row_digests(table, [c.name for c in COLUMNS]).to_pylist()
        return [*digests, *(None for _ in rejected)]

    alone = [meaning for line in lines for meaning in meanings(line)]
    together = meanings(*lines)
    with monkeypatch.context() as patch:
        patch.setattr(jsonl_module, "_parse_block", lambda *_: None)
        patch.setattr(csv_module, "_plain", lambda lines: np.zeros(lines.n, dtype=np.bool_))
        slowly = meanings(*lines)
    n_rows = sum(meaning is not None for meaning in alone)
    assert 10 < n_rows < len(lines) - 10
    assert Counter(alone) == Counter(together) == Counter(slowly)


@pytest.mark.parametrize("most_bytes", [commas_module.MOST_BYTES, 1])
def test_lines_of_another_length_are_named_and_no_cell_goes_to_its_neighbour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    """Whether a block is cut at its commas or is too large for it."""
    monkeypatch.setattr(commas_module, "MOST_BYTES", most_bytes)
    path = csv_file(tmp_path / "log.csv", rows(60))
    header, *lines = path.read_bytes().splitlines()
    short = {3, 4, 30, 59}  # the others keep their place
    lines = [line.rpartition(b",")[0] if i in short else line for i, line in enumerate(lines)]
    path.write_bytes(b"\n".join([header, *lines]) + b"\n")
    table, rejected = read(path)
    assert [line.line for line in rejected] == [i + 2 for i in sorted(short)]
    assert all(line.reason.startswith("wrong number of fields") for line in rejected)
    assert table["interaction_id"].to_pylist() == [f"row-{i}" for i in range(60) if i not in short]
