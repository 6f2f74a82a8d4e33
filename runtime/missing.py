"""The pipes for missing cells: `impute` fills them, `drop_missing` leaves out their rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Span
from .columns import Column, missing, missing_faults, number_faults
from .frame import Arguments, Array, Frame, Indices, Pipe, Statistics, columns_of, computed, plain
from .labels import distinct, key_of

WORDS = ("mean", "median", "most_frequent")


def gaps(frame: Frame) -> NDArray[np.bool_]:
    """The rows that have a missing cell [rows]."""
    found = np.zeros(len(frame.rows.lines), dtype=np.bool_)
    for column in frame.cells:  # what is computed has none
        found |= column.gaps
    return found


def _fit_impute(frame: Frame, train: Indices, arguments: Arguments, span: Span) -> Statistics:
    """What fills a column: the number given, or the statistic of the training rows that have one."""
    way, columns = arguments["fill"], columns_of(frame)
    labels = way == "most_frequent" and not all(column.is_numeric for column in columns)
    faults = [] if labels else [d for column in columns for d in number_faults(column, frame.span)]
    if faults:
        raise MlpcError(*faults)
    if not isinstance(way, str):
        return {"fill": (way,) * len(columns)}
    for column in columns:
        if column.gaps[train].all():
            raise fault("E0404", span, f"column `{column.name}`: every training row's cell is missing, so there is no {way} to fill it with",
                        "leave out the column, or give a number: impute(0)")  # fmt: skip
    if labels:
        return {"fill": tuple((_most_frequent(column, train),) for column in columns)}
    return {"fill": plain(np.array([_statistic(way, _there(column, train)) for column in columns]))}


def _there(column: Column, train: Indices) -> Array:
    assert column.numbers is not None
    found = column.numbers[train]
    return found[~np.isnan(found)]


def _statistic(way: str, x: Array) -> float:
    """Of equally frequent numbers the smallest."""
    if way == "most_frequent":
        values, counts = np.unique(x, return_counts=True)
        return float(values[counts.argmax()])
    _, exponent = np.frexp(np.abs(x).max())  # scaled by a power of two, so that no sum of finite numbers overflows
    scaled = np.ldexp(x, -exponent)
    return float(np.ldexp(np.median(scaled) if way == "median" else scaled.mean(), exponent))


def _most_frequent(column: Column, train: Indices) -> str:
    """Of equally frequent labels the first in their order."""
    cells = [column.cells[i] for i in train if not missing(column.cells[i])]
    order, by_number = distinct(cells)
    counts: dict[float | str, int] = {}
    for cell in cells:
        counts[key_of(cell, by_number)] = counts.get(key_of(cell, by_number), 0) + 1
    return max(order, key=lambda label: counts[key_of(label, by_number)])


def _apply_impute(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    filled: list[Column] = []
    fills, columns = statistics["fill"], columns_of(frame)
    faults = [d for c, fill in zip(columns, fills, strict=True) if not isinstance(fill, tuple) for d in number_faults(c, frame.span)]
    if faults:
        raise MlpcError(*faults)
    for column, fill in zip(columns, fills, strict=True):
        if isinstance(fill, tuple):
            cells = tuple(fill[0] if gap else cell for cell, gap in zip(column.cells, column.gaps.tolist(), strict=True))
            filled.append(Column(column.name, cells, column.rows))
        else:
            assert column.numbers is not None
            filled.append(Column(column.name, np.where(column.gaps, fill, column.numbers), column.rows))
    if all(not isinstance(column.written, tuple) for column in filled):
        return computed(frame, np.column_stack([np.asarray(column.written) for column in filled]), span)
    return replace(frame, array=None, cells=tuple(filled), span=span)


def _fit_nothing(frame: Frame, train: Indices, arguments: Arguments, span: Span) -> Statistics:
    return {}


def _apply_drop(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    """The frame itself: its rows are left out before anything is fitted, and prediction refuses them."""
    faults = [d for column in frame.cells for d in missing_faults(column, frame.span)]
    if faults:
        raise MlpcError(*faults)
    return replace(frame, span=span)


PIPES: dict[str, Pipe] = {
    "impute": Pipe(("fill",), _fit_impute, _apply_impute, {"fill": WORDS}),
    "drop_missing": Pipe((), _fit_nothing, _apply_drop),
}
