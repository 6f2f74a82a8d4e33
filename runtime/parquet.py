"""The columns of `.parquet` files. pyarrow reads them: it comes with an extra, and is imported when such a file is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..dsl.diagnostics import fault
from ..dsl.syntax import Span
from .columns import Column, Rows, Table
from .extras import install


def open_table(path: Path, span: Span | None) -> Table:
    """The table in a `.parquet` file; E0401 without pyarrow, E0405 if it is none. A column is read when it is asked for."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise fault("E0401", span, f"{path.name} is a .parquet file, and pyarrow, which reads those, is not installed",
                    install("parquet")) from error  # fmt: skip
    try:
        with parquet.ParquetFile(path) as file:
            names, rows = tuple(file.schema_arrow.names), file.metadata.num_rows
    except arrow.ArrowException as error:
        raise fault(
            "E0405", span, f"{path.name} is no .parquet file: {_first_line(error)}", "write the table again, or save it as .csv"
        ) from error
    for i, name in enumerate(names):
        if name in names[:i]:
            raise fault("E0405", span, f"{path.name}: columns {names.index(name) + 1} and {i + 1} are both named `{name}`",
                        "give every column a name of its own")  # fmt: skip
    if not rows or not names:
        raise fault(
            "E0405",
            span,
            f"{path.name} has {len(names)} columns and {rows} rows",
            f"add rows: there is nothing to {'train on' if span else 'read'}",
        )

    def read(name: str, at: Span | None) -> tuple[Column, ...]:
        try:
            with parquet.ParquetFile(path) as file:
                data = file.read(columns=[name])
        except arrow.ArrowException as error:
            raise fault(
                "E0405", at, f"{path.name}, column `{name}` cannot be read: {_first_line(error)}", "write the table again"
            ) from error
        if data.num_columns != 1 or data.column_names != [name]:
            raise fault("E0405", at, f"{path.name}, column `{name}` holds lists or records", "a column holds numbers or text")
        return (_column(data.column(0), Rows(path.name, range(1, rows + 1), text=False), name, at),)

    return Table(path.name, names, read)


def _column(data: Any, rows: Rows, name: str, span: Span | None) -> Column:
    """Numbers or labels; a null is a missing cell, and NaN is one too."""
    from pyarrow import types

    kind = data.type.value_type if types.is_dictionary(data.type) else data.type
    if types.is_string(kind) or types.is_large_string(kind):
        return Column(name, tuple("" if cell is None else str(cell) for cell in data.to_pylist()), rows)
    if types.is_null(kind):
        return Column(name, np.full(len(data), np.nan), rows)
    if not (types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)):
        raise fault("E0405", span, f"{rows.file}, column `{name}` holds {kind}, not numbers or text",
                    "write it as a number or as text, or leave it out of the model")  # fmt: skip
    cells = data.to_pylist()
    for row, cell in enumerate(cells if types.is_integer(kind) else ()):
        if cell is not None and abs(cell) > 2**53:
            raise fault("E0403", span, f"{rows.place(row)}, column `{name}`: {cell} is a whole number above 2^53, which float64 does not hold",
                        "if it is a label, write it as text")  # fmt: skip
    return Column(name, np.array([np.nan if cell is None else float(cell) for cell in cells]), rows)


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
