"""What a run predicts beside what the data says, row by row in the labels and units of the file: kept with it, for residuals and the like.

Of each split there are at most `MOST` rows, evenly taken. A target counts if it is clear which value of the model predicts it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..compiler.compilation import Known
from ..compiler.plan import Plan, Value
from ..compiler.render.json import plain
from ..compiler.rowwise import ROW, reads
from ..compiler.schema import DataValue
from ..dsl.syntax import Expr, Name, Program, walk
from .chunks import Chunks
from .data import Dataset
from .kernel import Array, allocate
from .measure import rows_of
from .targets import inverse
from .threads import pinned

MOST = 2000  # rows of a split
WIDEST = 8  # columns of a target of numbers


@dataclass(frozen=True, slots=True)
class Predicted:
    """A target and the value that predicts it, in register `register` of the evaluation plan. `classes`: its labels, () for numbers."""

    target: DataValue
    value: str
    register: int
    classes: tuple[str, ...]


def predictions(
    program: Program, names: Iterable[Known], evaluation: Plan, dataset: Dataset, params: Mapping[str, Array], states: Mapping[str, Array]
) -> dict[str, Any]:
    """`targets` {name, value, classes}, and `splits`: name -> {rows, places, of: target -> {true, predicted}}.

    A target of classes has places in `classes`, one of numbers a list a row, in its own units.
    """
    found = list(predicted(program, names, evaluation, dataset))
    document: dict[str, Any] = {
        "targets": [{"name": p.target.name, "value": p.value, "classes": list(p.classes)} for p in found],
        "splits": {},
    }
    if not found:
        return document
    arrays = allocate(evaluation)
    for held, given in ((arrays.params, params), (arrays.model_states, states)):
        for name, array in given.items():
            held[name][...] = array
    registers = tuple(dict.fromkeys(p.register for p in found))
    inputs = [evaluation.values[r].name for r in evaluation.inputs]
    shapes = {v.id: v.shape for v in evaluation.values}
    with pinned(1), np.errstate(all="ignore"):
        chunks = Chunks(replace(evaluation, loss=registers[0], reports=()), registers, arrays)
        for split, values in dataset.splits.items():
            count = rows_of(values)
            taken = np.linspace(0, count - 1, min(count, MOST)).astype(int)
            out = {r: np.empty((len(taken), *map(int, shapes[r][1:])), evaluation.precision) for r in registers}
            chunks.run(len(taken), {name: values[name][taken].astype(evaluation.precision) for name in inputs}, out)
            if len(taken):
                document["splits"][split] = {
                    "rows": count,
                    "places": [dataset.place(split, row) for row in taken.tolist()],
                    "of": {p.target.name: _beside(p, values[p.target.name][taken], out[p.register]) for p in found},
                }
    return document


def predicted(program: Program, names: Iterable[Known], evaluation: Plan, dataset: Dataset) -> Iterator[Predicted]:
    """The targets whose prediction is clear: the one value as wide that stands closest to it in the loss or a metric; of several the output."""
    mine = {known.name: known for known in names}
    known = {v.name: v for v in evaluation.values if v.role in {"line", "inner"} and v.name}
    kinds = reads(evaluation)
    values = {n for n in known if n in mine and mine[n].kind == "value" and kinds[known[n].id] == ROW}
    measured = [*([program.loss.value] if program.loss else []), *(item.value for item in program.report)]
    for target in (v for v in dataset.schema.values if v.name in mine and mine[v.name].target):
        classes = target.classes or (("0", "1") if target.width == 1 and target.facts.below == 2 else ())
        widths = {target.width, len(target.classes)} - {0}
        like = {n for n in values if len(known[n].shape) == 2 and known[n].shape[1] in widths}
        beside = list(dict.fromkeys(n for e in measured for n in _closest(e, target.name, like)))
        beside = [n for n in beside if known[n].id == evaluation.output] or beside
        if len(beside) == 1 and _clear(classes, target, known[beside[0]], mine[beside[0]].facts):
            yield Predicted(target, beside[0], known[beside[0]].id, classes)


def _closest(measured: Expr, target: str, values: Collection[str]) -> Iterator[str]:
    """The values in the smallest expressions that read the target and any of them."""
    read = [(e, [n.id for n in walk(e) if isinstance(n, Name)]) for e in walk(measured)]
    both = [(e, names) for e, names in read if target in names and any(n in values for n in names)]
    for e, names in both:
        if not any(inner is not e and any(inner is x for x in walk(e)) for inner, _ in both):
            yield from (n for n in names if n in values)


def _clear(classes: tuple[str, ...], target: DataValue, value: Value, facts: Collection[str]) -> bool:
    """Whether the value's numbers say which class, or are the target's: one column for two classes must be known to be a probability."""
    if not classes:
        return target.width <= WIDEST
    return value.shape[1] == len(classes) if value.shape[1] != 1 else len(classes) == 2 and {">= 0", "bounded"} <= {*facts}


def _beside(p: Predicted, true: Array, predicted: Array) -> dict[str, Any]:
    """Both, a row an entry."""
    if p.classes:
        told = true.argmax(axis=1) if p.target.width > 1 else true[:, 0]
        most = predicted.argmax(axis=1) if predicted.shape[1] > 1 else predicted[:, 0] > 0.5
        return {"true": told.astype(int).tolist(), "predicted": most.astype(int).tolist()}
    wide = predicted.astype(np.float64)
    return {"true": plain(inverse(p.target, true).tolist()), "predicted": plain(inverse(p.target, wide).tolist())}
