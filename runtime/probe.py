"""The loss as a function of some of its values: the forward lines run again from these on.

They run as far as the loss, or as values along which its slope is known: what such a value does to the loss from there on is
its change times the slope. Beside every number it keeps an outcome for each operation that jumps or bends: which side a comparison fell on, which
operand a maximum took. Two runs with the same outcomes lie on one smooth piece.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from heapq import heappop, heappush
from typing import Any

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

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


class Difference(Struct, frozen=True):
    """A central difference: the slope, how far rounding can have moved it, and the largest move of what goes into a bent function."""

    slope: float
    noise: float
    moved: float


class Reach(Struct, frozen=True, eq=False):
    """The steps from some values on, the values at which a slope is known, and the `size` whose last bits rounding moves."""

    steps: tuple[Step, ...]
    ends: tuple[int, ...]
    size: float

    def read(self, values: Mapping[int, Array]) -> dict[int, Array]:
        """Of these values the ones that the steps read."""
        return {a: values[a] for step in self.steps for a in step.args if a in values}


class Point(Struct, frozen=True, eq=False):
    """All values of forward and gradient lines at some params, by register.

    `slopes`: registers along which the slope of the loss is known -> that slope; of the loss itself it is 1.
    """

    forward: Forward
    values: dict[int, Array]
    loss: float
    slopes: dict[int, Array]
    _reaches: dict[tuple[int, ...], tuple[int, Reach]] = {}

    def difference(self, directions: Mapping[int, Draw], h: float) -> Difference | None:
        """(loss(v + h u) - loss(v - h u)) / 2h for the values v of some registers; None if a comparison turns out otherwise on the way."""
        reach = self._reach(tuple(directions))
        discrete = [step for step in reach.steps if TABLE[step.op].discrete]
        here = [side(step, self.values) for step in discrete]
        changes: list[float] = []
        bent = {a for s in reach.steps if s.op not in STRAIGHT for a in s.args}
        far, size = 0.0, reach.size
        for sign in (h, -h):
            moved = reach.read(self.values) | {r: self.values[r] + sign * u for r, u in directions.items()}
            found = evaluate(reach.steps, moved, self.forward.rows, self.forward.seed)
            there = [side(step, found) for step in discrete]
            if not all(np.array_equal(a, b, equal_nan=True) for a, b in zip(here, there, strict=True)):
                return None
            far = max([far, *(float(np.max(np.abs(found[r] - self.values[r]), initial=0.0)) for r in bent)])
            changes.append(self._change(reach, found))
            size = max(size, sum(float(np.sum(np.abs(self.slopes[r] * found[r]))) for r in reach.ends))
        return Difference((changes[0] - changes[1]) / (2 * h), 10 * EPSILON * size / h, far)

    def whole(self) -> Point:
        """The same, with no slope known but that of the loss."""
        loss = self.forward.plan.loss
        return Point(self.forward, self.values, self.loss, {loss: self.slopes[loss]})

    def _change(self, reach: Reach, found: Mapping[int, Array]) -> float:
        """How far the loss moves when the values at the ends are these."""
        return sum(float(np.sum(self.slopes[r] * (found[r] - self.values[r]))) for r in reach.ends)

    def _reach(self, registers: tuple[int, ...]) -> Reach:
        """What some values reach, with how far the loss moves if every operation on the way is off by a small random share, over that share."""
        known, reach = self._reaches.get(registers, (0, None))
        if reach is None or known != len(self.slopes):
            steps = self.forward.after(registers, self.slopes)
            ends = tuple(step.out for step in steps if step.out in self.slopes)
            ends += tuple(r for r in registers if r == self.forward.plan.loss)  # a loss that is a param has no step
            reach = Reach(tuple(steps), ends, 0.0)
            reach = replace(reach, size=self._rounding(reach))
            self._reaches[registers] = (len(self.slopes), reach)
        return reach

    def _rounding(self, reach: Reach) -> float:
        random = generator(0, "check:rounding")
        moved = 0.0
        for _ in range(NUDGES):
            found = reach.read(self.values) | {r: self.values[r] for r in reach.ends}
            for step in reach.steps:
                row = TABLE[step.op]
                out = evaluate([step], {a: found[a] for a in step.args}, self.forward.rows, self.forward.seed)[step.out]
                exact = row.discrete or row.kind in {"view", "move"}
                found[step.out] = out if exact else out * (1 + NUDGE * random.standard_normal(out.shape))
            moved = max(moved, abs(self._change(reach, found)) / NUDGE)
        return moved if np.isfinite(moved) else 0.0

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


class Forward(Struct, eq=False):
    """The forward and gradient lines of a plan on `rows` rows of `data`, with states and draws as in the first step of a seed.

    `given`: the numbers of symbols, states and draws that are others than these, by register.
    """

    plan: Plan
    data: dict[str, Draw]
    rows: int
    seed: int = 0
    given: Mapping[int, Array] = {}
    _steps: list[Step] = []
    _readers: dict[int, list[int]] = {}  # register -> which of these steps read it

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
        return Point(self, values, float(values[self.plan.loss]), {self.plan.loss: np.ones(())})

    def steps(self, *sections: str) -> list[Step]:
        """The steps of some sections whose result is not given."""
        return [step for step in self.plan.steps(*sections) if step.out not in self.given]

    def after(self, registers: Iterable[int], ends: Container[int] = ()) -> list[Step]:
        """The forward steps that some values reach, in the order they run; what `ends` has is made, and reaches no further."""
        if not self._readers:
            self._steps += self.steps("forward")
            for i, step in enumerate(self._steps):
                for a in dict.fromkeys(step.args):
                    self._readers.setdefault(a, []).append(i)
        own = {*registers}
        waiting = sorted(i for r in own for i in self._readers.get(r, ()))
        found: list[Step] = []
        last = -1
        while waiting:
            i = heappop(waiting)
            step = self._steps[i]
            if i == last or step.out in own:
                continue
            last = i
            found.append(step)
            if step.out not in ends:
                for reader in self._readers.get(step.out, ()):
                    heappush(waiting, reader)
        return found


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
