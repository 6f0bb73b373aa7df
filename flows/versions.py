"""Versions of the registry under today's contract: each decides on the observation that it was trained to read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from data_contracts.contract import LogicalType
from data_contracts.errors import UsageError
from data_contracts.language.contract_history import needed_columns_problems
from data_contracts.language.contract_version import version_of
from data_contracts.language.older_columns import read_back
from data_contracts.language.problems import Problem
from data_contracts.language.yaml_strict import read_yaml
from flows.context import Context
from policies.encoding import Encoding
from policies.export import OnnxPolicy
from policies.registry import aliases, load_seeds, load_version, read_version
from policies.staged import Policy

TYPES: Final[dict[str, LogicalType]] = {"number": "number", "boolean": "boolean", "category": "string"}


def policy_of(context: Context, version: int) -> Policy:
    """A version's policy, to be asked with observations in the form of the task's contract.

    One that was trained under another major version of the contract reads its own columns out of today's; of a staged
    version each part does so for itself.
    """
    policy = load_version(context.home, context.name, version)
    if isinstance(policy, OnnxPolicy):
        return _reading(context, policy, version)
    return replace(
        policy,
        champion=_reading(context, policy.champion, policy.stage.champion),
        challenger=_reading(context, policy.challenger, policy.stage.challenger),
    )


def seeds_of(context: Context, version: int) -> dict[int, OnnxPolicy]:
    """The policies of a version's other seeds, by seed, to be asked like the version itself; evidence, never served."""
    seeds = load_seeds(context.home, context.name, version)
    return {seed: _reading(context, policy, version) for seed, policy in seeds.items()}


def single_policy_of(context: Context, version: int) -> OnnxPolicy:
    """The same of a version that is no stage. Raises UsageError for one that is."""
    policy = policy_of(context, version)
    if not isinstance(policy, OnnxPolicy):
        raise UsageError(
            f"version {version} of {context.name} is a stage: expected a version of its own, got a "
            f"{policy.stage.kind} of versions {policy.stage.champion} and {policy.stage.challenger}. Name one of them."
        )
    return policy


def _reading(context: Context, policy: OnnxPolicy, version: int) -> OnnxPolicy:
    trained_under = read_version(context.home, context.name, version).contract_version
    columns = columns_of(policy.encoding)
    if version_of(trained_under).major == context.contract.major:
        return policy

    def read(observations: pa.Table) -> pa.Table:
        return read_back(observations, context.contract, columns=columns, version=trained_under)

    return replace(policy, read=read)


def columns_of(encoding: Encoding) -> dict[str, LogicalType]:
    """Columns of the observation that a policy reads, with their types."""
    return {f.column: TYPES[f.kind] for f in encoding.features if f.kind != "constant"}


def champion_problems(context: Context) -> list[Problem]:
    """Columns that the champion (of a stage: each of its two policies) needs and that the contract no longer gives."""
    champion = aliases(context.home, context.name)["champion"]
    if champion is None:
        return []
    policy = load_version(context.home, context.name, champion)
    if isinstance(policy, OnnxPolicy):
        return _needed(context, policy, version=champion, what=f"champion v{champion}")
    stage = policy.stage
    return [
        *_needed(context, policy.champion, version=stage.champion, what=f"{stage.kind} v{champion}"),
        *_needed(context, policy.challenger, version=stage.challenger, what=f"{stage.kind} v{champion}"),
    ]


def _needed(context: Context, policy: OnnxPolicy, *, version: int, what: str) -> list[Problem]:
    return needed_columns_problems(
        context.contract,
        document=read_yaml(Path(context.contract.path)),
        policy=what,
        version=read_version(context.home, context.name, version).contract_version,
        columns=columns_of(policy.encoding),
    )
