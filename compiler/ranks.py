"""How an operation is dealt out to several ranks: by rows of the result, by its columns where rows are added up, or not at all.

A rank reads what it likes and writes what is its own; what is not dealt out is done by the first. The parts follow from the sizes and the
number of ranks alone, so the bits do too, whoever runs a rank and whenever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .ops import Op

Sizes = tuple[int, ...]
EVEN = 16  # numbers, or rows, that stay together: a cache line of float32
# What is worth dealing out, where to wait for each other takes some microseconds:
LARGE = 8192  # numbers of a result or an operand
TALL = 65536  # numbers that are only read, of a matrix whose rows are added up or taken
FLOPS = 2_000_000  # of a product


def tall(numbers: int) -> bool:
    """Whether so many numbers are worth dealing out that are read once and no more."""
    return numbers >= TALL


def by_columns(row: Op, args: Sequence[Sizes], attrs: Mapping[str, Any]) -> bool:
    """Whether each rank reduces columns of its own."""
    return row.kind == "reduce" and attrs["axes"] == (0,) and len(args[0]) == 2 and tall(math.prod(args[0]))


def by_rows(row: Op, args: Sequence[Sizes], out: Sizes, attrs: Mapping[str, Any]) -> list[bool] | None:
    """Of which operands a row of the result needs that row alone, where it needs all of the others; None if it is not dealt out by rows."""
    if not out:
        return None
    if row.kind == "matmul" and len(args[0]) == len(args[1]) == 2 and 2 * math.prod(out) * args[1][0] >= FLOPS:
        return [True, False]
    if max(map(math.prod, (out, *args))) < LARGE:
        return None
    if row.kind == "elementwise":
        return [len(a) == len(out) and a[0] == out[0] for a in args]
    if (row.kind == "rowwise" and len(out) > 1) or (row.kind == "reduce" and 0 not in attrs["axes"]):
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
