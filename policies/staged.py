"""Staged versions: two policies and a rule between them, served, logged and re-evaluated as one.

The artifact is a folder with both policies' own files and stage.json. Given a row's unit (or segment) the distribution
is one policy's, bit for bit; a mixture's is the exact mixture. So every logged propensity can be computed again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from data_contracts.errors import IntegrityError
from data_contracts.storage import write_atomic
from policies.complete_rows import probabilities_of_complete_rows
from policies.export import ENCODING, POLICY, OnnxPolicy, hash_of_files, policy_of_files, read_artifact_file
from policies.stage import Canary, Holdback, Stage, challenger_weight, parse_stage, require_known, stage_json

STAGE: Final = "stage.json"
# one flat folder: name in the part's own folder -> name here
CHAMPION_FILES: Final = {POLICY: "champion.onnx", ENCODING: "champion.encoding.json"}
CHALLENGER_FILES: Final = {POLICY: "challenger.onnx", ENCODING: "challenger.encoding.json"}
STAGED_FILES: Final = (STAGE, *CHAMPION_FILES.values(), *CHALLENGER_FILES.values())


@dataclass(frozen=True, slots=True, repr=False)
class StagedPolicy:
    """A loaded staged version; it is asked like any policy, with unit_id (or the segment) beside the observation."""

    stage: Stage
    champion: OnnxPolicy
    challenger: OnnxPolicy
    artifact_sha256: str

    @property
    def n_actions(self) -> int:
        return self.champion.n_actions

    def action_probabilities(self, observations: pa.Table) -> NDArray[np.float64]:
        """(n, K) given each row's arm. Raises InputError for a row that does not say its unit or segment, and what
        `OnnxPolicy.action_probabilities` raises."""
        weight = challenger_weight(self.stage, observations)
        require_known(self.stage, weight)
        return _mix(
            weight,
            lambda rows: self.champion.action_probabilities(observations.filter(pa.array(rows))),
            lambda rows: self.challenger.action_probabilities(observations.filter(pa.array(rows))),
            n_actions=self.n_actions,
        )

    def probabilities_of_complete_rows(self, observations: pa.Table) -> NDArray[np.float64]:
        """(n, K); a row of NaN where its unit is not known, or its policy cannot be asked."""
        return _mix(
            challenger_weight(self.stage, observations),
            lambda rows: probabilities_of_complete_rows(self.champion, observations.filter(pa.array(rows))),
            lambda rows: probabilities_of_complete_rows(self.challenger, observations.filter(pa.array(rows))),
            n_actions=self.n_actions,
        )

    def average_probabilities(self, observations: pa.Table) -> NDArray[np.float64]:
        """(n, K) over units: what the version does on average where units are drawn. NaN where a patch's column is not
        among the observations."""
        if not isinstance(self.stage, Canary | Holdback):
            return self.probabilities_of_complete_rows(observations)
        share = self.stage.challenger_share
        champion, challenger = (p.action_probabilities(observations) for p in (self.champion, self.challenger))
        average: NDArray[np.float64] = (1 - share) * champion + share * challenger
        return average

    def arms(self, observations: pa.Table) -> list[str] | None:
        """Name of each row's arm, for the log; None where no units are drawn."""
        if not isinstance(self.stage, Canary | Holdback):
            return None
        weight = challenger_weight(self.stage, observations)
        require_known(self.stage, weight)
        names = self.stage.arms
        return [names[int(w)] for w in weight]

    def __repr__(self) -> str:
        return f"StagedPolicy({self.artifact_sha256[:12]}, {self.stage.kind}, n_actions={self.n_actions})"


Policy = OnnxPolicy | StagedPolicy


def complete_probabilities(policy: Policy, observations: pa.Table) -> NDArray[np.float64]:
    """(n, K); a row of NaN where the policy cannot be asked."""
    if isinstance(policy, StagedPolicy):
        return policy.probabilities_of_complete_rows(observations)
    return probabilities_of_complete_rows(policy, observations)


def average_probabilities(policy: Policy, observations: pa.Table) -> NDArray[np.float64]:
    """(n, K) of a policy on observations that need not say their unit."""
    if isinstance(policy, StagedPolicy):
        return policy.average_probabilities(observations)
    return policy.action_probabilities(observations)


def write_staged(folder: Path, *, stage: Stage, champion: Path, challenger: Path) -> str:
    """Write the artifact into `folder` from the folders of both versions; its SHA-256.

    Raises IntegrityError when the folders do not hold the artifacts that `stage` names.
    """
    write_atomic(folder / STAGE, stage_json(stage))
    for source, names in ((champion, CHAMPION_FILES), (challenger, CHALLENGER_FILES)):
        for own, here in names.items():
            shutil.copyfile(source / own, folder / here)
    return load_staged(folder).artifact_sha256


def load_staged(folder: Path, *, expected_sha256: str | None = None) -> StagedPolicy:
    """Load a staged artifact; no file of it can run code, name a path or read another file.

    Raises StoreError when a file is missing, IntegrityError when the bytes are not those of `expected_sha256`, the
    parts are not the artifacts that stage.json names, or they do not fit each other.
    """
    files = {name: read_artifact_file(folder / name) for name in STAGED_FILES}
    found = hash_of_files(files)
    if expected_sha256 not in (None, found):
        raise _damaged(folder, f"SHA-256 {str(expected_sha256)[:12]}", found[:12])
    stage = parse_stage(files[STAGE], source=str(folder / STAGE))
    champion, challenger = (
        policy_of_files({own: files[here] for own, here in names.items()}, folder=folder)
        for names in (CHAMPION_FILES, CHALLENGER_FILES)
    )
    for part, wanted in ((champion, stage.champion_sha256), (challenger, stage.challenger_sha256)):
        if part.artifact_sha256 != wanted:
            raise _damaged(folder, f"a part with SHA-256 {wanted[:12]}", part.artifact_sha256[:12])
    if champion.n_actions != challenger.n_actions:
        raise _damaged(folder, f"{champion.n_actions} actions in both parts", str(challenger.n_actions))
    return StagedPolicy(stage, champion, challenger, found)


def _mix(
    weight: NDArray[np.float64],
    champion: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    challenger: Callable[[NDArray[np.bool_]], NDArray[np.float64]],
    *,
    n_actions: int,
) -> NDArray[np.float64]:
    """(1 - weight) champion + weight challenger; each policy is asked only for the rows that it has a part in."""
    result = np.full((len(weight), n_actions), np.nan)
    result[np.isfinite(weight)] = 0.0
    for part, of in ((champion, 1.0 - weight), (challenger, weight)):
        rows = of > 0  # false for NaN
        if rows.any():
            result[rows] += of[rows, None] * part(rows)
    return result


def _damaged(folder: Path, expected: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"damaged staged policy in {folder}: expected {expected}, got {got}. Restore it from a backup.",
        path=str(folder),
    )
