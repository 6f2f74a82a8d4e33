"""What a plan costs a step: arithmetic, and memory as the runtime lays it out; whose sums depend on the number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from . import bound
from .ops import TABLE, Op
from .plan import Line, Plan, Step
from .ranks import by_columns, by_rows

PIECE = 39424  # numbers: what an operation goes along, of all that the update reads and writes, stays in the cache of a core
MOST_PIECES = 256  # a larger model gets larger pieces, not a longer program
BLAS = (bound.MATMUL, bound.SUM)


class Footprint(Struct, frozen=True):
    """At a batch of `rows`: floating-point operations, bytes kept for the gradient, peak of intermediate values, the same without reuse.

    `threads` are as many as the plan is worth; each of several has BLAS add up less at a time than one has it, in the lines `summed`.
    """

    rows: int
    flops: int
    kept: int
    peak: int
    unshared: int
    threads: int = 1
    summed: tuple[str, ...] = ()


def piece(total: int) -> int:
    """How many of so many numbers the update takes at once."""
    return max(PIECE, -(-total // MOST_PIECES))


def summed(plan: Plan) -> tuple[str, ...]:
    """The lines with sums of BLAS's that are dealt out: products, sums as products with ones, and what is written out in such."""
    return tuple(line.id for line in dealt_out(plan, lambda row: row.bound in BLAS or row.parts is not None))


def dealt_out(plan: Plan, which: Callable[[Op], bool] = lambda row: True) -> Iterator[Line]:
    """The lines of which an operation, of those asked for, is dealt out to the threads at the plan's batch."""
    known = {"N": plan.batch, "P": sum(p.count for p in plan.params)}
    sizes = {v.id: tuple(known[d] if isinstance(d, str) else d for d in v.shape) for v in plan.values}
    return (line for line in plan.lines if any(which(TABLE[s.op]) and _dealt_out(s, sizes) for s in line.steps))


def _dealt_out(step: Step, sizes: Mapping[int, tuple[int, ...]]) -> bool:
    row, args, attrs = TABLE[step.op], [sizes[a] for a in step.args], dict(step.attrs)
    return by_columns(row, args, attrs) or by_rows(row, args, sizes[step.out], attrs) is not None
