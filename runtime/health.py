"""What a trained model has that hurts it in silence: units that are never on, gradients that vanish or explode, values that underflow.

One more step is run when the training is done, with every value looked at; what it does to the params is for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from ..compiler.ops import TABLE
from ..compiler.plan import Line, Plan
from ..compiler.plan import Step as Operation
from ..compiler.settings import Settings
from .accumulation import take, update_kernel
from .kernel import Array, Arrays, Kernel
from .nonfinite import norm
from .observe import Observer, Range, joined
from .program import STATES, ranges

VANISHED, ALIVE, EXPLODED = 1e-8, 1e-5, 1e3  # a gradient's length over its param's; `ALIVE`: that of another, or all are done learning
LEAST = 0.1  # a param of zeros is taken for one of numbers of this size
FEW, SMALL = 1000, 1e8  # so many steps make the one more free, and so few operations do
SHRINKING = ("mul", "div", "pow", "exp", "matmul", "softmax", "sigmoid", "softplus")  # only these make 0 of what is none, by size alone


def notes(plan: Plan, arrays: Arrays, data: Mapping[str, Array], rows: int, settings: Settings, steps: int) -> tuple[str, ...]:
    """A sentence for each finding, by line, after so many steps; () where looking would cost. Params and states are spoilt by it."""
    size = min(settings.batch, rows)
    if not size or not plan.params or (steps < FEW and sum(line.flops for line in plan.lines) > SMALL):
        return ()
    seen = Observer(plan)
    whole = {name: data[name] for name in (plan.values[r].name for r in plan.inputs)}
    off = _Off(plan)

    def look(register: int, piece: int, value: Array) -> None:
        seen(register, piece, value)
        off(register, piece, value)

    kernel = Kernel(plan, ("forward", "gradient"), size, arrays, inputs=whole if size == rows else None, look=look)
    take(kernel, whole, np.arange(size))
    seen.begin(arrays, kernel)
    kernel.run()
    found = [*_dead(plan, arrays, whole, rows, size, off), *_gradients(plan, arrays), *_states(plan, arrays)]
    update_kernel(plan, arrays, look=seen).run()
    return (*found, *(_underflow(plan, line, operation) for line, operation in underflows(plan, seen)))


def underflows(plan: Plan, seen: Observer) -> Iterator[tuple[Line, Operation]]:
    """The lines in which an operation made nothing but zeros and subnormal numbers of operands that are neither, with that operation.

    Not what is computed from the number of the step alone, in float64: 0.9^step is to become 0.
    """
    scalars = {v.id for v in plan.values if v.role in ("const", "symbol")}
    for line in (x for x in plan.lines if not x.again):
        for step in line.steps:
            if scalars.issuperset(step.args):
                scalars.add(step.out)
                continue
            found = [seen.of(r) for r in (step.out, *step.args)]
            if step.op in SHRINKING and all(found) and _underflowed(plan, step.op, *map(joined, found)):
                yield line, step
                break


def _underflowed(plan: Plan, op: str, out: Range, *args: Range) -> bool:
    tiny = float(np.finfo(plan.precision).tiny)
    if not out.size or not out.finite or out.far >= tiny or not all(a.finite for a in args):
        return False
    if op in ("exp", "sigmoid", "softplus"):
        return True
    if not all(a.far >= tiny for a in args):
        return False
    if op in ("mul", "matmul"):  # else factors that are 0 in turn, as those of relu
        terms = args[0].shape[-1] if op == "matmul" else 1
        return np.log2(args[0].far) + np.log2(args[1].far) + np.log2(max(terms, 1)) < np.log2(tiny) + 1
    return True


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
    """Which units were 0 in every row so far: a kernel's `look`."""

    def __init__(self, plan: Plan) -> None:
        self.lines = {register: line for line, register in units(plan)}
        self.units: dict[int, Array] = {}

    def __call__(self, register: int, piece: int, value: Array) -> None:
        if register in self.lines:
            off = np.all(value == 0, axis=0)
            self.units[register] = self.units[register] & off if register in self.units else off

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return any(off.any() for off in self.units.values())


def _dead(plan: Plan, arrays: Arrays, whole: Mapping[str, Array], rows: int, size: int, off: _Off) -> Iterator[str]:
    """Units that are 0 for every training row; `off` has seen the first batch, the others come as long as there may be any."""
    if size < rows and off.any:
        kernel = Kernel(plan, ("forward",), size, arrays, look=off)
        for start in range(size, rows, size):
            take(kernel, whole, np.arange(min(start, rows - size), min(start, rows - size) + size))
            kernel.run()
            if not off.any:
                return
    for register, dead in off.units.items():
        if dead.any():
            line, count = off.lines[register], int(dead.sum())
            of = f"{count} of {dead.size} unit{'s' * (dead.size != 1)}"
            yield f"{of} of {line.target} ({line.id}) {'is' if count == 1 else 'are'} 0 for every training row, and cannot learn any more"


def _gradients(plan: Plan, arrays: Arrays) -> Iterator[str]:
    """Gradients that are nothing beside their params, while others are something, or far more than they."""
    lengths = {
        p: norm(arrays.gradients[p.name]) / max(norm(arrays.params[p.name]), LEAST * p.count**0.5)
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
