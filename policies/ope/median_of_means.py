"""Median of means over units: a doubly robust value that a handful of units cannot move.

When not to use it: to decide, or with rare rewards. The median of skewed block means lies below their mean (with
rewards above 0), and it shields from fewer than half as many bad units as there are blocks, never from a crowd:
that is what the checks of concentration and coordination are for.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from policies.ope.records import Evaluation, LoggedRewards

N_BLOCKS: Final = 21  # odd; up to 10 units with any rewards leave most blocks, hence the median, among honest ones
SEED: Final = 20
MEDIAN_COST: Final = math.sqrt(math.pi / 2)  # standard error of a median of normal values against that of their mean


def assign_blocks(units: NDArray[np.str_], *, n_blocks: int = N_BLOCKS, seed: int = SEED) -> NDArray[np.int64]:
    """(G,) block 0 ... B - 1 of each of G distinct units, dealt out in order of a seeded hash of the name.

    B is `n_blocks`, or the largest odd number up to G; blocks differ by at most one unit. The same units fall into
    the same blocks whatever the order of rows, on any machine.
    """
    n = max(1, min(n_blocks, len(units) - (len(units) + 1) % 2))
    order = np.lexsort((np.arange(len(units)), _hashes(units, seed)))
    block = np.empty(len(units), np.int64)
    block[order] = np.arange(len(units)) % n
    return block


def evaluate(evaluation: Evaluation, logged: LoggedRewards, block: NDArray[np.int64]) -> Evaluation:
    """The median over blocks of the blocks' own weighted means; influence as for the median of normal means.

    `evaluation` is a weighted mean (ips, dm, dr, or the paired difference of two), `block` (n,) the block of each
    row. Its influence is that of the mean times sqrt(pi / 2), so that an interval is about a quarter wider.
    Source: Nemirovsky & Yudin 1983; Lugosi & Mendelson 2019, "Mean estimation and regression under heavy-tailed
    distributions", section 2.1; blocks of units as in Brownlees, Joly & Lugosi 2015.
    """
    n_blocks = int(block.max()) + 1
    if n_blocks < 3:
        return evaluation
    weight = np.bincount(block, weights=logged.relative_weight)
    means = evaluation.value + np.bincount(block, weights=evaluation.influence) / weight
    return Evaluation(float(np.median(means)), evaluation.influence * MEDIAN_COST, evaluation.weights)


def _hashes(names: NDArray[np.str_], seed: int) -> NDArray[np.uint64]:
    """(G,) 64-bit hashes of names, the same for any width of the array: FNV-1a over code points, then splitmix64."""
    names = np.ascontiguousarray(names, dtype=np.str_)
    width = names.dtype.itemsize // 4
    letters = names.view(np.uint32).reshape(len(names), width) if width else np.zeros((len(names), 0), np.uint32)
    state = np.full(len(names), np.uint64(0xCBF29CE484222325) ^ np.uint64(seed))
    with np.errstate(over="ignore"):
        for i in range(width):
            letter = letters[:, i]
            mixed = (state ^ letter) * np.uint64(0x100000001B3)
            state = np.where(letter > 0, mixed, state)  # 0 pads shorter names
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    hashed: NDArray[np.uint64] = state ^ (state >> np.uint64(31))
    return hashed
