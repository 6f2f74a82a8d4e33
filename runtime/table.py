"""A table of text cells from a CSV or TSV file, and the numbers in its columns.

Nothing is converted until a column is asked for its numbers. Every fault names the file's line and the column.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault, nearest
from ..dsl.syntax import Span, Text

SEPARATORS = {".csv": ",", ".tsv": "\t"}
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
MARKS = (  # longer first: the mark of UTF-32 begins with that of UTF-16
    (b"\xef\xbb\xbf", "a byte order mark", "save the file as UTF-8 without a byte order mark (BOM)"),
    (b"\xff\xfe\x00\x00", "UTF-32", "save the file as UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32", "save the file as UTF-8"),
    (b"\xff\xfe", "UTF-16", "save the file as UTF-8"),
    (b"\xfe\xff", "UTF-16", "save the file as UTF-8"),
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Where rows come from: a file and the 1-based line on which each begins, or (`file` is '') a literal."""

    file: str
    lines: Sequence[int]

    def place(self, row: int) -> str:
        """`iris.csv:17`, or `row 3` of a literal, for a 0-based row."""
        return f"{self.file}:{self.lines[row]}" if self.file else f"row {self.lines[row]}"


@dataclass(frozen=True, eq=False)
class Column:
    """A column's name and its cells, as written."""

    name: str
    cells: tuple[str, ...]
    rows: Rows

    @cached_property
    def numbers(self) -> NDArray[np.float64] | None:
        """The cells as float64 [rows], or None if one of them is no finite number."""
        found = [number(cell) for cell in self.cells]
        if any(x is None for x in found):
            return None
        return np.array(found, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a file by name, in the order of the file."""

    columns: dict[str, Column]
    rows: Rows


def read_table(path: Text, folder: Path | None, data_root: Path | None) -> Table:
    """The table in the file that `from` names, relative to `folder` and beneath it or `data_root`.

    E0401 unreadable, E0405 not a table, E0408 outside.
    """
    real = _locate(path, folder, data_root)
    separator = SEPARATORS.get(real.suffix.lower())
    if separator is None:
        raise fault("E0401", path.span, f"`{path.text}` ends in none of {' '.join(SEPARATORS)}", "save the table as .csv")
    try:
        raw = real.read_bytes()
    except OSError as error:
        raise MlpcError(Diagnostic("E0401", path.span, f"`{path.text}`: {error.strerror}"), status=74) from error
    return parse_table(raw, real.name, separator, path.span)


def parse_table(raw: bytes, name: str, separator: str, span: Span) -> Table:
    """The table in the bytes of a file shown as `name`; E0405 if they are none."""
    text = _decode(raw, name, span)
    if not text.strip():
        raise fault("E0405", span, f"{name} is empty", "a table has a line with the names of its columns, and rows below")
    records = _records(text, name, separator, span)
    start, header = next(records, (1, []))
    _check_header(header, f"{name}:{start}", separator, span)
    body = list(records)
    while body and not body[-1][1]:  # empty lines at the end are no rows
        body.pop()
    if not body:
        raise fault("E0405", span, f"{name} has a header and no row below it", "add rows: there is nothing to train on")
    ragged = [(line, cells) for line, cells in body if len(cells) != len(header)]
    if ragged:
        line, cells = ragged[0]
        found = f"has {_count(len(cells), 'cell')}" if cells else "is empty"
        column = f"nothing stands for `{header[len(cells)]}`" if len(cells) < len(header) else f"the last column is `{header[-1]}`"
        more = f" ({_count(len(ragged) - 1, 'more row')} like it)" if len(ragged) > 1 else ""
        raise fault("E0405", span, f"{name}:{line} {found} and the header has {len(header)}: {column}{more}",
                    "every row has one cell a column; a cell with a comma in it stands in double quotes")
    rows = Rows(name, tuple(line for line, _ in body))
    cells = zip(*(cells for _, cells in body), strict=True)
    return Table({title: Column(title, column, rows) for title, column in zip(header, cells, strict=True)}, rows)


def number(cell: str) -> float | None:
    """The finite number that a cell holds, or None: ASCII digits, a point, an exponent, and nothing else."""
    if not NUMBER.fullmatch(cell):
        return None
    value = float(cell)
    return value if math.isfinite(value) else None


def missing(cell: str) -> bool:
    """True of an empty cell."""
    return not cell.strip()


def number_faults(column: Column, span: Span) -> tuple[Diagnostic, ...]:
    """Why a column has no numbers: its first missing cell (E0404) and its first cells that are no number (E0403)."""
    faults = missing_faults(column, span)
    wrong = [i for i, cell in enumerate(column.cells) if number(cell) is None and not missing(cell)]
    if wrong:
        first = column.cells[wrong[0]]
        named = ", ".join(f"`{_short(column.cells[i])}` ({column.rows.place(i)})" for i in wrong[1:3])
        more = f"; {len(wrong)} cells of this column are none: also {named}" if named else ""
        more += ", ..." if len(wrong) > 3 else ""
        message = f"{column.rows.place(wrong[0])}, column `{column.name}`: `{_short(first)}` is not a number{more}"
        faults += (Diagnostic("E0403", span, message, _remedy(first, len(wrong) == len(column.cells))),)
    return faults


def missing_faults(column: Column, span: Span) -> tuple[Diagnostic, ...]:
    """E0404 for a column's first missing cell, or nothing."""
    empty = [i for i, cell in enumerate(column.cells) if missing(cell)]
    if not empty:
        return ()
    more = f", and {len(empty) - 1} more of this column" if len(empty) > 1 else ""
    message = f"{column.rows.place(empty[0])}, column `{column.name}`: the cell is empty{more}"
    return (Diagnostic("E0404", span, message, "fill the cell, or leave out the row or the column"),)


def matching(table: Table, pattern: str) -> list[Column]:
    """The columns whose whole name a glob matches, in the order of the file. `*` and `?` only; `[` is itself."""
    wanted = _glob(pattern)
    return [column for name, column in table.columns.items() if wanted.fullmatch(name)]


def _glob(pattern: str) -> re.Pattern[str]:
    """The glob as a regular expression; the groups are atomic, so that no pattern takes more than linear time."""
    first, *others = ["".join("." if c == "?" else re.escape(c) for c in part) for part in pattern.split("*")]
    middle = "".join(f"(?>.*?{part})" for part in others[:-1])
    return re.compile(first + middle + (f".*{others[-1]}" if others else ""), re.DOTALL)


def _remedy(cell: str, all_text: bool) -> str:
    """What to do about a cell that is no number; `all_text`: no cell of its column is one."""
    if re.fullmatch(r"[+-]?\d+,\d+", cell, re.ASCII):
        return f"the decimal sign is a point: {cell.replace(',', '.')}"
    if number(cell.replace("_", "")) is not None:
        return f"digits are not grouped: {cell.replace('_', '')}"
    if number(cell.strip()) is not None:
        return f"there is a space around the number: {cell.strip()}"
    if NUMBER.fullmatch(cell):
        return "the number is too large for float64 (about 1.8e308)"
    if cell.lower().lstrip("+-") in {"nan", "inf", "infinity"}:
        return "only finite numbers can be trained on; correct the cell or leave out the row"
    if all_text:
        return "`|> onehot` makes a column of each label"
    return "correct the cell; if the column holds labels, `|> onehot` makes a column of each"


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"


def _short(cell: str) -> str:
    return cell if len(cell) <= 40 else cell[:39] + "…"


def _locate(path: Text, folder: Path | None, data_root: Path | None) -> Path:
    """The real path of a regular file beneath `folder` or `data_root`. What lies outside is not looked at."""
    if folder is None:
        raise fault("E0408", path.span, f"this model has no folder, so it cannot read `{path.text}`",
                    "write the data as a matrix, or load the model from a file")
    if "\0" in path.text:
        raise fault("E0401", path.span, "a file's name holds no NUL")
    real = Path(os.path.realpath(folder / path.text))
    roots = [Path(os.path.realpath(root)) for root in (folder, data_root) if root is not None]
    if not any(real.is_relative_to(root) for root in roots):
        raise fault("E0408", path.span, f"`{path.text}` leads out of the model's folder",
                    "move the file beneath the model's folder, or allow another one with --data-root FOLDER")
    if os.path.isfile(real):  # os.path: a name that no file can have is no file, where pathlib raises
        return real
    if os.path.exists(real):
        raise fault("E0401", path.span, f"`{path.text}` is not a regular file", "name a .csv or .tsv file")
    raise fault("E0401", path.span, f"there is no file `{path.text}` in the model's folder", _near_file(real, roots, folder))


def _near_file(real: Path, roots: list[Path], folder: Path) -> str:
    """A hint with the existing file or folder most like the first part of the path that does not exist."""
    while not os.path.exists(real.parent) and real.parent not in roots:
        real = real.parent
    try:
        names = sorted(entry.name for entry in real.parent.iterdir() if not entry.name.startswith("."))
    except OSError:
        return ""
    near = nearest(real.name, names)
    if near is None:
        return did_you_mean(real.name, names) or "a path is relative to the model's folder"
    return f"did you mean `{Path(os.path.relpath(real.parent / near, os.path.realpath(folder))).as_posix()}`?"


def _decode(raw: bytes, name: str, span: Span) -> str:
    for mark, found, hint in MARKS:
        if raw.startswith(mark):
            raise fault("E0405", span, f"{name}:1 begins with the mark of {found}" if "UTF" in found else
                        f"{name}:1 begins with {found}", hint)
    if b"\0" in raw:
        line = raw[: raw.index(b"\0")].count(b"\n") + 1
        raise fault("E0405", span, f"{name}:{line} holds a NUL byte", "save the file as UTF-8 text (it may be UTF-16)")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise fault("E0405", span, f"{name}:{line} holds the byte 0x{raw[error.start]:02X}, which is not UTF-8",
                    "save the file as UTF-8") from error


def _records(text: str, name: str, separator: str, span: Span) -> Iterator[tuple[int, list[str]]]:
    """The records with the 1-based line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] = []
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise fault("E0405", span, f"{name}:{start} cannot be split into cells: {error}",
                        "a cell with a quote in it stands in double quotes, and the quote is doubled") from error
        if cells is None:
            return
        header = header or cells
        if reader.line_num > start:
            at = next((i for i, cell in enumerate(cells) if "\n" in cell or "\r" in cell), 0)
            column = f"column `{header[at]}`" if at < len(header) and header is not cells else f"cell {at + 1}"
            raise fault("E0405", span, f"{name}:{start}, {column}: the cell goes on over the end of the line",
                        "close the quotes on the same line; a cell holds no newline")
        yield start, cells


def _check_header(header: list[str], place: str, separator: str, span: Span) -> None:
    """Faults unless every column has a name of its own."""
    if not header:
        raise fault("E0405", span, f"{place}: the first line is empty", "the first line names the columns")
    if len(header) == 1 and (";" in header[0] or (separator == "," and "\t" in header[0])):
        raise fault("E0405", span, f"{place}: the header is one cell, `{_short(header[0])}`",
                    "cells of a .csv are separated by commas, those of a .tsv by tabs")
    for i, title in enumerate(header):
        if missing(title):
            raise fault("E0405", span, f"{place}: column {i + 1} has no name", "the first line names every column")
        if title in header[:i]:
            raise fault("E0405", span, f"{place}: columns {header.index(title) + 1} and {i + 1} are both named `{title}`",
                        "give every column a name of its own")
