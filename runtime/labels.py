"""The pipes for labels: `onehot` makes a column of each, `index` a whole number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from ..compiler.facts import ONEHOT, ZERO_ONE
from ..compiler.facts import counted as below
from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Span
from .columns import Column, Which, missing, missing_faults, number, short
from .frame import Arguments, Frame, Pieces, Pipe, Statistics, columns_of, computed

LARGEST = 2**27  # numbers in one one-hot value: 1 GiB
MISSING = "(missing)"  # how the category of the missing cells is shown; in the statistics it is ''
TARGET = "a target has no class of missing labels: `|> drop_missing` before it leaves out the row"


def distinct(cells: Iterable[str]) -> tuple[tuple[str, ...], bool]:
    """Distinct labels, and whether all are numbers: those in their order (the first way one is written stands for it), text by code point."""
    cells = dict.fromkeys(cells)
    by_number = all(number(cell) is not None for cell in cells)
    first: dict[float | str, str] = {}
    for cell in cells:
        first.setdefault(key_of(cell, by_number), cell)
    return tuple(first[key] for key in sorted(first, key=lambda key: (isinstance(key, str), key))), by_number


def key_of(cell: str, by_number: bool) -> float | str:
    """What makes two cells the same label: their number, or their text."""
    value = number(cell) if by_number else None
    return cell if value is None else value


def codes(column: Column, known: tuple[str, ...]) -> NDArray[np.intp]:
    """The position of each cell among known labels, -1 for one that is not there; '' is that of missing cells."""
    by_number = all(number(label) is not None for label in known if label)
    place = {key_of(label, by_number): i for i, label in enumerate(known)}

    def of(cells: Iterable[str]) -> NDArray[np.intp]:
        return np.array([place.get("" if missing(cell) else key_of(cell, by_number), -1) for cell in cells], np.intp)

    if isinstance(column.written, tuple):
        return of(column.written)
    values, where = np.unique(column.written, return_inverse=True)
    return of(Column("", values, column.rows).cells)[where]


def class_counts(frame: Frame, train: Which) -> tuple[int, ...]:
    """The training rows of each class; of one column without classes, those of 0 and of 1; () where it has other numbers, or several columns."""
    if frame.array is None or not frame.array.size:
        return ()
    array = frame.array[train]
    if frame.facts.onehot:
        return tuple(array.sum(axis=0).astype(int).tolist())
    if array.shape[1] > 1 or not (frame.classes or np.isin(array, (0, 1)).all()):
        return ()
    return tuple(np.bincount(array[:, 0].astype(int), minlength=len(frame.classes) or 2).tolist())


def counted(pieces: Pieces) -> list[dict[str, int]]:
    """Of each column the cells of the training rows, each once, in the order in which they first come -> how many rows have it."""
    found: list[dict[str, int]] = []
    for frame, rows in pieces:
        columns = columns_of(frame)
        found = found or [{} for _ in columns]
        for seen, column in zip(found, columns, strict=True):
            for cell, count in column.counted(rows).items():
                seen[cell] = seen.get(cell, 0) + count
    return found


def _fit_onehot(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    """The sorted distinct labels of the training rows, column by column; last '', if a training row's cell is missing."""
    classes: list[tuple[str, ...]] = []
    for cells in counted(pieces):
        labels, _ = distinct(cell for cell in cells if not missing(cell))
        classes.append(labels + ("",) * any(missing(cell) for cell in cells))
    return {"classes": tuple(classes)}


def _apply_onehot(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    columns, classes = columns_of(frame), _classes(statistics)
    rows, width = len(frame.rows.lines), sum(len(known) for known in classes)
    if rows * width > LARGEST:
        raise fault("E0234", span, f"`onehot` would make {width} columns of {rows} rows", "is this column a label, or an id of the row?")
    array = np.zeros((rows, width))
    labels: list[str] = []
    faults: list[Diagnostic] = []
    for column, known in zip(columns, classes, strict=True):
        found = codes(column, known)
        if (found < 0).any():
            faults.append(_unseen(column, int(found.argmin()), known, span))
        else:
            array[np.arange(rows), len(labels) + found] = 1.0
        shown = [label or MISSING for label in known]
        labels += shown if len(columns) == 1 else [f"{column.name}={label}" for label in shown]
    if faults:
        raise MlpcError(*faults)
    single = len(columns) == 1
    facts = ONEHOT if single else ZERO_ONE
    gap = next((replace(d, hint=TARGET) for column in columns for d in missing_faults(column, frame.span)), frame.gap)
    return replace(computed(frame, array, span, facts, tuple(labels)), classes=tuple(labels) if single else (), gap=gap)


def _fit_index(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    """The sorted distinct labels of the training rows, column by column; a missing cell has no number."""
    return {"classes": tuple(distinct(cells)[0] for cells in counted(_without_gaps(pieces)))}


def _without_gaps(pieces: Pieces) -> Pieces:
    """The same; E0404 where a cell is missing, in whichever row."""
    for frame, rows in pieces:
        faults = [d for column in columns_of(frame) for d in missing_faults(column, frame.span)]
        if faults:
            raise MlpcError(*faults)
        yield frame, rows


def _apply_index(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    """The position of each label among those of the training rows, from 0."""
    columns, classes = columns_of(frame), _classes(statistics)
    faults: list[Diagnostic] = []
    numbers: list[NDArray[np.intp]] = []
    for column, known in zip(columns, classes, strict=True):
        found = codes(column, known)
        numbers.append(found)
        faults += [_unseen(column, int(found.argmin()), known, span)] if (found < 0).any() else []
    if faults:
        raise MlpcError(*faults)
    array = np.array(numbers, dtype=np.float64).T
    facts = below(max(len(known) for known in classes))
    return replace(computed(frame, array, span, facts), classes=classes[0] if len(columns) == 1 else ())


def _classes(statistics: Statistics) -> tuple[tuple[str, ...], ...]:
    return tuple(known for known in statistics["classes"] if isinstance(known, tuple))


def _unseen(column: Column, row: int, known: tuple[str, ...], span: Span) -> Diagnostic:
    label = column.cells[row]
    many = sum(cell == label for cell in column.cells) if not missing(label) else int(column.gaps.sum())
    count = f"{many} row{'s' if many > 1 else ''}"
    classes = ", ".join(label or MISSING for label in known[:12]) + (", ..." if len(known) > 12 else "")
    place = f"{column.rows.place(row)}, column `{column.name}`"
    hint = "`split = stratified(...)` gives every split its share of each class, if it has rows enough"
    if missing(label):
        hint = "`|> impute(most_frequent)` before it fills the cell, `|> drop_missing` leaves out the row"
        return Diagnostic(
            "E0407", span, f"{place}: the cell is missing ({count}), and no training row's is; the classes there are {classes}", hint
        )
    return Diagnostic("E0407", span, f"{place}: `{short(label)}` ({count}) is in no training row; the classes there are {classes}", hint)


PIPES: dict[str, Pipe] = {
    "onehot": Pipe((), _fit_onehot, _apply_onehot),
    "index": Pipe((), _fit_index, _apply_index),
}
