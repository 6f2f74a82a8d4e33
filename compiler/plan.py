"""The plan: what is printed, and exactly what runs. A value without pointers: comparable, printable, serialisable.

A plan holds *values* (numbered registers, each with a shape and perhaps a name), *steps* (one operation of
`compiler.ops` each, reading and making values) and *lines* (a named value with the steps that make it: the
unit that is printed, timed, traced, costed and executed). Single assignment, defined before use: `verify`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from msgspec import Struct

from .render.page import Row, Shown

NUMBERED = re.compile("t[0-9]+")  # the names of shared values that nobody named
Dim = int | str  # a size, or a symbol: "N" the rows of the batch, "P" the numbers of a parameter
Shape = tuple[Dim, ...]
Numbers = float | tuple[float, ...] | tuple[tuple[float, ...], ...]
Attrs = tuple[tuple[str, object], ...]


class Value(Struct, frozen=True):
    """Register `id`. `role`: input | param | state | const | symbol | line | inner.

    `name` is what a person reads (empty for an inner value). A const carries its number, or those of a literal, in `number`;
    a symbol (`N step steps epoch epochs`) is a scalar that the runtime sets.
    """

    id: int
    name: str
    role: str
    shape: Shape
    number: Numbers | None = None


class Step(Struct, frozen=True):
    """`out = op(*args, **attrs)`: one row of the op table applied to registers."""

    op: str
    args: tuple[int, ...]
    out: int
    attrs: Attrs = ()


class Line(Struct, frozen=True):
    """`target = text`, made by `steps`, the last of which writes `value`.

    `needs` are exactly the names in `text`, `needed_by` the ids of the lines that read it; `kept`: a forward line
    that the gradient reads. `by` says why (gradient lines), `note` which words of the user's a rewrite crossed.
    `line` is the line of the `.mlp` file or 0; flops and bytes are of one step at the plan's batch.
    `applies_to`: the params of an update line; one that is `whole` is made once, of the numbers of all of them together.
    `commits` is the register of a state or param (or of its gradient) that the line overwrites.
    `again` is the id of the forward line that a line of the gradient repeats, as its value was not kept.
    """

    id: str
    section: str
    target: str
    text: str
    shape: Shape
    value: int
    steps: tuple[Step, ...]
    by: str = ""
    line: int = 0
    needs: tuple[str, ...] = ()
    needed_by: tuple[str, ...] = ()
    kept: bool = False
    flops: int = 0
    bytes: int = 0
    note: str = ""
    applies_to: tuple[str, ...] = ()
    commits: int | None = None
    whole: bool = False
    again: str = ""

    @property
    def unnamed(self) -> bool:
        """Whether what it makes is t1, t2, ..., as several lines read it and nobody has named it."""
        return NUMBERED.fullmatch(self.target) is not None and not self.line


class Tensor(Struct, frozen=True):
    """A param or a state of the model, in register `value`.

    `init` is the initialiser's name with its arguments, numbers or (for `values`) nested tuples.
    """

    name: str
    shape: tuple[int, ...]
    init: str
    init_args: tuple[object, ...]
    init_text: str
    value: int

    @property
    def count(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)


class ParamSpec(Tensor, frozen=True):
    """A trained tensor."""

    gradient: int | None
    line: int = 0


class ModelState(Tensor, frozen=True):
    """A tensor that is not trained. Register `next` takes the place of `value` after the update; in an evaluation plan it is None."""

    next: int | None


class StateSpec(Struct, frozen=True):
    """A state of the update: one number for every number of every param, starting at `init`."""

    name: str
    init: float
    value: int


class Plan(Shown, Struct, frozen=True):
    """Forward, gradient and update of one model for one schema. `batch` is the rows of a full step.

    For training `output` names the model's last value and `loss` the loss; `reports` are (name, register) of metrics,
    in an evaluation plan only, which has no gradient and no update. `update_w` and `update_dw` are the registers
    that stand for every param and its gradient in the update lines.
    """

    title: str
    values: tuple[Value, ...]
    inputs: tuple[int, ...]
    params: tuple[ParamSpec, ...]
    states: tuple[StateSpec, ...]
    forward: tuple[Line, ...]
    gradient: tuple[Line, ...]
    update: tuple[Line, ...]
    loss: int
    loss_text: str
    output: int
    batch: int
    precision: str
    reports: tuple[tuple[str, int], ...] = ()
    update_w: int | None = None
    update_dw: int | None = None
    model_states: tuple[ModelState, ...] = ()
    accumulate: int = 1  # batches whose gradients' mean, weighted by rows, one update is by
    several_rows: bool = False  # a batch of one row has no value here (batch_norm)

    def page(self) -> list[Row]:
        """The page of `mlpc plan`, without the cost of a step."""
        from .render.text import plan_page

        return plan_page(self)

    def _repr_latex_(self) -> str:
        from .render.display import plan_display

        return plan_display(self)

    @property
    def lines(self) -> tuple[Line, ...]:
        """All lines in the order they run."""
        return self.forward + self.gradient + self.update

    def steps(self, *sections: str) -> Iterator[Step]:
        """The steps of some sections, in the order they run."""
        for line in self.lines:
            if line.section in sections:
                yield from line.steps
