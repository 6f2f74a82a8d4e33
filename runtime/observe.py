"""What is seen of the values of a step while it runs: their ranges, and where in them a number is not finite."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from ..compiler.ops import TABLE
from ..compiler.plan import Plan, Step
from .kernel import Array, Arrays, Kernel
from .program import MODEL_STATES, PARAMS, STATES

FIRST = 10_000  # places of numbers that are not finite which are held on to


class Range(Struct, frozen=True, eq=False):
    """An array of `size` numbers: the least and the greatest that are finite, how many are not, and where (flat, the first ones).

    `far` is the largest magnitude of the finite numbers and `near` the smallest above 0; `zeros` are counted, and `least`, `greatest`,
    `far` and `near` are NaN where there is none.
    """

    shape: tuple[int, ...]
    size: int
    least: float
    greatest: float
    far: float
    near: float
    zeros: int
    nans: int
    infinite: int
    odd: Array

    @property
    def finite(self) -> bool:
        """Whether all numbers are."""
        return not self.nans and not self.infinite


def range_of(value: Array) -> Range:
    """Of an array of any shape and precision."""
    flat = np.ravel(value)
    good = np.isfinite(flat)
    whole = bool(good.all())
    known = flat if whole else flat[good]
    far = np.abs(known)
    above = far[far > 0]
    nans = 0 if whole else int(np.isnan(flat).sum())

    def number(made: Array) -> float:
        return made.item() if known.size else float("nan")

    return Range(
        np.shape(value), flat.size, number(known.min(initial=np.inf)), number(known.max(initial=-np.inf)), number(far.max(initial=0)),
        above.min().item() if above.size else float("nan"), int(known.size - above.size), nans, int(flat.size - known.size - nans),
        np.flatnonzero(~good)[:FIRST],
    )  # fmt: skip


class Observer:
    """The ranges of the values of a step: called by its kernels as their `look`. A register of the update has one for every piece."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.ranges: dict[int, list[Range]] = {}
        self.looks = True
        self._roots = {s.out: s.args[0] for line in plan.lines for s in line.steps if TABLE[s.op].kind == "view"}

    def __call__(self, register: int, piece: int, value: Array) -> None:
        """`value` of a register has just been made."""
        if self.looks:
            before = self.ranges.get(register, []) if piece else []
            self.ranges[register] = [*before, range_of(value)]

    def begin(self, arrays: Arrays, kernel: Kernel) -> None:
        """Looks at what a batch starts from: inputs, params, states, and the numbers of the plan."""
        plan = self.plan
        for v in plan.values:
            if v.role == "const" or (v.role == "symbol" and v.name in arrays.symbols):
                self(v.id, 0, np.asarray(v.number) if v.number is not None else arrays.symbols[v.name])
            elif v.role == "symbol" and v.name == "N":
                self(v.id, 0, np.asarray(float(kernel.rows)))
        self.inputs(kernel)
        found: Mapping[int, Array] = {
            **{p.value: arrays.params[p.name] for p in plan.params},
            **{s.value: arrays.model_states[s.name] for s in plan.model_states},
            **{s.value: arrays.flat[STATES + k] for k, s in enumerate(plan.states)},
        }
        for register, value in found.items():
            self(register, 0, value)
        if plan.update_w is not None:
            self(plan.update_w, 0, arrays.flat[PARAMS])

    def inputs(self, kernel: Kernel) -> None:
        """Looks at the rows of a batch."""
        for register in self.plan.inputs:
            self(register, 0, kernel.inputs[self.plan.values[register].name])

    def of(self, register: int) -> list[Range]:
        """The ranges of a register, of what it looks at if it is a view that no kernel makes; [] if nothing was seen of it."""
        while register not in self.ranges and register in self._roots:
            register = self._roots[register]
        return self.ranges.get(register, [])

    def finite(self, register: int) -> bool:
        """Whether all numbers of a register are, as far as they were seen."""
        return all(r.finite for r in self.of(register))


def operands(step: Step, position: int, commits: Mapping[int, list[tuple[int, int]]]) -> list[int]:
    """The registers that a step reads, the later value of a state before its first: `commits` maps it to (position, register)."""
    return [register for a in step.args for register in (*(r for at, r in commits.get(a, []) if at < position), a)]


def flat_finite(arrays: Arrays) -> bool:
    """Whether the params and the states of the model are."""
    return bool(np.isfinite(arrays.flat[PARAMS]).all() and np.isfinite(arrays.flat[MODEL_STATES]).all())


def joined(ranges: list[Range]) -> Range:
    """Of the pieces of a flat value, as of one array."""
    if len(ranges) == 1:
        return ranges[0]
    starts = np.cumsum([0, *(r.size for r in ranges)])
    odd = np.concatenate([np.empty(0, np.int64), *(r.odd + start for r, start in zip(ranges, starts, strict=False))])[:FIRST]
    size, zeros, nans, infinite = (sum(counts) for counts in zip(*((r.size, r.zeros, r.nans, r.infinite) for r in ranges), strict=True))
    with np.errstate(all="ignore"):
        least, near = (float(np.fmin.reduce([getattr(r, name) for r in ranges])) for name in ("least", "near"))
        greatest, far = (float(np.fmax.reduce([getattr(r, name) for r in ranges])) for name in ("greatest", "far"))
    return Range((size,), size, least, greatest, far, near, zeros, nans, infinite, odd)
