"""NumPy for the operations that NumPy has no function for. All take `out=`, an array of the result's shape and type.

`a` may be any float array; nothing is written but `out`. Rows are the last axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BLOCK = 8192  # numbers that are made at a time where the whole would be copied


def softmax(z: Array, out: Array) -> Array:
    """exp(z) / sum(exp(z)) of each row, shifted by the row's maximum so that nothing overflows."""
    np.subtract(z, np.maximum.reduce(z, axis=-1, keepdims=True), out=out)
    np.exp(out, out=out)
    return np.divide(out, np.add.reduce(out, axis=-1, keepdims=True), out=out)


def log_softmax(z: Array, out: Array) -> Array:
    """log(softmax(z)), exact at any gap between the logits."""
    shifted = z - np.maximum.reduce(z, axis=-1, keepdims=True)
    total = np.add.reduce(np.exp(shifted), axis=-1, keepdims=True)
    return np.subtract(shifted, np.log(total, out=total), out=out)


def logsumexp(z: Array, out: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """log(sum(exp(z))) over `axes`, shifted by the maximum. All -inf gives -inf, any inf gives inf."""
    shift = np.maximum.reduce(z, axis=axes, keepdims=True)
    shift = np.where(np.isfinite(shift), shift, z.dtype.type(0))
    shifted = z - shift
    total = np.add.reduce(np.exp(shifted, out=shifted), axis=axes, keepdims=True)
    total = np.log(total) + shift
    out[...] = total if keep else total.reshape(out.shape)
    return out


def _tail(x: Array, out: Array) -> Array:
    """exp(-|x|) in a new array like `out`."""
    small = np.absolute(x, out=np.empty(out.shape, out.dtype))
    return np.exp(np.negative(small, out=small), out=small)


def sigmoid(x: Array, out: Array) -> Array:
    """1 / (1 + exp(-x)), from exp(-|x|) so that neither tail loses a digit."""
    small = _tail(x, out)
    np.add(1, small, out=out)
    np.copyto(small, 1, where=x >= 0)
    np.divide(small, out, out=out)
    np.copyto(out, x, where=np.isnan(x))
    return out


def silu(x: Array, out: Array) -> Array:
    """x / (1 + exp(-x)). Where exp(x) has lost digits, or is 0, x times it still has all of its own: half of x at a time."""
    small = _tail(x, out)
    deep = small < np.finfo(x.dtype).tiny
    deep &= x < 0
    np.multiply(x, small, out=out)
    np.copyto(out, x, where=x >= 0)
    np.divide(out, np.add(1, small, out=small), out=out)
    if deep.any():
        half = np.exp(np.divide(x, 2, out=small), out=small)
        np.multiply(x, half, out=out, where=deep)
        np.multiply(out, half, out=out, where=deep)
    return out


def softplus(x: Array, out: Array) -> Array:
    """log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))."""
    small = _tail(x, out)
    return np.add(np.maximum(x, 0, out=out), np.log1p(small, out=small), out=out)


def where(condition: Array, a: Array, b: Array, out: Array) -> Array:
    """`a` where the condition is not 0, else `b`. `out` is neither of them."""
    out[...] = b
    np.copyto(out, a, where=condition != 0)
    return out


def argmax(x: Array, out: Array) -> Array:
    """The index of the first largest entry of each row."""
    out[...] = x.argmax(axis=-1, keepdims=True)
    return out


def rank(x: Array, out: Array) -> Array:
    """1, 2, ... by size among the rows, column by column; ties share the mean of their places (as in Mann and Whitney 1947)."""
    for column in np.ndindex(x.shape[1:]):
        place = (slice(None), *column)
        _, back, counts = np.unique(x[place], return_inverse=True, return_counts=True)
        out[place] = (np.cumsum(counts) - (counts - 1) / 2)[back]
    return out


def onehot(index: Array, out: Array, size: int) -> Array:
    """Rows of zeros with a one at the index; an index outside 0..size-1 gives a row of zeros."""
    return np.equal(index, np.arange(size, dtype=index.dtype), out=out)


def gather(w: Array, index: Array, out: Array) -> Array:
    """The rows of `w` at the indices; where `onehot` gives a row of zeros, so does this."""
    there, place = _places(index, len(w))
    np.take(w, place, axis=0, out=out, mode="clip")
    if not there.all():
        out[~there] = 0
    return out


def scatter_add(x: Array, index: Array, out: Array, size: int) -> Array:
    """`size` rows: each the sum of the rows of `x` that have its index, in their order."""
    there, place = _places(index, size)
    out[...] = 0
    for start in range(0, len(x), BLOCK):  # a block at a time, for what is chosen is copied
        chosen = there[start : start + BLOCK]
        np.add.at(out, place[start : start + BLOCK][chosen], x[start : start + BLOCK][chosen])
    return out


def _places(index: Array, size: int) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Which indices of [.., 1] are one of 0..size-1, and the indices [..] as whole numbers."""
    column = index[..., 0]
    with np.errstate(invalid="ignore"):
        place = column.astype(np.intp)
    return (place == column) & (place >= 0) & (place < size), place


def bernoulli(q: Array, x: Array, out: Array, stream: np.random.Generator) -> Array:
    """1 with probability q, else 0, shaped like x, of which no number is read."""
    if q.ndim or not out.ndim:
        return np.less(stream.random(out.shape), q, out=out)
    flat = out.reshape(-1)
    for start in range(0, flat.size, BLOCK):
        part = flat[start : start + BLOCK]
        np.less(stream.random(part.size), q, out=part)
    return out


def concat(*parts: Array, out: Array) -> Array:
    """Side by side along the last axis."""
    return np.concatenate(parts, axis=-1, out=out)


def pad(x: Array, out: Array, axis: int, start: int, size: int) -> Array:
    """Zeros, with `x` at `start` along `axis`."""
    out[...] = 0
    out[(slice(None),) * axis + (slice(start, start + x.shape[axis]),)] = x
    return out


def take_slice(x: Array, axis: int, start: int, stop: int) -> Array:
    """A view of `start:stop` along `axis`."""
    return x[(slice(None),) * axis + (slice(start, stop),)]


def transpose(x: Array) -> Array:
    """A view of the transpose."""
    return x.T


def reshape(x: Array, shape: tuple[int, ...]) -> Array:
    """A view in another shape with as many numbers."""
    return x.reshape(shape)


def broadcast(x: Array, shape: tuple[int, ...]) -> Array:
    """A view repeated to `shape`."""
    return np.broadcast_to(x, shape)


def erf(x: Array, out: Array) -> Array:
    """The error function by SciPy, which comes with an extra: NumPy has none. `runtime.extras` has seen that it is there."""
    from scipy import special

    return special.erf(x, out=out)


def sum_over(x: Array, out: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """The sum over `axes`."""
    return np.add.reduce(x, axis=axes, keepdims=keep, out=out)


def row_total(x: Array, out: Array) -> Array:
    """The sum of each row, for every number of it."""
    np.copyto(out, np.add.reduce(x, axis=-1, keepdims=True))
    return out


def power(x: Array, n: Array, out: Array) -> Array:
    """x to the n-th; the square of an array is a product."""
    return np.square(x, out=out) if x.ndim and not n.ndim and n == 2 else to_the(x, n)(x, n, out=out)


def to_the(x: Array, n: Array) -> np.ufunc:
    """What raises x to the n-th; of float64 numbers what has the same bits for one and for many.

    That is the C library's. `power` has ways of its own to x^2 and x^0.5 if the exponent is one for all.
    """
    return np.float_power if not x.ndim and not n.ndim and x.dtype == np.float64 else np.power


def max_over(x: Array, out: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """The largest over `axes`; NaN wins."""
    return np.maximum.reduce(x, axis=axes, keepdims=keep, out=out)


def min_over(x: Array, out: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """The smallest over `axes`; NaN wins."""
    return np.minimum.reduce(x, axis=axes, keepdims=keep, out=out)
