"""The artifact: byte-deterministic, equal to what was trained, the same for one row as for many, tamper-evident."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper

from data_contracts.errors import DegenerateData, InputError, IntegrityError, StoreError
from policies import export, onnx_graph
from policies.action_probabilities import HeadSettings, action_probabilities
from policies.encoding import Encoding, NumberFeature, encode, feature_scale
from policies.export import artifact_sha256, export_policy, load_policy
from policies.onnx_graph import FEATURES, graft_head, parse_graph

D, K = 6, 4
ENCODING = Encoding(features=tuple(NumberFeature(kind="number", column=f"x{i}") for i in range(D)))
HEADS = [
    HeadSettings(kind="greedy", exploration=0.3),
    HeadSettings(kind="greedy", exploration=0.0),
    HeadSettings(kind="softmax", temperature=0.2, exploration=0.1),
    HeadSettings(kind="softmax", temperature=1e-200, exploration=0.0),
]


def _module(seed: int = 0, width: int = 16) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(D, width), torch.nn.ReLU(), torch.nn.Linear(width, K))


def _rows(n: int, seed: int = 0) -> pa.Table:
    values = np.random.default_rng(seed).normal(loc=[0, 10, -3, 5, 0, 1], scale=[1, 5, 0.1, 1, 2, 1], size=(n, D))
    return pa.table({f"x{i}": values[:, i] for i in range(D)})


def _export(folder: Path, *, head: HeadSettings = HEADS[0], seed: int = 0) -> str:
    scale = feature_scale(encode(ENCODING, _rows(500)))
    return export_policy(
        _module(seed), encoding=ENCODING, mean=scale.mean, scale=scale.scale, head=head, n_actions=K, folder=folder
    )


@pytest.mark.parametrize("head", HEADS)
def test_torch_numpy_and_onnx_agree(tmp_path: Path, head: HeadSettings) -> None:
    _export(tmp_path, head=head)
    rows = _rows(1_000, seed=1)
    found = load_policy(tmp_path).action_probabilities(rows)
    features = encode(ENCODING, rows)
    scale = feature_scale(encode(ENCODING, _rows(500)))
    with torch.no_grad():
        scores = _module()(torch.from_numpy((features - scale.mean) / scale.scale)).numpy()
    assert found.dtype == np.float64
    assert np.abs(found - action_probabilities(scores, head=head)).max() < 2e-6
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-12
    assert found.min() >= head.exploration / K


def test_ties_go_to_the_first_action_in_the_graph(tmp_path: Path) -> None:
    module = torch.nn.Linear(D, K)
    torch.nn.init.zeros_(module.weight)
    with torch.no_grad():
        module.bias.copy_(torch.tensor([0.0, 2.0, 2.0, 1.0]))
    ones = np.ones(D, np.float32)
    export_policy(module, encoding=ENCODING, mean=ones, scale=ones, head=HEADS[1], n_actions=K, folder=tmp_path)
    assert load_policy(tmp_path).action_probabilities(_rows(2)).tolist() == [[0, 1, 0, 0]] * 2


@pytest.mark.parametrize("head", HEADS[::2])
def test_a_row_has_the_same_bits_alone_and_among_others(
    tmp_path: Path, head: HeadSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _export(tmp_path, head=head)
    policy, rows = load_policy(tmp_path), _rows(301)
    together = policy.action_probabilities(rows)
    for size in (1, 2, 5, 64):
        apart = [policy.action_probabilities(rows.slice(i, size)) for i in range(0, 301, size)]
        np.testing.assert_array_equal(np.concatenate(apart), together)
    monkeypatch.setattr(export, "CHUNK_ROWS", 7)
    np.testing.assert_array_equal(policy.action_probabilities(rows), together)


def test_equal_weights_have_equal_bytes_also_in_another_process(tmp_path: Path) -> None:
    first, second = _export(tmp_path / "a"), _export(tmp_path / "b")
    assert first == second == artifact_sha256(tmp_path / "a")
    assert (tmp_path / "a" / "policy.onnx").read_bytes() == (tmp_path / "b" / "policy.onnx").read_bytes()
    assert _export(tmp_path / "c", seed=1) != first
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import test_export\n"
        "print(test_export._export(pathlib.Path(sys.argv[2])))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(Path(__file__).parent), str(tmp_path / "d")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [first]


def test_the_artifact_is_two_files_without_machine_paths(tmp_path: Path) -> None:
    _export(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["encoding.json", "policy.onnx"]
    assert str(Path.cwd()).encode() not in (tmp_path / "policy.onnx").read_bytes()


def test_weights_keep_their_names(tmp_path: Path) -> None:
    _export(tmp_path)
    names = {t.name for t in onnx.load(tmp_path / "policy.onnx").graph.initializer}
    assert {"scores.0.weight", "scores.0.bias", "scores.2.weight", "scores.2.bias", "mean", "scale"} <= names


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["policy.onnx", "encoding.json"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.7, 0.999])
def test_one_flipped_bit_is_refused(tmp_path: Path, name: str, place: float) -> None:
    sha256 = _export(tmp_path)
    _flip(tmp_path / name, int(place * (tmp_path / name).stat().st_size))
    with pytest.raises(IntegrityError, match=r"policy\.onnx and encoding\.json"):
        load_policy(tmp_path, expected_sha256=sha256)


@pytest.mark.parametrize("name", ["policy.onnx", "encoding.json"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    _export(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(StoreError, match=name):
        load_policy(tmp_path)
    with pytest.raises(StoreError, match=name):
        artifact_sha256(tmp_path)


@pytest.mark.parametrize("size", [0, 100, -1])
def test_half_a_file_is_refused(tmp_path: Path, size: int) -> None:
    _export(tmp_path)
    path = tmp_path / "policy.onnx"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(IntegrityError, match=r"policy\.onnx"):
        load_policy(tmp_path)


def test_files_that_do_not_fit_each_other_are_refused(tmp_path: Path) -> None:
    _export(tmp_path)
    other = Encoding(features=ENCODING.features[:-1])
    with pytest.raises(IntegrityError, match="expected input"):
        export.write_artifact(tmp_path, policy=(tmp_path / "policy.onnx").read_bytes(), encoding=other)


def _scores_graph(nodes: list[Any], initializers: list[Any], domain: str = "") -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", D])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", D])],
        initializers,
    )
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def _custom_operator() -> Any:
    node = helper.make_node("RunMe", [FEATURES], ["scores"], domain="com.example")
    return _scores_graph([node], [], domain="com.example")


def _in_a_branch(bad: Any, tensors: list[Any], domain: str = "") -> Any:
    def branch(node: Any, tensors: list[Any]) -> Any:
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", D])
        return helper.make_graph([node], "b", [], [y], tensors)

    good = helper.make_node("Identity", [FEATURES], ["y"])
    branches = {"then_branch": branch(good, []), "else_branch": branch(bad, tensors)}
    yes = helper.make_tensor("yes", TensorProto.BOOL, [], [True])
    return _scores_graph([helper.make_node("If", ["yes"], ["scores"], **branches)], [yes], domain=domain)


def _custom_operator_in_a_branch() -> Any:
    return _in_a_branch(helper.make_node("RunMe", [FEATURES], ["y"], domain="com.example"), [], domain="com.example")


def _random_operator_in_a_branch() -> Any:
    return _in_a_branch(helper.make_node("RandomNormalLike", [FEATURES], ["y"]), [])


def _external_data_in_a_branch() -> Any:
    return _in_a_branch(helper.make_node("Add", [FEATURES, "w"], ["y"]), [_external_tensor()])


def _external_tensor() -> Any:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [D], np.zeros(D))
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../secret")
    return tensor


def _external_data() -> Any:
    return _scores_graph([helper.make_node("Add", [FEATURES, "w"], ["scores"])], [_external_tensor()])


def _random_operator() -> Any:
    return _scores_graph([helper.make_node("RandomNormalLike", [FEATURES], ["scores"])], [])


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_custom_operator, "standard operators only, got domain com.example"),
        (_custom_operator_in_a_branch, "standard operators only, got domain com.example"),
        (_external_data, "external data"),
        (_external_data_in_a_branch, "external data"),
        (_random_operator, "RandomNormalLike"),
        (_random_operator_in_a_branch, "RandomNormalLike"),
    ],
)
def test_graphs_that_could_do_harm_are_refused(tmp_path: Path, graph: Callable[[], Any], message: str) -> None:
    _export(tmp_path)
    model = graft_head(graph(), head=HEADS[0], n_actions=D)
    (tmp_path / "policy.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(IntegrityError, match=message):
        load_policy(tmp_path)


def _of(scores: Callable[[torch.Tensor], torch.Tensor]) -> torch.nn.Module:
    class Function(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return scores(x)

    return Function()


def _export_module(module: torch.nn.Module, folder: Path, *, mean: NDArray[np.float32] | None = None) -> str:
    ones = np.ones(D, np.float32)
    return export_policy(
        module,
        encoding=ENCODING,
        mean=0 * ones if mean is None else mean,
        scale=ones,
        head=HEADS[0],
        n_actions=D,
        folder=folder,
    )


def test_scores_that_are_not_finite_are_refused_though_the_greedy_head_would_hide_them(tmp_path: Path) -> None:
    _export_module(_of(lambda x: torch.where(x > 100, x * torch.inf, x)), tmp_path)
    policy = load_policy(tmp_path)
    assert policy.action_probabilities(_rows(5)).shape == (5, D)
    rows = _rows(5).set_column(1, "x1", [[0.0, 0.0, 101.0, 0.0, 0.0]])
    with pytest.raises(DegenerateData, match=r"scores.* 1 of 5 rows \(row 2\)"):
        policy.action_probabilities(rows)


def test_weights_and_scales_that_are_not_finite_are_never_exported(tmp_path: Path) -> None:
    module = torch.nn.Linear(D, D)
    with torch.no_grad():
        module.weight[0, 0] = torch.nan
    with pytest.raises(DegenerateData, match="weight"):
        _export_module(module, tmp_path)
    with pytest.raises(DegenerateData, match="mean"):
        _export_module(torch.nn.Linear(D, D), tmp_path, mean=np.full(D, np.inf, np.float32))
    assert not list(tmp_path.iterdir())


def test_a_graph_that_is_not_the_module_is_never_exported(tmp_path: Path) -> None:
    # tracing freezes this branch as it was for the example of zeros
    module = _of(lambda x: x * 2 if float(x.detach().abs().sum()) > 1 else x)
    with pytest.warns(torch.jit.TracerWarning), pytest.raises(DegenerateData, match="not the trained policy"):
        _export_module(module, tmp_path)
    assert not list(tmp_path.iterdir())


def test_observations_are_checked_at_serving(tmp_path: Path) -> None:
    _export(tmp_path)
    with pytest.raises(InputError, match="missing column x5"):
        load_policy(tmp_path).action_probabilities(_rows(3).drop_columns(["x5"]))


def test_no_rows_give_no_probabilities(tmp_path: Path) -> None:
    _export(tmp_path)
    assert load_policy(tmp_path).action_probabilities(_rows(0)).shape == (0, K)


def test_the_head_works_in_the_newest_opset_too() -> None:
    node = helper.make_node("Identity", [FEATURES], ["scores"])
    model = _scores_graph([node], [])
    model.opset_import[0].version = 24
    model.ir_version = 10
    x = np.random.default_rng(0).normal(size=(20, D)).astype(np.float32)
    for head in HEADS:
        data = graft_head(parse_graph(model.SerializeToString(), source="x"), head=head, n_actions=D)
        found = onnx_graph.open_session(data.SerializeToString()).run(["probabilities"], {FEATURES: x})[0]
        np.testing.assert_allclose(found, action_probabilities(x, head=head), atol=1e-15)
