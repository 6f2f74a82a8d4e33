"""The loss and the metrics of a split: what is of a row in chunks, as prediction runs it, and the rest once over all rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..compiler.plan import Plan
from ..compiler.row_products import by_row
from ..compiler.rowwise import parts
from ..compiler.undisturbed import undisturbed
from .chunks import HEIGHT, Chunks
from .expand import expand
from .kernel import Array, Arrays, Kernel, lay_out

Losses = dict[str, float]
Metrics = dict[str, dict[str, Any]]  # split -> name -> a number or a matrix as nested lists


class Measures:
    """The evaluation plan ready to run on some splits, as often as the weights in `arrays` change. One thread, as `pinned(1)` has it.

    `data`: split -> value -> [rows, width], of which nothing is copied.
    """

    @undisturbed()
    def __init__(self, evaluation: Plan, arrays: Arrays, data: Mapping[str, Mapping[str, Array]]) -> None:
        found = parts(evaluation)
        self.plan, self.data = evaluation, data
        self.rows = {split: rows_of(values) for split, values in data.items()}
        given = {r: evaluation.values[r].name for r in found.carried if r < len(evaluation.values) and r in evaluation.inputs}
        made = tuple(r for r in found.carried if r not in given)
        self.chunks = Chunks(found.rows, made, arrays) if made else None
        most, dtype = max(self.rows.values(), default=0), np.dtype(evaluation.precision)
        room = {r: np.empty((most, *_sizes(found.rows.values[r].shape)), dtype) for r in made}
        self.between = {split: {r: array[:count] for r, array in room.items()} for split, count in self.rows.items()}
        self.rest: dict[str, Kernel] = {}
        workspace: Array | None = None
        for split in sorted(self.rows, key=lambda s: -self.rows[s]):  # the largest first: they run one by one, in its memory
            inputs = {str(r): data[split][name] for r, name in given.items()} | {str(r): a for r, a in self.between[split].items()}
            self.rest[split] = Kernel(found.rest, ("forward",), self.rows[split], arrays, inputs=inputs, workspace=workspace)
            workspace = self.rest[split].workspace

    def run(self, between: Callable[[], None] = lambda: None) -> tuple[Losses, Metrics]:
        """The loss and the reports of every split. `between` two chunks it may be ended by an exception."""
        losses: Losses = {}
        metrics: Metrics = {}
        for split, rows in self.rows.items():
            if self.chunks is not None:
                self.chunks.run(rows, self.data[split], self.between[split], between)
            kernel = self.rest[split]
            between()
            kernel.run()
            losses[split] = kernel[self.plan.loss].item()
            metrics[split] = {name: plain(kernel[register]) for name, register in self.plan.reports}
        return losses, metrics


def rows_of(values: Mapping[str, Array]) -> int:
    """The rows of a split; 1 for a model without data."""
    return next((len(a) for a in values.values()), 1)


def measuring_bytes(evaluation: Plan, rows: int) -> int:
    """What measuring a split of so many rows takes beside its data."""
    found, itemsize = parts(evaluation), np.dtype(evaluation.precision).itemsize
    shapes = {v.id: v.shape for v in found.rows.values}
    of_a_row = sum(math.prod(_sizes(shapes[r])) for r in found.carried if r not in evaluation.inputs)
    inputs = sum(math.prod(_sizes(shapes[r])) for r in found.rows.inputs) * HEIGHT
    results = {evaluation.loss, *(register for _, register in evaluation.reports)}
    chunk = lay_out(expand(by_row(found.rows), ("forward",), HEIGHT, found.carried), itemsize).arena_bytes
    rest = lay_out(expand(found.rest, ("forward",), rows, results), itemsize).arena_bytes
    return chunk + rest + (of_a_row * rows + inputs) * itemsize


def plain(value: Array) -> Any:
    """A number for an array of one, else nested lists."""
    return value.item() if value.size == 1 else value.tolist()


def _sizes(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(int(d) for d in shape[1:])
