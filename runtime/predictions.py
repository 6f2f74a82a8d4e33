"""What a run predicts beside what the data says, row by row in the labels and units of the file: kept with it, for residuals and the like.

Of each split there are at most `MOST` rows, evenly taken. A target counts if it is clear which value of the model predicts it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..compiler.compilation import Compilation
from ..compiler.render.json import plain
from ..compiler.schema import DataValue
from ..dsl.syntax import Program
from .chunks import Chunks
from .data import Dataset
from .heads import beside, places, says_class
from .kernel import Array, allocate
from .measure import rows_of
from .targets import inverse
from .threads import pinned

MOST = 2000  # rows of a split
WIDEST = 8  # columns of a target of numbers


class Predicted(Struct, frozen=True):
    """A target and the value that predicts it, in register `register` of the evaluation plan. `classes`: its labels, () for numbers."""

    target: DataValue
    value: str
    register: int
    classes: tuple[str, ...]


def predictions(
    program: Program, compilation: Compilation, dataset: Dataset, params: Mapping[str, Array], states: Mapping[str, Array]
) -> dict[str, Any]:
    """`targets` {name, value, classes}, and `splits`: name -> {rows, places, of: target -> {true, predicted}}.

    A target of classes has places in `classes`, one of numbers a list a row, in its own units.
    """
    evaluation, found = compilation.evaluation, list(predicted(program, compilation, dataset))
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


def predicted(program: Program, compilation: Compilation, dataset: Dataset) -> Iterator[Predicted]:
    """The targets whose prediction is clear: of one value, or of several the output, whose numbers say what they mean."""
    known = {k.name: k for k in compilation.names}
    values = {v.name: v for v in compilation.evaluation.values if v.role in {"line", "inner"} and v.name in known}
    pairs = beside(program, compilation, dataset)
    for target in dict.fromkeys(t for targets in pairs.values() for t in targets):
        found = [values[name] for name, targets in pairs.items() if target in targets]
        found = [v for v in found if v.id == compilation.evaluation.output] or found
        classes = target.classes or (("0", "1") if target.width == 1 and target.facts.below == 2 else ())
        if len(found) == 1:
            name, width = found[0].name, int(found[0].shape[1])
            if says_class(len(classes), width, known[name].facts) if classes else width <= WIDEST:
                yield Predicted(target, name, found[0].id, classes)


def _beside(p: Predicted, true: Array, predicted: Array) -> dict[str, Any]:
    """Both, a row an entry."""
    if p.classes:
        told = true.argmax(axis=1) if p.target.width > 1 else true[:, 0]
        return {"true": told.astype(int).tolist(), "predicted": places(predicted).tolist()}
    wide = predicted.astype(np.float64)
    return {"true": plain(inverse(p.target, true).tolist()), "predicted": plain(inverse(p.target, wide).tolist())}
