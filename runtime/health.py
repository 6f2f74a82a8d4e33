"""What a trained model has that hurts it in silence: units that are never on, gradients that vanish or explode, values that underflow.

One more step is taken when the training is done, operation by operation, on copies: to make a kernel of it would cost more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from ..compiler.ops import TABLE
from ..compiler.plan import Line, Plan
from ..compiler.plan import Step as Operation
from ..compiler.rowwise import ROW, reads
from ..compiler.settings import Settings
from .kernel import Array, Arrays
from .later import Values
from .nonfinite import norm
from .program import PARAMS, STATES, ranges
from .reference import Seen, evaluate

VANISHED, ALIVE, EXPLODED = 1e-8, 1e-5, 1e3  # a gradient's length over its param's; `ALIVE`: that of another, or all are done learning
LEAST = 0.1  # a param of zeros is taken for one of numbers of this size
FEW, SMALL = 200, 1e7  # so many steps make the one more free, and so few operations do
MANY, HEIGHT = 20_000, 1000  # rows in which a unit that is never on is looked for; at a time, where they do not touch each other
SHRINKING = ("mul", "div", "pow", "exp", "matmul", "softmax", "sigmoid", "softplus")  # only these make 0 of what is none, by size alone


def notes(plan: Plan, arrays: Arrays, data: Mapping[str, Values], rows: int, settings: Settings, steps: int) -> tuple[str, ...]:
    """A sentence for each finding, by line, after so many steps; () where looking would cost. It belongs under `np.errstate(all="ignore")`."""
    size = min(settings.batch, rows)
    if not size or not plan.params or (steps < FEW and sum(line.flops for line in plan.lines) > SMALL):
        return ()
    whole = {name: data[name] for name in (plan.values[r].name for r in plan.inputs)}
    small, off = Small(plan), _Off(plan)
    gradients = step(plan, arrays, {name: a[:size] for name, a in whole.items()}, size, small, off)
    dead = _dead(plan, arrays, whole, rows, size, off)
    underflown = (_underflow(plan, line, operation) for line, operation in small.lines())
    return (*dead, *_gradients(plan, arrays, gradients), *_states(plan, arrays), *underflown)


def step(plan: Plan, arrays: Arrays, inputs: Mapping[str, Array], rows: int, *looks: Seen) -> dict[str, Array]:
    """Shows each operation of a step that is taken with these `rows` and changes nothing; the gradients by the names of their params."""

    def look(operation: Operation, args: list[Array], out: Array) -> None:
        for each in looks:
            each(operation, args, out)

    made = {p.gradient: p for p in plan.params if p.gradient is not None}
    given = leaves(plan, arrays, inputs, rows)
    values = evaluate(plan.steps("forward", "gradient"), given, rows, arrays.seed, look=look, keep=made)
    gradients = {p.name: np.broadcast_to(values[register], p.shape) for register, p in made.items()}
    _update(plan, arrays, gradients, given, rows, look)
    return gradients


def leaves(plan: Plan, arrays: Arrays, inputs: Mapping[str, Array], rows: int) -> dict[int, Array]:
    """What the lines of a plan read that no line makes, by register: of a batch of `rows`, and of training as it stands."""
    found: dict[int, Array] = {}
    for v in plan.values:
        if v.role == "const" or (v.role == "symbol" and (v.name == "N" or v.name in arrays.symbols)):
            number = v.number if v.role == "const" else rows if v.name == "N" else arrays.symbols[v.name]
            found[v.id] = np.asarray(number, np.float64)
    found |= {r: inputs[plan.values[r].name] for r in plan.inputs}
    found |= {p.value: arrays.params[p.name] for p in plan.params} | {s.value: arrays.model_states[s.name] for s in plan.model_states}
    return found


def _update(plan: Plan, arrays: Arrays, gradients: Mapping[str, Array], given: Mapping[int, Array], rows: int, look: Seen) -> None:
    """The update by these gradients, of all params as one flat array."""
    flat = {s.value: arrays.flat[STATES + k] for k, s in enumerate(plan.states)}
    if plan.update_w is not None:
        flat[plan.update_w] = arrays.flat[PARAMS]
    if plan.update_dw is not None:
        flat[plan.update_dw] = np.zeros_like(arrays.flat[PARAMS])
        for p, (start, stop) in zip(plan.params, ranges(plan), strict=True):
            flat[plan.update_dw][start:stop] = np.ravel(gradients.get(p.name, np.zeros(())))
    evaluate(plan.steps("update"), {**given, **flat}, rows, arrays.seed, total=len(arrays.flat[PARAMS]), look=look, keep=())


class Small:
    """The operations that made nothing but zeros and subnormal numbers of operands that are neither, in all that was seen of them.

    Not what is computed from the number of the step alone, in float64: 0.9^step is to become 0.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.tiny = float(np.finfo(plan.precision).tiny)
        self.scalars = {v.id for v in plan.values if v.role in ("const", "symbol")}
        self.found: dict[int, tuple[Operation, list[list[Array]]]] = {}
        self.large: set[int] = set()

    def __call__(self, step: Operation, args: list[Array], out: Array) -> None:
        """An operation has run, perhaps on a piece of its operands."""
        if self.scalars.issuperset(step.args):
            self.scalars.add(step.out)
        elif step.op in SHRINKING and step.out not in self.large:
            if far(out) < self.tiny:
                self.found.setdefault(step.out, (step, []))[1].append([out, *args])
            else:
                self.large.add(step.out)
                self.found.pop(step.out, None)

    def lines(self) -> Iterator[tuple[Line, Operation]]:
        """The lines that have such an operation, with the first."""
        for line in (x for x in self.plan.lines if not x.again):
            for step in line.steps:
                if step.out in self.found and self._underflowed(step):
                    yield line, step
                    break

    def _underflowed(self, step: Operation) -> bool:
        out, *args = ([pieces[k] for pieces in self.found[step.out][1]] for k in range(len(step.args) + 1))
        if not any(a.size for a in out) or not all(np.isfinite(a).all() for arg in args for a in arg):
            return False
        if step.op in ("exp", "sigmoid", "softplus"):
            return True
        most = [max(map(far, arg)) for arg in args]
        if min(most) < self.tiny:
            return False
        if step.op in ("mul", "matmul"):  # else factors that are 0 in turn, as those of relu
            terms = args[0][0].shape[-1] if step.op == "matmul" else 1
            return bool(np.log2(most[0]) + np.log2(most[1]) + np.log2(max(terms, 1)) < np.log2(self.tiny) + 1)
        return True


