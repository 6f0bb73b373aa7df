"""How a staged version divides its traffic between a champion and a challenger, and what it must know to do so.

- patch: the challenger decides where a segment column has one of the listed values, the champion elsewhere.
- canary: units are drawn, a small share gets the challenger, for good. Actions carry over inside a unit (a worn-out
  reader stays worn out), so only whole units can be compared: this is the default.
- holdback: the same after a promotion: a small share of units stays with the former champion.
- mixture: every decision is drawn anew, (1 - s) champion + s challenger. Only where nothing carries over.

A unit's arm is a keyed hash of its id: sticky without any memory, and anybody with the version can compute it again.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from data_contracts.errors import InputError, IntegrityError
from data_contracts.storage import canonical_json, sha256_bytes

UNIT: Final = "unit_id"
Share = Annotated[float, Field(gt=0, lt=1)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Stage(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    champion: int = Field(ge=1)  # the version that served before
    champion_sha256: Sha256  # of its artifact
    challenger: int = Field(ge=1)
    challenger_sha256: Sha256


class Patch(_Stage):
    kind: Literal["patch"] = "patch"
    column: str = Field(min_length=1)
    values: tuple[str, ...] = Field(min_length=1)  # as text


class Canary(_Stage):
    """`share` of the units are in the challenger's arm."""

    kind: Literal["canary"] = "canary"
    share: Share
    salt: Sha256

    @property
    def challenger_share(self) -> float:
        return self.share

    @property
    def arms(self) -> tuple[str, str]:
        """Names of the champion's and of the challenger's arm, as the log has them."""
        return ("champion", "canary")


class Holdback(_Stage):
    """`share` of the units stay in the arm of the former champion; the challenger is the one that was promoted."""

    kind: Literal["holdback"] = "holdback"
    share: Share
    salt: Sha256

    @property
    def challenger_share(self) -> float:
        return 1.0 - self.share

    @property
    def arms(self) -> tuple[str, str]:
        return ("holdback", "champion")


class Mixture(_Stage):
    """Every decision takes the challenger's distribution with weight `share`."""

    kind: Literal["mixture"] = "mixture"
    share: Share


ByUnit = Canary | Holdback
Stage = Annotated[Patch | Canary | Holdback | Mixture, Field(discriminator="kind")]
_ADAPTER: Final[TypeAdapter[Stage]] = TypeAdapter(Stage)


def serving_rest(stage: Stage) -> int:
    """The version that serves when the stage ends without a new verdict: challengers are compared with it."""
    return stage.challenger if isinstance(stage, Holdback) else stage.champion


def salt_of(task: str, challenger_sha256: str) -> str:
    """The key of a challenger's arms: the same in its canary and in its holdback, so that no unit changes sides and the
    former champion's arm never saw the challenger; another for every other challenger."""
    return sha256_bytes(canonical_json({"arms_of": challenger_sha256, "task": task}))


def stage_json(stage: Stage) -> bytes:
    """The bytes of stage.json."""
    return canonical_json(stage.model_dump(mode="json"))


def parse_stage(data: bytes, *, source: str) -> Stage:
    """Raises IntegrityError naming `source` unless `data` is exactly what `stage_json` writes of some stage."""
    try:
        stage = _ADAPTER.validate_json(data, strict=True)
    except ValidationError as error:
        raise _damaged(source, f"{error.error_count()} wrong fields") from error
    if stage_json(stage) != data:
        raise _damaged(source, "other bytes")
    return stage


def challenger_units(stage: ByUnit, unit_id: NDArray[np.str_]) -> NDArray[np.bool_]:
    """(n,) whether each unit is in the challenger's arm: h(unit) < challenger_share, h a keyed hash in [0, 1).

    h = BLAKE2b(unit_id, key = salt) / 2^64, so that P(challenger) = challenger_share over units, independent of
    anything known about them. Units of other ids do not move when units are added.
    """
    names, code = np.unique(unit_id, return_inverse=True)
    return (_hashes(stage.salt, names) < stage.challenger_share)[code]


def challenger_weight(stage: Stage, rows: pa.Table) -> NDArray[np.float64]:
    """(n,) weight of the challenger's distribution in each row's, given the row's unit or segment: 0 or 1, but for a
    mixture. NaN where the row does not say its unit; every row without the column that decides."""
    n = rows.num_rows
    if isinstance(stage, Mixture):
        return np.full(n, stage.share)
    column = stage.column if isinstance(stage, Patch) else UNIT
    if column not in rows.column_names:
        return np.full(n, np.nan)
    values = rows[column].cast(pa.string())
    if isinstance(stage, Patch):
        return np.asarray(pc.is_in(values, pa.array(stage.values)).to_numpy(), np.float64)
    known = values.is_valid().to_numpy()
    arm = challenger_units(stage, np.asarray(pc.fill_null(values, "").to_pylist(), np.str_))
    return np.where(known, arm, np.nan)


def require_known(stage: Stage, weight: NDArray[np.float64]) -> None:
    """Raises InputError where a row does not say what the stage must know to serve it."""
    unknown = np.flatnonzero(np.isnan(weight))
    if not len(unknown):
        return
    rows = f"{len(unknown):,} of {len(weight):,} rows without it ({', '.join(f'row {i}' for i in unknown[:5])})"
    if isinstance(stage, Patch):
        raise InputError(
            f"no column {stage.column} in the observations: expected it, because the champion is a patch that decides "
            f"by it, got {rows}. Add it."
        )
    raise InputError(
        f"no unit in the observations: expected {UNIT} in every row, because the champion is a {stage.kind} drawn by "
        f"unit (the default), got {rows}. Add {UNIT}; where one decision never changes a later one, declare "
        "`carry_over: none` and stage `by: row`."
    )


def _hashes(salt: str, names: NDArray[np.str_]) -> NDArray[np.float64]:
    key = bytes.fromhex(salt)
    digests = [hashlib.blake2b(name.encode(), digest_size=8, key=key).digest() for name in names.tolist()]
    return np.array([int.from_bytes(digest, "big") / 2**64 for digest in digests])


def _damaged(source: str, got: str) -> IntegrityError:
    return IntegrityError(
        f"damaged stage {source}: expected how a staged version divides its traffic, got {got}. "
        "Restore it from a backup, or register it again.",
        path=source,
    )
