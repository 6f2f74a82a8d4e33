"""What the compiler must know of the data: widths, classes, verified facts, rows a split.

It never holds a number of the data, but for two: what brings a transformed target back to its own units, in which metrics are measured,
and how many training rows each class has.
"""

from __future__ import annotations

from msgspec import Struct

from ..dsl.syntax import Span
from .facts import Facts

Undo = tuple[tuple[str, float], ...]  # ("mul", 12.5), ("add", 40.0), ("exp", 0.0), applied in order


class DataValue(Struct, frozen=True):
    """A value that a statement of `data` names: [N, width].

    `labels` names its columns; `classes` are the labels of a one-hot value in the order of its columns, and those
    of an indexed one, else (). `counts` are the training rows of each class, or of 0 and of 1 where one column has no others, else ().
    `undo`: of a transformed numeric target, what brings each column back to its own units, else ().
    """

    name: str
    width: int
    facts: Facts
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    span: Span
    undo: tuple[Undo, ...] = ()
    counts: tuple[int, ...] = ()


class Schema(Struct, frozen=True):
    """All data values in the order written, and the rows of each split, `train` first."""

    values: tuple[DataValue, ...] = ()
    rows: tuple[tuple[str, int], ...] = ()

    @property
    def train_rows(self) -> int:
        """Rows that training sees."""
        return dict(self.rows).get("train", 0)
