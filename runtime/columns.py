"""Columns of a table as they stand in the file, and the numbers in them.

Nothing is converted until a column is asked for its numbers. Every fault names the row of the file and the column.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..dsl.diagnostics import Diagnostic
from ..dsl.syntax import Span

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
Which = slice | NDArray[np.signedinteger[Any]]  # rows, from 0
ABSENT = {"na", "n/a", "nan", "null", "none", "?", "-"}  # how other tools write a missing cell; a label may be called so too


class Rows(Struct, frozen=True):
    """Where rows come from: the 1-based lines of a text file, or the rows of a file of arrays (`text` false) or of a literal (no file)."""

    file: str
    lines: Sequence[int]
    text: bool = True

    def place(self, row: int) -> str:
        """`iris.csv:17`, `digits.npz, row 3`, or `row 3` of a literal, for a 0-based row."""
        if not self.file:
            return f"row {self.lines[row]}"
        return f"{self.file}:{self.lines[row]}" if self.text else f"{self.file}, row {self.lines[row]}"


class Column(Struct, frozen=True, eq=False, dict=True):
    """A column's name and what was written: cells of text, or float64 numbers in which NaN is a missing cell."""

    name: str
    written: tuple[str, ...] | NDArray[np.float64]
    rows: Rows

    @cached_property
    def cells(self) -> tuple[str, ...]:
        """The cells as text; numbers are written out (2.0 as `2`), missing ones are ''."""
        return self.written if isinstance(self.written, tuple) else tuple(map(_text, self.written.tolist()))

    @cached_property
    def numbers(self) -> NDArray[np.float64] | None:
        """The cells as float64 [rows], NaN where one is missing; None if one is neither missing nor a finite number."""
        if not isinstance(self.written, tuple):
            return None if np.isinf(self.written).any() else self.written
        found = [math.nan if missing(cell) else number(cell) for cell in self.written]
        if any(x is None for x in found):
            return None
        return np.array(found, dtype=np.float64)

    def counted(self, rows: Which) -> dict[str, int]:
        """The cells of some rows, each once, in the order in which they first come -> how many of the rows have it."""
        if isinstance(self.written, tuple):
            return dict(Counter(self.written[rows] if isinstance(rows, slice) else (self.written[i] for i in rows.tolist())))
        x = self.written[rows]
        _, first, counts = np.unique(x, return_index=True, return_counts=True)
        order = np.argsort(first)
        return dict(zip(map(_text, x[first[order]].tolist()), counts[order].tolist(), strict=True))

    @property
    def is_numeric(self) -> bool:
        """True if every cell that is not missing is a number."""
        return not isinstance(self.written, tuple) or self.numbers is not None

    @cached_property
    def gaps(self) -> NDArray[np.bool_]:
        """Which cells are missing [rows]."""
        if not isinstance(self.written, tuple):
            return np.isnan(self.written)
        return np.array([missing(cell) for cell in self.written], dtype=np.bool_)

    def only(self, kept: NDArray[np.bool_]) -> Column:
        """The column without the rows that are not `kept`; those that stay keep their places in the file."""
        which = np.flatnonzero(kept).tolist()
        rows = Rows(self.rows.file, tuple(self.rows.lines[i] for i in which), self.rows.text)
        written = tuple(self.written[i] for i in which) if isinstance(self.written, tuple) else self.written[kept]
        return Column(self.name, written, rows)


class Stored(Struct, frozen=True, eq=False):
    """What a table has that is too large to be made columns of at once: arrays of numbers, name -> how many rows; `at` gives some rows.

    Those are a table too: of all the names, of which these can be read.
    """

    rows: Mapping[str, int]
    at: Callable[[Which], Table]


class Table(Struct, frozen=True, eq=False):
    """A file's columns by name, in the order of the file. `read` makes those of one name, most often one, when they are asked for.

    `origin`: where a model's table comes from: the path of its `from`, or what it was given as in Python, as `pandas.DataFrame`.
    """

    file: str
    names: tuple[str, ...]
    read: Callable[[str, Span | None], tuple[Column, ...]]
    known: dict[str, tuple[Column, ...]] = {}
    origin: str = ""
    stored: Stored | None = None

    def columns(self, name: str, span: Span | None) -> tuple[Column, ...]:
        """The columns of one of `names`; MlpcError at `span` where the file holds no data under it."""
        if name not in self.known:
            self.known[name] = self.read(name, span)
        return self.known[name]


def _text(x: float) -> str:
    return "" if math.isnan(x) else repr(x).removesuffix(".0")


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
    """E0403 for a column's cells that are neither missing nor numbers, or nothing."""
    if column.numbers is not None:
        return ()
    wrong = [i for i, cell in enumerate(column.cells) if number(cell) is None and not missing(cell)]
    first = column.cells[wrong[0]]
    named = ", ".join(f"`{short(column.cells[i])}` ({column.rows.place(i)})" for i in wrong[1:3])
    more = f"; {len(wrong)} cells of this column are none: also {named}" if named else ""
    more += ", ..." if len(wrong) > 3 else ""
    message = f"{column.rows.place(wrong[0])}, column `{column.name}`: `{short(first)}` is not a number{more}"
    return (Diagnostic("E0403", span, message, _remedy(first, len(wrong) == len(column.cells))),)


def missing_faults(column: Column, span: Span) -> tuple[Diagnostic, ...]:
    """E0404 for a column's first missing cell, or nothing."""
    if not column.gaps.any():
        return ()
    row, count = int(column.gaps.argmax()), int(column.gaps.sum())
    more = f", and {count - 1} more of this column" if count > 1 else ""
    state = "empty" if column.rows.text else "missing"
    fill = "impute(median)" if column.is_numeric and count < len(column.gaps) else "impute(most_frequent)"
    message = f"{column.rows.place(row)}, column `{column.name}`: the cell is {state}{more}"
    return (Diagnostic("E0404", span, message, f"`|> {fill}` fills it, `|> drop_missing` leaves out the row"),)


def matching(names: Sequence[str], pattern: str) -> list[str]:
    """The names that a glob matches whole, in their order. `*` and `?` only; `[` is itself."""
    wanted = _glob(pattern)
    return [name for name in names if wanted.fullmatch(name)]


def short(cell: str) -> str:
    """A cell as a message quotes it."""
    return cell if len(cell) <= 40 else cell[:39] + "…"


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
    if cell.lower().lstrip("+-") in {"inf", "infinity"}:
        return "only finite numbers can be trained on; correct the cell or leave out the row"
    if cell.lower() in ABSENT:
        return f"if `{cell}` stands for a missing cell, leave it empty: a missing cell is an empty one"
    if all_text:
        return "`|> onehot` makes a column of each label"
    return "correct the cell; if the column holds labels, `|> onehot` makes a column of each"
