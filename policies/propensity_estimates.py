"""Estimated propensities: what a log without any seems to have done. For reports only; they can never gate.

An estimate is right on average at best, and importance weights punish every error of a small one, so nothing that
decides accepts this record: it is no array, refuses to become one, and no gate function has a parameter of its type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import DegenerateData, UsageError

FOLDS: Final = 3
SEED: Final = 0
MOST_ROWS: Final = 5_000  # of one policy version; more change no report
N_BINS: Final = 10
N_TREES, LEAF_ROWS = 30, 20


@dataclass(frozen=True, slots=True, repr=False)
class EstimatedPropensities:
    """One policy version's decisions, as a classifier sees them; every number is out of fold."""

    policy_version: str
    n: int  # rows it was estimated on
    n_left_out: int  # rows of actions with fewer rows than folds
    actions: tuple[str, ...]  # that could be estimated
    exploration: float  # mean of 1 - sum of squares: the chance that a second decision takes another action
    calibration_error: float  # mean |share taken - estimate| over bins of equally many estimates
    log_loss: float  # of the estimates, in nats
    log_loss_of_shares: float  # of the actions' shares alone: no better means that the observation says nothing
    estimates: tuple[tuple[str, float], ...]  # action -> median estimate of the rows that took it

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise UsageError(
            f"estimated propensities of version {self.policy_version} used as numbers: expected logged or declared "
            "propensities, got estimates, which are for reports only. Log propensities, or declare the policy."
        )

    def __repr__(self) -> str:
        return f"EstimatedPropensities({self.policy_version!r}, n={self.n}, exploration={self.exploration:.3f})"


def estimate_propensities(
    features: NDArray[np.float64], action: NDArray[np.int64], *, actions: tuple[str, ...], policy_version: str
) -> EstimatedPropensities:
    """Out-of-fold probabilities of a random forest with a calibrated temperature (scikit-learn), summed up.

    `features` (n, d), `action` (n,) codes into `actions`, the rows of one policy version; of more than MOST_ROWS,
    every k-th is used. Raises DegenerateData when fewer than two actions have FOLDS^2 rows.
    Caveat: it sees the logged observation only; what decided and was not logged looks like exploration.
    """
    step = -(-len(action) // MOST_ROWS)
    features, action = features[::step], action[::step]
    counts = np.bincount(action, minlength=len(actions))
    usable = np.flatnonzero(counts >= FOLDS**2)
    if len(usable) < 2:
        raise DegenerateData(
            f"nothing to estimate for version {policy_version}: expected two actions with {FOLDS**2} rows or more, got "
            f"{len(usable)}. A log of one action has no propensities."
        )
    inside = np.isin(action, usable)
    code = np.searchsorted(usable, action[inside])
    probabilities = _out_of_fold(features[inside], code)
    return _summed_up(probabilities, code, tuple(actions[a] for a in usable), policy_version, int((~inside).sum()))


def _out_of_fold(features: NDArray[np.float64], code: NDArray[np.int64]) -> NDArray[np.float64]:
    """(n, K) probabilities by models that did not see the row."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from threadpoolctl import threadpool_limits

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    forest = RandomForestClassifier(N_TREES, min_samples_leaf=LEAF_ROWS, random_state=SEED)
    model = CalibratedClassifierCV(forest, method="temperature", cv=FOLDS)
    with threadpool_limits(1):  # the fits are small: more threads only wait for one another
        return np.asarray(cross_val_predict(model, features, code, cv=folds, method="predict_proba"), np.float64)


def _summed_up(
    probabilities: NDArray[np.float64],
    code: NDArray[np.int64],
    actions: tuple[str, ...],
    policy_version: str,
    n_left_out: int,
) -> EstimatedPropensities:
    taken = np.maximum(probabilities[np.arange(len(code)), code], 1e-12)
    shares = np.bincount(code, minlength=len(actions)) / len(code)
    return EstimatedPropensities(
        policy_version=policy_version,
        n=len(code),
        n_left_out=n_left_out,
        actions=actions,
        exploration=float(1 - (probabilities**2).sum(axis=1).mean()),
        calibration_error=_calibration_error(probabilities, code),
        log_loss=float(-np.log(taken).mean()),
        log_loss_of_shares=float(-np.log(shares[code]).mean()),
        estimates=tuple((name, float(np.median(taken[code == a]))) for a, name in enumerate(actions)),
    )


def _calibration_error(probabilities: NDArray[np.float64], code: NDArray[np.int64]) -> float:
    """Mean gap over bins of equally many (row, action) pairs."""
    happened = (code[:, None] == np.arange(probabilities.shape[1])).ravel()
    order = np.argsort(probabilities.ravel(), kind="stable")
    gaps = [
        abs(float(happened[part].mean() - probabilities.ravel()[part].mean()))
        for part in np.array_split(order, N_BINS)
        if len(part)
    ]
    return float(np.mean(gaps))
