"""Versions of the registry under today's contract: each decides on the observation that it was trained to read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa

from data_contracts.contract import LogicalType
from data_contracts.language.contract_history import needed_columns_problems
from data_contracts.language.contract_version import version_of
from data_contracts.language.older_columns import read_back
from data_contracts.language.problems import Problem
from data_contracts.language.yaml_strict import read_yaml
from flows.context import Context
from policies.encoding import Encoding
from policies.export import OnnxPolicy
from policies.registry import aliases, load_version, read_version

TYPES: Final[dict[str, LogicalType]] = {"number": "number", "boolean": "boolean", "category": "string"}


def policy_of(context: Context, version: int) -> OnnxPolicy:
    """A version's policy, to be asked with observations in the form of the task's contract.

    One that was trained under another major version of the contract reads its own columns out of today's.
    """
    policy = load_version(context.home, context.name, version)
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
    """Columns that the champion needs and that the contract no longer gives."""
    champion = aliases(context.home, context.name)["champion"]
    if champion is None:
        return []
    manifest = read_version(context.home, context.name, champion)
    return needed_columns_problems(
        context.contract,
        document=read_yaml(Path(context.contract.path)),
        policy=f"champion v{champion}",
        version=manifest.contract_version,
        columns=columns_of(load_version(context.home, context.name, champion).encoding),
    )
