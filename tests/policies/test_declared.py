"""Declared policies serve through the same artifact, head and checks as trained ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from data_contracts.contract import Column, LogicalType
from data_contracts.errors import ConfigurationError
from policies.action_probabilities import HeadSettings
from policies.declared import build_declared
from policies.export import artifact_sha256, load_policy

ACTIONS = tuple(str(i) for i in range(10))
D = 3
ROWS = pa.table({"a": [1.0, 0.0, 0.0, 2.0], "b": [0, 5, 0, 1], "c": [False, False, True, True]})
WEIGHTS = np.zeros((D, 10), np.float32)
WEIGHTS[0, 7], WEIGHTS[1, 2], WEIGHTS[2, 4] = 1.0, 1.0, 1.0  # a -> action 7, b -> action 2, c -> action 4


@dataclass(frozen=True)
class Declared:
    uniform: bool | None = None
    constant: str | None = None
    probabilities: dict[str, float] | None = None
    onnx: str | None = None
    head: HeadSettings = field(default_factory=lambda: HeadSettings(kind="greedy", exploration=0.3))


def _column(name: str, logical_type: LogicalType) -> Column:
    return Column(name=name, source_name=name, logical_type=logical_type, roles=("observation",))


COLUMNS = (_column("a", "number"), _column("b", "integer"), _column("c", "boolean"))


def _probabilities(declared: Declared, folder: Path, *, onnx_path: Path | None = None, rows: pa.Table = ROWS) -> Any:
    sha256 = build_declared(declared, actions=ACTIONS, columns=COLUMNS, onnx_path=onnx_path, folder=folder)
    assert sha256 == artifact_sha256(folder)
    assert sorted(p.name for p in folder.iterdir()) == ["encoding.json", "policy.onnx"]
    return load_policy(folder, expected_sha256=sha256).action_probabilities(rows)


def test_uniform_is_exactly_uniform(tmp_path: Path) -> None:
    assert _probabilities(Declared(uniform=True), tmp_path).tolist() == [[1 / 10] * 10] * 4


def test_constant_serves_through_the_exploration_floor(tmp_path: Path) -> None:
    expected = [0.03] * 10
    expected[4] = 0.73
    assert _probabilities(Declared(constant="4"), tmp_path).tolist() == [expected] * 4


def test_a_table_serves_through_the_exploration_floor(tmp_path: Path) -> None:
    table = dict.fromkeys(ACTIONS, 0.0) | {"0": 0.5, "9": 0.5}
    found = _probabilities(Declared(probabilities=table), tmp_path)
    # .7 * .5 + .03 = .38
    np.testing.assert_allclose(found, [[0.38] + [0.03] * 8 + [0.38]] * 4, atol=1e-15)


def test_a_table_needs_no_observation_column_and_rounded_thirds_are_normalised(tmp_path: Path) -> None:
    head = HeadSettings(exploration=0.0)
    declared = Declared(probabilities={"x": 0.3333333, "y": 0.3333333, "z": 0.3333333}, head=head)
    build_declared(declared, actions=("x", "y", "z"), columns=(), onnx_path=None, folder=tmp_path)
    found = load_policy(tmp_path).action_probabilities(pa.table({"other": ["t", None]}))
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    np.testing.assert_allclose(found, 1 / 3, atol=1e-15)


def _graph(
    *,
    weights: np.ndarray[Any, Any] = WEIGHTS,
    opset: int = 17,
    batch: object = "n",
    name: str = "scores",
    nodes: list[Any] | None = None,
    type_: int = TensorProto.FLOAT,
) -> Any:
    d, k = weights.shape
    nodes = nodes or [helper.make_node("MatMul", ["x", "w"], [name])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", type_, [batch, d])],
        [helper.make_tensor_value_info(name, type_, [batch, k])],
        [numpy_helper.from_array(weights.astype(np.float64 if type_ == TensorProto.DOUBLE else np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def _saved(model: Any, tmp_path: Path) -> Path:
    path = tmp_path / "champion.onnx"
    save(model, path)
    return path


def test_a_greedy_onnx_file_gives_exactly_73_and_3_percent(tmp_path: Path) -> None:
    path = _saved(_graph(), tmp_path)
    found = _probabilities(Declared(onnx=path.name), tmp_path / "artifact", onnx_path=path)
    best = [7, 2, 4, 7]  # the last row scores 2 for a, 1 for b, 1 for c
    assert found.tolist() == [[0.73 if action == b else 0.03 for action in range(10)] for b in best]


def test_an_onnx_file_goes_through_softmax_too(tmp_path: Path) -> None:
    path = _saved(_graph(), tmp_path)
    head = HeadSettings(kind="softmax", temperature=0.5, exploration=0.0)
    found = _probabilities(Declared(onnx=path.name, head=head), tmp_path / "artifact", onnx_path=path)
    # row 0 scores 1 for action 7 and 0 for nine others
    assert found[0, 7] == pytest.approx(np.exp(2) / (np.exp(2) + 9), abs=1e-12)


@pytest.mark.parametrize("opset", [13, 21])
def test_other_operator_sets_and_clashing_names_work(tmp_path: Path, opset: int) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["head_scores"], name="head_best"),
        helper.make_node("MatMul", ["head_scores", "w"], ["scores"]),
    ]
    path = _saved(_graph(opset=opset, nodes=nodes), tmp_path)
    found = _probabilities(Declared(onnx=path.name), tmp_path / "artifact", onnx_path=path)
    assert found.argmax(axis=1).tolist() == [7, 2, 4, 7]


def test_the_same_declaration_has_the_same_hash(tmp_path: Path) -> None:
    path = _saved(_graph(), tmp_path)
    for declared in (Declared(uniform=True), Declared(constant="1"), Declared(onnx="champion.onnx")):
        hashes = {
            build_declared(declared, actions=ACTIONS, columns=COLUMNS, onnx_path=path, folder=tmp_path / f"{i}")
            for i in range(2)
        }
        assert len(hashes) == 1


def _foreign() -> Any:
    model = _graph(nodes=[helper.make_node("Custom", ["x"], ["scores"], domain="com.example")])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    return model


def _whole_batch() -> Any:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["scores"], axis=0),
    ]
    return _graph(nodes=nodes)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: _graph(weights=np.zeros((D + 1, 10))), r"one float32 input \(batch, 3\), got x float \(n, 4\)"),
        (
            lambda: _graph(weights=np.zeros((D, 9))),
            r"one float32 output scores \(batch, 10\), got scores float \(n, 9\)",
        ),
        (lambda: _graph(name="logits"), "got logits"),
        (lambda: _graph(batch=1), r"got x float \(1, 3\)"),
        (lambda: _graph(type_=TensorProto.DOUBLE), "got x double"),
        (lambda: _graph(opset=12), "operator set 13 or newer, got 12"),
        (_foreign, "com.example"),
        (_whole_batch, "their own row alone"),
    ],
)
def test_an_onnx_file_that_does_not_fit_is_refused(tmp_path: Path, model: Any, message: str) -> None:
    path = _saved(model(), tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        _probabilities(Declared(onnx=path.name), tmp_path / "artifact", onnx_path=path)
    assert not (tmp_path / "artifact").exists()


def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "champion.onnx"
    declared = Declared(onnx=path.name)
    with pytest.raises(ConfigurationError, match=r"champion\.onnx cannot be the champion: expected a readable file"):
        _probabilities(declared, tmp_path / "artifact", onnx_path=path)
    path.write_bytes(b"not a model")
    with pytest.raises(ConfigurationError, match=r"champion\.onnx"):
        _probabilities(declared, tmp_path / "artifact", onnx_path=path)


def test_an_onnx_file_reads_numeric_columns_only(tmp_path: Path) -> None:
    path = _saved(_graph(), tmp_path)
    columns = (*COLUMNS, _column("color", "string"))
    with pytest.raises(ConfigurationError, match=r"1 others \(color\)"):
        build_declared(Declared(onnx="o"), actions=ACTIONS, columns=columns, onnx_path=path, folder=tmp_path)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (Declared(), "got none"),
        (Declared(uniform=True, constant="1"), "got uniform, constant"),
        (Declared(constant="11"), "unknown action '11'"),
        (Declared(probabilities={"0": 1.0}), r"9 missing \(1, 2, 3, 4, 5\)"),
        (Declared(probabilities=dict.fromkeys((*ACTIONS, "x"), 0.1)), r"1 unknown \(x\)"),
        (Declared(probabilities=dict.fromkeys(ACTIONS, 0.2)), "got a sum of 2"),
        (Declared(probabilities=dict.fromkeys(ACTIONS, 0.2) | {"0": -0.8}), "least of -0.8"),
        (Declared(probabilities=dict.fromkeys(ACTIONS, float("nan"))), "sum of nan"),
    ],
)
def test_declarations_that_make_no_sense_are_refused(tmp_path: Path, declared: Declared, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        _probabilities(declared, tmp_path)
