"""What an operation is on arrays that are known beforehand: calls, in which all that can be found out once has been.

A training takes these, and so does the reference that it is held to. Where nothing better is known, or a row's bits must not
depend on where the row stands, an operation is its kernel. What a call keeps beside the arrays is `lent`: (what it is, its bytes);
what it is tells apart the arrays that several calls share.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .kernels import to_the

Array = NDArray[Any]
Call = tuple[Callable[..., Any], tuple[Any, ...]]
Sizes = tuple[int, ...]
Lent = Iterable[tuple[tuple[object, ...], int]]
DOWN, ALONG = (0,), (1,)  # the rows of a matrix, each row
FEW = 8192  # numbers that BLAS may add up one after the other; more are added in pairs of pairs
TRANSPOSED = 1024, 4096  # numbers: no fewer and no more are worth a copy
REPEATED = 2048  # numbers up to which an operand is repeated at less cost than NumPy needs to go round it
SHORT = 32  # numbers of a row up to which it costs less to turn the rows than to look for the place of the largest, or to add up as often as there are
PLACE = 8  # bytes of an index


def nothing(shapes: Sequence[Sizes], attrs: Mapping[str, Any], itemsize: int) -> Lent:
    """For calls that keep nothing."""
    return ()


class Bound(Struct, frozen=True):
    """`calls(*args, out, **attrs)`: what to call, or None where the kernel is as good. `lent(shapes of args, attrs, itemsize)`.

    `independent`: a row's bits are those of the kernel, wherever the row stands.
    """

    calls: Callable[..., Sequence[Call] | None]
    lent: Callable[[Sequence[Sizes], Mapping[str, Any], int], Lent] = nothing
    independent: bool = True


def _matmul(a: Array, b: Array, out: Array) -> Sequence[Call] | None:
    """The product by `dot`, which comes to BLAS in half the time.

    A small transposed right side is copied first: as it lies BLAS would pack it at greater cost.
    """
    if a.ndim == b.ndim == 2 and out.flags.c_contiguous and all(_whole(x) for x in (a, b)) and a.dtype.kind == "f":
        small = len(a) >= 32 and TRANSPOSED[0] <= b.size <= TRANSPOSED[1]
        return [(_of_copy, (a, b, out))] if small and not b.flags.c_contiguous else [(a.dot, (b, out))]
    return None


def _of_copy(a: Array, b: Array, out: Array) -> None:
    a.dot(b.copy(), out)


def _whole(x: Array) -> bool:
    """Whether BLAS takes the matrix as it lies."""
    return x.flags.c_contiguous or x.flags.f_contiguous


def _sum(x: Array, out: Array, axes: tuple[int, ...], keep: bool) -> Sequence[Call] | None:
    """A sum as a product with ones: of the rows of a matrix, of each row, of all numbers if they are few."""
    if x.dtype.kind != "f" or not x.size or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return None
    if x.ndim == 2 and axes == DOWN:
        return [(_ones(x.shape[0], x.dtype.char).dot, (x, out.reshape(-1)))]
    if x.ndim == 2 and axes == ALONG:
        return [(x.dot, (_ones(x.shape[1], x.dtype.char), out.reshape(-1)))]
    if x.size <= FEW and axes == tuple(range(x.ndim)):
        return [(x.reshape(-1).dot, (_ones(x.size, x.dtype.char), out.reshape(())))]
    return None


def _sum_lent(shapes: Sequence[Sizes], attrs: Mapping[str, Any], itemsize: int) -> Lent:
    shape, axes = shapes[0], attrs["axes"]
    count = 0
    if len(shape) == 2 and axes in (DOWN, ALONG):
        count = shape[axes[0]]
    elif math.prod(shape) <= FEW and axes == tuple(range(len(shape))):
        count = math.prod(shape)
    return [(("ones", count, itemsize), count * itemsize)] if count else ()


def _row_total(x: Array, out: Array) -> Sequence[Call] | None:
    """The sums of short rows for each number of theirs as one product with ones."""
    if x.dtype.kind != "f" or x.ndim != 2 or not x.size or x.shape[1] > SHORT or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return None
    width = x.shape[1]
    return [(x.dot, (_ones(width * width, x.dtype.char).reshape(width, width), out))]


def _row_total_lent(shapes: Sequence[Sizes], attrs: Mapping[str, Any], itemsize: int) -> Lent:
    shape = shapes[0]
    count = shape[1] ** 2 if len(shape) == 2 and shape[1] <= SHORT else 0
    return [(("ones", count, itemsize), count * itemsize)] if count else ()


def _max_over(x: Array, out: Array, axes: tuple[int, ...], keep: bool) -> Sequence[Call] | None:
    """The largest of each row: of a copy with short rows as columns, else looked up where argmax finds it; NaN wins in all."""
    if x.ndim != 2 or axes != ALONG or not x.size or not (x.flags.c_contiguous and out.flags.c_contiguous):
        return None
    if x.shape[1] <= SHORT:
        turned = np.empty(x.shape[::-1], x.dtype)
        return [(np.copyto, (turned, x.T)), (np.maximum.reduce, (turned, 0, None, out.reshape(-1)))]
    place, starts = np.empty(x.shape[0], np.intp), _starts(*x.shape)
    return [(x.argmax, (1, place)), (np.add, (place, starts, place)), (x.reshape(-1).take, (place, None, out.reshape(-1), "clip"))]


def _max_lent(shapes: Sequence[Sizes], attrs: Mapping[str, Any], itemsize: int) -> Lent:
    if len(shapes[0]) != 2 or attrs["axes"] != ALONG:
        return ()
    rows, width = shapes[0]
    if width <= SHORT:
        return [(("turned", object()), rows * width * itemsize)]
    return [(("starts", rows, width), rows * PLACE), (("places", object()), rows * PLACE)]


def _power(x: Array, n: Array, out: Array) -> Sequence[Call] | None:
    """A square, if the exponent will always be 2; of numbers their power without the way to it."""
    if not x.ndim and not n.ndim:
        return [(to_the(x, n), (x, n, out))]
    return [(np.square, (x, out))] if not n.ndim and not n.flags.writeable and n == 2 else None


def _repeated(function: np.ufunc) -> Bound:
    """Of a small matrix and a row or a column, which is repeated by a product with ones: what is left is one straight loop."""

    def calls(a: Array, b: Array, out: Array) -> Sequence[Call] | None:
        if out.dtype.kind != "f" or _thin(a.shape, b.shape, out.shape) is None or not all(x.flags.c_contiguous for x in (a, b, out)):
            return None
        thin = a if a.size < b.size else b
        whole, ones = np.empty_like(out), _ones(out.size // thin.size, out.dtype.char)
        column = thin.shape == (len(out), 1)
        repeat = (thin.dot, (ones.reshape(1, -1), whole)) if column else (ones.reshape(-1, 1).dot, (thin.reshape(1, -1), whole))
        return [repeat, (function, (whole, b, out) if thin is a else (a, whole, out))]

    def lent(shapes: Sequence[Sizes], attrs: Mapping[str, Any], itemsize: int) -> Lent:
        a, b = shapes
        out = max(a, b, key=math.prod)
        count = _thin(a, b, out)
        return [(("ones", count, itemsize), count * itemsize), (("repeated", object()), math.prod(out) * itemsize)] if count else ()

    return Bound(calls, lent, independent=False)


def _thin(a: Sizes, b: Sizes, out: Sizes) -> int | None:
    """How often a row or a column is repeated to be the matrix that the other operand is and the result; None where that is not so."""
    thin, whole = sorted((a, b), key=math.prod)
    if whole != out or len(out) != 2 or 1 in out or not 0 < math.prod(out) <= REPEATED:
        return None
    if thin == (out[0], 1):
        return out[1]
    return out[0] if thin in (out[1:], (1, out[1])) else None


def _comparison(function: np.ufunc) -> Bound:
    """Truths, and then numbers of them, where NumPy would go to and fro between the two."""

    def calls(a: Array, b: Array, out: Array) -> Sequence[Call] | None:
        if not 0 < out.size <= FEW or not _alike(a.shape, b.shape, out.shape) or not all(x.flags.c_contiguous for x in (a, b, out)):
            return None
        truths = np.empty(out.shape, np.bool_)
        return [(function, (a, b, truths)), (np.copyto, (out, truths))]

    def lent(shapes: Sequence[Sizes], attrs: Mapping[str, Any], itemsize: int) -> Lent:
        a, b = shapes
        out = max(a, b, key=math.prod)
        return [(("truths", object()), math.prod(out))] if 0 < math.prod(out) <= FEW and _alike(a, b, out) else ()

    return Bound(calls, lent)


def _alike(a: Sizes, b: Sizes, out: Sizes) -> bool:
    return out != () and all(shape in (out, ()) for shape in (a, b))


@lru_cache(1024)
def _ones(count: int, char: str) -> Array:
    made = np.ones(count, char)
    made.setflags(write=False)
    return made


@lru_cache(1024)
def _starts(rows: int, width: int) -> NDArray[np.intp]:
    made = np.arange(0, rows * width, width)
    made.setflags(write=False)
    return made


def forget() -> None:
    """Lets go of the arrays that are lent to whoever asks; those who have them keep them."""
    _ones.cache_clear()
    _starts.cache_clear()


MATMUL = Bound(_matmul)
SUM = Bound(_sum, _sum_lent, independent=False)
ROW_TOTAL = Bound(_row_total, _row_total_lent, independent=False)
MAX_OVER = Bound(_max_over, _max_lent)
POWER = Bound(_power)
ADD, SUB, MUL, DIV = _repeated(np.add), _repeated(np.subtract), _repeated(np.multiply), _repeated(np.divide)
LT, LE, GT, GE = _comparison(np.less), _comparison(np.less_equal), _comparison(np.greater), _comparison(np.greater_equal)
EQ, NE = _comparison(np.equal), _comparison(np.not_equal)
