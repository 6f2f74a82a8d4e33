"""The loss as a function of one of its values: the forward lines run again from that value on.

Beside every number it keeps an outcome for each operation that jumps or bends: which side a comparison fell on, which
operand a maximum took. Two runs with the same outcomes lie on one smooth piece.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..compiler.ops import TABLE
from ..compiler.plan import Plan, Step
from .init import Draw, draw, generator
from .program import ranges, state_ranges
from .reference import Array, evaluate

# Operations without a scale of their own: they go straight, or bend in proportion to their operand, which two step sizes show.
# All others (exp, tanh, softmax) bend over a distance of about 1, whatever the size of the operand.
STRAIGHT = frozenset((
    "neg", "add", "sub", "mul", "div", "pow", "sqrt", "log", "abs", "max", "min", "where", "lt", "le", "gt", "ge", "eq", "ne", "sign",
    "floor", "argmax", "rank", "onehot", "sum", "max_over", "min_over", "matmul", "transpose", "reshape", "broadcast", "slice", "alias", "concat",
    "pad", "gather", "scatter_add",
))  # fmt: skip
NUDGE, NUDGES = 1e-8, 3  # a relative error far above rounding and far below everything else, and how often it is tried
EPSILON = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Difference:
    """A central difference: the slope, how far rounding can have moved it, and the largest move of what goes into a bent function."""

    slope: float
    noise: float
    moved: float


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """All values of forward and gradient lines at some params, by register. A rounding error moves the loss by `size` times epsilon."""

    forward: Forward
    values: dict[int, Array]
    loss: float
    size: float

    def difference(self, register: int, direction: Draw, h: float) -> Difference | None:
        """(loss(v + h u) - loss(v - h u)) / 2h for the value v of a register; None if a comparison turns out otherwise on the way."""
        steps = self.forward.after(register)
        here = [side(step, self.values) for step in steps if TABLE[step.op].discrete]
        losses: list[float] = []
        bent = {a for s in steps if s.op not in STRAIGHT for a in s.args}
        far = 0.0
        for sign in (h, -h):
            moved = dict(self.values)
            moved[register] = self.values[register] + sign * direction
            found = evaluate(steps, moved, self.forward.rows, self.forward.seed)
            there = [side(step, found) for step in steps if TABLE[step.op].discrete]
            if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(here, there, strict=True)):
                return None
            far = max([far, *(float(np.max(np.abs(found[r] - self.values[r]), initial=0.0)) for r in bent)])
            losses.append(float(found[self.forward.plan.loss]))
        size = max(abs(losses[0]), abs(losses[1]), self.size)
        return Difference((losses[0] - losses[1]) / (2 * h), 10 * EPSILON * size / h, far)

    @property
    def singular(self) -> str:
        """The gradient line in which a derivative becomes infinite, as that of sqrt at 0, or ''.

        It is where the first number that is not finite is made, if that is of a 0 or of a value that is itself infinite.
        """
        for line in self.forward.plan.gradient:
            for step in line.steps:
                if not np.isfinite(self.values[step.out]).all():
                    args = [self.values[a] for a in step.args]
                    return line.id if any((a == 0).any() or not np.isfinite(a).all() for a in args) else ""
        return ""


@dataclass(slots=True, eq=False)
class Forward:
    """The forward and gradient lines of a plan on `rows` rows of `data`, with states and draws as in the first step of a seed.

    `given`: the numbers of symbols, states and draws that are others than these, by register.
    """

    plan: Plan
    data: dict[str, Draw]
    rows: int
    seed: int = 0
    given: Mapping[int, Array] = field(default_factory=dict[int, Array])
    _after: dict[int, list[Step]] = field(default_factory=dict[int, "list[Step]"])

    def point(self, params: Draw) -> Point:
        """Everything at these params, flat in order of declaration."""
        values: dict[int, Array] = {}
        for v in self.plan.values:
            if v.role == "const" or v.role == "symbol":
                values[v.id] = np.asarray(v.number if v.number is not None else self.rows if v.name == "N" else 1, np.float64)
            elif v.role == "input":
                values[v.id] = self.data[v.name]
        for p, (start, stop) in zip(self.plan.params, ranges(self.plan), strict=True):
            values[p.value] = params[start:stop].reshape(p.shape)
        states = draw(self.plan.model_states, self.seed)
        for s, (start, stop) in zip(self.plan.model_states, state_ranges(self.plan), strict=True):
            values[s.value] = states[start:stop].reshape(s.shape)
        values = evaluate(self.steps("forward", "gradient"), values | dict(self.given), self.rows, self.seed)
        loss = float(values[self.plan.loss])
        return Point(self, values, loss, max(abs(loss), self._rounding(values, loss)))

    def _rounding(self, values: dict[int, Array], loss: float) -> float:
        """How far the loss moves if every operation is off by a small random share of its result, over that share."""
        random = generator(0, "check:rounding")
        moved = 0.0
        for _ in range(NUDGES):
            found = dict(values)
            for step in self.steps("forward"):
                row = TABLE[step.op]
                out = evaluate([step], {a: found[a] for a in step.args}, self.rows, self.seed)[step.out]
                exact = row.discrete or row.kind in {"view", "move"}
                found[step.out] = out if exact else out * (1 + NUDGE * random.standard_normal(out.shape))
            moved = max(moved, abs(float(found[self.plan.loss]) - loss) / NUDGE)
        return moved if np.isfinite(moved) else 0.0

    def steps(self, *sections: str) -> list[Step]:
        """The steps of some sections whose result is not given."""
        return [step for step in self.plan.steps(*sections) if step.out not in self.given]

    def after(self, register: int) -> list[Step]:
        """The forward steps that a value reaches, in the order they run."""
        if register not in self._after:
            reached = {register}
            steps: list[Step] = []
            for step in self.steps("forward"):
                if step.out != register and any(a in reached for a in step.args):
                    reached.add(step.out)
                    steps.append(step)
            self._after[register] = steps
        return self._after[register]


def side(step: Step, values: dict[int, Array]) -> Array:
    """The outcome of an operation that is `discrete`: equal arrays where nothing was crossed."""
    return SIDES.get(step.op, _result)(values[step.out], *(values[a] for a in step.args), **dict(step.attrs))


def _result(out: Array, *args: Array, **attrs: Any) -> Array:
    return out


def _order(out: Array, a: Array, b: Array) -> Array:
    """Which is larger; a tie, which is left at once, is an outcome of its own."""
    return np.sign(a - b)


def _hits(out: Array, x: Array, axes: tuple[int, ...], keep: bool) -> Array:
    """Where the extreme lies."""
    return x == (out if keep else np.expand_dims(out, axes))


SIDES: dict[str, Callable[..., Array]] = {
    **dict.fromkeys(("max", "min", "lt", "le", "gt", "ge", "eq", "ne"), _order),
    **dict.fromkeys(("sign", "floor", "argmax", "rank", "onehot"), _result),  # and random draws, which are the same at both ends
    **dict.fromkeys(("max_over", "min_over"), _hits),
    "abs": lambda out, x: np.sign(x),
    "gather": lambda out, w, index: index,  # the rows themselves may move
    "scatter_add": lambda out, x, index, size: index,
    "where": lambda out, condition, a, b: condition != 0,
}
