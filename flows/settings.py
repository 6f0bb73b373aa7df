"""What surrounds a run: quiet libraries, the environment's name, and which code it is."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from data_contracts.storage import sha256_bytes

ROOT = Path(__file__).resolve().parent.parent

# Set before the libraries are imported; what a user has set already stays.
QUIET = {
    "GX_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "TQDM_DISABLE": "1",
}


def quiet_libraries() -> None:
    """Switch off telemetry and chatter of every library; called once by each entry point."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def environment_name() -> str:
    """dev, staging or prod: a part of every incident's key. `SLUICE_ENVIRONMENT`, else dev."""
    return os.environ.get("SLUICE_ENVIRONMENT", "dev")


@cache
def code_version() -> str:
    """SHA-256 of the sources of the three packages: which code made a policy or a verdict."""
    files = sorted(
        path for package in ("data_contracts", "policies", "flows") for path in (ROOT / package).rglob("*.py")
    )
    lines = [f"{path.relative_to(ROOT)} {sha256_bytes(path.read_bytes())}" for path in files]
    return sha256_bytes("\n".join(lines).encode())


@cache
def lock_sha256() -> str:
    """SHA-256 of requirements.lock, or "absent" for an installation without it."""
    lock = ROOT / "requirements.lock"
    return sha256_bytes(lock.read_bytes()) if lock.exists() else "absent"
