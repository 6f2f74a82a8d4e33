"""The class or the group of each row, by which rows are dealt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec.structs import replace

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Expr
from .columns import missing_faults
from .expressions import Scope, unconverted
from .frame import Frame, Indices, Pieces, columns_of, numbers
from .labels import codes, counted, distinct
from .split import Split

Blocks = Callable[[str], Iterator[Frame]]  # of a value, one below the other


def class_of_rows(split: Split, frames: Mapping[str, Frame], targets: frozenset[str], blocks: Blocks) -> tuple[Indices, tuple[str, ...]]:
    """The class of each row [rows] as a number, and the classes: of the target that has some, else of the only one-hot value.

    `frames` show what the values are, `blocks` have all rows. MlpcError E0406 if that says nothing.
    """
    classed = [name for name, frame in frames.items() if frame.classes]
    candidates = [name for name in classed if name in targets] or classed
    if len(candidates) != 1:
        found, hint = "no value has classes", "make the target one-hot, `y = column |> onehot`, or use random(...)"
        if candidates:
            found, hint = f"{' and '.join(f'`{name}`' for name in candidates)} have some: which to keep is not clear", "use random(...)"
        raise fault("E0406", split.span, f"`stratified` keeps the shares of classes, and {found}", hint)
    frame = frames[candidates[0]]
    arrays = (numbers(block) for block in blocks(candidates[0]))
    of_rows = [_fewest(a.argmax(axis=1) if frame.facts.onehot else a[:, 0], frame.classes) for a in arrays]
    return np.concatenate(of_rows), frame.classes


def group_of_rows(group: Expr, scope: Scope, rows: int) -> tuple[Indices, tuple[str, ...]]:
    """The group of each row [rows] as a number, and the labels of the groups."""
    frame, steps = unconverted(group, scope)
    if len(frame.labels) != 1:
        raise fault(
            "E0231", group.span, f"`{group.span.text}` is {len(frame.labels)} columns, and groups stand in one", "grouped(column, ...)"
        )
    if scope.blocks is None and len(frame.rows.lines) != rows:
        raise fault("E0409", group.span, f"`{group.span.text}` has {len(frame.rows.lines)} rows and the values have {rows}",
                    "every value of `data` has the same rows")  # fmt: skip

    def pieces() -> Pieces:
        return [(frame, slice(None))] if scope.blocks is None else scope.pieces(frame, group, steps)

    labels = distinct(*counted(_without_gaps(pieces(), group)))[0]
    return np.concatenate([_fewest(codes(columns_of(block)[0], labels), labels) for block, _ in pieces()]), labels


def _without_gaps(pieces: Pieces, group: Expr) -> Pieces:
    """The same; E0404 where a row belongs to no group."""
    for frame, rows in pieces:
        faults = missing_faults(columns_of(frame)[0], group.span)
        if faults:
            raise MlpcError(
                *(replace(d, hint="every row belongs to a group: fill the cell, or drop its row with `|> drop_missing`") for d in faults)
            )
        yield frame, rows


def _fewest(numbers: np.ndarray[Any, Any], labels: tuple[str, ...]) -> Indices:
    """Whole numbers below so many, in as few bytes as hold them."""
    return numbers.astype(np.min_scalar_type(-len(labels)))
