"""What the compiler must know of the data: widths, classes, verified facts, rows a split; never a number of it."""

from __future__ import annotations

from dataclasses import dataclass

from ..dsl.syntax import Span
from .facts import Facts


@dataclass(frozen=True, slots=True)
class DataValue:
    """A value that a statement of `data` names: [N, width].

    `labels` names its columns; `classes` are the labels of a one-hot value in the order of its columns, else ().
    """

    name: str
    width: int
    facts: Facts
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Schema:
    """All data values in the order written, and the rows of each split, `train` first."""

    values: tuple[DataValue, ...] = ()
    rows: tuple[tuple[str, int], ...] = ()

    @property
    def train_rows(self) -> int:
        """Rows that training sees."""
        return dict(self.rows).get("train", 0)
