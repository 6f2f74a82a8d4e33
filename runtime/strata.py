"""The class or the group of each row, by which rows are dealt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Expr
from .columns import missing_faults
from .expressions import Scope, unconverted
from .frame import Frame, Indices, columns_of
from .labels import codes, distinct
from .split import Split


def class_of_rows(split: Split, frames: Mapping[str, Frame], targets: frozenset[str]) -> tuple[Indices, tuple[str, ...]]:
    """The class of each row [rows] as a number, and the classes: of the target that has some, else of the only one-hot value.

    MlpcError E0406 if that says nothing.
    """
    classed = [name for name, frame in frames.items() if frame.classes]
    candidates = [name for name in classed if name in targets] or classed
    if len(candidates) != 1:
        found, hint = "no value has classes", "make the target one-hot, `y = column |> onehot`, or use random(...)"
        if candidates:
            found, hint = f"{' and '.join(f'`{name}`' for name in candidates)} have some: which to keep is not clear", "use random(...)"
        raise fault("E0406", split.span, f"`stratified` keeps the shares of classes, and {found}", hint)
    frame = frames[candidates[0]]
    assert frame.array is not None
    return frame.array.argmax(axis=1) if frame.facts.onehot else frame.array[:, 0].astype(np.int64), frame.classes


def group_of_rows(group: Expr, scope: Scope, rows: int) -> tuple[Indices, tuple[str, ...]]:
    """The group of each row [rows] as a number, and the labels of the groups."""
    frame, _ = unconverted(group, scope)
    if len(frame.labels) != 1:
        raise fault(
            "E0231", group.span, f"`{group.span.text}` is {len(frame.labels)} columns, and groups stand in one", "grouped(column, ...)"
        )
    if len(frame.rows.lines) != rows:
        raise fault("E0409", group.span, f"`{group.span.text}` has {len(frame.rows.lines)} rows and the values have {rows}",
                    "every value of `data` has the same rows")  # fmt: skip
    column = columns_of(frame)[0]
    faults = missing_faults(column, group.span)
    if faults:
        raise MlpcError(
            *(replace(d, hint="every row belongs to a group: fill the cell, or drop its row with `|> drop_missing`") for d in faults)
        )
    labels = distinct(column.cells)[0]
    return codes(column, labels), labels
