"""What went in wrong comes out right again: quarantine, supersession and erasure through the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from data_contracts.errors import SluiceError
from flows.cli import cli
from tests.end_to_end.conftest import Site
from tests.tiny_task import rows, write_jsonl, write_task


def sluice(home: Path, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """A command with --json in this process, which saves its start; errors come as they would in `error`."""
    done = CliRunner(env={"SLUICE_HOME": str(home)}).invoke(cli, [*map(str, arguments), "--json"])
    if isinstance(done.exception, SluiceError):
        assert done.exception.exit_code == code, done.exception
        return {"error": type(done.exception).__name__, "message": str(done.exception)}
    assert done.exit_code == code, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def holders(home: Path, *ids: str) -> set[str]:
    """Files that hold one of the ids as a word."""
    words = re.compile(r"(?<![A-Za-z0-9_-])(?:" + "|".join(map(re.escape, ids)) + r")(?![A-Za-z0-9_-])")
    found = set()
    for path in home.rglob("*"):
        if path.is_file():
            is_table = path.suffix == ".parquet" and "_delta_log" not in path.parts
            text = (
                str(pq.read_table(path, partitioning=None).to_pylist())
                if is_table
                else path.read_bytes().decode("latin-1")
            )
            found |= {path.name} if words.search(text) else set()
    return found


def test_quarantined_lines_come_in_after_the_contract_was_mended(tmp_path: Path) -> None:
    task, home = write_task(tmp_path / "task"), tmp_path / "home"
    contract = task.parent / "tiny.odcs.yaml"
    mended = contract.read_text()
    y = "{name: y, logicalType: number, required: true, tags: [observation]"
    contract.write_text(mended.replace(y, f"{y}, logicalTypeOptions: {{maximum: 0.5}}"))
    log = write_jsonl(tmp_path / "log.jsonl", rows(60))
    bad = sluice(home, "ingest", task, "--from", log)
    assert bad["n_quarantined"] > 10
    listed = sluice(home, "quarantine", task)
    assert listed["n"] == bad["n_quarantined"]
    assert listed["reasons"] == {"y: expected [-inf, 0.5]": listed["n"]}
    assert (listed["batches"], listed["files"]) == ({bad["batch_id"]: listed["n"]}, {"log.jsonl": listed["n"]})
    (line,) = sluice(home, "quarantine", task, "show", "--limit", 1, "--reason", "y: expected")["lines"]
    data = log.read_bytes()
    assert data[line["offset"] :].startswith(line["raw"].encode() + b"\n")
    assert (line["file"], data[: line["offset"]].count(b"\n") + 1) == ("log.jsonl", line["line"])
    contract.write_text(mended)
    planned = sluice(home, "quarantine", task, "readmit", "--dry-run")
    assert (planned["n_readmitted"], planned["dry_run"]) == (listed["n"], True)
    done = sluice(home, "quarantine", task, "readmit")
    assert (done["n_readmitted"], done["n_quarantined"], len(done["batches"])) == (listed["n"], 0, 1)
    assert sluice(home, "quarantine", task, "readmit")["n_lines"] == 0
    assert sluice(home, "verify", task)["ok"]


def test_a_superseded_batch_names_the_policies_trained_on_it_and_old_snapshots_stay(site: Site, tmp_path: Path) -> None:
    log = site.task.parent / "logs" / "first.jsonl"
    batch = sluice(site.home, "ingest", site.task, "--from", log)["batch_id"]
    fixed = write_jsonl(tmp_path / "fixed.jsonl", [{**row, "y": 0.0} for row in rows()])
    arguments = ("ingest", site.task, "--from", fixed, "--supersedes", batch[:12])
    assert "half a supersession" in sluice(site.home, *arguments, code=2)["message"]
    done = sluice(site.home, *arguments, "--reason", "sensor y was broken")
    assert (done["n_accepted"], done["n_duplicate"]) == (3000, 0)
    assert done["superseded"] == {
        "batch_id": batch,
        "n_rows": 3000,
        "snapshots": [site.first["snapshot_id"]],
        "policies": [2],
        "later_duplicates": [],
    }
    assert sluice(site.home, *arguments, "--reason", "again")["already_ingested"]
    assert sluice(site.home, "snapshot", site.task)["snapshot_id"] != site.first["snapshot_id"]
    old = sluice(site.home, "snapshot", site.task, "--table-version", "1")
    assert old["snapshot_id"] == site.first["snapshot_id"], "the rows of then, under the name of then"
    assert sluice(site.home, "verify", site.task)["ok"]


def test_after_an_erasure_no_file_holds_the_unit_and_later_rows_are_refused(site: Site, tmp_path: Path) -> None:
    unit, ids = "u0-2999", ("u0-2999", "s0-2999")  # the newest row: the gate has read it, and the ledger ends with it
    assert holders(site.home, *ids) >= {"interactions.parquet", "rows.parquet"}
    planned = sluice(site.home, "erase", site.task, "--unit", unit, "--dry-run")
    assert (planned["n_interactions"], planned["policies"], planned["dry_run"]) == (1, [2], True)
    assert "--yes" in sluice(site.home, "erase", site.task, "--unit", unit, code=2)["message"]
    done = sluice(site.home, "erase", site.task, "--unit", unit, "--yes", "--reason", "request 1")
    assert done["snapshots"] == [site.first["snapshot_id"]]
    assert done["looks"] == [site.first["evidence"]]
    assert (done["policies"], done["again"]) == ([2], False)
    assert holders(site.home, *ids) == set()
    verified = sluice(site.home, "verify", site.task)
    assert (verified["ok"], verified["problems"]) == (False, [])
    assert len(verified["erased"]) == 2
    assert all("is not recomputable: erased, 1 rows" in line for line in verified["erased"])
    assert sluice(site.home, "validate", site.task)["level"] != "block"
    again = write_jsonl(tmp_path / "again.jsonl", rows()[-5:])
    late = sluice(site.home, "ingest", site.task, "--from", again)
    assert (late["n_read"], late["n_duplicate"], late["n_erased"]) == (5, 4, 1)
    assert holders(site.home, *ids) == set()
    assert sluice(site.home, "erase", site.task, "--unit", "nobody", "--yes", code=2)["error"] == "UsageError"


@pytest.mark.slow
def test_the_loop_goes_on_after_an_erasure(site: Site, tmp_path: Path) -> None:
    sluice(site.home, "erase", site.task, "--unit", "u0-17", "--yes")
    more = write_jsonl(tmp_path / "more.jsonl", rows(400, seed=1, day=12, days=1))
    later = sluice(site.home, "retrain", site.task, "--from", more)
    assert later["snapshot_id"] != site.first["snapshot_id"]
    assert later["verdict"] is not None, "trained on what is left, and looked at"
    assert holders(site.home, "u0-17", "s0-17") == set()
    assert sluice(site.home, "verify", site.task)["problems"] == []
    served = write_jsonl(tmp_path / "seen.jsonl", [{"x": 0.5, "y": 0.1}])
    assert sluice(site.home, "act", site.task, "--observations", served)["n"] == 1
