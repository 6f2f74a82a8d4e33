"""Mean, deviation, least and largest number of columns, in one pass over blocks of their rows."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Moments(Struct, frozen=True, eq=False):
    """Of each column of some `rows`: the largest size, `top`; the sum and the squares about the mean, over powers of 2^exponent; range.

    Scaled by the power of two that is just above `top`, which costs no bit, no square over- or underflows.
    """

    rows: int
    top: Array
    total: Array
    squares: Array
    low: Array
    high: Array

    @property
    def mean(self) -> Array:
        """The mean of each column."""
        return np.ldexp(self.total / self.rows, exponent(self.top))

    @property
    def sd(self) -> Array:
        """The population deviation of each column."""
        return np.ldexp(np.sqrt(self.squares / self.rows), exponent(self.top))


def moments(blocks: Iterable[Array]) -> Moments:
    """Of all rows of the blocks, each [rows, columns] or [rows], of which one at least has a row. One block gives the bits of NumPy's mean and std."""
    return reduce(merged, (of_block(x) for x in blocks if len(x)))


def of_block(x: Array) -> Moments:
    """Of the rows of one block."""
    top = np.abs(x).max(axis=0)
    scaled = np.ldexp(x, -exponent(top))
    total = np.add.reduce(scaled, axis=0)
    scaled -= total / len(x)
    squares = np.add.reduce(np.multiply(scaled, scaled, out=scaled), axis=0)
    return Moments(len(x), top, total, squares, x.min(axis=0), x.max(axis=0))


def merged(a: Moments, b: Moments) -> Moments:
    """Of the rows of both (Chan, Golub and LeVeque 1979, formula 2.1)."""
    rows, top = a.rows + b.rows, np.maximum(a.top, b.top)
    (total_a, squares_a), (total_b, squares_b) = (_rescaled(m, exponent(top)) for m in (a, b))
    apart = total_b / b.rows - total_a / a.rows
    squares = squares_a + squares_b + apart * apart * (a.rows * (b.rows / rows))
    return Moments(rows, top, total_a + total_b, squares, np.minimum(a.low, b.low), np.maximum(a.high, b.high))


def exponent(top: Array) -> NDArray[np.int32]:
    """That of the power of two just above each number, 0 for 0."""
    return np.frexp(top)[1]


def _rescaled(m: Moments, to: NDArray[np.int32]) -> tuple[Array, Array]:
    shift = exponent(m.top) - to
    return np.ldexp(m.total, shift), np.ldexp(m.squares, 2 * shift)
