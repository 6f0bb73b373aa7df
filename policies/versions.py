"""Immutable policy versions: integers per task, one folder each, claimed by one rename and never rewritten."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_contracts.errors import IntegrityError, SluiceError, StoreError, UsageError
from data_contracts.home import Home
from data_contracts.storage import build_folder, canonical_json, read_json, sha256_bytes, sha256_file
from policies.action_probabilities import HeadSettings
from policies.export import ARTIFACT_FILES, ENCODING, POLICY, OnnxPolicy, load_policy, load_seed
from policies.stage import Stage
from policies.staged import STAGE, STAGED_FILES, Policy, StagedPolicy, load_staged

MANIFEST = "manifest.json"
SEED_FILE = re.compile(r"seeds/(\d+)\.onnx")  # the graph of another seed, with the encoding of the deployed one
NUMBER = re.compile(r"[1-9][0-9]{0,8}")  # names of version folders; others are unfinished work


class Candidate(BaseModel):
    """One trained policy of those a version was chosen from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    algorithm: str
    seed: int
    validation_value: float | None = Field(allow_inf_nan=False)  # None: no propensities to estimate it with
    weights_sha256: str
    deployable: bool
    chosen: bool


class VersionFacts(BaseModel):
    """What the maker of a version knows about it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    origin: Literal["declared", "trained", "staged"]
    description: str  # one phrase for people
    actions: tuple[str, ...] = Field(min_length=1)
    head: HeadSettings
    contract_version: str
    contract_sha256: str
    code_version: str
    algorithm: str | None = None
    seed: int | None = None
    snapshot_id: str | None = None
    trained_until: AwareDatetime | None = None  # no row of a later look may begin before
    parent: int | None = None  # the version it was trained on from
    bounded_against: int | None = None  # the version that is inside its head, where that is bounded
    weights_sha256: str | None = None
    settings: dict[str, Any] = {}
    settings_sha256: str | None = None
    candidates: tuple[Candidate, ...] = ()
    stage: Stage | None = None  # of a staged version: which two versions it serves, and how it divides them

    @model_validator(mode="after")
    def _origin_fits(self) -> VersionFacts:
        known = [v is not None for v in (self.algorithm, self.seed, self.snapshot_id, self.trained_until)]
        if not all(known) if self.origin == "trained" else any(known):
            raise ValueError("algorithm, seed, snapshot_id and trained_until belong to trained versions, all of them")
        if (self.stage is not None) != (self.origin == "staged"):
            raise ValueError("stage belongs to staged versions")
        return self


class VersionManifest(VersionFacts):
    """manifest.json: the facts, and what the registry added when it claimed the number."""

    version: int
    key: str  # of the training (or declaration) that made it: equal inputs, equal key
    artifact_sha256: str
    files: dict[str, str]  # file name -> SHA-256
    registered_at: AwareDatetime


def register_version(
    home: Home,
    task: str,
    *,
    artifact: Path,
    facts: VersionFacts,
    key: str,
    now: datetime,
    seeds: Mapping[int, Path] | None = None,
) -> int:
    """Copy the artifact in folder `artifact` into the registry under the next free number; returns the number.

    `seeds` are folders of the same training with other seeds: their graphs are kept beside, as evidence for the gate.
    A `key` that is registered already returns its version and changes nothing (a rerun after a crash). Concurrent
    registrations get different numbers. Raises UsageError when `parent` is unknown, and what `load_policy` raises
    when the artifact cannot be served, or a staged one does not consist of the versions that it names.
    """
    policy = _load_artifact(artifact)
    if policy.n_actions != len(facts.actions):
        raise UsageError(
            f"policy of {task} does not fit its actions: expected {len(facts.actions)} probabilities a row, got "
            f"{policy.n_actions}. Train or declare it again with the task's actions."
        )
    if facts.parent is not None:
        read_version(home, task, facts.parent)
    if isinstance(policy, StagedPolicy) or facts.stage is not None:
        _require_parts(home, task, policy, facts)
    names = STAGED_FILES if facts.stage is not None else ARTIFACT_FILES
    files = {name: artifact / name for name in names} | _seed_files(task, artifact, seeds or {})
    while True:
        known = _numbers(home, task)
        for version in reversed(known):
            if read_version(home, task, version).key == key:
                return version
        _claim(home, task, max(known, default=0) + 1, files, policy.artifact_sha256, facts, key, now)


def read_version(home: Home, task: str, version: int) -> VersionManifest:
    """The manifest of a version; raises UsageError when there is none, IntegrityError when a byte of it changed."""
    path = version_folder(home, task, version) / MANIFEST
    if not path.parent.is_dir():
        known = ", ".join(map(str, _numbers(home, task)[-5:])) or "none"
        raise UsageError(
            f"no version {version} of {task}: expected one of the registry's, which ends with {known}. "
            "`sluice policies` lists them.",
            version=version,
        )
    if not path.is_file():
        raise _damaged(path, "no file")
    document = read_json(path)
    content = document.get("manifest") if isinstance(document, dict) else None
    if not isinstance(content, dict) or path.read_bytes() != _sealed(content) or content.get("version") != version:
        raise _damaged(path, "other bytes")
    try:
        return VersionManifest.model_validate(content)
    except ValidationError as error:
        raise _damaged(path, f"{error.error_count()} wrong fields") from error


def list_versions(home: Home, task: str) -> list[VersionManifest]:
    """Manifests of all versions, oldest first."""
    return [read_version(home, task, version) for version in _numbers(home, task)]


def load_version(home: Home, task: str, version: int) -> Policy:
    """The policy of a version, after its bytes were checked; raises IntegrityError naming the file that changed."""
    manifest, folder = read_version(home, task, version), version_folder(home, task, version)
    names = _files_of(manifest)
    if {name for name in manifest.files if not SEED_FILE.fullmatch(name)} != set(names):
        raise _damaged(folder / MANIFEST, f"files {', '.join(sorted(manifest.files))}")
    for name in names:
        _check_file(folder / name, manifest.files[name])
    policy = _load_artifact(folder, expected_sha256=manifest.artifact_sha256)
    if (policy.stage if isinstance(policy, StagedPolicy) else None) != manifest.stage:
        raise _damaged(folder / MANIFEST, "another stage than in its artifact")
    if policy.n_actions != len(manifest.actions):
        raise _damaged(folder / MANIFEST, f"{len(manifest.actions)} actions for {policy.n_actions} probabilities")
    return policy


def load_seeds(home: Home, task: str, version: int) -> dict[int, OnnxPolicy]:
    """The policies of a version's other seeds, by seed, after their bytes were checked; none of older releases."""
    manifest, folder = read_version(home, task, version), version_folder(home, task, version)
    found: dict[int, OnnxPolicy] = {}
    for name, sha256 in manifest.files.items():
        if match := SEED_FILE.fullmatch(name):
            _check_file(folder / name, sha256)
            found[int(match[1])] = load_seed(folder / name, encoding=folder / ENCODING)
    return dict(sorted(found.items()))


