"""The ratio of two densities at given rows, by a classifier of one sample against the other.

Source: Sugiyama, Suzuki & Kanamori 2012, "Density Ratio Estimation in Machine Learning", ch. 4.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

FOLDS: Final = 3
FITTED_ROWS: Final = 20_000  # of either side: more would not change the weights beyond their error
SQUARED: Final = 20  # columns that enter with their squares and products; those with the most values first
REGULARISATION: Final = 0.03  # scikit-learn's C; columns are standardised
LARGEST_DEVIATION: Final = 8.0  # at which a feature is cut: one wild value decides no density

Floats = NDArray[np.float64]


def design(old: Floats, new: Floats) -> tuple[Floats, Floats]:
    """Both sides standardised by the pooled rows, without constants, and with squares and products of the columns
    with the most values: a rotation moves no column by itself."""
    pooled = np.concatenate([old, new])
    center, scale = pooled.mean(axis=0), pooled.std(axis=0)
    varies = scale > 1e-9 * np.maximum(1.0, np.abs(center))
    both = np.clip((pooled[:, varies] - center[varies]) / scale[varies], -LARGEST_DEVIATION, LARGEST_DEVIATION)
    n = len(old)
    chosen = np.sort(np.argsort(-_interest(both), kind="stable")[:SQUARED])
    i, j = np.triu_indices(len(chosen))
    products = both[:, chosen[i]] * both[:, chosen[j]]
    spread = products.std(axis=0)
    products = (products[:, spread > 1e-9] - products[:, spread > 1e-9].mean(axis=0)) / spread[spread > 1e-9]
    joined = np.concatenate([both, np.clip(products, -LARGEST_DEVIATION, LARGEST_DEVIATION)], axis=1)
    return joined[:n], joined[n:]


def _interest(both: Floats) -> Floats:
    """(d,) numbers with many values before indicators, whose squares say nothing new."""
    return np.array([min(len(np.unique(column[:1_000])), 50) for column in both.T], np.float64)


def density_ratio(
    old: Floats, new: Floats, *, unit: NDArray[np.int64], row_weight: Floats, new_row_weight: Floats
) -> Floats:
    """(n,) p_new(x) / p_old(x) at each old row, from classifiers that have not seen the row's unit.

    `old` (n, d) and `new` (m, d) are standardised; `unit` (n,) numbers the old rows' clusters; weights (n,) and (m,).
    """
    if not old.shape[1]:
        return np.ones(len(old))
    fold, new_fold = unit % FOLDS, np.arange(len(new)) % FOLDS
    ratio = np.zeros(len(old))
    for held_out in range(FOLDS):
        mine = fold == held_out
        before, after = _thin(np.flatnonzero(~mine)), _thin(np.flatnonzero(new_fold != held_out))
        if mine.any() and len(before):  # of one unit alone, nothing is known
            weight = np.concatenate([_even(row_weight[before]), _even(new_row_weight[after])])
            log_odds = _log_odds(old[before], new[after], weight, old[mine])
            ratio[mine] = np.exp(np.clip(log_odds, -30, 30)) * len(before) / len(after)
    return ratio


def _log_odds(before: Floats, after: Floats, weight: Floats, rows: Floats) -> Floats:
    """Log odds that `rows` are of `after`, by a logistic regression on the weighted rows."""
    from sklearn.linear_model import LogisticRegression

    label = np.repeat([0.0, 1.0], [len(before), len(after)])
    model = LogisticRegression(C=REGULARISATION, max_iter=1_000)
    model.fit(np.concatenate([before, after]), label, sample_weight=weight)
    found: Floats = rows @ model.coef_[0] + model.intercept_[0]
    return found


def _even(weight: Floats) -> Floats:
    """The weights with mean 1."""
    return np.asarray(weight / weight.mean())


def _thin(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most FITTED_ROWS of the rows, evenly spread over them."""
    if len(index) <= FITTED_ROWS:
        return index
    chosen: NDArray[np.int64] = index[np.linspace(0, len(index) - 1, FITTED_ROWS).astype(np.int64)]
    return chosen
