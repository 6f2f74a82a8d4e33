"""The pipes for missing cells: `impute` fills them, `drop_missing` leaves out their rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import chain

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Span
from .columns import Column, Which, missing, missing_faults, number_faults
from .frame import Arguments, Array, Frame, Pieces, Pipe, Statistics, columns_of, computed
from .labels import counted, distinct, key_of
from .moments import exponent, moments

WORDS = ("mean", "median", "most_frequent")


class Drop(Struct, frozen=True):
    """Rows that a `drop_missing` leaves out: `rows` is true where a cell of its columns is missing; `columns` have such a cell."""

    rows: NDArray[np.bool_]
    columns: tuple[str, ...]
    span: Span


def dropped(frames: Iterable[Frame], span: Span) -> Drop:
    """The rows with a missing cell, of frames that lie one below the other."""
    rows: list[NDArray[np.bool_]] = []
    columns: dict[str, None] = {}
    for frame in frames:
        rows.append(np.zeros(len(frame.rows.lines), dtype=np.bool_))
        for column in frame.cells:  # what is computed has none
            rows[-1] |= column.gaps
        columns |= dict.fromkeys(c.name for c in frame.cells if c.gaps.any())
    return Drop(np.concatenate(rows), tuple(columns), span)


def _fit_impute(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    """What fills a column: the number given, or the statistic of the training rows that have one."""
    way, pieces = arguments["fill"], iter(pieces)
    first = next(pieces)
    columns = columns_of(first[0])
    labels = way == "most_frequent" and not all(column.is_numeric for column in columns)
    pieces = chain([first], pieces) if labels else _of_numbers(chain([first], pieces))
    if not isinstance(way, str):
        next(iter(pieces))
        return {"fill": (way,) * len(columns)}
    if way == "most_frequent":
        cells = [{cell: count for cell, count in seen.items() if not missing(cell)} for seen in counted(pieces)]
        _refuse_empty(columns, cells, way, span)
        fills = [_most_frequent(there) for there in cells]
        return {"fill": tuple((fill,) for fill in fills) if labels else tuple(map(float, fills))}
    found: list[list[Array]] = [[] for _ in columns]
    for frame, rows in pieces:
        for parts, column in zip(found, columns_of(frame), strict=True):
            parts += [part] if len(part := _there(column, rows)) else []
    _refuse_empty(columns, found, way, span)
    return {"fill": tuple(float(moments(parts).mean) if way == "mean" else _median(np.concatenate(parts)) for parts in found)}


def _refuse_empty(columns: Iterable[Column], found: Iterable[Sized], way: str, span: Span) -> None:
    """E0404 for a column of which nothing was found."""
    for column, there in zip(columns, found, strict=True):
        if not there:
            raise fault("E0404", span, f"column `{column.name}`: every training row's cell is missing, so there is no {way} to fill it with",
                        "leave out the column, or give a number: impute(0)")  # fmt: skip


def _there(column: Column, rows: Which) -> Array:
    assert column.numbers is not None
    found = column.numbers[rows]
    return found[~np.isnan(found)]


def _median(x: Array) -> float:
    shift = exponent(np.abs(x).max())  # scaled by a power of two, so that no sum of two finite numbers overflows
    return float(np.ldexp(np.median(np.ldexp(x, -shift)), shift))


def _most_frequent(cells: Mapping[str, int]) -> str:
    """Of equally frequent labels the first in their order, of numbers the smallest."""
    order, by_number = distinct(cells)
    counts: dict[float | str, int] = {}
    for cell, count in cells.items():
        counts[key_of(cell, by_number)] = counts.get(key_of(cell, by_number), 0) + count
    return max(order, key=lambda label: counts[key_of(label, by_number)])


def _of_numbers(pieces: Pieces) -> Iterator[tuple[Frame, Which]]:
    """The same; E0403 where a cell is neither missing nor a number."""
    for frame, rows in pieces:
        faults = [d for column in columns_of(frame) for d in number_faults(column, frame.span)]
        if faults:
            raise MlpcError(*faults)
        yield frame, rows


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


def _fit_nothing(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
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
