"""Policy artifacts: a folder with policy.onnx and encoding.json, the thing that is evaluated, served and hashed.

policy.onnx: `features` float32 (batch, d) -> standardised -> `scores` (batch, K) -> `probabilities` float64 (batch, K).
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData, IntegrityError, StoreError, UsageError
from data_contracts.storage import canonical_json, sha256_bytes, write_atomic
from policies import onnx_graph
from policies.action_probabilities import HeadSettings, action_probabilities, require_finite
from policies.encoding import Encoding, encode, from_json, to_json
from policies.onnx_graph import FEATURES, OPSET, PROBABILITIES, SCORES

if TYPE_CHECKING:
    import torch

POLICY, ENCODING = "policy.onnx", "encoding.json"
ARTIFACT_FILES = (POLICY, ENCODING)
CHUNK_ROWS = 8_192  # rows encoded and scored at once; bounds memory, changes no bit of a row's result
PARITY_TOLERANCE = 1e-6  # relative to the largest score
PARITY_ROWS, PARITY_SHARE = 512, 0.01  # a row on the edge of a threshold inside the module may fall either way


@dataclass(frozen=True, slots=True, repr=False)
class OnnxPolicy:
    """A loaded policy: observations in, probabilities out."""

    encoding: Encoding
    n_actions: int
    artifact_sha256: str
    session: Any  # onnxruntime.InferenceSession
    read: Callable[[pa.Table], pa.Table] = lambda observations: observations  # rows of today -> rows it was trained on

    def action_probabilities(self, observations: pa.Table) -> NDArray[np.float64]:
        """(n, K) probabilities of n rows; a row's result does not depend on the rows beside it.

        Raises InputError and DegenerateData as `encode` does, DegenerateData when a score is not finite.
        """
        probabilities = np.empty((observations.num_rows, self.n_actions))
        for start in range(0, observations.num_rows, CHUNK_ROWS):
            features = encode(self.encoding, self.read(observations.slice(start, CHUNK_ROWS)))
            probabilities[start : start + CHUNK_ROWS] = self.probabilities_of(features)
        return probabilities

    def probabilities_of(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, K) probabilities of already encoded features (n, d)."""
        scores, probabilities = self.session.run([SCORES, PROBABILITIES], {FEATURES: features})
        require_finite(scores, what="scores")
        require_finite(probabilities, what="action probabilities")
        return np.asarray(probabilities, dtype=np.float64)

    def __repr__(self) -> str:
        return f"OnnxPolicy({self.artifact_sha256[:12]}, d={self.encoding.n_features}, n_actions={self.n_actions})"


def export_policy(
    scores: torch.nn.Module,
    *,
    encoding: Encoding,
    mean: NDArray[np.float32],
    scale: NDArray[np.float32],
    head: HeadSettings,
    n_actions: int,
    folder: Path,
    champion: Path | None = None,
) -> str:
    """Write the artifact of `scores`, a module from standardised features (n, d) to scores (n, K); its SHA-256.

    With `head.bound`, the artifact in folder `champion` is built into the graph, and its features follow the own ones.

    `mean` and `scale` (d,) standardise the raw features inside the graph. Equal weights give equal bytes.
    Raises DegenerateData when weights, mean or scale are not finite, or when the graph does not repeat the
    module's scores on random features.
    """
    _require_finite_weights(scores, mean, scale)
    scored = _scored(scores, mean, scale)
    plain = onnx_graph.parse_graph(_torch_to_onnx(scored, encoding.n_features), source=POLICY)
    if head.bound is not None:
        own = (mean + scale * _noise(len(mean))).astype(np.float32)
        return _export_bounded(
            scored, plain, own, encoding, head=head, n_actions=n_actions, folder=folder, champion=champion
        )
    data = onnx_graph.serialize(onnx_graph.graft_head(plain, head=head, n_actions=n_actions))
    features = (mean + scale * _noise(len(mean))).astype(np.float32)
    _require_parity(scored, data, features, features, head=head, n_actions=n_actions)
    return write_artifact(folder, policy=data, encoding=encoding)


def write_artifact(folder: Path, *, policy: bytes, encoding: Encoding) -> str:
    """Write both files into `folder`, load them again as serving would, return the artifact's SHA-256."""
    write_atomic(folder / POLICY, policy)
    write_atomic(folder / ENCODING, to_json(encoding))
    return load_policy(folder).artifact_sha256


