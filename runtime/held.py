"""The bytes of a kernel's arrays, known from the program alone: its arena, what lies beside it, what an operation takes for itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import cast

import numpy as np
from msgspec import Struct

from ..compiler.ops import TABLE
from ..compiler.plan import Plan, Step
from ..compiler.scratch import BUFFER, Sizes
from . import ahead
from .buffers import ALIGNMENT
from .expand import expand
from .kernel import lay_out
from .program import Copy, Program

SMALL = 12288  # what NumPy and Python take to call an operation


class Held(Struct, frozen=True):
    """`arrays` stay as long as the kernel, `scratch` is the most that one of its operations takes for as long as it runs.

    `lent` are arrays of ones and of places by what they are made of: all kernels share them.
    """

    arrays: int
    scratch: int
    lent: dict[tuple[object, ...], int]


def held(plan: Plan, sections: Collection[str], rows: int, keep: Collection[int] = (), inputs: bool = True, ranks: int = 1) -> Held:
    """The bytes of a kernel as `Kernel` builds it for so many ranks, with room for a batch of its own or without."""
    dtype = np.dtype(plan.precision)
    program = expand(plan, sections, rows, {*keep, plan.loss, *(register for _, register in plan.reports)}, ranks)
    layout = lay_out(program, dtype.itemsize)
    arrays = layout.arena_bytes + ALIGNMENT + sum(_count(program, r) for r in program.own) * dtype.itemsize
    arrays += sum(_count(program, r) for r in plan.inputs) * dtype.itemsize if inputs else 0
    arrays += sum(_wide(program)) + sum(_spread(program, dtype.itemsize)) + ahead.size(len(ahead.of_the_step(program)), dtype.itemsize)
    arrays += sum(_count(program, r) for r in _cast(program)) * dtype.itemsize if dtype.itemsize < 8 else 0
    scratch = max((_scratch(program, step, dtype.itemsize) for step in program.calls), default=0)
    return Held(arrays, scratch + SMALL, dict(_lent(program, dtype.itemsize)))


def _count(program: Program, register: int) -> int:
    return math.prod(cast("tuple[int, ...]", program.values[register].shape))


def _static(program: Program) -> Iterator[Step]:
    return (s for s in program.body if isinstance(s, Step) and program.kinds[s.out] != "array")


def _wide(program: Program) -> Iterator[int]:
    """Numbers and what is computed of numbers alone, in float64."""
    yield from (8 * _count(program, v.id) for v in program.values.values() if v.role == "const")
    yield from (8 * _count(program, s.out) for s in _static(program) if TABLE[s.op].kind != "view")


def _cast(program: Program) -> set[int]:
    """What is computed in float64 and read in another precision: cast once."""
    read: set[int] = set()
    for s in program.body:
        if isinstance(s, Copy):
            read |= {s.source}
        elif program.kinds[s.out] == "array":
            read |= {*s.args}
    return {r for r in read if program.kinds[r] != "array"}


def _spread(program: Program, itemsize: int) -> Iterator[int]:
    """A number as an array, as large as has been wanted; a larger one is another."""
    most: dict[object, int] = {}
    for s in program.calls:
        for a in s.args if TABLE[s.op].spread else ():
            if program.kinds[a] == "static" and not program.values[a].shape:
                key = program.values[a].number if program.values[a].role == "const" else f"register {a}"
                if _count(program, s.out) > most.get(key, -1):
                    most[key] = _count(program, s.out)
                    yield most[key] * itemsize


def _scratch(program: Program, step: Step, itemsize: int) -> int:
    shapes = [cast("tuple[int, ...]", program.values[r].shape) for r in (*step.args, step.out)]
    if step.out in program.own:
        return math.prod(shapes[-1]) * itemsize
    found = TABLE[step.op].scratch(shapes[:-1], shapes[-1], itemsize)
    views = sum(1 for r in step.args if r in program.roots and program.values[r].shape)  # not in one piece, they are buffered too
    return found + (views * min(math.prod(shapes[-1]), BUFFER) * itemsize if found else 0)


def _lent(program: Program, itemsize: int) -> Iterator[tuple[tuple[object, ...], int]]:
    """What bound calls keep."""
    for step in program.calls:
        row = TABLE[step.op]
        if row.bound is not None:
            yield from row.bound.lent([cast("Sizes", program.values[a].shape) for a in step.args], dict(step.attrs), itemsize)
