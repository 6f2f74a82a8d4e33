"""Rows through a plan in chunks of one fixed height, the last one padded: what a row comes to depends on nothing but the row.

This holds by how a chunk is computed, with no trial of the library at hand:

- Products are one call a row, all calls alike (`compiler.row_products`), on one thread.
- A reduction over the features is a loop of its own for each row, as long as the row, since the axis that is reduced is the inner one.
- `+ - * /`, roots, comparisons, choices and copies round as IEEE 754 has it or not at all, in whichever lane or tail of a loop.
- Of the rest, `exp log tanh sin cos expm1 log1p pow` and what is made of them, NumPy computes every vector of a loop by the same
  instructions, the last one filled up (`load_tillz`, `LoadN`), or each number by itself where it has no vectors; `erf` is by the number.
  HEIGHT is a multiple of the numbers in any vector, so a loop over a chunk has no tail in the first place.

The first three hold by the sizes and by the standard; the last is NumPy's doing, which promises nothing. `tests/test_row_bits.py` holds
every operation to it, at all levels of instructions that the processor has, and products on OpenBLAS's kernels for four processors: none
failed, at 74 widths and 1128 sizes in both precisions. Other BLAS or another processor, other bits: what is promised is one machine and
one installation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..compiler.plan import Plan
from ..compiler.row_products import by_row
from .kernel import Array, Arrays, Kernel

HEIGHT = 128  # rows; a multiple of 64, the bytes of the widest vector and so more than its numbers. One row alone costs as much as all


class Chunks:
    """The forward lines of `plan` over any number of rows; `registers` are those whose rows are wanted. One thread, as `pinned(1)` has it.

    `plan` must compute these row by row: `compiler.rowwise.reads` says `row` of them.
    """

    def __init__(self, plan: Plan, registers: tuple[int, ...], arrays: Arrays) -> None:
        self.kernel = Kernel(by_row(plan), ("forward",), HEIGHT, arrays, registers, independent=True)
        self.made = {r: self.kernel[r] for r in registers}

    def run(self, rows: int, inputs: Mapping[str, Array], out: Mapping[int, Array], between: Callable[[], None] = lambda: None) -> None:
        """Every row of the inputs, each [rows, width]; `out`: register -> where its rows go, [rows, width]. `between` comes before each chunk."""
        for start in range(0, rows, HEIGHT):
            between()
            count = min(HEIGHT, rows - start)
            for name, buffer in self.kernel.inputs.items():
                buffer[:count] = inputs[name][start : start + count]
                buffer[count:] = buffer[count - 1]  # numbers that the model can take, as zeros might not be
            self.kernel.run()
            for register, array in out.items():
                array[start : start + count] = self.made[register][:count]
