"""Every contract that rows of a task were accepted under: its bytes, named by their SHA-256, never changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from data_contracts.contract import Contract
from data_contracts.errors import ConfigurationError, IntegrityError
from data_contracts.home import Home
from data_contracts.language.contract_version import is_version, version_of
from data_contracts.storage import create_exclusive, sha256_bytes, sha256_file

FILE: Final = re.compile(r"([0-9a-f]{64})\.odcs\.yaml")


def archive_contract(home: Home, task: str, contract: Contract) -> str:
    """Keep the bytes of a contract that rows are accepted under; returns their SHA-256. Again, it changes nothing.

    Raises ConfigurationError when the file was changed since it was read.
    """
    path = _path(home, task, contract.sha256)
    if not path.exists():
        data = Path(contract.path).read_bytes()
        if sha256_bytes(data) != contract.sha256:
            raise ConfigurationError(
                f"changed contract {contract.path}: expected the bytes that this run began with, got others. "
                "Run the command again."
            )
        create_exclusive(path, data)
    return contract.sha256


def archived_hashes(home: Home, task: str) -> set[str]:
    """SHA-256 of every contract of the task's rows."""
    folder = home.contracts(task)
    return {found[1] for path in folder.iterdir() if (found := FILE.fullmatch(path.name))} if folder.is_dir() else set()


def archived_contracts(home: Home, task: str) -> tuple[Contract, ...]:
    """All contracts of the task's rows, oldest version first. Raises IntegrityError when one is damaged."""
    contracts = [archived_contract(home, task, sha256) for sha256 in archived_hashes(home, task)]
    return tuple(sorted(contracts, key=lambda c: (version_of(c.version), c.sha256)))


def archived_contract(home: Home, task: str, sha256: str) -> Contract:
    """The contract with these bytes; raises IntegrityError when it is not there, or is not what it was.

    What later releases would refuse in it is passed over: it was fine when rows were accepted under it.
    """
    from data_contracts.language.contract_reader import parse_leniently

    path = _path(home, task, sha256)
    if not path.is_file() or sha256_file(path) != sha256:
        got = "other bytes" if path.is_file() else "no file"
        raise IntegrityError(
            f"damaged contract {path}: expected the bytes that rows were accepted under, got {got}. "
            "Restore it from a backup.",
            path=str(path),
        )
    contract, _ = parse_leniently(path)
    if contract is None or not is_version(contract.version):
        raise IntegrityError(
            f"unreadable contract {path}: expected one with a version, got none. Use the release that wrote it.",
            path=str(path),
        )
    return contract


def _path(home: Home, task: str, sha256: str) -> Path:
    return home.contracts(task) / f"{sha256}.odcs.yaml"
