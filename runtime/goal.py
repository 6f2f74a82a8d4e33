"""What is to be predicted: the target's column, its classes or its numbers, and what predicting it blindly is worth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault
from .columns import Column, Table
from .kinds import NOWHERE, named, pattern, strangers
from .labels import codes, distinct

T = TypeVar("T")

FEW = 10  # different whole numbers that are taken for classes
ROWS_A_CLASS = 5  # on the average, for numbers to be taken for classes
FAR = 3  # interquartile ranges from the quartiles to where numbers are far out (Tukey 1977)
UNEVEN = 3  # the commonest class over the rarest, above which accuracy says little


class Goal(Struct, frozen=True, eq=False):
    """The target. `columns` are its own without the rows where a cell is missing; `kept` are the others among all rows.

    `classes` and, one for each, `counts` are empty for regression; `codes` [rows] is the class of each row. `far`: the rows far out.
    """

    name: str
    pattern: str
    columns: tuple[Column, ...]
    kept: NDArray[np.bool_]
    classes: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    codes: tuple[int, ...] = ()
    far: int = 0

    @property
    def rows(self) -> int:
        """The rows that have it."""
        return int(self.kept.sum())

    @property
    def gaps(self) -> int:
        """The rows that lack it."""
        return len(self.kept) - self.rows

    @property
    def uneven(self) -> bool:
        """Some class has far more rows than another."""
        return bool(self.counts) and max(self.counts) > UNEVEN * min(self.counts)


def goal(table: Table, name: str | None) -> Goal:
    """The target of that name; MlpcError E0209 (status 2) without a name, E0402 for one that is not there, E0403 to E0405 for an unfit one."""
    known = ", ".join([*map(named, table.names[:12])] + ["..."] * (len(table.names) > 12))
    if name is None:
        told = Diagnostic(
            "E0209",
            None,
            f"which column is to be predicted? {table.file} has {known}",
            f"--target {named(table.names[-1])} predicts the last",
        )
        raise MlpcError(told, status=2)
    if name not in table.names:
        raise fault("E0402", None, f"{table.file} has no column `{name}`", did_you_mean(name, table.names) or f"there is {known}")
    written = pattern(name, table.names)
    if written is None:
        raise fault("E0402", None, f"a pattern cannot tell the name `{name}` from that of other columns", "give it another name")
    columns = list(placeless(lambda: table.columns(name, NOWHERE)))
    kept = ~np.logical_or.reduce([c.gaps for c in columns])
    if not kept.any():
        raise fault("E0404", None, f"every cell of `{name}` is missing", "predict another column")
    found = Goal(name, written, tuple(c.only(kept) for c in columns), kept)
    return _with_numbers(found) if len(columns) > 1 else _with_classes(found)


def placeless(read: Callable[[], T]) -> T:
    """What `read` gives; its faults lose their place, which no file of the user's has."""
    try:
        return read()
    except MlpcError as error:
        raise MlpcError(*(replace(d, span=None) for d in error.diagnostics), status=error.status) from error


def _with_classes(g: Goal) -> Goal:
    column = g.columns[0]
    labels, _ = distinct(list(column.cells))
    if len(labels) == 1:
        raise fault("E0405", None, f"`{g.name}` is `{labels[0]}` in every row: there is nothing to learn", "predict another column")
    if column.numbers is not None and not _is_few(column, labels):
        return _with_numbers(g)
    if column.numbers is None and (strange := strangers(column)) and len(labels) > FEW:
        raise fault("E0403", None, f"`{g.name}`: {strange}", "a missing cell is an empty one: correct the cells, or empty them")
    if len(labels) > 2 and 2 * len(labels) > g.rows:
        raise fault(
            "E0403",
            None,
            f"`{g.name}` is text, as `{named(labels[0])}`, with {len(labels):,} labels in {g.rows:,} rows: too many for classes",
            "predict a column of numbers, or one of few labels",
        )
    numbers = codes(column, labels)
    counts = np.bincount(numbers, minlength=len(labels)).tolist()
    return replace(g, classes=labels, counts=tuple(counts), codes=tuple(numbers.tolist()))


def _is_few(column: Column, labels: Sequence[str]) -> bool:
    assert column.numbers is not None
    whole = bool((column.numbers == np.floor(column.numbers)).all())
    return whole and (len(labels) == 2 or (len(labels) <= FEW and ROWS_A_CLASS * len(labels) <= len(column.cells)))


def _with_numbers(g: Goal) -> Goal:
    if any(c.numbers is None for c in g.columns):
        raise fault("E0403", None, f"`{g.name}` is several columns, and not all of them hold numbers", "predict one column")
    if all((c.numbers == c.numbers[0]).all() for c in g.columns if c.numbers is not None):
        raise fault(
            "E0405", None, f"`{g.name}` is {g.columns[0].cells[0]} in every row: there is nothing to learn", "predict another column"
        )
    return replace(g, far=sum(_far(c.numbers) for c in g.columns if c.numbers is not None))


def _far(x: NDArray[np.float64]) -> int:
    """How many numbers lie far out; of numbers most of which are equal, none."""
    _, exponent = np.frexp(np.abs(x).max())  # scaled by a power of two, so that no difference overflows
    x = np.ldexp(x, -exponent - 3)
    low, high = np.quantile(x, [0.25, 0.75])
    return int(((x < low - FAR * (high - low)) | (x > high + FAR * (high - low))).sum()) if high > low else 0
