"""Evidence of a look, from which a third party recomputes the verdict: rows.parquet and decision.json.

The folder's name is the SHA-256 of decision.json, which holds the SHA-256 of rows.parquet: the same look of the same
rows has the same name, and one flipped byte shows. Moments and actors are in the ledger, not here.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from data_contracts.amendments.erased_folder import ErasedRows, kept_file, read_erased
from data_contracts.errors import IntegrityError, SluiceError, UsageError
from data_contracts.home import Home
from data_contracts.storage import build_folder, canonical_json, sha256_bytes
from policies.gate.decision import decide
from policies.gate.formulas import RECOMPUTABLE, as_written
from policies.gate.ledger import LookEntry, looks_of, row_ids_sha256
from policies.gate.records import GateDecision, GateRows, Plan, concatenate
from policies.gate.row_file import rows_from_parquet, rows_to_parquet
from policies.gate.settings import GateSettings

EVIDENCE_ID: Final = re.compile(r"[0-9a-f]{64}")
RELATIVE_TOLERANCE: Final = 1e-9  # NumPy's log1p and sums differ in the last bits between processors; hashes do not


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one look read and decided; `facts` name policies, snapshot, reward model and code by hash."""

    rows: GateRows
    decision: GateDecision
    facts: dict[str, Any]


def store_evidence(home: Home, task: str, *, rows: GateRows, decision: GateDecision, facts: dict[str, Any]) -> str:
    """Store the rows new in this look and its decision; returns the evidence id. Storing twice changes nothing.

    `facts` is JSON-ready and holds no moment; `verify_evidence` needs its `challenger` and `look`.
    """
    parquet = rows_to_parquet(rows)
    document = canonical_json(
        {
            "rows_sha256": sha256_bytes(parquet),
            "verdict": decision.verdict,
            "reasons": decision.reasons,
            "evidence": decision.evidence,
            "facts": facts,
        }
    )
    evidence_id = sha256_bytes(document)
    with build_folder(home.looks(task) / evidence_id) as folder:
        (folder / "rows.parquet").write_bytes(parquet)
        (folder / "decision.json").write_bytes(document)
    return evidence_id


def load_evidence(home: Home, task: str, evidence_id: str) -> Evidence:
    """Read a look back; rows of an erased unit are missing. Raises IntegrityError naming the file when bytes do not
    match their hash."""
    if not EVIDENCE_ID.fullmatch(evidence_id):
        raise UsageError(f"bad evidence id {evidence_id!r}: expected 64 hexadecimal digits. See `sluice status`.")
    folder = home.looks(task) / evidence_id
    document = json.loads(_verified(folder, "decision.json", evidence_id))
    rows = rows_from_parquet(_verified(folder, "rows.parquet", document["rows_sha256"]))
    decision = GateDecision(document["verdict"], tuple(document["reasons"]), document["evidence"])
    return Evidence(rows=rows, decision=decision, facts=document["facts"])


def verify_evidence(home: Home, task: str, evidence_id: str) -> list[str]:
    """Re-hash every file, reload all looks up to this one, decide again and compare; returns problems in words."""
    try:
        found = load_evidence(home, task, evidence_id)
        chain = _chain(home, task, evidence_id, found)
    except SluiceError as error:
        return [str(error)]
    formula = found.decision.evidence["formula"]
    if formula not in RECOMPUTABLE:
        return [
            f"{_name(evidence_id)} is not recomputable by this release: expected formula "
            f"{' or '.join(map(str, RECOMPUTABLE))}, got {formula}. Verify it with the release that wrote it."
        ]
    if not_recomputable(home, task, found.facts["challenger"], found.facts["look"]) is not None:
        return []  # every hash holds; without the rows nothing more can be said
    again = _decide_again(found.decision.evidence, [evidence.rows for evidence in chain])
    return [f"{_name(evidence_id)}: {problem}" for problem in _compare(found.decision, again)]


def _chain(home: Home, task: str, evidence_id: str, found: Evidence) -> list[Evidence]:
    """Evidence of looks 1 ... this one at the same challenger, every row read once."""
    look = found.facts["look"]
    entries = looks_of(home, task, found.facts["challenger"])[:look]
    if len(entries) != look or entries[-1].evidence_id != evidence_id:
        raise IntegrityError(
            f"{_name(evidence_id)} is not in the ledger: expected an entry of look {look} at version "
            f"{found.facts['challenger']}, got none. Restore {home.ledger(task)} from a backup."
        )
    chain = [*(load_evidence(home, task, entry.evidence_id) for entry in entries[:-1]), found]
    read: set[str] = set()
    for entry, evidence in zip(entries, chain, strict=True):
        _check_entry(entry, evidence, read, erased=read_erased(home.looks(task) / entry.evidence_id))
        read.update(evidence.rows.interaction_id.tolist())
    return chain


