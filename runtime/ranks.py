"""What each of several ranks does of an operation: its rows of the result, or its share of a long vector.

A rank reads what it likes and writes what is its own; what cannot be dealt out is done by the first. The shares follow from the sizes and
the number of ranks alone, so the bits do too, whichever process a rank runs in and whenever.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..compiler.ops import Op

Array = NDArray[Any]
Share = tuple[int, list[Array], Array]  # which rank's, operands and result
EVEN = 16  # numbers, or rows, that stay together: a cache line of float32
# What is worth dealing out, where to wait for each other takes some microseconds:
LARGE = 8192  # numbers of a result
TALL = 65536  # numbers of a matrix whose rows are added up
FLOPS = 2_000_000  # of a product


def shares(row: Op, args: Sequence[Array], out: Array, attrs: Mapping[str, Any], ranks: int) -> list[Share]:
    """What each rank does that has something to do: the first alone where an operation is not dealt out."""
    if ranks > 1 and out.ndim:
        if row.kind == "reduce" and attrs["axes"] == (0,) and args[0].ndim == 2 and args[0].size >= TALL and out.flags.c_contiguous:
            flat, (x,) = out.reshape(-1), args
            return [(rank, [x[:, part]], flat[part].reshape(out.shape[:-1] + (-1,))) for rank, part in cut(len(flat), ranks)]
        read = _by_row(row, args, out, attrs)
        if read is not None:
            return [
                (rank, [a[part] if split else a for a, split in zip(args, read, strict=True)], out[part])
                for rank, part in cut(len(out), ranks)
            ]
    return [(0, [*args], out)]


def _by_row(row: Op, args: Sequence[Array], out: Array, attrs: Mapping[str, Any]) -> list[bool] | None:
    """Of which operands a row of the result needs that row alone, where it needs all of the others; None if it is not to be dealt out by rows."""
    if row.kind == "matmul" and args[0].ndim == args[1].ndim == 2 and 2 * out.size * args[1].shape[0] >= FLOPS:
        return [True, False]
    if max(out.size, *(a.size for a in args)) < LARGE:
        return None
    if row.kind == "elementwise":
        return [a.ndim == out.ndim and len(a) == len(out) for a in args]
    if (row.kind == "rowwise" and out.ndim > 1) or (row.kind == "reduce" and 0 not in attrs["axes"]):
        return [True] * len(args)
    return None


def cut(count: int, ranks: int) -> Iterator[tuple[int, slice]]:
    """Each rank that gets any of `count`, and which; in whole cache lines, where there is enough to deal out."""
    even = EVEN if count >= 2 * EVEN * ranks else 1
    start = 0
    for rank in range(ranks):
        stop = min(-(-count * (rank + 1) // (ranks * even)) * even, count)
        if stop > start:
            yield rank, slice(start, stop)
            start = stop
