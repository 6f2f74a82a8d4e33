"""The rows of a split on their way into kernels: taken from memory, or made ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..compiler.ranks import cut, tall
from .kernel import Array, Kernel
from .later import Values, made, whole
from .team import Team

Fill = Callable[[Array], None]  # of the rows that are chosen


class Reading:
    """The rows of a split on their way into kernels, in this order: taken from memory, or made ahead, a few batches of `size` at a time.

    To be closed in the end. `fills`: how each kernel gets rows that are in memory.
    """

    def __init__(self, data: Mapping[str, Values], order: Array, size: int, fills: Mapping[Kernel, Fill]) -> None:
        self.parts = made(data, order, size) if whole(data) is None else None
        self.part: dict[str, Array] = {}
        self.at = self.there = 0
        self.fills = fills

    def take(self, kernel: Kernel, chosen: Array) -> None:
        """Copies the next rows of the order, which are `chosen`, into the inputs of a kernel."""
        if self.parts is None:
            self.fills[kernel](chosen)
        else:
            self._next(kernel)

    def _next(self, kernel: Kernel) -> None:
        if self.at == self.there and self.parts is not None:
            self.part = next(self.parts)
            self.at, self.there = 0, len(next(iter(self.part.values())))
        for name, buffer in kernel.inputs.items():
            buffer[...] = self.part[name][self.at : self.at + kernel.rows]
        self.at += kernel.rows

    def close(self) -> None:
        """Ends the reading ahead."""
        if self.parts is not None:
            self.parts.close()


def filling(kernel: Kernel, data: Mapping[str, Array], team: Team) -> Fill:
    """What copies chosen rows into the kernel's inputs, but those that are the whole. Of many numbers each of the team copies some."""
    parts = [(data[name].take, buffer) for name, buffer in kernel.inputs.items() if buffer is not data[name]]
    if team.members == 1 or not tall(sum(buffer.size for _, buffer in parts)):
        return partial(_take, parts)
    rows = team.room.empty((kernel.rows,), np.dtype(np.intp))
    shares = dict(cut(kernel.rows, team.members))
    own = (shares.get(member, slice(0)) for member in range(team.members))
    together = team.add([partial(_take, [(take, buffer[part]) for take, buffer in parts], rows[part]) for part in own])

    def fill(chosen: Array) -> None:
        rows[...] = chosen
        together()

    return fill


def _take(parts: Sequence[tuple[Callable[..., Any], Array]], chosen: Array) -> None:
    """Of each array its chosen rows, into the buffer beside it."""
    for take, buffer in parts:
        take(chosen, 0, buffer, "clip")
