"""Rows that are given to a model: a file, an array, columns by name, a data frame. All become tables.

A column is looked at when it is asked for: what no statement reads may be anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from datetime import date, time, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Span
from . import arrays, parquet
from .columns import Column, Rows, Table, missing
from .extras import install
from .location import stamp
from .selection import labels_of
from .table import ENDINGS, SEPARATORS, batches, text_of

BATCH = 4096  # rows of a text that are read at a time
HERE = "the table"  # what messages call one without a file
GAPS = {"NAType", "NaTType"}  # pandas' own marks of a missing cell, by name: it is not imported to know them
DATES = "make numbers of them: days since a date, for example"
OTHERS = "make numbers or text of them"
Cells = np.ndarray[Any, Any]


def table(data: object) -> Table:
    """The table that a model is trained on in place of its file's `from`: of a path, a mapping of columns, or a data frame.

    An array is a table of the one name `data`, as in a .npy file. MlpcError E0401 or E0405 for what is none.
    """
    if isinstance(data, str | os.PathLike):
        return replace(next(_of_file(Path(data), {"data": 1}, None)), origin=os.fspath(cast("os.PathLike[str]", data)))
    kind = type(data)
    module = kind.__module__.partition(".")[0]
    origin = kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
    return replace(named({"data": data} if isinstance(data, np.ndarray) else data), origin=origin)


def tables(data: object, needed: Mapping[str, int], most: int | None = BATCH) -> Iterator[Table]:
    """The rows as one table after another; those of .csv and .tsv, and of large arrays, `most` at a time.

    `needed`: name -> width, whose order an array has.

    `data` is a path, an array [rows, columns], a mapping of columns, or a frame of pandas, polars or others that narwhals knows.
    MlpcError E0401 to E0409 for what is none, or cannot be read.
    """
    if isinstance(data, str | os.PathLike):
        yield from _unchanged(Path(data), _of_file(Path(data), needed, most))
    elif isinstance(data, np.ndarray):
        table = named({"data": data})
        if table.stored is None:
            yield _in_order(_columns_of_array("", cast("Cells", data), None), HERE, needed)
        else:
            yield from (_in_order(t.columns("data", None), HERE, needed) for t in _parts(table, ["data"], most))
    else:
        yield from _parts(named(data), needed, most)


def named(data: object) -> Table:
    """The table of columns that have names: a mapping, or a data frame. E0405, or E0401 without narwhals."""
    names, column = _of_mapping(cast("Mapping[str, object]", data)) if isinstance(data, Mapping) else _of_frame(data)
    found = Table(HERE, names, lambda name, span: _columns_of_array(name, column(name), span))
    if not isinstance(data, Mapping):
        return found
    given = {name: cast("Cells", a) for name, a in cast("Mapping[str, object]", data).items() if isinstance(a, np.ndarray)}
    given = {name: np.asarray(a) for name, a in given.items() if not isinstance(a, np.ma.MaskedArray)}
    plain = {name: a for name, a in given.items() if a.dtype.kind in "biuf" and a.ndim in (1, 2) and a.size}
    shapes = {name: a.shape for name, a in plain.items()}
    return replace(found, stored=arrays.stored("", names, shapes, lambda name, _: plain[name]))


def _parts(table: Table, needed: Iterable[str], most: int | None) -> Iterator[Table]:
    """A table with so many of its rows at a time, if what is needed of it is so much that it was left where it is."""
    stored = table.stored.rows if table.stored is not None else {}
    rows = {stored.get(name, 0) for name in needed}
    if table.stored is None or most is None or len(rows) != 1 or 0 in rows:
        yield table
        return
    (count,) = rows
    for start in range(0, count, most):
        yield table.stored.at(slice(start, min(start + most, count)))


def _unchanged(path: Path, tables: Iterator[Table]) -> Iterator[Table]:
    """The tables of a file; E0401 once it is another than when the first was read."""
    before = stamp(path)
    for table in tables:
        yield table
        if stamp(path) != before:
            message = f"`{path}` was written to while it was read: the rows would be partly of one table and partly of another"
            raise fault("E0401", None, message, "wait until it is written, and begin again")


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
            named_so = ending == ".npz" or "data" in needed
            for table in _parts(arrays.open_table(path, None), needed if named_so else ["data"], most):
                yield table if named_so else _in_order(table.columns("data", None), path.name, needed)
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


def _of_mapping(data: Mapping[str, object]) -> tuple[tuple[str, ...], Callable[[str], Cells]]:
    """The names of the columns, and what gives one."""
    names = _names(list(data))
    if not names:
        raise fault("E0405", None, f"{HERE} has 0 columns and no row", "give columns of as many rows")
    return names, lambda name: _array(name, data[name])


def _of_frame(data: object) -> tuple[tuple[str, ...], Callable[[str], Cells]]:
    """As `_of_mapping`, of a data frame."""
    kind = type(data).__name__
    try:
        import narwhals as nw
    except ImportError as error:
        message = f"a {kind} was given, and narwhals, which reads data frames, is not installed"
        raise fault("E0401", None, message, install("frames")) from error
    if hasattr(data, "collect"):
        raise fault("E0405", None, f"a {kind} has no rows yet", "collect it first: frame.collect()")
    written = cast("Any", data)  # narwhals too refuses two columns of one name, each of its versions in its own words
    names = _names(list(written.column_names if hasattr(data, "column_names") else getattr(data, "columns", ())))
    try:
        frame = cast("Any", nw).from_native(data, eager_only=True)
    except TypeError:
        hint = "give a path, an array, a mapping of columns, or a frame of pandas or polars"
        raise fault("E0405", None, f"a {kind} is no table", hint) from None
    if not names or not len(frame):
        raise fault("E0405", None, f"{HERE} has {len(names)} columns and {len(frame)} rows", "give columns of as many rows")

    def column(name: str) -> Cells:
        series = frame[name]
        if series.dtype.is_float() or (series.dtype.is_integer() and not series.is_null().any()):
            return series.to_numpy()
        found = np.empty(len(series), dtype=object)  # each library has a value of its own for a gap
        found[:] = [None if gap else cell for cell, gap in zip(series.to_list(), series.is_null().to_list(), strict=True)]
        return found

    return names, column


def _names(names: list[Any]) -> tuple[str, ...]:
    """The names as they are; E0405 unless each is text, and another than the rest."""
    for i, name in enumerate(names):
        if not isinstance(name, str):
            kind = type(name).__name__
            raise fault("E0405", None, f"{HERE}: the name of column {i + 1} is {name!r}, a {kind}, not text",
                        "name the columns; a frame of pandas: frame.columns = [...]")  # fmt: skip
        if missing(name):
            raise fault("E0405", None, f"{HERE}: column {i + 1} has no name", "give every column a name of its own")
        if name in names[:i]:
            raise fault("E0405", None, f"{HERE}: columns {names.index(name) + 1} and {i + 1} are both named `{name}`",
                        "give every column a name of its own")  # fmt: skip
    return tuple(names)


def _array(name: str, cells: object) -> Cells:
    """What a mapping has under a name, as an array; a list with text in it keeps what each cell is."""
    if isinstance(cells, np.ma.MaskedArray):
        found = np.array(cast("Cells", cells).data, dtype=object)
        found[np.ma.getmaskarray(cast("Any", cells))] = None
        return found
    if hasattr(cells, "__array__"):
        return np.asarray(cells)
    if isinstance(cells, Mapping | Set):
        raise fault(
            "E0405", None, f"column `{name}` is a {type(cells).__name__}, which has no rows in order", "a column is a list or an array"
        )
    listed = list(cast("Any", cells)) if not isinstance(cells, str) and hasattr(cells, "__iter__") else [cells]
    texts = any(c is None or isinstance(c, str) for c in listed)
    try:
        return np.array(listed, dtype=object if texts else None)
    except ValueError as error:  # rows of unequal lengths
        message = f"column `{name}` holds no plain rows: {error}"
        raise fault("E0405", None, message, "a column is [rows] or [rows, columns]") from error


def _columns_of_array(name: str, array: Cells, span: Span | None) -> tuple[Column, ...]:
    """Of [rows] or [rows, columns] of numbers or text; None, NaN and pandas' NA are missing cells. E0403 or E0405 at `span`."""
    called = f"column `{name}`" if name else "the array"
    if array.ndim not in (1, 2):
        raise fault("E0405", span, f"{called} has {array.ndim} axes, and data is [rows] or [rows, columns]", "x.reshape(len(x), -1)")
    if not array.size:
        raise fault("E0405", span, f"{called} is {list(array.shape)}: there is nothing in it", "give rows and columns")
    if array.dtype.kind not in "biufOUT":
        dates = array.dtype.kind in "Mm"
        raise fault("E0405", span, f"{called} holds {array.dtype}, not numbers or text", DATES if dates else OTHERS)
    table = array.reshape(len(array), -1)
    labels = labels_of(name, table.shape[1])
    rows = Rows("", range(1, len(table) + 1), text=False)
    if array.dtype.kind in "biuf":
        written = list(arrays.numbers(table, rows, labels, span).T)
    else:
        written = [_cells(cells.tolist(), rows, label, span) for cells, label in zip(table.T, labels, strict=True)]
    return tuple(Column(label, cells, rows) for label, cells in zip(labels, written, strict=True))


def _cells(cells: list[Any], rows: Rows, label: str, span: Span | None) -> Any:
    """Float64, or text if one of them is."""
    found = [_plain(cell) for cell in cells]
    for row, cell in enumerate(found):
        if not (cell is None or isinstance(cell, str | int | float)):
            message = f"{rows.place(row)}, column `{label}`: a {type(cell).__name__} is neither a number nor text"
            raise fault("E0405", span, message, DATES if isinstance(cell, date | time | timedelta) else OTHERS)
    if any(isinstance(cell, str) for cell in found):
        return tuple("" if cell is None else str(cell) for cell in found)
    for row, cell in enumerate(found):
        if isinstance(cell, int) and abs(cell) > arrays.EXACT:
            raise arrays.too_large(rows, row, label, cell, span)
    return np.array([np.nan if cell is None else float(cell) for cell in found])


def _plain(cell: Any) -> Any:
    """A cell as a value of Python's own; None for one that is missing."""
    if type(cell).__name__ in GAPS:
        return None
    cell = cell.item() if isinstance(cell, np.generic) else cell
    return None if isinstance(cell, float) and cell != cell else cell
