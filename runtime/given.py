"""Rows that are given to a model: a file, an array, columns by name, a data frame. All become tables."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from . import arrays, parquet
from .columns import Column, Rows, Table
from .extras import install
from .selection import labels_of
from .table import ENDINGS, SEPARATORS, batches, text_of

BATCH = 4096  # rows of a text that are read at a time
HERE = "the table"  # what messages call one without a file


def tables(data: object, needed: Mapping[str, int], most: int | None = BATCH) -> Iterator[Table]:
    """The rows as one table after another; those of .csv and .tsv `most` at a time. `needed`: name -> width, whose order an array has.

    `data` is a path, an array [rows, columns], a mapping of columns, or a frame of pandas, polars or others that narwhals knows.
    MlpcError E0401 to E0409 for what is none, or cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        yield from _of_file(Path(data), needed, most)
    elif isinstance(data, np.ndarray):
        yield _in_order(_columns_of_array("", cast("Any", data)), HERE, needed)
    else:
        yield named(data)


def named(data: object) -> Table:
    """The table of columns that have names: a mapping, or a data frame. E0405, or E0401 without narwhals."""
    found = data if isinstance(data, Mapping) else _of_frame(data)
    columns = {str(name): _columns_of_array(str(name), _plain(cells)) for name, cells in cast("Mapping[object, object]", found).items()}
    sizes = {name: len(c[0].rows.lines) for name, c in columns.items() if c}
    if not sizes or 0 in sizes.values():
        raise fault("E0405", None, f"{HERE} has {len(columns)} columns and no row", "give columns of as many rows")
    for name, size in sizes.items():
        if size != next(iter(sizes.values())):
            first = next(iter(sizes))
            raise fault("E0409", None, f"column `{name}` has {size} rows and `{first}` has {sizes[first]}", "every column has as many rows")
    return Table(HERE, tuple(columns), lambda name, _: columns[name])


def _of_file(path: Path, needed: Mapping[str, int], most: int | None) -> Iterator[Table]:
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise fault("E0401", None, f"`{path}` ends in none of {' '.join(ENDINGS)}", "save the table as .csv")
    try:
        if ending in SEPARATORS:
            with open(path, "rb") as raw, text_of(raw) as file:
                yield from batches(file, path.name, SEPARATORS[ending], None, most)
        elif ending == ".parquet":
            yield parquet.open_table(path, None)
        else:
            table = arrays.open_table(path, None)
            yield table if ending == ".npz" or "data" in needed else _in_order(table.columns("data", None), path.name, needed)
    except OSError as error:
        raise MlpcError(Diagnostic("E0401", None, f"`{path}`: {error.strerror}", "name a table of raw rows"), status=74) from error


def _in_order(columns: tuple[Column, ...], file: str, needed: Mapping[str, int]) -> Table:
    """Columns without names of their own take those that are needed, in that order."""
    names = [label for name, width in needed.items() for label in labels_of(name, width)]
    if len(names) != len(columns):
        shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        message = f"the array has {len(columns)} column{'s' * (len(columns) != 1)}, and {len(names)} are needed"
        raise fault("E0402", None, message, f"in this order: {shown}; or give a mapping of columns")
    found = {name: (Column(name, c.written, c.rows),) for name, c in zip(names, columns, strict=True)}
    return Table(file, tuple(names), lambda name, _: found[name])


def _columns_of_array(name: str, array: np.ndarray[Any, Any]) -> tuple[Column, ...]:
    """Of [rows] or [rows, columns] of numbers or text; None and NaN are missing cells."""
    called = f"column `{name}`" if name else "the array"
    if array.ndim not in (1, 2):
        raise fault("E0405", None, f"{called} has {array.ndim} axes, and data is [rows] or [rows, columns]", "x.reshape(len(x), -1)")
    columns = array.reshape(len(array), -1).T
    rows = Rows("", range(1, len(array) + 1), text=False)
    return tuple(Column(label, _cells(cells, called), rows) for label, cells in zip(labels_of(name, len(columns)), columns, strict=True))


def _cells(cells: np.ndarray[Any, Any], called: str) -> Any:
    """Float64, or text if one of them is."""
    if cells.dtype.kind in "biuf":
        return cells.astype(np.float64)
    if cells.dtype.kind not in "OUT":
        raise fault("E0405", None, f"{called} holds {cells.dtype}, not numbers or text", "convert it to numbers or to text first")
    found = [None if c is None or c != c else c for c in cells.tolist()]
    if all(c is None or isinstance(c, int | float) for c in found):
        return np.array([np.nan if c is None else float(c) for c in found])
    if not all(c is None or isinstance(c, str | int | float) for c in found):
        odd = next(type(c).__name__ for c in found if not (c is None or isinstance(c, str | int | float)))
        raise fault("E0405", None, f"{called} holds {odd}, not numbers or text", "convert it to numbers or to text first")
    return tuple("" if c is None else str(c) for c in found)


def _plain(cells: object) -> np.ndarray[Any, Any]:
    """A column as an array; a list with text in it keeps what each cell is."""
    if isinstance(cells, np.ndarray):
        return cast("np.ndarray[Any, Any]", cells)
    listed = list(cast("Any", cells)) if not isinstance(cells, str) and hasattr(cells, "__iter__") else [cells]
    texts = any(c is None or isinstance(c, str) for c in listed)
    try:
        return np.array(listed, dtype=object if texts else None)
    except ValueError as error:  # rows of unequal lengths
        raise fault("E0405", None, f"a column holds no plain rows: {error}", "a column is [rows] or [rows, columns]") from error


def _of_frame(data: object) -> dict[str, object]:
    """The columns of a data frame."""
    try:
        import narwhals as nw
    except ImportError as error:
        kind = type(data).__name__
        raise fault(
            "E0401", None, f"a {kind} was given, and narwhals, which reads data frames, is not installed", install("frames")
        ) from error
    try:
        frame = cast("Any", nw).from_native(data, eager_only=True)
    except TypeError:
        kind = type(data).__name__
        hint = "give a path, an array, a mapping of columns, or a frame of pandas or polars"
        raise fault("E0405", None, f"a {kind} is no table", hint) from None
    return {name: _with_gaps(frame[name].to_list(), frame[name].is_null().to_list()) for name in frame.columns}


def _with_gaps(cells: list[object], gaps: list[bool]) -> np.ndarray[Any, Any]:
    """The cells, None where there is a gap: each library has a value of its own for one."""
    found = np.empty(len(cells), dtype=object)
    found[:] = [None if gap else cell for cell, gap in zip(cells, gaps, strict=True)]
    return found
