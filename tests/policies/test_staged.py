"""A staged version serves two policies by an exact rule, and everything it logs can be computed again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.errors import InputError, IntegrityError, StoreError, UsageError
from data_contracts.home import Home
from policies.lineage import versions_from
from policies.registry import (
    VersionFacts,
    load_version,
    read_version,
    register_version,
    verify_registry,
    version_folder,
)
from policies.serving import act
from policies.stage import (
    Canary,
    Holdback,
    Mixture,
    Patch,
    Stage,
    challenger_units,
    parse_stage,
    salt_of,
    serving_rest,
    stage_json,
)
from policies.staged import (
    STAGE,
    STAGED_FILES,
    StagedPolicy,
    average_probabilities,
    complete_probabilities,
    load_staged,
    write_staged,
)
from tests.policies import small_registry as registry

UNITS = np.array([f"reader-{i}" for i in range(4_000)])
OF_CHAMPION, OF_CHALLENGER = [1 / 3, 1 / 3, 1 / 3], [0.5, 0.25, 0.25]  # versions 1 and 2 of the small registry


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    return registry.registry(tmp_path_factory.mktemp("home"), n_trained=2)


def parts(home: Home) -> dict[str, object]:
    """Versions 1 and 2, and their hashes."""
    sha256 = [read_version(home, registry.TASK, version).artifact_sha256 for version in (1, 2)]
    return {"champion": 1, "champion_sha256": sha256[0], "challenger": 2, "challenger_sha256": sha256[1]}


def stages(home: Home) -> dict[str, Stage]:
    salt = salt_of(registry.TASK, str(parts(home)["challenger_sha256"]))
    return {
        "patch": Patch(**parts(home), column="segment", values=("loyal", "new")),  # type: ignore[arg-type]
        "canary": Canary(**parts(home), share=0.1, salt=salt),  # type: ignore[arg-type]
        "holdback": Holdback(**parts(home), share=0.05, salt=salt),  # type: ignore[arg-type]
        "mixture": Mixture(**parts(home), share=0.25),  # type: ignore[arg-type]
    }


def register(home: Home, stage: Stage, folder: Path) -> int:
    champion, challenger = (version_folder(home, registry.TASK, v) for v in (stage.champion, stage.challenger))
    write_staged(folder, stage=stage, champion=champion, challenger=challenger)
    nothing = dict.fromkeys(("algorithm", "seed", "snapshot_id", "trained_until"))
    facts = registry.facts(origin="staged", description=stage.kind, settings={}, stage=stage, **nothing)
    return register_version(home, registry.TASK, artifact=folder, facts=facts, key=stage.kind, now=registry.NOW)


@pytest.fixture(params=["patch", "canary", "holdback", "mixture"])
def staged(request: pytest.FixtureRequest, home: Home, tmp_path: Path) -> tuple[int, StagedPolicy]:
    version = register(home, stages(home)[request.param], tmp_path / "staged")
    policy = load_version(home, registry.TASK, version)
    assert isinstance(policy, StagedPolicy)
    return version, policy


def observed(n: int = 400) -> pa.Table:
    segment = [("loyal", "casual", "new", None)[i % 4] for i in range(n)]
    return pa.table({"unit_id": UNITS[:n], "segment": segment})


def test_every_row_logs_the_propensity_that_it_was_drawn_with(staged: tuple[int, StagedPolicy]) -> None:
    version, policy = staged
    rows = act(
        policy, observed(), version=version, actions=registry.ACTIONS, rng=np.random.default_rng(0), now=registry.NOW
    )
    logged = pa.Table.from_pylist(rows)
    again = policy.action_probabilities(logged.select(["unit_id", "segment"]))
    action = [registry.ACTIONS.index(row["action"]) for row in rows]
    assert [row["propensity"] for row in rows] == again[np.arange(len(rows)), action].tolist()
    assert [row["action_probabilities"] for row in rows] == again.tolist()
    assert {row["policy_version"] for row in rows} == {str(version)}


def test_a_row_is_served_by_one_policy_or_by_the_mixture(home: Home, staged: tuple[int, StagedPolicy]) -> None:
    _, policy = staged
    probabilities = policy.action_probabilities(observed())
    units = UNITS[:400]
    if isinstance(policy.stage, Patch):
        challenger = np.array([i % 4 in (0, 2) for i in range(400)])
    elif isinstance(policy.stage, Mixture):
        np.testing.assert_allclose(probabilities, np.tile([0.375, 0.3125, 0.3125], (400, 1)), rtol=1e-15)
        return
    else:
        challenger = challenger_units(policy.stage, units)
    of_champion = load_version(home, registry.TASK, 1).action_probabilities(observed())
    of_challenger = load_version(home, registry.TASK, 2).action_probabilities(observed())
    np.testing.assert_allclose(of_champion[0], OF_CHAMPION)
    np.testing.assert_allclose(of_challenger[0], OF_CHALLENGER)
    np.testing.assert_array_equal(probabilities, np.where(challenger[:, None], of_challenger, of_champion))


def test_arms_are_drawn_by_unit_and_stick(home: Home) -> None:
    canary, holdback = stages(home)["canary"], stages(home)["holdback"]
    assert isinstance(canary, Canary)
    assert isinstance(holdback, Holdback)
    arm = challenger_units(canary, UNITS)
    # 4 standard errors of a share of 4,000: 4 sqrt(.1 * .9 / 4000) = .019
    assert abs(arm.mean() - 0.1) < 0.019
    shuffled = np.random.default_rng(0).permutation(4_000)
    np.testing.assert_array_equal(challenger_units(canary, UNITS[shuffled]), arm[shuffled])
    stays = ~challenger_units(holdback, UNITS)
    assert abs(stays.mean() - 0.05) < 0.014
    assert not (arm & stays).any(), "who had the challenger keeps it"
    other = canary.model_copy(update={"salt": salt_of(registry.TASK, "f" * 64)})
    # independent arms share a tenth of a tenth: 40 of 4,000, with a standard deviation of 6.3
    assert abs(int((challenger_units(other, UNITS) & arm).sum()) - 40) < 26


def test_the_hash_is_the_one_that_is_documented(home: Home) -> None:
    import hashlib

    canary = stages(home)["canary"]
    assert isinstance(canary, Canary)
    digest = hashlib.blake2b(b"reader-7", digest_size=8, key=bytes.fromhex(canary.salt)).hexdigest()
    assert challenger_units(canary, np.array(["reader-7"])).tolist() == [int(digest, 16) < 0.1 * 2**64]


def test_the_arm_is_in_the_log(home: Home, staged: tuple[int, StagedPolicy]) -> None:
    version, policy = staged
    rows = act(
        policy, observed(), version=version, actions=registry.ACTIONS, rng=np.random.default_rng(0), now=registry.NOW
    )
    if not isinstance(policy.stage, Canary | Holdback):
        assert all("arm" not in row for row in rows)
        return
    names = np.array(policy.stage.arms)[challenger_units(policy.stage, UNITS[:400]).astype(int)]
    assert [row["arm"] for row in rows] == names.tolist()
    assert set(names) == {"canary": {"champion", "canary"}, "holdback": {"holdback", "champion"}}[policy.stage.kind]


def test_a_unit_that_is_not_known_is_refused_with_the_default(home: Home, tmp_path: Path) -> None:
    policy = load_version(home, registry.TASK, register(home, stages(home)["canary"], tmp_path / "staged"))
    some = pa.table({"unit_id": ["reader-1", None, "reader-3"]})
    for rows in (some, some.drop_columns(["unit_id"])):
        with pytest.raises(InputError, match=r"no unit .* expected unit_id .* drawn by unit \(the default\)"):
            policy.action_probabilities(rows)
    known = np.isfinite(complete_probabilities(policy, some)).all(axis=1)
    assert known.tolist() == [True, False, True]
    assert np.isnan(complete_probabilities(policy, some.drop_columns(["unit_id"]))).all()


def test_a_patch_needs_its_column(home: Home, tmp_path: Path) -> None:
    policy = load_version(home, registry.TASK, register(home, stages(home)["patch"], tmp_path / "staged"))
    with pytest.raises(InputError, match="no column segment"):
        policy.action_probabilities(pa.table({"unit_id": ["u"]}))


def test_on_average_over_units_a_canary_is_the_mixture(home: Home, tmp_path: Path) -> None:
    policy = load_version(home, registry.TASK, register(home, stages(home)["canary"], tmp_path / "staged"))
    assert isinstance(policy, StagedPolicy)
    average = policy.average_probabilities(pa.table({"segment": ["loyal"]}))
    np.testing.assert_allclose(average, [[0.9 / 3 + 0.05, 0.9 / 3 + 0.025, 0.9 / 3 + 0.025]])


def test_without_its_column_the_value_of_a_patch_is_not_known(home: Home, tmp_path: Path) -> None:
    policy = load_version(home, registry.TASK, register(home, stages(home)["patch"], tmp_path / "staged"))
    assert np.isnan(average_probabilities(policy, pa.table({"hour": [8.0]}))).all()
    known = average_probabilities(policy, pa.table({"segment": ["new"]}))
    np.testing.assert_allclose(known, [OF_CHALLENGER])


def test_a_mixture_bounds_every_weight_by_one_over_its_share(home: Home, tmp_path: Path) -> None:
    policy = load_version(home, registry.TASK, register(home, stages(home)["mixture"], tmp_path / "staged"))
    behavior = policy.action_probabilities(observed())
    challenger = load_version(home, registry.TASK, 2).action_probabilities(observed())
    assert (challenger / behavior).max() <= 1 / 0.25


def test_after_a_stage_the_last_verdict_serves(home: Home) -> None:
    rest = {name: serving_rest(stage) for name, stage in stages(home).items()}
    assert rest == {"patch": 1, "canary": 1, "holdback": 2, "mixture": 1}


def test_every_byte_of_the_artifact_is_checked(home: Home, tmp_path: Path) -> None:
    version = register(home, stages(home)["holdback"], tmp_path / "staged")
    folder = version_folder(home, registry.TASK, version)
    assert set(read_version(home, registry.TASK, version).files) == set(STAGED_FILES)
    for name in STAGED_FILES:
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(IntegrityError, match=name.replace(".", r"\.")):
            load_version(home, registry.TASK, version)
        (folder / name).unlink()
        with pytest.raises(StoreError, match=name.replace(".", r"\.")):
            load_version(home, registry.TASK, version)
        (folder / name).write_bytes(whole)
    assert verify_registry(home, registry.TASK) == []


@pytest.mark.parametrize(
    "change",
    [
        {"share": 1.0},
        {"share": 0.0},
        {"salt": "../../etc"},
        {"path": "/etc/passwd"},
        {"kind": "else"},
        {"champion": 0},
    ],
)
def test_only_a_strict_stage_is_read(home: Home, change: dict[str, object]) -> None:
    canary = stages(home)["canary"]
    assert parse_stage(stage_json(canary), source="here") == canary
    with pytest.raises(IntegrityError, match="damaged stage here"):
        parse_stage(json.dumps({**canary.model_dump(), **change}).encode(), source="here")
    with pytest.raises(IntegrityError, match="other bytes"):
        parse_stage(stage_json(canary) + b" ", source="here")


def test_parts_are_the_versions_that_the_stage_names(home: Home, tmp_path: Path) -> None:
    stage = stages(home)["canary"]
    folders = {v: version_folder(home, registry.TASK, v) for v in (1, 2, 3)}
    with pytest.raises(IntegrityError, match="expected a part"):
        write_staged(tmp_path / "a", stage=stage, champion=folders[1], challenger=folders[3])
    write_staged(tmp_path / "b", stage=stage, champion=folders[1], challenger=folders[2])
    nothing = dict.fromkeys(("algorithm", "seed", "snapshot_id", "trained_until"))
    other = stage.model_copy(update={"challenger": 3})
    for told in (other, None):
        facts = {"origin": "staged" if told else "declared", "settings": {}, "stage": told, **nothing}
        with pytest.raises(UsageError, match="does not fit its artifact"):
            register_version(
                home, registry.TASK, artifact=tmp_path / "b", facts=registry.facts(**facts), key="x", now=registry.NOW
            )
    (tmp_path / "b" / STAGE).write_bytes(stage_json(other))
    facts_ = registry.facts(origin="staged", settings={}, stage=other, **nothing)
    with pytest.raises(IntegrityError, match="expected version 3 to be"):
        register_version(home, registry.TASK, artifact=tmp_path / "b", facts=facts_, key="x", now=registry.NOW)


def test_facts_and_origin_fit() -> None:
    with pytest.raises(ValueError, match="stage belongs to staged versions"):
        registry.facts(
            stage=Mixture(champion=1, champion_sha256="0" * 64, challenger=2, challenger_sha256="1" * 64, share=0.5)
        )
    assert VersionFacts.model_validate(registry.declared_facts().model_dump(exclude={"stage"})).stage is None


def test_a_damaged_folder_is_named(tmp_path: Path, home: Home) -> None:
    version = register(home, stages(home)["mixture"], tmp_path / "staged")
    with pytest.raises(IntegrityError, match="expected SHA-256 ffff"):
        load_staged(version_folder(home, registry.TASK, version), expected_sha256="f" * 64)


def test_whose_rows_are_in_a_part_are_in_the_stage(home: Home, tmp_path: Path) -> None:
    version = register(home, stages(home)["canary"], tmp_path / "staged")
    assert read_version(home, registry.TASK, version).parent is None
    assert version in versions_from(home, registry.TASK, {"5" * 64}), "an erasure names it"
    assert version not in versions_from(home, registry.TASK, {"6" * 64})
