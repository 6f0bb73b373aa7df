"""What stands beside a look's rows (guardrails, episodes) loses an erased unit as the rows do."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_contracts.amendments.erased_folder import erase_folder, kept_file, read_erased
from data_contracts.amendments.erasure import BESIDE, SEALED
from data_contracts.amendments.subject import Subject

SUBJECT = Subject(unit="reader-secret", interactions=frozenset({"letter-secret-1", "letter-secret-2"}))
IDS = ["letter-secret-1", "letter-plain-1", "letter-secret-2", "letter-plain-2"]


def test_files_beside_the_rows_lose_the_same_interactions(tmp_path: Path) -> None:
    units = ["reader-secret", "reader-plain", "reader-secret", "reader-plain"]
    pq.write_table(pa.table({"interaction_id": IDS, "unit_id": units}), tmp_path / SEALED["looks"])
    for name in BESIDE["looks"]:
        pq.write_table(pa.table({"interaction_id": IDS, "value": [1.0, 2.0, 3.0, 4.0]}), tmp_path / name)

    n = erase_folder(tmp_path, SEALED["looks"], SUBJECT, unit_hash="ab" * 32, beside=BESIDE["looks"])

    assert n == 2, "rows of the look are counted once"
    for name in (SEALED["looks"], *BESIDE["looks"]):
        assert not (tmp_path / name).exists(), "the sealed file is gone"
        left = pq.read_table(kept_file(tmp_path, name, "").path)
        assert left["interaction_id"].to_pylist() == ["letter-plain-1", "letter-plain-2"]
    assert all(b"secret" not in path.read_bytes() for path in tmp_path.iterdir())
    assert erase_folder(tmp_path, SEALED["looks"], SUBJECT, unit_hash="ab" * 32, beside=BESIDE["looks"]) == 0


def test_a_later_look_that_only_read_a_guardrail_of_the_unit_is_marked_too(tmp_path: Path) -> None:
    pq.write_table(pa.table({"interaction_id": ["x"], "unit_id": ["reader-plain"]}), tmp_path / SEALED["looks"])
    pq.write_table(pa.table({"interaction_id": IDS, "value": [1.0] * 4}), tmp_path / "guardrails.parquet")
    assert erase_folder(tmp_path, SEALED["looks"], SUBJECT, unit_hash="cd" * 32, beside=BESIDE["looks"]) == 0
    erased = read_erased(tmp_path)
    assert erased is not None
    assert set(erased.files) == {"guardrails.parquet"}
    assert (tmp_path / SEALED["looks"]).exists()