def far(value: Array) -> float:
    """The largest magnitude, 0 of no number; NaN if there is one."""
    return float(np.maximum(value.max(initial=0), -value.min(initial=0)))


def _underflow(plan: Plan, line: Line, operation: Operation) -> str:
    what = f"by `{operation.op}`: " if len(line.steps) > 1 else ""
    return (
        f"all of {line.target} ({line.id}) is 0 or nearly: {what}its numbers are smaller than {np.finfo(plan.precision).tiny:.2g}, "
        "the least of the precision"
    )


def units(plan: Plan) -> Iterator[tuple[Line, int]]:
    """The registers [N, k] that are 0 where something is negative, relu and its like, and go into a product; with their lines."""
    zero = {v.id for v in plan.values if v.role == "const" and v.number == 0}
    wide = {v.id for v in plan.values if len(v.shape) == 2 and v.shape[0] == "N"}
    reach: dict[int, bool] = {}  # whether a product is computed from it
    for step in reversed([s for line in plan.forward for s in line.steps]):
        for a in step.args:
            reach[a] = reach.get(a, False) or reach.get(step.out, False) or TABLE[step.op].kind == "matmul"
    for line in plan.forward:
        for step in line.steps:
            choices = step.args[1:] if step.op == "where" else step.args if step.op == "max" else ()
            if step.out in wide and zero & {*choices} and reach.get(step.out):
                yield line, step.out


