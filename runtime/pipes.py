"""Frames, which are data values while they are made, and the pipes that transform them.

    pipe = (parameters, fit: frame, training rows, arguments -> statistics; apply: frame, statistics -> frame)

Statistics come from the training rows alone and are plain values: they are kept with the weights, and
prediction calls `apply` with them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..compiler.facts import NOTHING, ONEHOT, Facts
from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Span
from .table import Column, Rows, missing_faults, number, number_faults

Array = NDArray[np.float64]
Statistics = dict[str, tuple[float, ...] | tuple[tuple[str, ...], ...]]
Indices = NDArray[np.int64]
LARGEST = 2**27  # numbers in one one-hot value: 1 GiB


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """Columns side by side: `array` float64 [rows, width], or None as long as they are only the text in `cells`.

    `sources` are the file's columns that it was made of; `span` is where it was written.
    """

    labels: tuple[str, ...]
    rows: Rows
    span: Span
    array: Array | None = None
    cells: tuple[Column, ...] = ()
    facts: Facts = NOTHING
    classes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pipe:
    """`parameters` are the names of the numbers that it takes."""

    parameters: tuple[str, ...]
    fit: Callable[[Frame, Indices, dict[str, float], Span], Statistics]
    apply: Callable[[Frame, Statistics, Span], Frame]


def numeric(frame: Frame) -> Frame:
    """The frame with its cells as numbers; E0403, E0404 for cells that are none."""
    if frame.array is not None:
        return frame
    faults = [d for column in frame.cells if column.numbers is None for d in number_faults(column, frame.span)]
    if faults:
        raise MlpcError(*faults)
    return replace(frame, array=np.column_stack([column.numbers for column in frame.cells if column.numbers is not None]))


def computed(frame: Frame, array: Array, span: Span, facts: Facts = NOTHING, labels: tuple[str, ...] = ()) -> Frame:
    """The frame with new numbers in place of its own; E0403 if one of them is not finite."""
    labels = labels or frame.labels
    if not np.isfinite(array).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise fault("E0403", span, f"{frame.rows.place(row)}, column `{labels[column]}`: the result is {array[row, column]}, "
                    "not a finite number", "leave out the row, or change the formula")
    return replace(frame, array=array, cells=(), facts=facts, labels=labels, classes=(), span=span)


def _numbers(frame: Frame) -> tuple[Frame, Array]:
    found = numeric(frame)
    assert found.array is not None
    return found, found.array


# --- standardize, minmax: (x - center) / scale ---------------------------------------------------


def _fit_standardize(frame: Frame, train: Indices, arguments: dict[str, float], span: Span) -> Statistics:
    """Mean and population deviation. Scaled by a power of two, which costs no bit, so that no square over- or underflows."""
    x = _numbers(frame)[1][train]
    _, exponent = np.frexp(np.abs(x).max(axis=0))
    scaled = np.ldexp(x, -exponent)
    mean, sd = np.ldexp(scaled.mean(axis=0), exponent), np.ldexp(scaled.std(axis=0), exponent)
    low, constant = x.min(axis=0), (x == x[0]).all(axis=0)  # rounding gives 0.1, 0.1, 0.1 a deviation of 1e-17
    return {"mean": _plain(np.where(constant, low, mean)), "sd": _plain(np.where(constant | (sd == 0), 1.0, sd))}


def _apply_standardize(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = _numbers(frame)
    with np.errstate(all="ignore"):
        return computed(frame, (x - np.array(statistics["mean"])) / np.array(statistics["sd"]), span)


def _fit_minmax(frame: Frame, train: Indices, arguments: dict[str, float], span: Span) -> Statistics:
    x = _numbers(frame)[1][train]
    return {"min": _plain(x.min(axis=0)), "max": _plain(x.max(axis=0))}


def _apply_minmax(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = _numbers(frame)
    low, high = np.array(statistics["min"]), np.array(statistics["max"])
    with np.errstate(all="ignore"):
        return computed(frame, (x - low) / np.where(high > low, high - low, 1.0), span)


# --- log, clip: no statistics, at most arguments -------------------------------------------------


def _fit_nothing(frame: Frame, train: Indices, arguments: dict[str, float], span: Span) -> Statistics:
    return {name: (value,) for name, value in arguments.items()}


def _apply_log(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = _numbers(frame)
    if not (x > 0).all():
        row, column = (int(i) for i in np.argwhere(x <= 0)[0])
        raise fault("E0403", span, f"{frame.rows.place(row)}, column `{frame.labels[column]}`: `log` needs numbers above 0, "
                    f"and this is {x[row, column]:.6g}", "add a number first, as in `log(x + 1)`, or leave out the row")
    return computed(frame, np.log(x), span)


def _fit_clip(frame: Frame, train: Indices, arguments: dict[str, float], span: Span) -> Statistics:
    if arguments["low"] > arguments["high"]:
        raise fault("E0206", span, f"`clip` from {arguments['low']:.6g} to {arguments['high']:.6g} leaves nothing",
                    "the lower bound comes first: clip(low, high)")
    return _fit_nothing(frame, train, arguments, span)


def _apply_clip(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = _numbers(frame)
    low, high = np.array(statistics["low"], dtype=np.float64), np.array(statistics["high"], dtype=np.float64)
    facts = Facts(nonnegative=bool(low[0] >= 0), positive=bool(low[0] > 0), bounded=True)
    return computed(frame, np.clip(x, low, high), span, facts)


# --- onehot --------------------------------------------------------------------------------------


def _fit_onehot(frame: Frame, train: Indices, arguments: dict[str, float], span: Span) -> Statistics:
    """The sorted distinct labels of the training rows, column by column."""
    columns = _cells(frame)
    faults = [d for column in columns for d in missing_faults(column, frame.span)]
    if faults:
        raise MlpcError(*faults)
    return {"classes": tuple(_labels([column.cells[i] for i in train]) for column in columns)}


def _apply_onehot(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    columns, classes = _cells(frame), statistics["classes"]
    rows, width = len(frame.rows.lines), sum(len(c) for c in classes if isinstance(c, tuple))
    if rows * width > LARGEST:
        raise fault("E0234", span, f"`onehot` would make {width} columns of {rows} rows", "is this column a label, or an id of the row?")
    array = np.zeros((rows, width))
    labels: list[str] = []
    faults: list[Diagnostic] = []
    for column, known in zip(columns, classes, strict=True):
        assert isinstance(known, tuple)
        by_number = all(number(label) is not None for label in known)
        place = {_key(label, by_number): len(labels) + i for i, label in enumerate(known)}
        found = [place.get(_key(cell, by_number), -1) for cell in column.cells]
        if -1 in found:
            faults.append(_unseen(column, found, known, span))
        else:
            array[np.arange(rows), found] = 1.0
        labels += known if len(columns) == 1 else [f"{column.name}={label}" for label in known]
    if faults:
        raise MlpcError(*faults)
    single = len(columns) == 1
    facts = ONEHOT if single else Facts(nonnegative=True, integer=True, bounded=True)
    return replace(computed(frame, array, span, facts, tuple(labels)), classes=tuple(labels) if single else ())


def _unseen(column: Column, found: list[int], known: tuple[str, ...], span: Span) -> Diagnostic:
    row = found.index(-1)
    label = column.cells[row]
    many = sum(cell == label for cell in column.cells)
    classes = ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")
    message = (f"{column.rows.place(row)}, column `{column.name}`: `{label}` ({many} row{'s' if many > 1 else ''}) is in no training row; "
               f"the classes there are {classes}")
    return Diagnostic("E0407", span, message, "`split = stratified(...)` gives every split its share of each class, if it has rows enough")


def _labels(cells: list[str]) -> tuple[str, ...]:
    """Distinct labels: numbers in their order (the first way one is written stands for it), text by code point."""
    by_number = all(number(cell) is not None for cell in cells)
    first: dict[float | str, str] = {}
    for cell in cells:
        first.setdefault(_key(cell, by_number), cell)
    return tuple(first[key] for key in sorted(first, key=lambda key: (isinstance(key, str), key)))


def _key(cell: str, by_number: bool) -> float | str:
    value = number(cell) if by_number else None
    return cell if value is None else value


def _cells(frame: Frame) -> tuple[Column, ...]:
    """The columns as text; those of computed numbers are written out (2.0 as `2`)."""
    if frame.cells or frame.array is None:
        return frame.cells
    return tuple(
        Column(label, tuple(repr(x).removesuffix(".0") for x in frame.array[:, i].tolist()), frame.rows)
        for i, label in enumerate(frame.labels)
    )


def _plain(array: Array) -> tuple[float, ...]:
    return tuple(array.tolist())


PIPES: dict[str, Pipe] = {
    "standardize": Pipe((), _fit_standardize, _apply_standardize),
    "minmax": Pipe((), _fit_minmax, _apply_minmax),
    "onehot": Pipe((), _fit_onehot, _apply_onehot),
    "log": Pipe((), _fit_nothing, _apply_log),
    "clip": Pipe(("low", "high"), _fit_clip, _apply_clip),
}
