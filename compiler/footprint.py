"""What a plan costs a step: arithmetic, and memory as the runtime lays it out; whose sums depend on the number of threads."""

from __future__ import annotations

from msgspec import Struct

from . import bound
from .ops import TABLE
from .plan import Plan

PIECE = 39424  # numbers: what an operation goes along, of all that the update reads and writes, stays in the cache of a core
MOST_PIECES = 256  # a larger model gets larger pieces, not a longer program
BLAS = (bound.MATMUL, bound.SUM)


class Footprint(Struct, frozen=True):
    """At a batch of `rows`: floating-point operations, bytes kept for the gradient, peak of intermediate values, the same without reuse.

    `threads` are as many as the plan is worth; with more than one BLAS may add up otherwise than with one: in the lines `summed`.
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
    """The lines whose sums are BLAS's: products, sums as products with ones, and what is written out in such."""
    return tuple(line.id for line in plan.lines if any(TABLE[s.op].bound in BLAS or TABLE[s.op].parts for s in line.steps))