class _Off:
    """Which units were 0 in every row so far."""

    def __init__(self, plan: Plan) -> None:
        self.lines = {register: line for line, register in units(plan)}
        self.units: dict[int, Array] = {}

    def __call__(self, operation: Operation, args: list[Array], out: Array) -> None:
        register = operation.out
        if register in self.lines:
            on = np.asarray(out.any(axis=0))
            self.units[register] = self.units.get(register, np.ones(on.shape, bool)) & ~on

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(off.any() for off in self.units.values())


def _dead(plan: Plan, arrays: Arrays, whole: Mapping[str, Values], rows: int, size: int, off: _Off) -> Iterator[str]:
    """Units that are 0 for every training row; `off` has seen the first batch, the others come as long as there may be any."""
    if size < rows and off.any:
        kinds = reads(plan)
        height = min(rows, max(size, HEIGHT)) if all(kinds[register] == ROW for register in off.lines) else size
        for start in _starts(rows, size, height):
            taken = {name: a[start : start + height] for name, a in whole.items()}
            evaluate(_forward(plan, off.units), leaves(plan, arrays, taken, height), height, arrays.seed, keep=(), look=off)
            if not off.any:
                return
    every = "every training row" if rows - size <= MANY else f"every training row of {MANY:,}, spread over all"
    for register, dead in off.units.items():
        if dead.any():
            line, count = off.lines[register], int(dead.sum())
            of = f"{count} of {dead.size} unit{'s' * (dead.size != 1)}"
            yield f"{of} of {line.target} ({line.id}) {'is' if count == 1 else 'are'} 0 for {every}, and cannot learn any more"


def _starts(rows: int, seen: int, height: int) -> Iterator[int]:
    """Where each batch of so many rows begins that are looked at behind those already seen: all or, of too many, evenly spread."""
    batches = -(-(rows - seen) // height)
    for i in np.linspace(0, batches - 1, min(batches, -(-MANY // height))).astype(int).tolist():
        yield min(seen + i * height, rows - height)


def _forward(plan: Plan, wanted: Collection[int]) -> list[Operation]:
    """The operations that these registers depend on, in order."""
    needed, found = {*wanted}, list[Operation]()
    for step in reversed([*plan.steps("forward")]):
        if step.out in needed:
            needed |= {*step.args}
            found.insert(0, step)
    return found


def _gradients(plan: Plan, arrays: Arrays, gradients: Mapping[str, Array]) -> Iterator[str]:
    """Gradients that are nothing beside their params, while others are something, or far more than they."""
    lengths = {
        p: norm(gradients[p.name]) / max(norm(arrays.params[p.name]), LEAST * p.count**0.5)
        for p in plan.params
        if p.gradient is not None and p.count
    }
    largest = max(lengths.values(), default=0)
    lines = {line.value: line for line in plan.gradient}
    for p, length in lengths.items():
        line = lines.get(p.gradient) if p.gradient is not None else None
        name = f"{line.target} ({line.id})" if line is not None else f"the gradient of {p.name}"
        if length < VANISHED and largest > ALIVE:
            much = f"its length is {length:.1e} of that of {p.name}" if length else "it is 0"
            yield f"{name} vanishes: {much}, and another gradient's is {largest:.1e} of its param's"
        elif length > EXPLODED:
            yield f"{name} explodes: its length is {length:.1e} of that of {p.name}"


def _states(plan: Plan, arrays: Arrays) -> Iterator[str]:
    """States of the update that are not finite: what they stand for stays where it is."""
    for k, state in enumerate(plan.states):
        for p, (start, stop) in zip(plan.params, ranges(plan), strict=True):
            odd = int((~np.isfinite(arrays.flat[STATES + k][start:stop])).sum())
            if odd:
                yield f"{state.name} of {p.name} has {odd} of {p.count} numbers that are not finite"
