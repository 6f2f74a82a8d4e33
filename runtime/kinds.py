"""What the columns of a table are good for as inputs: numbers, labels, labels with a trained row each, or nothing, and then why."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from math import isqrt

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError, printable
from ..dsl.syntax import Source, Span
from .columns import Column, Table, matching, missing, number, short
from .labels import codes, distinct

NOWHERE = Span(Source("", ""), 0, 0)  # nobody has written down what is asked for here
NUMBER, LABELS, EMBEDDED, OUT = "number", "labels", "embedded", "out"
MOST_ONEHOT = 20  # labels of a column that become a column each
ROWS_A_LABEL = 5  # what more labels need on the average, for a trained row of numbers each
WIDEST = 16  # of such a row
NUMBERED = 10  # rows from which on 1, 2, 3, ... is no chance

_ID = re.compile(r"(?:.*[^a-z])?(?:id|uuid|guid|rowid)|(?:id|unnamed)(?:[^a-z].*)?|index|row|rownames", re.IGNORECASE | re.DOTALL)
_CAMEL = re.compile(r".*[a-z]I[dD]", re.DOTALL)
_TIME = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?\s*(Z|[+-]\d{2}:?\d{2}|[AaPp][Mm])?"
_DATE = re.compile(
    rf"(\d{{4}}[-/.]\d{{1,2}}([-/.]\d{{1,2}})?|\d{{1,2}}[-/.]\d{{1,2}}[-/.](\d{{4}}|\d{{2}}))([T ]\s*{_TIME})?|{_TIME}", re.ASCII
)


class Kind(Struct, frozen=True, eq=False):
    """What a name of the file becomes. `pattern` stands for it in `columns("...")`, `width` is the columns that the model sees of it.

    `why`: of what is left out. `gaps`: its missing cells. `codes`: label by label a number [rows], -1 for a missing cell, else empty.
    """

    name: str
    role: str
    pattern: str = ""
    why: str = ""
    width: int = 1
    gaps: int = 0
    columns: tuple[Column, ...] = ()
    codes: tuple[int, ...] = ()


def left_out(name: str, why: str) -> Kind:
    """A column that the model does not see."""
    return Kind(name, OUT, why=why)


def kinds(table: Table, target: str, goal: Sequence[Column], kept: NDArray[np.bool_]) -> tuple[Kind, ...]:
    """The kind of every name but the target's, in the order of the file. `goal`: the target's columns; `kept`: the rows that have it."""
    found = [_kind(table, name, kept) for name in table.names if name != target]
    answers = [k for k in found if k.role != OUT and _answers(k, goal)]
    if len(answers) == sum(k.role != OUT for k in found):  # it may be all there is to know
        answers = []
    why = f"it says what `{named(target)}` is, row by row"
    return tuple(left_out(k.name, why) if k in answers else k for k in found)


def pattern(name: str, names: Sequence[str]) -> str | None:
    """What matches this name alone: itself, with `?` for what no string may hold; None if others match that too."""
    written = "".join("?" if unwritable(c) else c for c in name)
    return written if matching(names, written) == [name] else None


def unwritable(char: str) -> bool:
    """Whether no string of a model holds this character."""
    return char == '"' or (char != "\t" and unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"})


def named(name: str) -> str:
    """A name as a comment or a message quotes it."""
    return printable(short(name))


def _kind(table: Table, name: str, kept: NDArray[np.bool_]) -> Kind:
    written = pattern(name, table.names)
    if written is None:
        return left_out(name, "a pattern cannot tell its name from that of others")
    try:
        columns = table.columns(name, NOWHERE)
    except MlpcError as error:
        return left_out(name, error.diagnostics[0].message)
    if len(columns[0].rows.lines) != len(kept):
        return left_out(name, f"it has {len(columns[0].rows.lines):,} rows, and the target has {len(kept):,}")
    first, *others = columns = tuple(c.only(kept) for c in columns)
    gaps = sum(int(c.gaps.sum()) for c in columns)
    if any(c.gaps.all() for c in columns):
        return left_out(name, "no cell of one of its columns is there" if others else "no cell is there")
    if others:
        if any(c.numbers is None for c in columns):
            return left_out(name, "it is text in several columns, or holds infinities")
        return Kind(name, NUMBER, written, "", len(columns), gaps, columns)
    if first.numbers is not None and not _is_code(first):
        return _of_numbers(first, written, gaps)
    return _of_labels(first, written, gaps)


def _of_numbers(column: Column, written: str, gaps: int) -> Kind:
    assert column.numbers is not None
    x = column.numbers[~column.gaps]
    if (x == x[0]).all():
        return left_out(column.name, f"it is {short(column.cells[int(np.argmin(column.gaps))])} in every row that has it")
    if len(x) >= NUMBERED and not gaps and np.array_equal(x, x[0] + np.arange(len(x))):
        return left_out(column.name, "it numbers the rows")
    return Kind(column.name, NUMBER, written, gaps=gaps, columns=(column,))


def _is_code(column: Column) -> bool:
    """Whether numbers are the names of something: they are whole, and the column is called so."""
    assert column.numbers is not None
    x = column.numbers[~column.gaps]
    return bool(_ID.fullmatch(column.name) or _CAMEL.fullmatch(column.name)) and bool((x == np.floor(x)).all())


def _of_labels(column: Column, written: str, gaps: int) -> Kind:
    there = [cell for cell in column.cells if not missing(cell)]
    labels, _ = distinct(there)
    many = f"{len(labels):,} labels in {len(there):,} rows"
    why = ""
    if len(labels) == 1 and not gaps:
        why = f"it is `{named(labels[0])}` in every row"
    elif all(_DATE.fullmatch(cell.strip()) for cell in there):
        why = "dates or times; put numbers in their place: the year, the month, the days since the first"
    elif column.numbers is None and (strange := strangers(column)):
        why = f"{strange}; a missing cell is an empty one"
    elif len(labels) == len(there) and len(labels) > 2:
        why = "it is different in every row"
    elif len(labels) > MOST_ONEHOT and len(there) < ROWS_A_LABEL * len(labels):
        why = f"{many}: too few of each to learn from"
    if why:
        return left_out(column.name, why)
    role = LABELS if len(labels) <= MOST_ONEHOT else EMBEDDED
    width = len(labels) + (gaps > 0) if role == LABELS else min(WIDEST, isqrt(len(labels)))
    return Kind(column.name, role, written, "", width, gaps, (column,), tuple(codes(column, labels).tolist()))


def strangers(column: Column) -> str:
    """What is said of a column of numbers that a few words have slipped into; '' if it is none."""
    wrong = [i for i, cell in enumerate(column.cells) if not missing(cell) and number(cell) is None]
    if not wrong or 2 * len(wrong) > len(column.cells) - int(column.gaps.sum()):
        return ""
    count = f"{len(wrong):,} of its cells are no numbers" if len(wrong) > 1 else "one of its cells is no number"
    return f"{count}: `{named(column.cells[wrong[0]])}`, {column.rows.place(wrong[0])}"


def _answers(kind: Kind, goal: Sequence[Column]) -> bool:
    """Whether a column is the target by another name: equal numbers, or labels of which each goes with one of the target's."""
    if len(kind.columns) != 1 or len(goal) != 1 or kind.gaps or len(goal[0].cells) < 2 * NUMBERED:
        return False
    column = kind.columns[0]
    if column.numbers is not None and goal[0].numbers is not None and np.array_equal(column.numbers, goal[0].numbers):
        return True
    if goal[0].numbers is not None and column.numbers is not None:
        return False
    pairs = set(zip(column.cells, goal[0].cells, strict=True))  # counted only
    return len(pairs) == len(set(column.cells)) == len(set(goal[0].cells))
