"""Where arrays lie: from a cache line on, in memory of this process or of all that share a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from .buffers import ALIGNMENT

Array = NDArray[Any]


class Room(Struct, frozen=True):
    """Makes arrays; what is `common` is seen by the processes that this one forks."""

    common: bool = False

    def bytes(self, count: int) -> Array:
        """Uninitialised bytes, aligned."""
        raw = _shared(count + ALIGNMENT) if self.common else np.empty(count + ALIGNMENT, np.uint8)
        skip = -raw.ctypes.data % ALIGNMENT
        return raw[skip : skip + count]

    def side_by_side(self, sizes: Sequence[int], dtype: np.dtype[Any]) -> tuple[Array, ...]:
        """Uninitialised arrays of so many numbers in one block, each aligned: as NumPy places them, half of all vectors would cross a cache line."""
        stops = list(accumulate(-(-size * dtype.itemsize // ALIGNMENT) * ALIGNMENT for size in sizes))
        block = self.bytes(stops[-1])
        return tuple(block[start:stop].view(dtype)[:size] for start, stop, size in zip([0, *stops], stops, sizes, strict=False))

    def zeros(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Zeros, aligned."""
        made = self.side_by_side([math.prod(shape)], dtype)[0].reshape(shape)
        made.fill(0)
        return made

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """An uninitialised array."""
        return self.side_by_side([math.prod(shape)], dtype)[0].reshape(shape) if self.common else np.empty(shape, dtype)


def _shared(count: int) -> Array:
    from mmap import mmap  # most trainings have one thread, and are short

    return np.frombuffer(mmap(-1, count), np.uint8)
