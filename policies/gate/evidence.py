"""Evidence of a look, from which a third party recomputes the verdict: rows.parquet and decision.json.

The folder's name is the SHA-256 of decision.json, which holds the SHA-256 of rows.parquet: the same look of the same
rows has the same name, and one flipped byte shows. Moments and actors are in the ledger, not here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from data_contracts.amendments.erased_folder import ErasedRows, kept_file, read_erased
from data_contracts.errors import IntegrityError, SluiceError, UsageError
from data_contracts.home import Home
from data_contracts.storage import build_folder, canonical_json, sha256_bytes
from policies.gate.episodes.episode_file import columns_from_parquet, columns_to_parquet, concatenate_columns
from policies.gate.episodes.episode_rows import EpisodeColumns
from policies.gate.formulas import RECOMPUTABLE, comparable, recompute
from policies.gate.looks.ledger import LookEntry, looks_of, row_ids_sha256
from policies.gate.records import GateDecision, GateRows, concatenate
from policies.gate.row_file import rows_from_parquet, rows_to_parquet
from policies.gate.segments.guardrail_readings import (
    NOTHING,
    GuardrailReading,
    reading_from_parquet,
    reading_to_parquet,
)

EVIDENCE_ID: Final = re.compile(r"[0-9a-f]{64}")
ROWS: Final = "rows.parquet"
READING: Final = "guardrails.parquet"  # only where the task has guardrails
EPISODES: Final = "episodes.parquet"  # only where the task has episodes
HASHES: Final = {
    ROWS: "rows_sha256",
    READING: "guardrails_sha256",
    EPISODES: "episodes_sha256",
}  # file -> its key in decision.json
RELATIVE_TOLERANCE: Final = 1e-9  # NumPy's log1p and sums differ in the last bits between processors; hashes do not


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one look read and decided; `facts` name policies, snapshot, reward model and code by hash."""

    rows: GateRows
    decision: GateDecision
    facts: dict[str, Any]
    reading: GuardrailReading = NOTHING  # what became final of the guardrails of all rows read so far
    episodes: EpisodeColumns | None = None  # of a task with episodes, beside the rows


def store_evidence(
    home: Home,
    task: str,
    *,
    rows: GateRows,
    decision: GateDecision,
    facts: dict[str, Any],
    reading: GuardrailReading = NOTHING,
    episodes: EpisodeColumns | None = None,
) -> str:
    """Store the rows new in this look and its decision; returns the evidence id. Storing twice changes nothing.

    `facts` is JSON-ready and holds no moment; `verify_evidence` needs its `challenger` and `look`.
    """
    files = {ROWS: rows_to_parquet(rows)} | ({READING: reading_to_parquet(reading)} if len(reading.value) else {})
    files |= {EPISODES: columns_to_parquet(episodes, rows.interaction_id)} if episodes is not None else {}
    document = canonical_json(
        {
            **{HASHES[name]: sha256_bytes(data) for name, data in files.items()},
            "verdict": decision.verdict,
            "reasons": decision.reasons,
            "evidence": decision.evidence,
            "facts": facts,
        }
    )
    evidence_id = sha256_bytes(document)
    with build_folder(home.looks(task) / evidence_id) as folder:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / "decision.json").write_bytes(document)
    return evidence_id


def load_evidence(home: Home, task: str, evidence_id: str) -> Evidence:
    """Read a look back; rows of an erased unit are missing. Raises IntegrityError naming the file when bytes do not
    match their hash."""
    if not EVIDENCE_ID.fullmatch(evidence_id):
        raise UsageError(f"bad evidence id {evidence_id!r}: expected 64 hexadecimal digits. See `sluice status`.")
    folder = home.looks(task) / evidence_id
    document = json.loads(_verified(folder, "decision.json", evidence_id))
    rows = rows_from_parquet(_verified(folder, ROWS, document[HASHES[ROWS]]))
    read = document.get(HASHES[READING])
    reading = NOTHING if read is None else reading_from_parquet(_verified(folder, READING, read))
    stepped = document.get(HASHES[EPISODES])
    decision = GateDecision(document["verdict"], tuple(document["reasons"]), document["evidence"])
    return Evidence(
        rows=rows,
        decision=decision,
        facts=document["facts"],
        reading=reading,
        episodes=None if stepped is None else columns_from_parquet(_verified(folder, EPISODES, stepped)),
    )


def joined_episodes(parts: Sequence[EpisodeColumns | None]) -> EpisodeColumns | None:
    """The columns of several looks, in the order in which they were read; None where rows are single decisions."""
    known = [part for part in parts if part is not None]
    return concatenate_columns(known) if known and len(known) == len(parts) else None


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
    again = recompute(
        concatenate([evidence.rows for evidence in chain]),
        stored=found.decision.evidence,
        readings=[evidence.reading for evidence in chain],
        episodes=joined_episodes([evidence.episodes for evidence in chain]),
    )
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


def _compare(stored: GateDecision, again: GateDecision) -> list[str]:
    if stored.verdict != again.verdict:
        return [f"the verdict recomputes to {again.verdict}, stored is {stored.verdict}"]
    kept, fresh = comparable(stored, again)
    different = _differences(kept, json.loads(canonical_json(fresh)), "")
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
