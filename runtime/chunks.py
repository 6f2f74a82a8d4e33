"""Rows through a plan in chunks of one fixed height, the last one padded: what a row comes to depends on nothing but the row.

BLAS computes the rows at the edge of a product by other instructions than those in its middle, and by which follows from the sizes
and the number of threads. So every product has the same height, runs on one thread, and the height is one at which this BLAS gives
a row the same bits at every place, as a trial with random numbers shows for the very sizes of the plan. Where none is, rows run
one by one. Other BLAS, other bits: what is promised is one machine and one installation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from ..compiler.ops import TABLE
from ..compiler.plan import Plan
from ..compiler.shapes import batched
from .kernel import Array, Arrays, Kernel

HEIGHTS = (96, 48, 24, 8, 1)  # multiples of the widest tiles in use, 24 and 16 rows, where they can be

Multiply = Callable[..., Array]


class Chunks:
    """The forward lines of `plan` over any number of rows; `registers` are those whose rows are wanted. One thread, as `pinned(1)` has it.

    `plan` must compute these row by row: `compiler.rowwise.reads` says `row` of them.
    """

    def __init__(self, plan: Plan, registers: tuple[int, ...], arrays: Arrays) -> None:
        self.kernel = Kernel(plan, ("forward",), height(plan), arrays, registers)
        self.made = {r: self.kernel[r] for r in registers}
        self.inputs = {v.name: v.shape for v in (plan.values[r] for r in plan.inputs)}

    def run(self, rows: int, inputs: Mapping[str, Array], out: Mapping[int, Array], between: Callable[[], None] = lambda: None) -> None:
        """Every row of the inputs, each [rows, width]; `out`: register -> where its rows go, [rows, width]. `between` comes before each chunk."""
        size = self.kernel.rows
        for start in range(0, rows, size):
            between()
            count = min(size, rows - start)
            for name, buffer in self.kernel.inputs.items():
                buffer[:count] = inputs[name][start : start + count]
                buffer[count:] = buffer[count - 1]  # numbers that the model can take, as zeros might not be
            self.kernel.run()
            for register, array in out.items():
                array[start : start + count] = self.made[register][:count]


def height(plan: Plan) -> int:
    """The rows of a chunk: the most at which every product of the plan gives a row the same bits at every place."""
    shapes = {v.id: v.shape for v in plan.values}
    products = {
        (int(shapes[s.args[1]][0]), int(shapes[s.args[1]][1]))
        for s in plan.steps("forward")
        if TABLE[s.op].kind == "matmul" and batched(shapes[s.out])
    }
    return next(rows for rows in HEIGHTS if rows == 1 or all(steady(plan.precision, rows, k, m) for k, m in sorted(products)))


@cache
def steady(precision: str, rows: int, k: int, m: int) -> bool:
    """Whether [rows, k] @ [k, m] seems to give a row the same bits at every place and beside any others, on one thread."""
    return place_independent(np.matmul, precision, rows, k, m)


def place_independent(multiply: Multiply, precision: str, rows: int, k: int, m: int) -> bool:
    """Of a product by `multiply(a, b, out=)`: one row at every place, and many rows in another order, for both layouts of the right side."""
    rng = np.random.default_rng(rows)
    a = (rng.random((rows, k)) - 0.5).astype(precision)
    order = rng.permutation(rows)
    first, other = (np.empty((rows, m), precision) for _ in range(2))
    for b in (rng.random((k, m), np.float32).astype(precision), rng.random((m, k), np.float32).astype(precision).T):
        multiply(a, b, out=first)
        multiply(a[order], b, out=other)
        if not np.array_equal(other, first[order]):
            return False
        multiply(np.repeat(a[:1], rows, axis=0), b, out=other)
        if not (other == first[0]).all():
            return False
    return True
