"""Frames, which are data values while they are made, and what a pipe is.

    pipe = (parameters, fit: training rows in blocks, arguments -> statistics; apply: frame, statistics -> frame)

Statistics come from the training rows alone and are plain values: they are kept with the weights, and
prediction calls `apply` with them. A block is of so many rows whether all of them are in memory or not: so are the bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..compiler.facts import NOTHING, Facts
from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Span
from .columns import Column, Rows, Which, missing_faults, number_faults
from .split import Indices

Array = NDArray[np.float64]
Arguments = Mapping[str, float | str]
Statistics = dict[str, tuple[float, ...] | tuple[tuple[str, ...], ...]]
BLOCK = 2**20  # numbers of a block that statistics are taken of at once


class Frame(Struct, frozen=True, eq=False):
    """Columns side by side: `array` float64 [rows, width], or None as long as they are only what is written in `cells`.

    `sources` are the file's columns that it was made of; `span` is where it was written. `gap` is the fault that its missing
    cells are if it is a target, where `onehot` made them a category.
    """

    labels: tuple[str, ...]
    rows: Rows
    span: Span
    array: Array | None = None
    cells: tuple[Column, ...] = ()
    facts: Facts = NOTHING
    classes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    gap: Diagnostic | None = None


Pieces = Iterable[tuple[Frame, Which]]  # a frame, and those of its rows that train; they all are of one table


class Pipe(Struct, frozen=True):
    """`parameters` are the names of its arguments, which are numbers; `words` are the words that one takes beside them.

    `fit` goes through the training rows once; `numeric`: it takes numbers only, and its frames have them.
    """

    parameters: tuple[str, ...]
    fit: Callable[[Pieces, Arguments, Span], Statistics]
    apply: Callable[[Frame, Statistics, Span], Frame]
    words: Mapping[str, tuple[str, ...]] = {}
    numeric: bool = False


def numeric(frame: Frame) -> Frame:
    """The frame with its cells as numbers; E0403, E0404 for cells that are none."""
    if frame.array is not None:
        return frame
    faults = [d for column in frame.cells for d in (*missing_faults(column, frame.span), *number_faults(column, frame.span))]
    if faults:
        raise MlpcError(*faults)
    return replace(frame, array=np.column_stack([column.numbers for column in frame.cells if column.numbers is not None]))


def numbers(frame: Frame) -> Array:
    """The array of a frame that has one."""
    assert frame.array is not None
    return frame.array


def block_rows(frame: Frame) -> int:
    """The rows of a block that has the columns of a frame."""
    return max(1, BLOCK // max(len(frame.labels), 1))


def in_blocks(frame: Frame, train: Indices) -> Iterator[tuple[Frame, Which]]:
    """The training rows of a frame that is in memory."""
    size = block_rows(frame)
    return ((frame, train[start : start + size]) for start in range(0, len(train), size))


def computed(frame: Frame, array: Array, span: Span, facts: Facts = NOTHING, labels: tuple[str, ...] = ()) -> Frame:
    """The frame with new numbers in place of its own; E0403 if one of them is not finite."""
    labels = labels or frame.labels
    if not np.isfinite(array).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise fault("E0403", span, f"{frame.rows.place(row)}, column `{labels[column]}`: the result is {array[row, column]}, "
                    "not a finite number", "leave out the row, or change the formula")  # fmt: skip
    return replace(frame, array=array, cells=(), facts=facts, labels=labels, classes=(), span=span)


def columns_of(frame: Frame) -> tuple[Column, ...]:
    """The columns, those of computed numbers too."""
    if frame.array is None:
        return frame.cells
    return frame.cells or tuple(Column(label, frame.array[:, i], frame.rows) for i, label in enumerate(frame.labels))


def plain(array: Array) -> tuple[float, ...]:
    """Statistics of columns, as they are kept."""
    return tuple(array.tolist())