def artifact_sha256(folder: Path) -> str:
    """SHA-256 over the names and hashes of both files; raises StoreError naming a file that is missing."""
    return hash_of_files({name: read_artifact_file(folder / name) for name in ARTIFACT_FILES})


def load_policy(folder: Path, *, expected_sha256: str | None = None) -> OnnxPolicy:
    """Load an artifact; no file of it can run code or read another file.

    Raises StoreError when a file is missing, IntegrityError when the bytes are not those of `expected_sha256`, or
    when the files are broken or do not fit each other.
    """
    files = {name: read_artifact_file(folder / name) for name in ARTIFACT_FILES}
    found = hash_of_files(files)
    if expected_sha256 is not None and found != expected_sha256:
        raise _broken(folder, f"SHA-256 {expected_sha256[:12]}… over {POLICY} and {ENCODING}", f"{found[:12]}…")
    return policy_of_files(files, folder=folder)


def load_seed(policy: Path, *, encoding: Path) -> OnnxPolicy:
    """Load the graph of another seed, which shares the encoding of the policy it was trained beside."""
    files = {POLICY: read_artifact_file(policy), ENCODING: read_artifact_file(encoding)}
    return policy_of_files(files, folder=policy.parent)


def policy_of_files(files: dict[str, bytes], *, folder: Path) -> OnnxPolicy:
    """The policy whose two files have these bytes; `folder` is named in errors. Raises as `load_policy`."""
    found = hash_of_files(files)
    encoding = from_json(files[ENCODING], source=str(folder / ENCODING))
    session = _session(files[POLICY], folder / POLICY)
    n_actions = _n_actions(session, encoding, folder / POLICY)
    return OnnxPolicy(encoding=encoding, n_actions=n_actions, artifact_sha256=found, session=session)


def read_artifact_file(path: Path) -> bytes:
    """Raises StoreError naming a file that is missing."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"incomplete policy in {path.parent}: expected all of its files, got no readable "
            f"{path.name} ({error.strerror}). Restore the folder from a backup.",
            path=str(path),
        ) from error


def hash_of_files(files: dict[str, bytes]) -> str:
    """SHA-256 over the names and hashes of an artifact's files."""
    return sha256_bytes(canonical_json({name: sha256_bytes(data) for name, data in files.items()}))


def _session(data: bytes, path: Path) -> Any:
    onnx_graph.parse_graph(data, source=str(path))
    try:
        return onnx_graph.open_session(data)
    except Exception as error:  # onnxruntime's errors share no public base class
        raise _broken(path, "a graph that onnxruntime can run", f"{type(error).__name__}: {error}"[:300]) from error


def _n_actions(session: Any, encoding: Encoding, path: Path) -> int:
    """K; raises IntegrityError unless inputs and outputs are those of a policy with this encoding."""
    inputs = {i.name: (i.type, list(i.shape)[1:]) for i in session.get_inputs()}
    outputs = {o.name: (o.type, list(o.shape)[1:]) for o in session.get_outputs()}
    kind, shape = outputs.get(PROBABILITIES, ("", []))
    wanted = {FEATURES: ("tensor(float)", [encoding.n_features])}
    if inputs != wanted or kind != "tensor(double)" or len(shape) != 1 or outputs.keys() != {SCORES, PROBABILITIES}:
        raise _broken(path, f"input {wanted}, outputs {SCORES} and {PROBABILITIES}", f"{inputs}, {outputs}")
    if not isinstance(shape[0], int) or outputs[SCORES][1] != shape:
        raise _broken(path, "as many scores as probabilities, a fixed number", f"{outputs}")
    return shape[0]


def _broken(path: Path, expected: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"damaged policy in {path}: expected {expected}, got {got}. Restore it from a backup, or register it again.",
        path=str(path),
    )


def _scored(scores: torch.nn.Module, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> torch.nn.Module:
    """Standardisation, then `scores`, as one module in evaluation mode on the CPU."""
    import torch

    class Scored(torch.nn.Module):
        mean: torch.Tensor
        scale: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.scores = scores
            self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32))
            self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32))

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.scores((features - self.mean) / self.scale)
            return result

    return Scored().cpu().eval()


