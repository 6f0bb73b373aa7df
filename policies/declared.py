"""Policies that need no training, as artifacts of the same shape as trained ones: same files, head and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data_contracts.contract import Column
from data_contracts.errors import ConfigurationError, IntegrityError
from policies import onnx_graph
from policies.action_probabilities import HeadSettings, with_exploration
from policies.encoding import KINDS, ConstantFeature, Encoding, NumberFeature
from policies.export import write_artifact
from policies.onnx_graph import FEATURES, HEAD_OPSET, OPSET, PROBABILITIES, SCORES

SUM_TOLERANCE = 1e-6  # of a declared table of probabilities, as people write them; it is normalised exactly
PROBE_ROWS = 5
PROBE_TOLERANCE = 1e-4  # relative; rows alone and among others may differ by rounding, not by meaning


class Declaration(Protocol):
    """`champion:` of a task file: exactly one of the first four is given."""

    @property
    def uniform(self) -> bool | None: ...
    @property
    def constant(self) -> str | None: ...
    @property
    def probabilities(self) -> Mapping[str, float] | None: ...
    @property
    def onnx(self) -> str | None: ...
    @property
    def head(self) -> HeadSettings: ...


def build_declared(
    declared: Declaration,
    *,
    actions: tuple[str, ...],
    columns: Sequence[Column],
    onnx_path: Path | None,
    folder: Path,
) -> str:
    """Write the artifact of a declared policy into `folder`; its SHA-256.

    Every kind but `uniform` serves through the exploration of `declared.head`. `onnx_path` is the resolved path of
    `declared.onnx`; `columns` are the contract's observation columns. Raises ConfigurationError that says what in
    the declaration, or in the ONNX file, does not fit the task.
    """
    given = [n for n in ("uniform", "constant", "probabilities", "onnx") if getattr(declared, n) is not None]
    if len(given) != 1:
        raise ConfigurationError(
            f"unclear champion: expected exactly one of uniform, constant, probabilities and onnx, got "
            f"{', '.join(given) or 'none'}. Keep one."
        )
    if declared.head.bound is not None:
        raise ConfigurationError(
            "a bounded head of the declared champion: expected none, as no policy is before it, got "
            f"bound {declared.head.bound:g}. Put the bound under training.head."
        )
    exploration = declared.head.exploration
    if declared.probabilities is not None:
        return _build_table(_table(declared.probabilities, actions), exploration=exploration, folder=folder)
    if declared.constant is not None:
        return _build_table(_one_hot(declared.constant, actions), exploration=exploration, folder=folder)
    if declared.onnx is not None and onnx_path is not None:
        return _build_onnx(onnx_path, head=declared.head, n_actions=len(actions), columns=columns, folder=folder)
    return _build_table(np.ones(len(actions)) / len(actions), exploration=0.0, folder=folder)


def _table(probabilities: Mapping[str, float], actions: tuple[str, ...]) -> NDArray[np.float64]:
    unknown, missing = sorted(set(probabilities) - set(actions)), sorted(set(actions) - set(probabilities))
    if unknown or missing:
        raise ConfigurationError(
            f"wrong actions in the champion's probabilities: expected each of the {len(actions)} declared actions "
            f"once, got {len(unknown)} unknown ({', '.join(unknown[:5])}) and {len(missing)} missing "
            f"({', '.join(missing[:5])}). Name the task's actions."
        )
    table = np.array([probabilities[action] for action in actions], dtype=np.float64)
    total = table.sum()
    if not (np.isfinite(table).all() and (table >= 0).all() and abs(total - 1) <= SUM_TOLERANCE):
        raise ConfigurationError(
            f"bad champion's probabilities: expected numbers in [0, 1] that sum to 1, got a sum of {total:g} and a "
            f"least of {table.min():g}. Correct them."
        )
    return np.asarray(table / total, dtype=np.float64)


def _one_hot(action: str, actions: tuple[str, ...]) -> NDArray[np.float64]:
    if action not in actions:
        raise ConfigurationError(
            f"unknown action {action!r} as constant champion: expected one of the {len(actions)} declared actions "
            f"({', '.join(actions[:5])}). Name one of them."
        )
    return np.asarray(np.array(actions) == action, dtype=np.float64)


def _build_table(table: NDArray[np.float64], *, exploration: float, folder: Path) -> str:
    """A graph whose output does not depend on the observation; the one constant feature carries the batch size."""
    from onnx import TensorProto, helper

    k = len(table)
    mixed = with_exploration(table[None, :], exploration=exploration)
    constants = [
        onnx_graph.constant(table[None, :], "table_scores", "float32"),
        onnx_graph.constant(mixed, "table_probabilities"),
        onnx_graph.constant([1], "table_width", "int64"),
    ]
    nodes = [
        helper.make_node("Shape", [FEATURES], ["batch_size"], start=0, end=1),
        helper.make_node("Concat", ["batch_size", "table_width"], ["rows"], axis=0),
        helper.make_node("Expand", ["table_scores", "rows"], [SCORES]),
        helper.make_node("Expand", ["table_probabilities", "rows"], [PROBABILITIES]),
    ]
    outputs = [
        helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["batch", k]),
        helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, ["batch", k]),
    ]
    graph = helper.make_graph(nodes, "table", [_features_info(1)], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    encoding = Encoding(features=(ConstantFeature(kind="constant"),))
    return write_artifact(folder, policy=onnx_graph.serialize(model), encoding=encoding)


def _build_onnx(path: Path, *, head: HeadSettings, n_actions: int, columns: Sequence[Column], folder: Path) -> str:
    """The user's graph, float32 observations (n, d) -> `scores` (n, K), under our head."""
    encoding = _numeric_encoding(columns, path)
    model = _wrapped(_parse(path), path, n_features=encoding.n_features, n_actions=n_actions)
    _probe(model, path, n_features=encoding.n_features, n_actions=n_actions)
    grafted = onnx_graph.graft_head(model, head=head, n_actions=n_actions)
    return write_artifact(folder, policy=onnx_graph.serialize(grafted), encoding=encoding)


