"""What is predicted: a value of the model, and what its numbers mean in the labels and units of the data's file."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from msgspec import Struct

from ..compiler.compilation import Compilation
from ..compiler.plan import Plan
from ..compiler.rowwise import ROW, WHOLE, chance, reads
from ..compiler.schema import DataValue
from ..compiler.shapes import batched, show
from ..dsl.diagnostics import MlpcError, did_you_mean, fault
from ..dsl.syntax import Expr, Name, Program, walk
from .columns import number
from .data import Dataset
from .kernel import Array
from .replay import raw_columns
from .selection import labels_of
from .targets import inverse

LABELS, NUMBERS, RAW = "labels", "numbers", "raw"
THRESHOLD = 0.5  # of one column that says how probable the second of two classes is


class Head(Struct, frozen=True, eq=False):
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
            return [[self.target.classes[i] for i in places(raw).tolist()]]
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


def head(program: Program, compilation: Compilation, dataset: Dataset, plan: Plan, name: str, output: str) -> Head:
    """What the value `name` predicts, computed by `plan`. MlpcError E0511 for one that is not a row's own."""
    refuse_what_is_not_of_a_row(plan, name)
    width = int(plan.values[plan.loss].shape[1])
    raw = Head(name, plan, RAW, labels_of(name, width))
    known = {k.name: k for k in compilation.names}
    targets = [v for v in dataset.schema.values if v.name in known and known[v.name].target]
    closest = beside(program, compilation, dataset).get(name, ())
    like = closest or [t for t in targets if width in {t.width, len(t.classes)}]
    if not closest and (name != output or not targets):
        return raw  # it predicts nothing
    if len(like) > 1:
        shown = " and ".join(f"`{t.name}`" for t in like)
        return _told(raw, f"{shown} are both as wide as `{name}`: its numbers are those of the model, in no target's units")
    if not like:
        return _told(raw, f"no target is as wide as `{name}`: its numbers are those of the model")
    target = like[0]
    if not target.classes:
        return Head(name, plan, NUMBERS, target.labels, target)
    facts = known[name].facts
    if not says_class(len(target.classes), width, facts):
        return _told(raw, f"`{name}` is one column and not known to be a probability: its numbers are those of the model, not labels")
    files = raw_columns(dataset, [target.name])
    title = next(iter(files)) if len(files) == 1 else target.name
    shares = tuple(f"{title}={label}" for label in target.classes)
    return Head(name, plan, LABELS, (title,), target, shares if width == 1 or "simplex" in facts else ())


def beside(program: Program, compilation: Compilation, dataset: Dataset) -> dict[str, tuple[DataValue, ...]]:
    """Value -> the targets that it predicts: beside which the loss or a metric reads it most closely of all values as wide."""
    plan, known = compilation.evaluation, {k.name: k for k in compilation.names}
    kinds = reads(plan)
    widths = {v.name: v.shape[1] for v in plan.values if v.role in {"line", "inner"} and v.name in known and known[v.name].kind == "value"
              and kinds[v.id] == ROW and len(v.shape) == 2}  # fmt: skip
    measured = [*([program.loss.value] if program.loss else []), *(item.value for item in program.report)]
    found: dict[str, tuple[DataValue, ...]] = {}
    for target in (v for v in dataset.schema.values if v.name in known and known[v.name].target):
        like = {n for n, width in widths.items() if width in {target.width, len(target.classes)}}
        for name in dict.fromkeys(n for e in measured for n in _closest(e, target.name, like)):
            found[name] = (*found.get(name, ()), target)
    return found


def says_class(classes: int, width: int, facts: Collection[str]) -> bool:
    """Whether numbers so wide say which of the classes: one column for two of them must be known to be a probability."""
    return width == classes if width > 1 else classes == 2 and {">= 0", "bounded"} <= {*facts}


def _closest(measured: Expr, target: str, values: Collection[str]) -> Iterator[str]:
    """The values in the smallest expressions that read the target and any of them."""
    read = [(e, [n.id for n in walk(e) if isinstance(n, Name)]) for e in walk(measured)]
    both = [(e, names) for e, names in read if target in names and any(n in values for n in names)]
    for e, names in both:
        if not any(inner is not e and any(inner is x for x in walk(e)) for inner, _ in both):
            yield from (n for n in names if n in values)


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


def unknown_value(name: str, values: Collection[str]) -> MlpcError:
    """E0201 for a name that no value of the model has."""
    return fault("E0201", None, f"the model has no value `{name}`", did_you_mean(name, values))


def meant(head: Head, raw: Array, proba: bool = False) -> Array:
    """What the computed [rows, width] mean, as an array: [rows] where that is one column. Classes that are numbers are numbers."""
    if proba:
        return head.probable(raw)
    if head.form == LABELS and head.target is not None:
        found = [number(label) for label in head.target.classes]
        classes = np.array(head.target.classes if any(x is None for x in found) else found)
        return classes[places(raw)]
    columns = head.predicted(raw)
    return np.asarray(columns[0]) if len(columns) == 1 else np.column_stack(columns)


def probabilities(raw: Array) -> Array:
    """[rows, classes]: as they are, or of one column that is the probability of the second of two classes."""
    return raw if raw.shape[1] > 1 else np.concatenate([1 - raw, raw], axis=1)


def places(raw: Array) -> Array:
    """Which class each row is, as the metrics say it: of the largest number, or of one column the second above 0.5."""
    return raw.argmax(axis=1) if raw.shape[1] > 1 else (raw[:, 0] > THRESHOLD).astype(np.intp)


def _told(raw: Head, note: str) -> Head:
    return Head(raw.name, raw.plan, RAW, raw.columns, note=note)
