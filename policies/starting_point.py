"""An earlier version as the start of a new training (re-fork): its encoding, its scaler and its networks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import UsageError
from policies.encoding import Encoding, FeatureScale
from policies.export import POLICY, load_policy
from policies.onnx_graph import parse_graph

SCORES_PREFIX = "scores."  # under which export_policy keeps the names of the scores module


@dataclass(frozen=True, slots=True, repr=False)
class StartingPoint:
    """The features stay those of the earlier version, or its weights would read other numbers."""

    encoding: Encoding
    scale: FeatureScale
    weights: dict[str, NDArray[np.float32]]  # names of the scores module

    def __repr__(self) -> str:
        return f"StartingPoint(d={self.encoding.n_features}, weights={sorted(self.weights)})"


def read_starting_point(folder: Path) -> StartingPoint:
    """Read the artifact in `folder`; raises UsageError when it is not one that was trained here."""
    from onnx import numpy_helper

    policy = load_policy(folder)
    graph = parse_graph((folder / POLICY).read_bytes(), source=str(folder / POLICY)).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    weights = {name.removeprefix(SCORES_PREFIX): a for name, a in arrays.items() if name.startswith(SCORES_PREFIX)}
    if not weights or not {"mean", "scale"} <= arrays.keys():
        raise UsageError(
            f"cannot train on from {folder}: expected the networks of a trained version, got weights "
            f"{sorted(arrays)[:5]}. Name a version that `sluice train` made."
        )
    scale = FeatureScale(arrays["mean"], arrays["scale"])
    return StartingPoint(_own(policy.encoding, width=len(scale.mean)), scale, weights)


def _own(encoding: Encoding, *, width: int) -> Encoding:
    """Its first `width` features: those of a champion that bounds the policy come after them."""
    ends = list(accumulate(Encoding(features=(feature,)).n_features for feature in encoding.features))
    return Encoding(features=encoding.features[: ends.index(width) + 1])
