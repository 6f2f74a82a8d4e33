"""How many threads a plan is worth, and BLAS held to one: the bits of a product depend on how many it uses."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from ..compiler.footprint import dealt_out
from ..compiler.plan import Plan

# Flops of lines that threads share from which a second and a fourth pay for the waiting. The number of threads follows from the plan
# alone, not from the machine, so that the same file gives the same bits on the next one with the same BLAS.
TWO, FOUR = 50_000_000, 1_000_000_000


def suitable(plan: Plan) -> int:
    """The number of threads for a plan: 1, 2 or 4, with `recompute` or without."""
    flops = sum(line.flops for line in dealt_out(plan) if not line.again)
    return 1 if flops < TWO else 2 if flops < FOUR else 4


@contextmanager
def pinned(threads: int) -> Generator[None]:
    """Holds BLAS to so many threads."""
    with threadpool_limits(limits=threads, user_api="blas"):
        yield
