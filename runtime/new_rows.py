"""Prediction and evaluation of rows that training has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from ..compiler.plan import Plan
from ..dsl.syntax import Program
from .chunks import Chunks
from .columns import Table
from .data import Dataset
from .evaluation import LeftOut
from .heads import Head, meant
from .kernel import Array, Arrays, allocate
from .measure import BLOCK, Measure, Piece
from .replay import replay
from .threads import pinned


class Evaluation(Struct, frozen=True, eq=False):
    """The loss and the metrics on some `rows`; `notes` say which were left out."""

    rows: int
    loss: float
    metrics: dict[str, Any]
    notes: tuple[str, ...] = ()


def predictions(
    program: Program, dataset: Dataset, head: Head, weights: Mapping[str, Array], tables: Iterable[Table]
) -> Iterator[tuple[Table, Array]]:
    """Every table with what the head's plan computes for its rows, [rows, width]. A row's bits depend on that row alone.

    `weights`: name -> params and states of the model.
    """
    plan = head.plan
    with pinned(1), np.errstate(all="ignore"):
        chunks = Chunks(plan, (plan.loss,), _arrays(plan, weights))
    for table in tables:
        found = replay(program, dataset, table, head.inputs)
        out = np.empty((found.rows, int(plan.values[plan.loss].shape[1])), plan.precision)
        with pinned(1), np.errstate(all="ignore"):
            chunks.run(found.rows, found.values, {plan.loss: out})
        yield table, out


def predicted(program: Program, dataset: Dataset, head: Head, weights: Mapping[str, Array], tables: Iterable[Table], proba: bool) -> Array:
    """What all the tables' rows are predicted to be, as `heads.meant` has it."""
    return meant(head, np.concatenate([raw for _, raw in predictions(program, dataset, head, weights, tables)]), proba)


def evaluation(program: Program, dataset: Dataset, plan: Plan, weights: Mapping[str, Array], tables: Iterable[Table]) -> Evaluation:
    """The loss and the metrics of the evaluation `plan` on the rows of all the tables, as training measures a split; E0404 if none is left."""
    names = [plan.values[r].name for r in plan.inputs]
    rows, left_out = 0, LeftOut()

    def given() -> Iterator[Piece]:
        nonlocal rows, left_out
        for table in tables:
            found = replay(program, dataset, table, names, dropping=True)
            rows, left_out = rows + found.rows, left_out + found.left_out
            yield found.rows, {name: array.astype(plan.precision, copy=False) for name, array in found.values.items()}

    with pinned(1), np.errstate(all="ignore"):
        loss, metrics = Measure(plan, _arrays(plan, weights), BLOCK).run(given())
    if refused := left_out.refused():
        raise refused[0]
    return Evaluation(rows, loss, metrics, left_out.notes)


def _arrays(plan: Plan, weights: Mapping[str, Array]) -> Arrays:
    arrays = allocate(plan)
    for tensors in (arrays.params, arrays.model_states):
        for name, array in tensors.items():
            array[...] = weights[name]
    return arrays