def not_recomputable(home: Home, task: str, challenger: int, look: int) -> str | None:
    """Why the verdict of a look cannot be computed again: rows that it, or a look before it, read were erased."""
    entries = looks_of(home, task, challenger)[:look]
    erased = [found for entry in entries if (found := read_erased(home.looks(task) / entry.evidence_id)) is not None]
    if not erased:
        return None
    n_rows = sum(found.n_rows for found in erased)
    name = _name(entries[-1].evidence_id)
    return f"{name} (look {look} at version {challenger}) is not recomputable: erased, {n_rows} rows"


def _check_entry(entry: LookEntry, evidence: Evidence, read: set[str], *, erased: ErasedRows | None) -> None:
    ids = evidence.rows.interaction_id
    same = entry.row_ids_sha256 == row_ids_sha256(ids)
    if erased is not None:
        same = entry.n_rows == len(ids) + erased.n_rows
    if not same or entry.verdict != evidence.decision.verdict:
        raise IntegrityError(
            f"ledger entry {entry.index} does not fit {_name(entry.evidence_id)}: expected its rows and verdict "
            f"{evidence.decision.verdict}, got {entry.n_rows} rows and {entry.verdict}. Restore the ledger."
        )
    repeated = read.intersection(ids.tolist())
    if repeated or len(set(ids.tolist())) != len(ids):
        examples = ", ".join(sorted(repeated)[:5])
        raise IntegrityError(
            f"rows read twice in {_name(entry.evidence_id)}: expected every row in one look of a challenger, got "
            f"{len(repeated)} repeated ({examples}). The verdict does not hold; withdraw the challenger."
        )


def _decide_again(evidence: dict[str, Any], looks: list[GateRows]) -> GateDecision:
    inputs = evidence["inputs"]
    return decide(
        concatenate(looks),
        settings=GateSettings.model_validate(evidence["settings"]),
        plan=Plan(**{name: _number(value) for name, value in evidence["plan"].items()}),
        look=evidence["look"],
        look_ends=tuple(inputs["look_ends"]),
        overlap=inputs["overlap"],
        matured_share=_number(inputs["matured_share"]),
        rows_per_day=_number(inputs["rows_per_day"]),
        n_without_distribution=inputs["n_without_distribution"],
        n_over_limit=inputs.get("n_over_limit", 0),
        rows_per_unit=inputs.get("rows_per_unit"),
    )


def _number(stored: Any) -> Any:
    """JSON has no NaN: null stands for a number that was not finite (and was refused)."""
    return math.nan if stored is None else stored


def _compare(stored: GateDecision, again: GateDecision) -> list[str]:
    if stored.verdict != again.verdict:
        return [f"the verdict recomputes to {again.verdict}, stored is {stored.verdict}"]
    evidence = as_written(again.evidence, formula=stored.evidence["formula"])
    fresh = json.loads(canonical_json({"reasons": again.reasons, "evidence": evidence}))
    kept = {"reasons": list(stored.reasons), "evidence": stored.evidence}
    different = _differences(kept, fresh, "")
    return [f"{path} recomputes to {new}, stored is {old}" for path, old, new in different[:5]]


def _differences(old: object, new: object, path: str) -> list[tuple[str, object, object]]:
    """Paths at which two JSON values differ by more than the last bits of a number."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        return [found for key in sorted(old) for found in _differences(old[key], new[key], f"{path}/{key}")]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for i, (a, b) in pairs for found in _differences(a, b, f"{path}/{i}")]
    if isinstance(old, float) and isinstance(new, float):
        return [] if math.isclose(old, new, rel_tol=RELATIVE_TOLERANCE, abs_tol=1e-12) else [(path, old, new)]
    return [] if type(old) is type(new) and old == new else [(path, old, new)]


def _verified(folder: Path, name: str, sha256: str) -> bytes:
    path, sha256 = kept_file(folder, name, sha256)
    data = path.read_bytes() if path.exists() else b""
    if sha256_bytes(data) != sha256:
        raise IntegrityError(
            f"damaged evidence in {path}: expected SHA-256 {sha256[:12]}, got {sha256_bytes(data)[:12]} "
            f"({len(data)} bytes). Restore the file from a backup; until then its verdict proves nothing.",
            path=str(path),
        )
    return data


def _name(evidence_id: str) -> str:
    return f"evidence {evidence_id[:12]}"