def version_folder(home: Home, task: str, version: int) -> Path:
    return home.versions(task) / str(int(version))


def manifest_sha256(home: Home, task: str, version: int) -> str:
    return sha256_file(version_folder(home, task, version) / MANIFEST)


def verify_versions(home: Home, task: str) -> list[str]:
    """Problems in words: damaged or missing files, policies that do not load, gaps in the numbers, lost parents."""
    numbers = _numbers(home, task)
    problems = [
        f"missing version in {version_folder(home, task, n)}: expected every number up to {numbers[-1]}, got no "
        "folder. Restore it from a backup."
        for n in sorted(set(range(1, max(numbers, default=0) + 1)) - set(numbers))
    ]
    for number in numbers:
        try:
            load_version(home, task, number)
            load_seeds(home, task, number)
            manifest = read_version(home, task, number)
            if manifest.parent is not None:
                read_version(home, task, manifest.parent)
            if manifest.stage is not None:
                _require_same_parts(home, task, manifest.stage)
        except SluiceError as error:
            problems.append(str(error))
    return problems


def _numbers(home: Home, task: str) -> list[int]:
    return sorted(int(p.name) for p in home.versions(task).glob("*") if NUMBER.fullmatch(p.name) and p.is_dir())


def _claim(
    home: Home,
    task: str,
    version: int,
    files: Mapping[str, Path],
    sha256: str,
    facts: VersionFacts,
    key: str,
    now: datetime,
) -> None:
    """Try to take the number `version`; when another writer was first, its folder stays and the caller goes on."""
    with build_folder(version_folder(home, task, version)) as folder:
        for name, source in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(source, folder / name)
        _load_artifact(folder, expected_sha256=sha256)
        manifest = VersionManifest(
            **facts.model_dump(),
            version=version,
            key=key,
            artifact_sha256=sha256,
            files={name: sha256_file(folder / name) for name in files},
            registered_at=now,
        )
        (folder / MANIFEST).write_bytes(_sealed(manifest.model_dump(mode="json")))


