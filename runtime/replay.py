"""New rows through what training has fitted: the statements of `data` again, with the columns, statistics and classes of then."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..compiler.schema import DataValue
from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean
from ..dsl.syntax import Assign, Program, Span
from .columns import Column, Table
from .data import Dataset
from .evaluation import Collector, LeftOut, Sources, closure, complete, unequal_rows
from .expressions import Transform
from .frame import Array, Frame
from .selection import labels_of

LATER = {  # what a message of training would advise is of no use for new rows
    "E0404": "fill the cell, or take the row out of the table: prediction leaves no row out",
    "E0407": "the model knows these and no others: take the row out, or train again with rows of it",
}


class Replayed(Struct, frozen=True, eq=False):
    """`values`: value -> float64 [rows, width]; `left_out`: the rows that were left out, as training leaves them out."""

    values: dict[str, Array]
    rows: int
    left_out: LeftOut


def raw_columns(dataset: Dataset, wanted: Iterable[str]) -> dict[str, int]:
    """The columns of a table that some values are made of, in order of use -> how many numbers of a row each holds."""
    found: dict[str, int] = {}
    for name in closure(dataset.fitted, wanted):
        for step in dataset.fitted[name]:
            if step.name in {"columns", "literal"}:
                names = _names(step)
                found |= dict.fromkeys(names, step.width if len(names) == 1 else 1)
    return found


def replay(program: Program, dataset: Dataset, table: Table, wanted: Sequence[str], *, dropping: bool = False) -> Replayed:
    """The `wanted` values of every row of a table, which may hold its columns in any order, and others.

    `dropping`: rows that a `drop_missing` would leave out of training are left out, all of them if need be. Otherwise they are at fault.
    MlpcError E0402 to E0409 with columns that are not there and the first row that each statement cannot take; E0238 for numbers
    that are not what the model relies on.
    """
    names = closure(dataset.fitted, wanted)
    statements = {s.name.id: s for s in (program.data.body if program.data else ()) if isinstance(s, Assign)}
    assigned = {name: statements[name] for name in statements if name in names}
    table = _regrouped(table, raw_columns(dataset, wanted))
    _refuse_missing_columns(table, dataset, assigned)
    collect = Collector()
    frames, _, _, left_out = complete(Sources(assigned, [], table, {}, dataset.fitted, dropping), collect)
    if collect.errors:
        found = dict.fromkeys(d for error in collect.errors for d in error.diagnostics)
        raise MlpcError(*(d if dropping and d.code == "E0404" else replace(d, hint=LATER.get(d.code, d.hint)) for d in found))
    if not frames:
        return Replayed({}, 0, left_out)
    schema = {v.name: v for v in dataset.schema.values}
    errors = unequal_rows(assigned, frames)
    faults = [d for name in wanted for d in _relied_on(schema[name], frames[name], assigned[name].name.span)]
    if errors or faults:
        raise MlpcError(*(d for error in errors for d in error.diagnostics), *faults)
    values = {name: _array(frames[name]) for name in wanted}
    return Replayed(values, len(next(iter(values.values()))) if values else 0, left_out)


def _names(step: Transform) -> tuple[str, ...]:
    return cast("tuple[str, ...]", step.statistics["names"][0])


def _regrouped(table: Table, needed: dict[str, int]) -> Table:
    """The table in which x1, x2, x3 stand for an array x of three columns too, as training read it from an array."""
    parts = {name: labels_of(name, width) for name, width in needed.items() if width > 1 and name not in table.names}
    parts = {name: labels for name, labels in parts.items() if all(label in table.names for label in labels)}
    if not parts:
        return table

    def read(name: str, span: Span | None) -> tuple[Column, ...]:
        return tuple(column for part in parts.get(name, (name,)) for column in table.columns(part, span))

    return Table(table.file, (*table.names, *parts), read)


def _refuse_missing_columns(table: Table, dataset: Dataset, assigned: dict[str, Assign]) -> None:
    """E0402 for every column that is not there, at the statement that reads it first."""
    faults: dict[str, Diagnostic] = {}
    needed = raw_columns(dataset, assigned)
    for statement, s in assigned.items():
        for name in raw_columns(dataset, [statement]):
            if name not in table.names:
                near = did_you_mean(name, (n for n in table.names if n not in needed))
                near = near if near.startswith("did") else f"it has {', '.join(table.names[:12])}" + ", ..." * (len(table.names) > 12)
                faults.setdefault(
                    name, Diagnostic("E0402", s.name.span, f"{table.file} has no column `{name}`, which the model was trained on", near)
                )
    if faults:
        raise MlpcError(*faults.values())


def _relied_on(value: DataValue, frame: Frame, span: Span) -> list[Diagnostic]:
    """E0238 for the first row that is not what the compiler has taken for granted."""
    x, facts = _array(frame), value.facts
    checks = [
        (">= 0", facts.nonnegative, x >= 0),
        ("> 0", facts.positive, x > 0),
        ("integer", facts.integer, x == np.floor(x)),
        (f"below {facts.below}", facts.below is not None, x < (facts.below or 0)),
        ("one-hot", facts.onehot, (x.max(axis=1, keepdims=True) == 1) & (x.sum(axis=1, keepdims=True) == 1)),
        ("simplex", facts.row_sum is not None, np.isclose(x.sum(axis=1, keepdims=True), float(facts.row_sum or 0), rtol=0, atol=1e-9)),
    ]
    wrong = [(word, int(np.argwhere(~holds)[0][0])) for word, claimed, holds in checks if claimed and not holds.all()]
    hint = "the algebra of the plan rests on it: the model must be trained again for such rows"
    return [
        Diagnostic("E0238", span, f"{frame.rows.place(row)}: `{value.name}` was {word} for every row of training, and is not here", hint)
        for word, row in wrong
    ]


def _array(frame: Frame) -> Array:
    assert frame.array is not None
    return frame.array
