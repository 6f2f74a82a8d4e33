"""`accumulate = k`: one update after k batches, by the mean of their gradients weighted by rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import numpy as np
from msgspec.structs import replace

from ..compiler.plan import Plan
from .kernel import Array, Arrays, Kernel, Look
from .program import GRADIENTS, MODEL_STATES, state_ranges
from .reading import Reading
from .team import Team


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