def _seed_files(task: str, artifact: Path, seeds: Mapping[int, Path]) -> dict[str, Path]:
    """File name in the version -> graph of the seed; raises UsageError when a seed has another encoding."""
    if not seeds:
        return {}
    encoding = (artifact / ENCODING).read_bytes()
    for seed, folder in seeds.items():
        if (folder / ENCODING).read_bytes() != encoding:
            raise UsageError(
                f"seed {seed} of {task} does not belong to the version: expected the encoding of the deployed one, got "
                "another one. Train all seeds on one snapshot."
            )
        load_policy(folder)
    return {f"seeds/{seed}.onnx": seeds[seed] / POLICY for seed in sorted(seeds)}


def _load_artifact(folder: Path, *, expected_sha256: str | None = None) -> Policy:
    """A staged artifact by its stage.json, else one policy."""
    if (folder / STAGE).is_file():
        return load_staged(folder, expected_sha256=expected_sha256)
    return load_policy(folder, expected_sha256=expected_sha256)


def _files_of(manifest: VersionManifest) -> tuple[str, ...]:
    return STAGED_FILES if manifest.stage is not None else ARTIFACT_FILES


def _require_parts(home: Home, task: str, policy: Policy, facts: VersionFacts) -> None:
    """The stage of a new version is that of its artifact, and its parts are versions of this registry."""
    if not isinstance(policy, StagedPolicy) or policy.stage != facts.stage:
        raise UsageError(
            f"stage of {task} does not fit its artifact: expected the one in {STAGE}, got another. Stage it again."
        )
    _require_same_parts(home, task, policy.stage)


def _require_same_parts(home: Home, task: str, stage: Stage) -> None:
    for version, sha256 in ((stage.champion, stage.champion_sha256), (stage.challenger, stage.challenger_sha256)):
        found = read_version(home, task, version).artifact_sha256
        if found != sha256:
            raise IntegrityError(
                f"other parts in a stage of {task}: expected version {version} to be {sha256[:12]}, got {found[:12]}. "
                "Restore the registry from a backup."
            )


def _sealed(content: dict[str, Any]) -> bytes:
    return canonical_json({"manifest": content, "sha256": sha256_bytes(canonical_json(content))})


def _check_file(path: Path, sha256: str) -> None:
    if not path.is_file():
        raise StoreError(
            f"missing file {path}: expected SHA-256 {sha256[:12]}, got no file. Restore it from a backup.",
            path=str(path),
        )
    found = sha256_file(path)
    if found != sha256:
        raise IntegrityError(
            f"damaged file {path}: expected SHA-256 {sha256[:12]}, got {found[:12]}. Restore it from a backup.",
            path=str(path),
        )


def _damaged(path: Path, got: str) -> IntegrityError:
    return IntegrityError(
        f"damaged manifest {path}: expected the version's facts as they were registered, got {got}. "
        "Restore it from a backup.",
        path=str(path),
    )
