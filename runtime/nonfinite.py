"""Where a number that is not finite comes from: the first line that made one, found by running the steps again.

A training holds on to a copy of itself, taken now and then while all its numbers are finite. When the loss is not, the steps since
are run again, to the same bits, up to the first that leaves such a number behind; that step once more with all its values looked
at. In it the way leads back from the loss and the new params through what is not finite, to operations whose operands all are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import closing

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..compiler.ops import TABLE
from ..compiler.plan import Line, Plan
from ..compiler.plan import Step as Operation
from ..compiler.settings import Settings
from .init import generator
from .kernel import Array, Arrays, Kernel, Look
from .later import Values
from .observe import Observer, Range, flat_finite, joined, operands
from .program import GRADIENTS, PARAMS, STATES, ranges
from .progress import Progress, Snapshot, restored, snapshot
from .steps import Sampler, Step, steps

PAUSE, SHARE = 2.0, 0.01  # seconds between two copies at least, and what part of the time copying may take


class Finding(Struct, frozen=True, eq=False):
    """The first line that made a number that is not finite, in `step` of `epoch`.

    `line` None: the number stood there before, in what is called `name`. `operation` is the step of the line that made it, of `args`;
    `made` is its result and `needs` are the values that the line reads, by name; `single`: it is in float32. `rows`: which of the train
    split, in a batch of so many, if the result has one for each; `params`: which, if it has numbers of all. `norms`: of all params at
    the beginning and before the step.
    """

    step: int
    epoch: int
    name: str
    made: Range
    norms: tuple[float, float]
    line: Line | None = None
    operation: Operation | None = None
    args: tuple[Range, ...] = ()
    needs: tuple[tuple[str, Range], ...] = ()
    rows: tuple[int, ...] = ()
    batch: int = 0
    params: tuple[str, ...] = ()
    single: bool = False


class Guard:
    """Holds on to a training while all is well, and explains what is not. `data` are the columns of the train split."""

    def __init__(self, plan: Plan, arrays: Arrays, data: Mapping[str, Values], rows: int, settings: Settings) -> None:
        self.plan, self.arrays, self.data, self.rows, self.settings = plan, arrays, data, rows, settings
        self.start = norm(arrays.flat[PARAMS])
        self.held: Snapshot | None = None
        self.next = -math.inf

    def due(self) -> bool:
        """Whether it is time for a copy."""
        return time.perf_counter() >= self.next

    def hold(self, found: Snapshot) -> None:
        """Copies the training as it stands between two steps, unless a number of its states is not finite."""
        begun = time.perf_counter()
        if all(np.isfinite(a).all() for a in found.arrays.values()):
            arrays = {name: a for name, a in found.arrays.items() if not name.startswith("best ")}
            room = self.held.arrays if self.held is not None else {name: np.empty_like(a) for name, a in arrays.items()}
            for name, array in arrays.items():
                room[name][...] = array
            self.held = Snapshot({**found.document, "best": None}, room, ())
        now = time.perf_counter()
        self.next = now + max(PAUSE, (now - begun) / SHARE)

    def begin(self) -> Finding | None:
        """The param or state that a training begins with and that is not finite."""
        if flat_finite(self.arrays):
            return None
        seen = Observer(self.plan)
        named = {p.value: (p.name, self.arrays.params[p.name]) for p in self.plan.params}
        named |= {s.value: (s.name, self.arrays.model_states[s.name]) for s in self.plan.model_states}
        for register, (_, array) in named.items():
            seen(register, 0, array)
        register = next(r for r in named if not seen.finite(r))
        return Finding(0, 0, named[register][0], joined(seen.of(register)), (self.start, self.start))

    def explain(self, until: int) -> Finding | None:
        """What went wrong in the steps up to `until`; leaves the arrays as they were before it did. None if it does not come again."""
        if self.held is None:
            return None
        begun = self.held
        number = next((step.number for step in self._replay(begun, until) if self._spoilt(step)), None)
        if number is None:
            return None
        seen = Observer(self.plan)
        seen.looks = False
        progress = Progress()
        found: Finding | None = None
        for step in self._replay(begun, number, seen, progress):
            if step.number < number:
                step.run(self.plan.loss)
                continue
            self.hold(snapshot(self.plan, progress, self.arrays, self.sampler, 0.0))
            found = self._look(step, seen)
        self._restore(self.held)
        return found

    def again(self, until: int) -> None:
        """Runs the steps up to `until` once more, after `explain`."""
        assert self.held is not None
        for step in self._replay(self.held, until):
            step.run(self.plan.loss)

    def _restore(self, found: Snapshot) -> tuple[Progress, Sampler]:
        for name in self.arrays.streams.keys() - found.document["streams"].keys():  # not drawn from until then
            fresh = generator(self.arrays.seed, f"draw:{name}")
            self.arrays.streams[name].bit_generator.state = fresh.bit_generator.state
        return restored(found, self.plan, self.arrays, lambda done, shuffle: Sampler(self.rows, self.settings, done, shuffle))

    def _replay(self, found: Snapshot, until: int, look: Look | None = None, progress: Progress | None = None) -> Iterator[Step]:
        """The steps after a snapshot, up to `until`; `progress` is told of each before it comes."""
        _, self.sampler = self._restore(found)
        with closing(
            steps(self.plan, self.arrays, self.data, self.rows, self.settings, sampler=self.sampler, look=look, alone=True)
        ) as batches:
            for step in batches:
                if progress is not None:
                    progress.step = step.number - 1
                yield step
                if step.number == until:
                    return

    def _spoilt(self, step: Step) -> bool:
        """Runs a step; whether it leaves a number behind that is not finite."""
        loss = step.run(self.plan.loss)
        flat = self.arrays.flat
        return not (math.isfinite(loss) and flat_finite(self.arrays) and all(np.isfinite(a).all() for a in flat[STATES:]))

    def _look(self, step: Step, seen: Observer) -> Finding | None:
        plan, arrays = self.plan, self.arrays
        norms = self.start, norm(arrays.flat[PARAMS])
        found: list[Finding] = []
        seen.looks = True
        seen.begin(arrays, step.kernel)

        def blame(kernel: Kernel, taken: Array, roots: list[int]) -> None:
            seen.inputs(kernel)  # several batches of a step take their rows one after the other
            if not found and (origin := first(plan, seen, roots)) is not None:
                found.append(_finding(plan, seen, step, origin, norms, kernel.rows, taken))

        made = [s.next for s in plan.model_states if s.next is not None]
        committed = [line.value for line in plan.update if line.commits is not None]
        if step.group is None:
            step.kernel.run()
            blame(step.kernel, step.taken, [plan.loss, *made, *committed])
        else:
            batches = iter(step.group.batches)
            of_a_batch = [plan.loss, *made, *(p.gradient for p in plan.params if p.gradient is not None)]
            step.group.gather(lambda kernel: blame(kernel, next(batches)[1], of_a_batch))
            if plan.update_dw is not None:
                seen(plan.update_dw, 0, arrays.flat[GRADIENTS])
            step.group.finish()
            blame(step.kernel, step.taken, committed)
        return found[0] if found else None


Origin = tuple[Line, Operation] | int


def first(plan: Plan, seen: Observer, roots: list[int]) -> Origin | None:
    """The first operation, with its line, by which numbers that are not finite got into `roots`, or the value that held them before."""
    made = {s.out: (position, line, s) for position, (line, s) in enumerate((line, s) for line in plan.lines for s in line.steps)}
    commits: dict[int, list[tuple[int, int]]] = {}
    for line in plan.update:
        if line.commits is not None:
            commits.setdefault(line.commits, []).append((made[line.value][0] if line.value in made else 0, line.value))
    gradients = [p.gradient for p in plan.params if p.gradient is not None]
    found: dict[int, Origin] = {}
    constants = {v.id for v in plan.values if v.role == "const"}  # one too large for a float is infinite where it is read
    stack, met = [r for r in roots if not seen.finite(r)], set[int]()
    while stack:
        register = stack.pop()
        if register in met:
            continue
        met.add(register)
        if register not in made:
            bad = [r for r in gradients if not seen.finite(r)] if register == plan.update_dw else []
            stack += bad
            if not bad:
                found[-1] = register
            continue
        position, line, step = made[register]
        read = operands(step, position, commits)
        read += gradients if plan.update_dw in read else []
        bad = [a for a in read if a not in constants and not seen.finite(a)]
        stack += bad
        if not bad:
            found[position] = (line, step)
            stack += _swallowed({register: s for register, (_, _, s) in made.items()}, seen, step)
    return found[min(found)] if found else None


def _swallowed(made: Mapping[int, Operation], seen: Observer, step: Operation) -> list[int]:
    """What is not finite and was compared before this operation, to a finite result: what went wrong here went wrong there.

    NaN in any comparison; infinity where equality is asked for, as in the gradient of a maximum, which nothing may equal then.
    """
    found: list[int] = []
    stack, met = [*step.args], set[int]()
    while stack:
        register = stack.pop()
        if register in met or register not in made or not seen.finite(register):
            continue
        met.add(register)
        before = made[register]
        stack += before.args
        if TABLE[before.op].discrete and before.op != "where":  # what `where` leaves out is left out on purpose
            found += [a for a in before.args if any(r.nans or (r.infinite and before.op == "eq") for r in seen.of(a))]
    return found


def _finding(plan: Plan, seen: Observer, step: Step, origin: Origin, norms: tuple[float, float], batch: int, taken: Array) -> Finding:
    """What there is to say of an origin, in a batch of the rows `taken`."""
    if isinstance(origin, int):
        return Finding(step.number, step.epoch, plan.values[origin].name, joined(seen.of(origin)), norms)
    line, operation = origin
    made, shape = joined(seen.of(operation.out)), plan.values[operation.out].shape
    rows: tuple[int, ...] = ()
    if shape and shape[0] == "N" and made.odd.size:
        rows = tuple(int(taken[i]) for i in np.unique(made.odd // max(math.prod(made.shape[1:]), 1)))
    args = tuple(joined(seen.of(a)) for a in operation.args if seen.of(a))
    needs = [(name, _known(plan, seen, line, name)) for name in line.needs]
    finding = Finding(step.number, step.epoch, line.target, made, norms, line, operation, args, rows=rows, batch=batch,
                      single=plan.precision == "float32")  # fmt: skip
    params = tuple(p.name for p, (a, b) in zip(plan.params, ranges(plan), strict=True) if ((made.odd >= a) & (made.odd < b)).any())
    return replace(finding, needs=tuple((n, joined(r)) for n, r in needs if r), params=params if shape == ("P",) else ())


def _known(plan: Plan, seen: Observer, line: Line, name: str) -> list[Range]:
    """The ranges of what a line calls `name`: in the update a new value hides an old one; `dw` stands for every gradient."""
    known = {v.name: v.id for v in plan.values if v.name} | {other.target: other.value for other in (*plan.forward, *plan.gradient)}
    if line.section == "update":
        known |= {plan.values[r].name: r for r in (plan.update_w, plan.update_dw, *(s.value for s in plan.states)) if r is not None}
        known |= {other.target: other.value for other in plan.update[: plan.update.index(line)]}
    if name not in known:
        return []
    found = seen.of(known[name])
    if not found and known[name] == plan.update_dw:
        found = [r for p in plan.params if p.gradient is not None for r in seen.of(p.gradient)]
    return found


def norm(flat: Array) -> float:
    """The length of a vector, which does not overflow on the way."""
    largest = float(np.abs(flat).max(initial=0))
    return largest * float(np.linalg.norm(flat.astype(np.float64) / largest)) if 0 < largest < math.inf else largest
