"""Rows that are made when they are asked for, and read ahead on a thread of their own.

What the thread makes follows from what it is asked for alone, and comes in the order asked for: no bit depends on how fast it is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from .columns import Which

Array = NDArray[Any]
Chosen = range | NDArray[np.signedinteger[Any]]  # rows, ascending
PIECE = 2**18  # numbers that are made at once, 2 MB in float64: with what they are made of they stay in a core's cache
WAITING = 2  # pieces that are made, or being made, before they are asked for

_T = TypeVar("_T")


class Later(Struct, frozen=True, eq=False):
    """A value's rows [rows, width], which `make` gives of any that are asked for, in float64; they come in `dtype`.

    `low` and `high` [width] are the least and the largest number of each column.
    """

    shape: tuple[int, int]
    make: Callable[[Which], Array]
    low: Array
    high: Array
    dtype: str = "float64"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, which: Which) -> Array:
        with np.errstate(all="ignore"):
            return np.ascontiguousarray(self.make(which), self.dtype)

    def take(self, rows: NDArray[np.signedinteger[Any]], axis: int, out: Array, mode: str) -> None:
        """Some rows, as `take` of an array along axis 0 gives them."""
        out[...] = self[rows]


Values = Any  # an array or a `Later`: both are [rows, width], and give rows by slice or by their numbers


def whole(data: Mapping[str, Values]) -> dict[str, Array] | None:
    """The values, if all of them are in memory."""
    found = {name: a for name, a in data.items() if not isinstance(a, Later)}
    return found if len(found) == len(data) else None


def made(data: Mapping[str, Values], rows: Chosen, size: int = 1) -> Generator[dict[str, Array]]:
    """Such rows of all values, in this order, as many at a time as a few batches of `size` have; made ahead."""
    count = rows_of_piece(sum(a.shape[1] for a in data.values()), size)
    parts = (rows[start : start + count] for start in range(0, len(rows), count))
    return ahead({name: a[slice(p.start, p.stop) if isinstance(p, range) else p] for name, a in data.items()} for p in parts)


def rows_of_piece(width: int, size: int) -> int:
    """The rows that are made at once, of so many numbers each: some batches of so many rows."""
    return size * max(1, PIECE // (size * max(width, 1)))


def extent(a: Values) -> tuple[Array, Array]:
    """The least and the largest number of each column."""
    return (a.low, a.high) if isinstance(a, Later) else (a.min(axis=0), a.max(axis=0))


def in_precision(a: Values, precision: str) -> Values:
    """The same numbers in a precision; not copied where nothing changes."""
    return replace(a, dtype=precision) if isinstance(a, Later) else np.ascontiguousarray(a, precision)


def ahead(items: Iterable[_T]) -> Generator[_T]:
    """The items, made on a thread before they are asked for. What making one raises is raised where it is asked for; closing ends the thread."""
    from concurrent.futures import ThreadPoolExecutor

    made, end = iter(items), object()
    with ThreadPoolExecutor(1, "mlpc-rows") as thread:
        waiting = deque(thread.submit(next, made, end) for _ in range(WAITING))
        try:
            while (item := waiting.popleft().result()) is not end:
                waiting.append(thread.submit(next, made, end))
                yield item  # type: ignore[misc]
        finally:
            for future in waiting:
                future.cancel()


def cut(rows: Chosen, size: int) -> Iterator[Which]:
    """Rows, so many at a time."""
    for start in range(0, len(rows), size):
        yield neighbours(rows[start : start + size])


def neighbours(rows: Chosen) -> Which:
    """The same rows; as a slice if there is none between them that is not one of them."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if isinstance(rows, range) or last - first == len(rows) - 1 else rows
