"""ONNX graphs of policies: which ones are safe to run, and the stochastic head that is grafted onto scores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data_contracts.errors import IntegrityError
from policies.action_probabilities import HeadSettings

FEATURES, SCORES, PROBABILITIES = "features", "scores", "probabilities"
CHAMPION = "champion/"  # before every name of a graph that bounds another
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


def graft_bounded_head(model: Any, champion: Any, *, bound: float, n_features: int, n_actions: int) -> Any:
    """A copy of `model` (`features` (batch, n_features) -> `scores`) under a head bounded by the policy `champion`.

    The champion's whole graph goes inside, with its names under `champion/`: the artifact stays one closed file, and
    its probabilities depend on nothing else. `features` become the model's own, then the champion's. The formula is
    that of `policies.action_probabilities.bounded_probabilities`. Caveat: a champion that is bounded itself holds its
    own champion, so that the file grows with every promotion of a bounded policy.
    """
    from onnx import ModelProto, TensorProto, compose, helper

    grafted = ModelProto()
    grafted.CopyFrom(model)
    graph = grafted.graph
    other = compose.add_prefix(champion, CHAMPION)
    width = n_features + champion.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == FEATURES:
                node.input[i] = "own_features"
    nodes, constants = _bounded_nodes(bound, n_features=n_features, width=width, n_actions=n_actions)
    own = list(graph.node)
    del graph.node[:], graph.input[:]
    graph.node.extend([*nodes[:2], *other.graph.node, *own, *nodes[2:]])
    graph.initializer.extend([*other.graph.initializer, *constants])
    graph.input.append(helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["batch", width]))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.DOUBLE, ["batch", n_actions]))
    return grafted


def _bounded_nodes(bound: float, *, n_features: int, width: int, n_actions: int) -> tuple[list[Any], list[Any]]:
    """First the two nodes that part the features, then the head."""
    from onnx import TensorProto, helper

    node = helper.make_node
    nodes = [
        node("Slice", [FEATURES, "head_0", "head_own", "head_axis"], ["own_features"]),
        node("Slice", [FEATURES, "head_own", "head_width", "head_axis"], [f"{CHAMPION}{FEATURES}"]),
        node("Cast", [SCORES], ["head_scores"], to=TensorProto.DOUBLE),
        node("TopK", ["head_scores", "head_actions"], ["head_sorted", "head_order"], axis=1, largest=1, sorted=1),
        node("Div", [f"{CHAMPION}{PROBABILITIES}", "head_bound"], ["head_least"]),
        node("Mul", [f"{CHAMPION}{PROBABILITIES}", "head_bound"], ["head_most"]),
        node("Sub", ["head_most", "head_least"], ["head_room"]),
        node("GatherElements", ["head_room", "head_order"], ["head_wanted"], axis=1),
        node("ReduceSum", ["head_least", "head_axis"], ["head_taken"], keepdims=1),
        node("Sub", ["head_one", "head_taken"], ["head_left"]),
        node("CumSum", ["head_wanted", "head_axis_scalar"], ["head_before"], exclusive=1),
        node("Sub", ["head_left", "head_before"], ["head_rest"]),
        node("Max", ["head_rest", "head_zero"], ["head_positive"]),
        node("Min", ["head_positive", "head_wanted"], ["head_given"]),
        node("Mul", ["head_least", "head_zero"], ["head_nothing"]),
        node("ScatterElements", ["head_nothing", "head_order", "head_given"], ["head_extra"], axis=1),
        node("Add", ["head_least", "head_extra"], [PROBABILITIES]),
    ]
    integers = {"head_0": [0], "head_own": [n_features], "head_width": [width], "head_axis": [1]}
    constants = [constant(value, name, "int64") for name, value in integers.items()]
    constants += [constant([n_actions], "head_actions", "int64"), constant(1, "head_axis_scalar", "int64")]
    return nodes, [*constants, constant(bound, "head_bound"), constant(1.0, "head_one"), constant(0.0, "head_zero")]


def exploration_nodes(base: str, *, exploration: float, n_actions: int) -> tuple[list[Any], list[Any]]:
    """Nodes and constants that mix the float64 value `base` with the uniform distribution."""
    from onnx import helper

    nodes = [
        helper.make_node("Mul", [base, "head_kept"], ["head_mass"]),
        helper.make_node("Add", ["head_mass", "head_floor"], [PROBABILITIES]),
    ]
    return nodes, [constant(1.0 - exploration, "head_kept"), constant(exploration / n_actions, "head_floor")]


def opset(model: Any) -> int:
    """Version of the standard operators that a graph is written in."""
    return next((int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


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
