"""The loss and the metrics of a split: what is of a row in chunks, as prediction runs it, and the rest once over all rows.

Sums over rows are added up in float64, a block of rows at a time, so that of most losses and metrics nothing is kept of a row.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, nullcontext
from typing import Any

import numpy as np

from ..compiler.plan import Plan
from ..compiler.row_products import by_row
from ..compiler.rowwise import parts
from ..compiler.undisturbed import undisturbed
from .chunks import HEIGHT, Chunks
from .expand import expand
from .kernel import Array, Arrays, Kernel, lay_out
from .later import Values, made, whole

BLOCK = 1024 * HEIGHT  # rows that are summed at once
Losses = dict[str, float]
Piece = tuple[int, Mapping[str, Array]]  # rows, and the values that they have
Metrics = dict[str, dict[str, Any]]  # split -> name -> a number or a matrix as nested lists


class Measures:
    """The evaluation plan ready to run on some splits, as often as the weights in `arrays` change. One thread, as `pinned(1)` has it.

    `data`: split -> value -> [rows, width].
    """

    @undisturbed()
    def __init__(self, evaluation: Plan, arrays: Arrays, data: Mapping[str, Mapping[str, Values]]) -> None:
        names = [evaluation.values[r].name for r in evaluation.inputs]
        self.data = {split: {name: values[name] for name in names} for split, values in data.items()}
        self.rows = {split: rows_of(values) for split, values in data.items()}
        self.there = {split: whole(values) for split, values in self.data.items()}  # once: there are hundreds of epochs
        self.measure = Measure(evaluation, arrays, max(self.rows.values(), default=0))
        for rows in sorted(self.rows.values(), reverse=True):  # the largest first: they run one by one, in its memory
            self.measure.prepare(rows)

    def run(self, between: Callable[[], None] = lambda: None) -> tuple[Losses, Metrics]:
        """The loss and the reports of every split. `between` two chunks it may be ended by an exception."""
        losses: Losses = {}
        metrics: Metrics = {}
        for split, values in self.data.items():
            there, rows = self.there[split], self.rows[split]
            with nullcontext([(rows, there)]) if there is not None else closing(pieces(values, rows)) as parts:
                losses[split], metrics[split] = self.measure.run(parts, between)
        return losses, metrics


def pieces(values: Mapping[str, Values], rows: int) -> Generator[Piece]:
    """All rows; those that are made when they are asked for some at a time."""
    there = whole(values)
    if there is not None:
        yield rows, there
        return
    with closing(made(values, range(rows))) as parts:
        for part in parts:
            yield rows_of(part), part


class Measure:
    """The evaluation plan ready to run on any rows, of which room is made for `most`. One thread, as `pinned(1)` has it."""

    def __init__(self, evaluation: Plan, arrays: Arrays, most: int) -> None:
        self.plan, self.arrays = evaluation, arrays
        self.parts = found = parts(evaluation)
        read = dict.fromkeys((*found.added, *found.carried))
        self.given = {r: evaluation.values[r].name for r in read if r in evaluation.inputs}
        self.made = tuple(r for r in read if r not in self.given)
        self.chunks = Chunks(found.rows, self.made, arrays) if self.made else None
        self.block = {r: self._room(r, min(most, BLOCK)) for r in found.added}
        self.kept = {r: self._room(r, most) for r in found.carried}
        self.totals = {r: np.zeros(_sizes(found.sums.values[r].shape), evaluation.precision) for r in found.totals}
        self.sums: dict[int, Kernel] = {}
        self.rest: dict[int, Kernel] = {}
        self.workspace: Array | None = None

    def run(self, given: Iterable[Piece], between: Callable[[], None] = lambda: None) -> tuple[float, dict[str, Any]]:
        """The loss and the reports over all rows that are given. `between` comes before each chunk."""
        totals: dict[int, Array] = {}
        filled = rows = 0
        for count, values in given:
            self._grow(rows, rows + count)
            start = 0
            while start < count:
                size = min(count - start, BLOCK - filled)
                self._chunk({name: a[start : start + size] for name, a in values.items()}, size, filled, rows, between)
                start, filled, rows = start + size, filled + size, rows + size
                if filled == BLOCK:
                    self._add(filled, totals)
                    filled = 0
        if filled:
            self._add(filled, totals)
        for register, total in totals.items():
            self.totals[register][...] = total
        kernel = self.prepare(rows)
        between()
        kernel.run()
        return kernel[self.plan.loss].item(), {name: plain(kernel[register]) for name, register in self.plan.reports}

    def prepare(self, rows: int) -> Kernel:
        """The kernel of what takes all of so many rows together."""
        if rows not in self.rest:
            inputs = {str(r): a[:rows] for r, a in self.kept.items()} | {str(r): a for r, a in self.totals.items()}
            self.rest[rows] = Kernel(self.parts.rest, ("forward",), rows, self.arrays, inputs=inputs, workspace=self.workspace)
            self.workspace = self.workspace if self.workspace is not None else self.rest[rows].workspace
        return self.rest[rows]

    def _room(self, register: int, rows: int) -> Array:
        shape = self.parts.rows.values[register].shape
        return np.empty((rows, *_sizes(shape[1:])), self.plan.precision)

    def _grow(self, rows: int, needed: int) -> None:
        """Makes room for more rows than were told of, of which some are there."""
        for r, a in self.kept.items():
            if len(a) < needed:
                self.kept[r] = self._room(r, max(needed, 2 * len(a)))
                self.kept[r][:rows] = a[:rows]

    def _chunk(self, values: Mapping[str, Array], size: int, filled: int, rows: int, between: Callable[[], None]) -> None:
        """What is made of some rows, into the block that is summed and to what is kept."""
        block = {r: a[filled : filled + size] for r, a in self.block.items()}
        kept = {r: a[rows : rows + size] for r, a in self.kept.items()}
        out = block | kept
        if self.chunks is not None:
            self.chunks.run(size, values, {r: out[r] for r in self.made}, between)
        for r, name in self.given.items():
            out[r][...] = values[name]
        for r in block.keys() & kept.keys():
            block[r][...] = kept[r]

    def _add(self, rows: int, totals: dict[int, Array]) -> None:
        """Adds the sums over so many rows of the block."""
        if not self.totals:
            return
        if rows not in self.sums:
            inputs = {str(r): a[:rows] for r, a in self.block.items()}
            self.sums[rows] = Kernel(self.parts.sums, ("forward",), rows, self.arrays, self.parts.totals, inputs=inputs)
        self.sums[rows].run()
        for r in self.parts.totals:
            found = self.sums[rows][r].astype(np.float64)
            totals[r] = totals[r] + found if r in totals else found


def rows_of(values: Mapping[str, Values]) -> int:
    """The rows of a split; 1 for a model without data."""
    return next((len(a) for a in values.values()), 1)


def measuring_bytes(evaluation: Plan, rows: int) -> int:
    """What measuring a split of so many rows takes beside its data."""
    found, itemsize = parts(evaluation), np.dtype(evaluation.precision).itemsize
    shapes = {v.id: v.shape for v in found.rows.values}

    def numbers(registers: Iterable[int]) -> int:
        return sum(math.prod(_sizes(shapes[r][1:])) for r in registers)

    block = min(rows, BLOCK)
    room = numbers(found.carried) * rows + numbers(found.added) * block + numbers(found.rows.inputs) * HEIGHT
    results = {evaluation.loss, *(register for _, register in evaluation.reports)}
    runs = [(by_row(found.rows), HEIGHT, {*found.added, *found.carried}), (found.rest, rows, results)]
    runs += [(found.sums, block, {*found.totals})] if found.totals else []
    return room * itemsize + sum(lay_out(expand(plan, ("forward",), n, keep), itemsize).arena_bytes for plan, n, keep in runs)


def plain(value: Array) -> Any:
    """A number for an array of one, else nested lists."""
    return value.item() if value.size == 1 else value.tolist()


def _sizes(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(int(d) for d in shape)
