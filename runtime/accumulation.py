"""`accumulate = k`: one update after k batches, by the mean of their gradients weighted by rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from msgspec.structs import replace

from ..compiler.plan import Plan
from ..compiler.ranks import cut, tall
from .kernel import Array, Arrays, Kernel, Look
from .later import Values, made, whole
from .program import GRADIENTS, MODEL_STATES, state_ranges
from .team import Team

Fill = Callable[[Array], None]  # of the rows that are chosen


def update_kernel(
    plan: Plan, arrays: Arrays, keep: Collection[int] = (), reuse: bool = True, look: Look | None = None, team: Team | None = None
) -> Kernel:
    """The kernel of the update alone."""
    return Kernel(update_plan(plan), ("update",), 1, arrays, keep, reuse, look=look, team=team)


def update_plan(plan: Plan) -> Plan:
    """The plan without new states of the model: what becomes of them after several batches is a mean too."""
    return replace(plan, model_states=tuple(replace(s, next=None) for s in plan.model_states))


def next_states(plan: Plan) -> tuple[int, ...]:
    """The registers that a batch's kernel must keep: what becomes of the states of the model."""
    return tuple(s.next for s in plan.model_states if s.next is not None)


class Group:
    """The batches of one step, the last of an epoch perhaps fewer and smaller. `rows` are those of all of them.

    `batches`: kernels of forward and gradient with the rows that each takes from `reading`.
    """

    def __init__(self, plan: Plan, arrays: Arrays, update: Kernel, batches: Sequence[tuple[Kernel, Array]], reading: Reading) -> None:
        self.plan, self.arrays, self.update, self.batches, self.reading = plan, arrays, update, batches, reading
        self.rows = sum(kernel.rows for kernel, _ in batches)
        self.loss = 0.0
        self.becomes = np.zeros_like(arrays.flat[MODEL_STATES])

    def run(self, between: Callable[[], None] | None = None) -> None:
        """Every batch, then the update. `between` is called after each batch."""
        self.gather(None if between is None else lambda _: between())
        self.finish()

    def gather(self, seen: Callable[[Kernel], None] | None = None) -> None:
        """Every batch, `seen` after each: leaves the gradients' mean in their place, and `loss`, the mean of the batches', weighted by rows."""
        gradient = self.arrays.flat[GRADIENTS]
        mean, becomes = np.zeros_like(gradient), self.becomes
        becomes[...] = 0
        spans = state_ranges(self.plan)
        self.loss = 0.0
        for kernel, chosen in self.batches:
            self.reading.take(kernel, chosen)
            kernel.run()
            if seen is not None:
                seen(kernel)
            share = kernel.rows / self.rows
            gradient *= share
            mean += gradient
            self.loss += share * kernel[self.plan.loss].item()
            for s, (start, stop) in zip(self.plan.model_states, spans, strict=True):
                if s.next is not None:
                    becomes[start:stop] += share * kernel[s.next].ravel()
        gradient[...] = mean

    def finish(self) -> None:
        """The update, by the gradients as they stand in their place."""
        self.update.run()
        self.arrays.flat[MODEL_STATES][...] = self.becomes


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