def _numeric_encoding(columns: Sequence[Column], path: Path) -> Encoding:
    other = [c.name for c in columns if c.logical_type not in KINDS]
    if other or not columns:
        raise ConfigurationError(
            f"{path.name} cannot read these observations: expected numeric columns only, got {len(other)} others "
            f"({', '.join(other[:5])}). Declare another champion, or log those columns as numbers."
        )
    return Encoding(features=tuple(NumberFeature(kind=KINDS[c.logical_type], column=c.name) for c in columns))


def _parse(path: Path) -> Any:
    try:
        return onnx_graph.parse_graph(path.read_bytes(), source=str(path))
    except OSError as error:
        raise _unfit(path, "a readable file", error.strerror or type(error).__name__) from error
    except IntegrityError as error:
        raise ConfigurationError(str(error)) from error


def _wrapped(model: Any, path: Path, *, n_features: int, n_actions: int) -> Any:
    """The same graph with our names for input and output; its own names get a prefix, so that none collides."""
    from onnx import TensorProto, compose, helper

    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < HEAD_OPSET:
        raise _unfit(path, f"operator set {HEAD_OPSET} or newer", str(opset))
    constants = {t.name for t in model.graph.initializer}
    inputs = [i for i in model.graph.input if i.name not in constants]
    if len(inputs) != 1 or not _fits(inputs[0], n_features):
        raise _unfit(path, f"one float32 input (batch, {n_features})", ", ".join(map(_described, inputs)) or "none")
    outputs = list(model.graph.output)
    if len(outputs) != 1 or outputs[0].name != SCORES or not _fits(outputs[0], n_actions):
        raise _unfit(path, f"one float32 output scores (batch, {n_actions})", ", ".join(map(_described, outputs)))
    renamed = compose.add_prefix(model, "declared/")
    graph = renamed.graph
    graph.node.insert(0, helper.make_node("Identity", [FEATURES], [f"declared/{inputs[0].name}"]))
    graph.node.append(helper.make_node("Identity", [f"declared/{SCORES}"], [SCORES]))
    kept = [i for i in graph.input if i.name.removeprefix("declared/") in constants]
    del graph.input[:], graph.output[:]
    graph.input.extend([_features_info(n_features), *kept])
    graph.output.append(helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["batch", n_actions]))
    return renamed


def _probe(model: Any, path: Path, *, n_features: int, n_actions: int) -> None:
    """Run it on a few rows: it must take any number of them, and score each on its own."""
    features = np.random.default_rng(0).random((PROBE_ROWS, n_features)).astype(np.float32)
    try:
        session = onnx_graph.open_session(model.SerializeToString())
        together = session.run([SCORES], {FEATURES: features})[0]
        alone = [session.run([SCORES], {FEATURES: features[i : i + 1]})[0] for i in range(PROBE_ROWS)]
    except Exception as error:  # onnxruntime's errors share no public base class
        raise _unfit(path, "a graph that takes any number of rows", f"{type(error).__name__}: {error}"[:300]) from error
    if together.shape != (PROBE_ROWS, n_actions) or any(a.shape != (1, n_actions) for a in alone):
        raise _unfit(path, f"scores of shape ({PROBE_ROWS}, {n_actions}) for {PROBE_ROWS} rows", str(together.shape))
    tolerance = PROBE_TOLERANCE * max(1.0, float(np.abs(together).max()))
    if not (np.abs(together - np.concatenate(alone)) <= tolerance).all():
        raise _unfit(path, "finite scores that depend on their own row alone", "other scores for rows among others")


def _features_info(n_features: int) -> Any:
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", n_features])


def _fits(value: Any, width: int) -> bool:
    """float32, two axes: the first free, the second `width` or free."""
    from onnx import TensorProto

    tensor = value.type.tensor_type
    shape = list(tensor.shape.dim)
    if tensor.elem_type != TensorProto.FLOAT or len(shape) != 2 or shape[0].HasField("dim_value"):
        return False
    return not shape[1].HasField("dim_value") or bool(shape[1].dim_value == width)


def _described(value: Any) -> str:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    shape = ", ".join(str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in tensor.shape.dim)
    return f"{value.name} {TensorProto.DataType.Name(tensor.elem_type).lower()} ({shape})"


def _unfit(path: Path, expected: str, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"{path.name} cannot be the champion: expected {expected}, got {got}. Export it again, or declare another."
    )
