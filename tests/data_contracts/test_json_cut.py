"""Lines that are cut mean what the row parser reads in them, whatever is odd about a line or about its neighbours."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.log_columns import columns_of
from data_contracts.readers import jsonl as jsonl_module
from data_contracts.readers.json_cut import cut, form_of
from data_contracts.readers.lines import read_lines
from data_contracts.readers.log_file import read_blocks
from tests.data_contracts.small_log import CONTRACT, jsonl, row, rows

COLUMNS = columns_of(CONTRACT, "interactions")
TYPES = {"id": pa.string(), "x": pa.float64(), "k": pa.int64(), "on": pa.bool_()}
PLAIN = '{"id":"a","x":1.5,"k":7,"on":true}'
SWAPS = [  # what of a plain line, and by what else
    (
        ":1.5,",
        ["1", "1e3", "1E-2", "1.0", "-0", "-0.0", "01", "-01", ".5", "-.5", "5.", "5.e3", "1.e5", "+1", "1-2", "-"],
    ),
    (
        ":1.5,",
        ["1.2.3", "1e", "1e400", "1e99", "0x10", "NaN", "Infinity", "-Infinity", "nan", "inf", '"1"', "null", "nul"],
    ),
    (
        ":1.5,",
        ["", " 1", "1 ", "true", "[1]", "{}", "9" * 30, "9" * 250, "1" + "0" * 400, "1e-400", "1_0", "1\u0660", "--1"],
    ),
    (
        ":7,",
        ["0", "-0", "-7", "007", "-07", "0x10", "7.0", "7e0", "7.", "1-2", '"7"', "null", "true", "", "-", "+7", " 7"],
    ),
    (":7,", [str(2**63 - 1), str(-(2**63)), str(2**63), "9" * 18, "1" * 19, "1" * 40]),
    (":true}", ["false", "null", "True", "TRUE", "1", '"true"', "tru", "truefalse", "true ", " true", "", "nulL"]),
    (
        ':"a",',
        ['""', '"b\\"c"', '"\\u0041"', '"\\ud800"', '"\u00e9"', '"a,b"', '"a\tb"', '"a\rb"', '"\\\\"', "null", "7"],
    ),
    (
        ':"a",',
        ['"a""', '""a"', '"', "a", '"a" ', ' "a"', '"a","id":"b"', '"a":"b"', '"\x00"', '"\x7f"', '"null"', "[]"],
    ),
]
WHOLE = [
    "",
    " ",
    "{}",
    "{",
    "}",
    "null",
    "[]",
    "true",
    PLAIN + PLAIN,
    PLAIN + ",",
    PLAIN + " ",
    " " + PLAIN,
    PLAIN + "\r",
    PLAIN[:-1] + ",}",
    PLAIN[:-1],
    PLAIN[1:],
    PLAIN[:-1] + "}}",
    PLAIN.replace('"x"', '"y"'),
    PLAIN.replace('"x"', '"k"'),
    PLAIN.replace('"x"', '"\\u0078"'),
    PLAIN.replace('"x"', '"x "'),
    PLAIN.replace('"x":1.5,', ""),
    PLAIN.replace('"x":1.5,', '"x":1.5,"x":1.5,'),
    PLAIN.replace('"x":1.5,', '"x":1.5,"new":1,'),
    PLAIN.replace('"x":1.5,"k":7', '"k":7,"x":1.5'),
    PLAIN.replace(",", ", ").replace(":", ": "),
    PLAIN.replace(",", " ,"),
    PLAIN.replace('"id":"a"', '"id":{"a":1}'),
    PLAIN.replace('"a","x":1.5', '"a\',"x":1.5'),
    "\ufeff" + PLAIN,
]
ODD = [PLAIN.replace(old, old[0] + new + old[-1]) for old, values in SWAPS for new in values] + WHOLE


def _strict(line: str) -> tuple[object, ...] | None:
    """What a plain reading of JSON makes of a line of the four words; None where it is not such a line."""
    try:
        pairs = json.loads(line, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    if [key for key, _ in pairs] != list(TYPES) if isinstance(pairs, list) else True:
        return None
    kinds = {"id": (str,), "x": (int, float), "k": (int,), "on": (bool,)}
    values = dict(pairs)
    if any(v is not None and type(v) not in kinds[key] for key, v in values.items()):
        return None
    return (values["id"], None if values["x"] is None else float(values["x"]), values["k"], values["on"])


@pytest.mark.parametrize("spelling", [(",", ":"), (", ", ": ")])
def test_what_is_cut_is_what_json_says_and_every_plain_line_is_cut(tmp_path: Path, spelling: tuple[str, str]) -> None:
    """Each odd line between plain ones: those are always cut, and the odd one is cut as JSON reads it or left alone."""
    comma, colon = spelling
    plain = comma.join(
        f'"{key}"{colon}{value}' for key, value in zip(TYPES, ('"p"', "-0.25", "0", "false"), strict=True)
    )
    n_cut = 0
    for odd in ODD:
        odd = odd.replace('":', '"' + colon).replace(',"', comma + '"')
        path = tmp_path / "log.jsonl"
        path.write_bytes("\n".join([f"{{{plain}}}", odd, f"{{{plain}}}", ""]).encode())
        (lines,) = read_lines(path)
        form = form_of([(lines.raw(0), json.loads(lines.raw(0)))], TYPES)
        assert form is not None
        index, table = cut(lines, np.flatnonzero(lines.decodable()), form, TYPES)
        found = dict(zip(index.tolist(), zip(*(table[word].to_pylist() for word in TYPES), strict=True), strict=True))
        assert found.pop(0) == found.pop(2) == ("p", -0.25, 0, False)
        for values in found.values():
            n_cut += 1
            assert values == _strict(odd), odd
    assert n_cut > 15  # not a test of nothing


def test_lines_of_other_forms_are_not_cut() -> None:
    good = json.loads(PLAIN)
    assert form_of([], TYPES) is None
    assert form_of([(b'{"id" :"a"}', {"id": "a"})], TYPES) is None
    assert form_of([(b'{"a,b":1}', {"a,b": 1})], {"a,b": pa.int64()}) is None
    assert form_of([(b'{"p":[1]}', {"p": [1]})], {"p": pa.list_(pa.float64())}) is None
    assert form_of([(b'{"unknown":1}', {"unknown": 1})], TYPES) is None
    form = form_of([(b"{}", {}), *[(PLAIN.encode(), good)] * 2], TYPES)
    assert form is not None
    assert form.words == tuple(TYPES)


@pytest.mark.parametrize("dumps", [json.dumps, lambda r: json.dumps(r, separators=(",", ":"), ensure_ascii=False)])
def test_with_or_without_the_cut_a_file_gives_the_same_rows_and_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dumps: Callable[[object], str]
) -> None:
    rng = random.Random(20261121)
    odd = [
        {"user": "a,b"},
        {"user": '"'},
        {"user": "\u00e9\u4e2d"},
        {"country": None},
        {"score": 1e300},
        {"score": -0.0},
        {"p": 1},
        {"item": "2"},
        {"age": 10**18},
        {"age": 1.5},
        {"member": None},
        {"click": float("nan")},
        {"time": "2026-10-01T00:00:00.5Z"},
        {"arm": "x"},
        {"other": 1},
    ]
    lines: list[str] = [dumps(r) for r in rows(200)]
    for i, changes in enumerate(odd * 2):
        lines.insert(rng.randrange(len(lines)), dumps(row(1000 + i, **changes)))
    lines += [dumps(dict(reversed(row(7).items()))), dumps(row(8)) + ",", dumps(row(9))[:40], dumps(row(10)) + "\r"]
    path = jsonl(tmp_path / "log.jsonl", lines)

    def everything() -> tuple[list[tuple[int, int, bytes, str]], list[tuple[int, int, bytes, object]]]:
        (block,) = read_blocks(path, COLUMNS)
        values = block.table.select(sorted(block.table.column_names)).to_pylist()
        kept = zip(block.line.tolist(), block.offset.tolist(), values, strict=True)
        refused = sorted((r.line, r.offset, r.raw, r.reason) for r in block.rejected)
        return refused, sorted((line, at, block.raw(i), repr(v)) for i, (line, at, v) in enumerate(kept))

    with_cut = everything()
    monkeypatch.setattr(jsonl_module, "form_of", lambda *_: None)
    assert everything() == with_cut
    monkeypatch.setattr(jsonl_module, "_parse_block", lambda *_: None)
    by_row = everything()
    assert by_row[0] == with_cut[0]
    assert [r[:3] for r in by_row[1]] == [r[:3] for r in with_cut[1]]
    assert len(with_cut[1]) > 200
