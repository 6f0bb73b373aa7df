"""The two sides of the validation benchmark, each run in a process of its own: 15 checks on the rows of one store."""

from __future__ import annotations

import json
import resource
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from data_contracts import store
from data_contracts.batches import BatchRecord, write_batch
from data_contracts.contract import Column, Contract, TableRule
from data_contracts.home import Home
from data_contracts.interactions import interaction_schema

TASK = "large"
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 30
AS_OF = START + timedelta(days=DAYS)
ACTIONS = tuple("abcdefghij")
CITIES = ("north", "east", "south", "west")
NUMBERS = tuple(f"x{k}" for k in range(5))
TEXTS = tuple(f"c{k}" for k in range(3))
CONTRACT = Contract(
    id=TASK,
    version="1.0.0",
    path="large.odcs.yaml",
    sha256="0" * 64,
    columns=(
        Column("propensity", "propensity", "number", ("reserved",), required=True),
        Column("reward", "reward", "number", ("reserved",), minimum=0, maximum=1),
        *(Column(n, n, "number", ("observation",), minimum=-10, maximum=10) for n in NUMBERS),
        *(Column(t, t, "string", ("observation",), required=True) for t in TEXTS),
    ),
    outcome_columns=(),
    table_rules=(TableRule("known_policy_version", "block", {}, "declared versions only"),),
    owner="owners",
    support="#support",
    runbook="infra/RUNBOOK.md",
    freshness_hours=None,
)


def write_store(home: Home, n: int, *, seed: int) -> None:
    """`n` rows of 23 columns in one batch a day."""
    rng = np.random.default_rng(seed)
    schema = interaction_schema({n: pa.float64() for n in NUMBERS} | {t: pa.string() for t in TEXTS})
    for day in range(DAYS):
        batch_id, m = f"{day:064x}", n // DAYS
        seconds = np.sort(rng.integers(0, 86_400, m)).astype("timedelta64[s]")
        first = np.datetime64("2026-01-01", "us") + np.timedelta64(day, "D")
        columns = {
            "interaction_id": np.array([f"interaction-{day:02d}-{i:08d}" for i in range(m)]),
            "unit_id": np.char.add("unit-", rng.integers(0, 200_000, m).astype(str)),
            "occurred_at": (first + seconds).astype("datetime64[us]"),
            "action": np.array(ACTIONS)[rng.integers(0, len(ACTIONS), m)],
            "policy_version": np.array(["1", "2"])[rng.integers(0, 2, m)],
            "propensity": rng.uniform(0.05, 0.9, m),
            "reward": (rng.random(m) < 0.03).astype(float),
            "batch_id": np.full(m, batch_id),
            "day": np.full(m, first.astype("datetime64[D]")),
            **{name: rng.normal(size=m).clip(-9, 9) for name in NUMBERS},
            **{name: np.array(CITIES)[rng.integers(0, 4, m)] for name in TEXTS},
        }
        arrays = [pa.array(columns[f.name]).cast(f.type) if f.name in columns else pa.nulls(m, f.type) for f in schema]
        version = store.append(home, TASK, "interactions", pa.table(arrays, schema=schema), batch_id=batch_id)
        _, files = store.batch_files(home, TASK, "interactions", batch_id)
        record = BatchRecord(
            batch_id=batch_id, kind="interactions", contract_version="1.0.0", contract_sha256="0" * 64, n_read=m,
            n_accepted=m, n_quarantined=0, n_duplicate=0, table_version=version, files=(), reasons={},
            table_files={"interactions": files}, ingested_at=START + timedelta(days=day),
        )  # fmt: skip
        write_batch(home, TASK, record)


def validate_with_sluice(home: Home, scratch: Path) -> int:
    """Every check of the contract, judged by Great Expectations, with Data Docs; returns how many passed."""
    from data_contracts.rewards.outcomes import RewardSettings
    from data_contracts.row_source import StoredRows
    from data_contracts.validation import validate_rows

    result = validate_rows(
        StoredRows(home, TASK, CONTRACT, RewardSettings(), AS_OF),
        contract=CONTRACT,
        actions=ACTIONS,
        known_versions=frozenset({"1", "2"}),
        reference=None,
        reference_name=None,
        newest_batch=None,
        docs_folder=scratch / "docs",
        as_of=AS_OF,
    )
    assert result.level == "ok", [c for c in result.checks if not c.passed]
    return len(result.checks)


def validate_with_pandas(home: Home) -> int:
    """Great Expectations on a data frame of the same files, read with the columns that its checks need."""
    import great_expectations as gx
    import pandas as pd

    names = ["interaction_id", "unit_id", "action", "policy_version", "propensity", "reward", *NUMBERS, *TEXTS]
    files = store.table_files(home, TASK, "interactions")
    frame = pd.concat([pd.read_parquet(file, columns=names) for file in files], ignore_index=True)
    of = gx.expectations
    expectations = [
        of.ExpectTableRowCountToBeBetween(min_value=1),
        of.ExpectColumnValuesToBeUnique(column="interaction_id"),
        of.ExpectColumnValuesToNotBeNull(column="unit_id"),
        of.ExpectColumnValuesToBeInSet(column="action", value_set=list(ACTIONS)),
        of.ExpectColumnValuesToBeInSet(column="policy_version", value_set=["1", "2"]),
        of.ExpectColumnValuesToBeBetween(column="propensity", min_value=0, max_value=1, strict_min=True),
        of.ExpectColumnValuesToBeBetween(column="reward", min_value=0, max_value=1),
        *(of.ExpectColumnValuesToBeBetween(column=name, min_value=-10, max_value=10) for name in NUMBERS),
        *(of.ExpectColumnValuesToNotBeNull(column=name) for name in TEXTS),
    ]
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("rows")
    suite = context.suites.add(gx.ExpectationSuite(name="rows", expectations=expectations))
    data = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="rows", data=data, suite=suite))
    outcome = definition.run(batch_parameters={"dataframe": frame}, result_format="SUMMARY")
    assert outcome.success
    return len(outcome.results)


def main(peer: str, home: Path, scratch: Path) -> None:
    # what both sides import is not what is compared
    import deltalake  # noqa: F401
    import duckdb  # noqa: F401
    import great_expectations  # noqa: F401
    import pandas as pd  # noqa: F401

    import data_contracts.validation  # noqa: F401

    before = time.process_time()
    n = validate_with_sluice(Home(home), scratch) if peer == "sluice" else validate_with_pandas(Home(home))
    seconds = time.process_time() - before
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"n_checks": n, "cpu_seconds": seconds, "peak_mib": peak}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