def _torch_to_onnx(scored: torch.nn.Module, n_features: int) -> bytes:
    """The graph of `features` -> `scores` with a dynamic batch; weights keep their names in the module."""
    import torch

    stream = io.BytesIO()
    with warnings.catch_warnings():
        # torch 2.13 announces the end of this exporter; the new one needs onnxscript, which is not installed
        warnings.filterwarnings("ignore", message="You are using the legacy TorchScript", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message="The feature will be removed", category=DeprecationWarning)
        torch.onnx.export(
            scored,
            (torch.zeros(2, n_features),),
            stream,  # type: ignore[arg-type]  # the stub forgets streams, which dynamo=False takes
            input_names=[FEATURES],
            output_names=[SCORES],
            dynamic_axes={FEATURES: {0: "batch"}, SCORES: {0: "batch"}},
            opset_version=OPSET,
            do_constant_folding=False,
            dynamo=False,
        )
    return stream.getvalue()


def _require_finite_weights(scores: torch.nn.Module, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> None:
    arrays = {"mean": mean, "scale": scale} | {n: t.detach().cpu().numpy() for n, t in scores.state_dict().items()}
    bad = [name for name, values in arrays.items() if not np.isfinite(values).all()]
    if bad or not (scale > 0).all():
        raise DegenerateData(
            f"non-finite policy: expected finite weights and a positive scale, got otherwise in {len(bad) or 1} "
            f"({', '.join(bad[:5]) or 'scale'}). Nothing was exported; look at the learning curves."
        )


def _export_bounded(
    scored: torch.nn.Module,
    plain: Any,
    own: NDArray[np.float32],
    encoding: Encoding,
    *,
    head: HeadSettings,
    n_actions: int,
    folder: Path,
    champion: Path | None,
) -> str:
    """The artifact of a head bounded against the champion whose artifact is in that folder."""
    if champion is None or head.bound is None:
        raise UsageError(
            "a bounded head without a champion: expected the folder of the policy that bounds it, got none."
        )
    other = load_policy(champion)
    if other.n_actions != n_actions:
        raise UsageError(
            f"the champion cannot bound this policy: expected {n_actions} actions, got {other.n_actions}. "
            "Train without `head.bound` once, or go back to the champion's actions."
        )
    inner = onnx_graph.parse_graph(read_artifact_file(champion / POLICY), source=str(champion / POLICY))
    if onnx_graph.opset(inner) != onnx_graph.opset(plain):
        raise UsageError(
            f"the champion cannot bound this policy: expected a graph of operator set {onnx_graph.opset(plain)}, got "
            f"{onnx_graph.opset(inner)}. Export the champion's ONNX file again with that one."
        )
    grafted = onnx_graph.graft_bounded_head(
        plain, inner, bound=head.bound, n_features=encoding.n_features, n_actions=n_actions
    )
    data = onnx_graph.serialize(grafted)
    others = np.abs(_noise(other.encoding.n_features)).astype(np.float32)
    served = other.probabilities_of(others)
    _require_parity(scored, data, own, np.hstack([own, others]), head=head, n_actions=n_actions, champion=served)
    both = Encoding(features=(*encoding.features, *other.encoding.features))
    return write_artifact(folder, policy=data, encoding=both)


def _noise(width: int) -> NDArray[np.float64]:
    """(PARITY_ROWS, width) random standardised features, always the same."""
    return np.random.default_rng(0).normal(size=(PARITY_ROWS, width))


def _require_parity(
    scored: torch.nn.Module,
    data: bytes,
    own: NDArray[np.float32],
    features: NDArray[np.float32],
    *,
    head: HeadSettings,
    n_actions: int,
    champion: NDArray[np.float64] | None = None,
) -> None:
    """Scores against the module's, probabilities against the reference head, on random features.

    `own` are those of the module, `features` those of the graph.
    """
    import torch

    with torch.no_grad():
        wanted = scored(torch.from_numpy(own)).numpy()
    scores, probabilities = onnx_graph.open_session(data).run([SCORES, PROBABILITIES], {FEATURES: features})
    if scores.shape != (PARITY_ROWS, n_actions):
        raise DegenerateData(f"bad scores: expected {n_actions} a row, got shape {scores.shape}.")
    tolerance = PARITY_TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    off = (np.abs(scores - wanted) > tolerance).any(axis=1).mean()
    head_off = np.abs(probabilities - action_probabilities(scores, head=head, champion=champion)).max()
    if off > PARITY_SHARE or head_off > PARITY_TOLERANCE:
        raise DegenerateData(
            f"the exported graph is not the trained policy: expected scores within {tolerance:g} and probabilities "
            f"within {PARITY_TOLERANCE:g}, got {off:.1%} of rows off and {head_off:g}. Report this with the versions "
            "of torch and onnxruntime (`sluice doctor`)."
        )
