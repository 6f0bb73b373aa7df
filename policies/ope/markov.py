"""Does the past say more about the next step than state and action do? Then the state is not Markov.

When not to use it: as a proof. A check that does not reject has found nothing at this sample size, among four
functions of the next step and one step of history; it cannot be made for a state that hardly ever recurs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.ope.episodes import LoggedEpisodes

LEAST_P_VALUE: Final = 0.01
LEAST_ROWS: Final = 200  # steps with a history whose (state, action) recurs; fewer check nothing
HISTORY_PRIOR: Final = 20.0  # visits that a history's mean is drawn towards 0 by


@dataclass(frozen=True, slots=True)
class MarkovCheck:
    """p_value is one-sided, over the four functions together; `passed` needs p > .01 and enough recurring steps."""

    passed: bool
    p_value: float
    z: tuple[float, ...]  # of each function of the next step: end, value, ratio of visits, best predicted
    n: int  # steps that could be compared


def check(
    logged: LoggedEpisodes,
    state: NDArray[np.int64],
    *,
    value: NDArray[np.float64],
    ratio: NDArray[np.float64],
) -> MarkovCheck:
    """Test that (r_t, x_{t+1}) given (x_t, a_t) does not depend on (x_{t-1}, a_{t-1}, r_{t-1}).

    `state`, `value`, `ratio`: (n,) state codes, and the target's value and visit ratio of each step's state (functions
    of the state, fitted on other episodes). For y in {the episode terminates, r + gamma value', ratio', and the
    function of x' that the step before predicts best}: a predictor g of y from the history, fitted on every other unit
    as shrunken means of what y deviates from its (state, action) mean; then on the remaining units
    z = sum_cells sum_i (y_i - mean)(g_i - mean) / sd, the sd being that of all permutations of y within each
    (state, action) cell, so that no mean has to be estimated. Halves swapped, the mean of both z. Truncated steps
    are left out. Under the null each z is standard normal in large samples, their mean at most as wide.
    p = 4 min one-sided p (Bonferroni).
    Source: Shi, Wan, Song, Lu & Leng 2020, "Does the Markov decision process fit the data" (the hypothesis);
    Mantel 1963 (the stratified statistic). Caveat: an episode that visits a cell twice is not quite exchangeable.
    """
    half = np.unique(logged.unit, return_inverse=True)[1][logged.episode] % 2
    n_actions, n_states = int(logged.action.max()) + 1, int(state.max()) + 1
    cell = state * n_actions + logged.action
    usable = ~logged.first & ~logged.truncated
    before, after = np.append(n_states, state[:-1]), np.append(state[1:], n_states)
    after[logged.last] = n_states
    reward_before = np.unique(np.append(0.0, logged.reward[:-1]), return_inverse=True)[1]
    histories = (before, cell * (n_states + 1) + before, np.append(-1, cell[:-1]), reward_before)
    declared = (
        logged.terminated.astype(np.float64),
        logged.reward + logged.gamma * logged.next_of(value),
        logged.next_of(ratio),
    )
    z, n = np.zeros(len(declared) + 1), 0
    for test in (0, 1):
        train, held_out = usable & (half != test), usable & (half == test)
        outcomes = (*declared, _best_predicted(before[train], after, cell[train], train=train))
        for i, y in enumerate(outcomes):
            g = _predict(y, histories, cell, train=train)
            score, compared = _stratified_z(y[held_out], g[held_out], cell[held_out])
            z[i] += score / 2  # both measure the product of the same two deviations, so they are no two tests
        n += compared
    p_value = min(1.0, len(z) * 0.5 * math.erfc(float(z.max()) / math.sqrt(2)))
    passed = p_value > LEAST_P_VALUE and n >= LEAST_ROWS
    return MarkovCheck(passed=passed, p_value=p_value, z=tuple(map(float, z)), n=n)


def _best_predicted(
    before: NDArray[np.int64], after: NDArray[np.int64], cell: NDArray[np.int64], *, train: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(n,) the function of the next state `after` (n,) that varies most with the state before, given (state, action).

    First right singular vector of (observed - expected) / sqrt(visits before, visits after) transitions of the training
    rows, `before` and `cell` being theirs alone. Source: correspondence analysis, Greenacre 1984.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.linalg import svds

    size = int(after.max()) + 1
    following, one = after[train], np.ones(len(before))
    code = np.unique(cell, return_inverse=True)[1]
    observed = coo_array((one, (before, following)), shape=(size, size)).tocsr()
    by_cell = coo_array((one, (before, code)), shape=(size, int(code.max()) + 1)).tocsr()
    onward = coo_array((1.0 / np.bincount(code)[code], (code, following)), shape=(by_cell.shape[1], size)).tocsr()
    surplus = (observed - by_cell @ onward).toarray()
    rows, columns = np.bincount(before, minlength=size), np.bincount(following, minlength=size)
    scaled = surplus / np.sqrt(np.outer(np.maximum(rows, 1), np.maximum(columns, 1)))
    if size < 3 or not scaled.any():
        return np.zeros(len(after))
    _, _, right = svds(scaled, k=1, v0=np.ones(size))
    direction: NDArray[np.float64] = right[0] / np.sqrt(np.maximum(columns, 1))
    return direction[after]


def _predict(
    y: NDArray[np.float64],
    histories: tuple[NDArray[np.int64], ...],
    cell: NDArray[np.int64],
    *,
    train: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """(n,) what the history adds: for one grouping after the other, the shrunken mean of what is left of y."""
    left = np.where(train, y - _cell_means(y, cell, train)[cell], 0.0)
    added = np.zeros(len(y))
    for history in histories:
        code = np.unique(history, return_inverse=True)[1]
        sums = np.bincount(code[train], weights=left[train], minlength=int(code.max()) + 1)
        counts = np.bincount(code[train], minlength=int(code.max()) + 1)
        step = (sums / (counts + HISTORY_PRIOR))[code]
        added, left = added + step, left - step
    return added


def _cell_means(y: NDArray[np.float64], cell: NDArray[np.int64], rows: NDArray[np.bool_]) -> NDArray[np.float64]:
    size = int(cell.max()) + 1
    counts = np.bincount(cell[rows], minlength=size)
    return np.bincount(cell[rows], weights=y[rows], minlength=size) / np.maximum(counts, 1)


def _stratified_z(y: NDArray[np.float64], g: NDArray[np.float64], cell: NDArray[np.int64]) -> tuple[float, int]:
    """sum_c sum_i (y - mean_c)(g - mean_c) over its permutation sd sqrt(sum_c SS_y SS_g / (n_c - 1)); 0 without any."""
    code = np.unique(cell, return_inverse=True)[1]
    counts = np.bincount(code)
    centred = [x - (np.bincount(code, weights=x) / counts)[code] for x in (y, g)]
    covariance = np.bincount(code, weights=centred[0] * centred[1])
    squares = [np.bincount(code, weights=x**2) for x in centred]
    variance = (squares[0] * squares[1])[counts > 1] / (counts[counts > 1] - 1)
    scale = math.sqrt(float(variance.sum()))
    compared = int(counts[counts > 1].sum())
    return (float(covariance.sum()) / scale if scale > 0 else 0.0), compared
