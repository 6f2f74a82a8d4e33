"""What is predicted: a value of the model, and what its numbers mean in the labels and units of the data's file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..compiler import graph as graphs
from ..compiler.graph import Graph
from ..compiler.plan import Plan
from ..compiler.rowwise import WHOLE, chance, reads
from ..compiler.schema import DataValue
from ..compiler.shapes import batched, show
from ..dsl.diagnostics import MlpcError, did_you_mean, fault
from .columns import number
from .data import Dataset
from .kernel import Array
from .replay import raw_columns
from .selection import labels_of
from .targets import inverse

LABELS, NUMBERS, RAW = "labels", "numbers", "raw"
THRESHOLD = 0.5  # of one column that says how probable the second of two classes is


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A value that is predicted by `plan`, whose `loss` it is.

    `form`: `labels` of the target's classes, `numbers` in its units, or `raw` as the model computes them. `columns` name what is
    predicted; `shares` are the columns of the probabilities, () where there are none. `note` says why it is raw, if that may surprise.
    """

    name: str
    plan: Plan
    form: str
    columns: tuple[str, ...]
    target: DataValue | None = None
    shares: tuple[str, ...] = ()
    note: str = ""

    @property
    def inputs(self) -> list[str]:
        """The data values that it reads."""
        return [self.plan.values[r].name for r in self.plan.inputs]

    def predicted(self, raw: Array) -> list[list[str] | Array]:
        """Column by column, what the computed [rows, width] mean."""
        if self.form == LABELS and self.target is not None:
            return [[self.target.classes[i] for i in _places(raw).tolist()]]
        x = inverse(self.target, raw) if self.form == NUMBERS and self.target is not None else raw
        return list(x.T)

    def probable(self, raw: Array) -> Array:
        """The probability of each class [rows, classes]. MlpcError E0511 where the value is no distribution."""
        if not self.shares:
            said = f"`{self.name}` " + ("predicts no classes" if self.form != LABELS else "is not known to be a distribution over classes")
            raise fault(
                "E0511",
                None,
                f"{said}, so it has no probabilities",
                "p = softmax(z), or sigmoid(z) of one column, as the model's last line",
            )
        return probabilities(raw)


def head(graph: Graph, dataset: Dataset, plan: Plan, name: str, output: str) -> Head:
    """What the value `name` predicts, computed by `plan`. MlpcError E0511 for one that is not a row's own."""
    value = plan.values[plan.loss]
    refuse_what_is_not_of_a_row(plan, name)
    width, facts = int(value.shape[1]), graph.nodes[name]["facts"]
    raw = Head(name, plan, RAW, labels_of(name, width))
    if name != output and not any(graph.nodes[r]["kind"] in {"loss", "report"} for _, r in graph.out_edges(name)):
        return raw  # a hidden value, which predicts nothing
    known = graphs.targets(graph)
    targets = [v for v in dataset.schema.values if v.name in known and width in {v.width, len(v.classes)}]
    if len(targets) > 1:
        shown = " and ".join(f"`{t.name}`" for t in targets)
        return _told(raw, f"{shown} are both as wide as `{name}`: its numbers are those of the model, in no target's units")
    if not targets:
        return _told(raw, f"no target is as wide as `{name}`: its numbers are those of the model") if known else raw
    target = targets[0]
    if not target.classes:
        return Head(name, plan, NUMBERS, target.labels, target)
    files = raw_columns(dataset, [target.name])
    title = next(iter(files)) if len(files) == 1 else target.name
    shares = tuple(f"{title}={label}" for label in target.classes)
    if width == len(target.classes) > 1:
        return Head(name, plan, LABELS, (title,), target, shares if "simplex" in facts else ())
    if len(target.classes) == 2 and {">= 0", "bounded"} <= set(facts):
        return Head(name, plan, LABELS, (title,), target, shares)
    why = f"`{name}` is one column and not known to be a probability: its numbers are those of the model, not labels"
    return _told(raw, why)


def refuse_what_is_not_of_a_row(plan: Plan, name: str) -> None:
    """MlpcError E0511 for a value that has no row for each row of data, that depends on other rows, or on chance."""
    value = plan.values[plan.loss]
    if not batched(value.shape) or not plan.inputs:
        raise fault(
            "E0511", None, f"`{name}` is {show(value.shape)}, and has no row for each row of data", "predict a value that reads the inputs"
        )
    if reads(plan)[plan.loss] == WHOLE:
        kinds = reads(plan)
        line = next(x for x in plan.forward if kinds[x.value] == WHOLE)
        message = f"`{name}` depends on the other rows of a batch, by `{line.target} = {line.text}` (line {line.line})"
        raise fault(
            "E0511",
            None,
            message,
            "keep running statistics in a state, as batch_norm does, and use them in prediction: where(training, a, b)",
        )
    drawn = chance(plan)
    if drawn is not None:
        message = f"`{name}` depends on chance, by `{drawn.target} = {drawn.text}` (line {drawn.line})"
        raise fault("E0511", None, message, "draw in training alone: where(training, a, b), as dropout does")


def unknown_value(name: str, graph: Graph) -> MlpcError:
    """E0201 for a name that no value of the model has."""
    known = [n for n, d in graph.nodes(data=True) if d["kind"] == "value"]
    return fault("E0201", None, f"the model has no value `{name}`", did_you_mean(name, known))


def meant(head: Head, raw: Array, proba: bool = False) -> Array:
    """What the computed [rows, width] mean, as an array: [rows] where that is one column. Classes that are numbers are numbers."""
    if proba:
        return head.probable(raw)
    if head.form == LABELS and head.target is not None:
        found = [number(label) for label in head.target.classes]
        classes = np.array(head.target.classes if any(x is None for x in found) else found)
        return classes[_places(raw)]
    columns = head.predicted(raw)
    return np.asarray(columns[0]) if len(columns) == 1 else np.column_stack(columns)


def probabilities(raw: Array) -> Array:
    """[rows, classes]: as they are, or of one column that is the probability of the second of two classes."""
    return raw if raw.shape[1] > 1 else np.concatenate([1 - raw, raw], axis=1)


def _places(raw: Array) -> Array:
    """Which class each row is, as the metrics say it: of the largest number, or of one column the second above 0.5."""
    return raw.argmax(axis=1) if raw.shape[1] > 1 else (raw[:, 0] > THRESHOLD).astype(np.intp)


def _told(raw: Head, note: str) -> Head:
    return Head(raw.name, raw.plan, RAW, raw.columns, note=note)
