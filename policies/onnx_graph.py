"""ONNX graphs of policies: which ones are safe to run, and the stochastic head that is grafted onto scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_contracts.errors import IntegrityError
from policies.action_probabilities import HeadSettings

FEATURES, SCORES, PROBABILITIES = "features", "scores", "probabilities"
OPSET = 17  # of the graphs we write
HEAD_OPSET = 13  # the head's operators mean the same from here on
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})  # operators that the ONNX standard defines
RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)


class UnsafeGraph(IntegrityError):
    """A graph that is broken, could run foreign code, reads other files, or answers differently every time."""


def parse_graph(data: bytes, *, source: str) -> Any:
    """The onnx.ModelProto in `data`; raises UnsafeGraph naming `source` for anything but a standard, closed graph."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise _unsafe(source, "an ONNX model", "other bytes") from error
    if any(t.data_location == onnx.TensorProto.EXTERNAL or t.external_data for t in _tensors(model)):
        raise _unsafe(source, "all weights inside the file", "external data")
    foreign = {o.domain for o in model.opset_import} | {n.domain for n in _nodes(model)}
    if foreign - DOMAINS:
        raise _unsafe(source, "standard operators only", f"domain {', '.join(sorted(foreign - DOMAINS))}")
    random = {n.op_type for n in _nodes(model)} & RANDOM
    if random:
        raise _unsafe(source, "the same answer every time", f"random operators ({', '.join(sorted(random))})")
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise _unsafe(source, "a valid ONNX model", str(error).partition("\n")[0]) from error
    return model


def graft_head(model: Any, *, head: HeadSettings, n_actions: int) -> Any:
    """A copy of `model`, whose only output is `scores` (batch, K), that also gives `probabilities` (batch, K) float64.

    The formula is that of policies.action_probabilities, in float64, so that rows sum to 1 within 1e-12.
    """
    from onnx import ModelProto, TensorProto, helper

    grafted = ModelProto()
    grafted.CopyFrom(model)
    graph = grafted.graph
    graph.node.append(helper.make_node("Cast", [SCORES], ["head_scores"], to=TensorProto.DOUBLE))
    graph.node.append(helper.make_node("ArgMax", ["head_scores"], ["head_best"], axis=1, keepdims=1))
    base = _greedy_nodes(n_actions) if head.kind == "greedy" else _softmax_nodes(head.temperature)
    for part in (base, exploration_nodes("head_base", exploration=head.exploration, n_actions=n_actions)):
        nodes, constants = part
        graph.node.extend(nodes)
        graph.initializer.extend(constants)
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, ["batch", n_actions]))
    return grafted


def exploration_nodes(base: str, *, exploration: float, n_actions: int) -> tuple[list[Any], list[Any]]:
    """Nodes and constants that mix the float64 value `base` with the uniform distribution."""
    from onnx import helper

    nodes = [
        helper.make_node("Mul", [base, "head_kept"], ["head_mass"]),
        helper.make_node("Add", ["head_mass", "head_floor"], [PROBABILITIES]),
    ]
    return nodes, [constant(1.0 - exploration, "head_kept"), constant(exploration / n_actions, "head_floor")]


def constant(value: Any, name: str, dtype: str = "float64") -> Any:
    """A named tensor inside the graph."""
    import numpy as np
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)


def serialize(model: Any) -> bytes:
    """Checked, with equal bytes for equal graphs."""
    import onnx

    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def open_session(data: bytes) -> Any:
    """An onnxruntime.InferenceSession on one CPU thread; what it raises says why the runtime refused the graph."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def _greedy_nodes(n_actions: int) -> tuple[list[Any], list[Any]]:
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Equal", ["head_best", "head_actions"], ["head_is_best"]),
        helper.make_node("Cast", ["head_is_best"], ["head_base"], to=TensorProto.DOUBLE),
    ]
    return nodes, [constant([list(range(n_actions))], "head_actions", "int64")]


def _softmax_nodes(temperature: float) -> tuple[list[Any], list[Any]]:
    """(score - best score) / temperature first: no temperature can overflow."""
    from onnx import helper

    nodes = [
        helper.make_node("GatherElements", ["head_scores", "head_best"], ["head_highest"], axis=1),
        helper.make_node("Sub", ["head_scores", "head_highest"], ["head_gaps"]),
        helper.make_node("Div", ["head_gaps", "head_temperature"], ["head_logits"]),
        helper.make_node("Softmax", ["head_logits"], ["head_base"], axis=1),
    ]
    return nodes, [constant(temperature, "head_temperature")]


def _nodes(model: Any) -> Iterator[Any]:
    """Every node, those of subgraphs and functions included."""
    yield from _graph_nodes(model.graph.node)
    for function in model.functions:
        yield from _graph_nodes(function.node)


def _graph_nodes(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        yield node
        for graph in _subgraphs(node):
            yield from _graph_nodes(graph.node)


def _subgraphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(model: Any) -> Iterator[Any]:
    """Every tensor: initializers of every graph, sparse ones, and attributes."""
    for graph in (model.graph, *(g for n in _nodes(model) for g in _subgraphs(n))):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in _nodes(model):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def _unsafe(source: str, expected: str, got: str) -> UnsafeGraph:
    name = Path(source).name
    return UnsafeGraph(
        f"refused graph {name} in {source}: expected {expected}, got {got}. Export it again.", path=source
    )
