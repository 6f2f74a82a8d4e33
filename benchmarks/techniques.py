"""What each way to make a step quick gives: an operation by its kernel and by its bound calls, in turn, in microseconds. Run: python benchmarks/techniques.py

Then what no operation shows: one object for one memory, and the update in pieces. The least of many rounds of each; one thread.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

if os.environ.get("OMP_NUM_THREADS") != "1":  # BLAS reads it once, as it is imported
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

from mlpc.compiler.ops import TABLE

ROUNDS, CALLS = 40, 300
Thunk = Callable[[], object]
TRIED: list[tuple[str, str, list[tuple[int, ...]], dict[str, Any]]] = [
    ("a product", "matmul", [(32, 4), (4, 16)], {}),
    ("a product", "matmul", [(64, 64), (64, 64)], {}),
    ("the sum of each row", "sum", [(32, 3)], {"axes": (1,), "keep": True}),
    ("the sum of each row", "sum", [(64, 10)], {"axes": (1,), "keep": True}),
    ("the sum down the rows", "sum", [(32, 16)], {"axes": (0,), "keep": False}),
    ("the sum down the rows", "sum", [(64, 64)], {"axes": (0,), "keep": False}),
    ("the sum of all", "sum", [(64, 10)], {"axes": (0, 1), "keep": False}),
    ("the largest of each row", "max_over", [(32, 3)], {"axes": (1,), "keep": True}),
    ("the largest of each row", "max_over", [(64, 10)], {"axes": (1,), "keep": True}),
    ("a row added to each row", "add", [(32, 16), (16,)], {}),
    ("a row added to each row", "add", [(64, 32), (32,)], {}),
    ("a column taken from each column", "sub", [(64, 10), (64, 1)], {}),
    ("a comparison", "gt", [(32, 16), ()], {}),
    ("a comparison", "gt", [(64, 64), ()], {}),
]


def main() -> None:
    """Prints the table."""
    rng = np.random.default_rng(0)
    print(f"{'':44}{'kernel':>8}{'bound':>10}")
    for what, name, shapes, attrs in TRIED:
        row: Any = TABLE[name]
        args = [rng.random(shape).astype("f") for shape in shapes]
        out = np.empty(row.shape(shapes, attrs), "f")
        calls = row.bound.calls(*args, out=out, **attrs)
        show(
            f"{what}, {' '.join(map(str, shapes))}",
            partial(row.numpy, *args, out=out, **attrs),
            *(partial(f, *given) for f, given in calls),
        )
    a, b, out = (rng.random((64, 64)).astype("f") for _ in range(3))
    row: Any = TABLE["matmul"]
    ((product, given),) = row.bound.calls(a, b.T, out=out)
    show("a product with a transpose, (64, 64) (64, 64)ᵀ", partial(row.numpy, a, b.T, out=out), partial(product, *given))
    memory = np.ones(4096, "f")
    for count in (96, 4096):
        x, same, y = memory[:count], memory[:count], np.ones(count, "f")
        show(f"x * y in x, one object for both, [{count}]", partial(np.multiply, x, y, same), partial(np.multiply, x, y, x))
    m, t = np.ones(6570, "f"), np.empty(6570, "f")
    tenth = np.array(0.1, "f")
    show("0.1 * m written over m, [6570]", partial(np.multiply, tenth, m, t), partial(np.multiply, tenth, m, m))
    p, n = np.ones(6570, "f"), np.array(2.0, "f")
    show("p^2 as a square, [6570]", partial(np.power, p, n, t), partial(np.square, p, t))


def show(what: str, kernel: Thunk, *bound: Thunk) -> None:
    """A row of the table."""
    found: dict[int, float] = {0: np.inf, 1: np.inf}
    for _ in range(ROUNDS):
        for which, thunks in enumerate(([kernel], bound)):
            found[which] = min(found[which], timed(thunks))
    print(f"{what.ljust(44)}{found[0]:8.2f}{found[1]:10.2f}")


def timed(thunks: Sequence[Thunk]) -> float:
    """Microseconds of one call of each."""
    start = time.perf_counter()
    for _ in range(CALLS):
        for thunk in thunks:
            thunk()
    return (time.perf_counter() - start) / CALLS * 1e6


if __name__ == "__main__":
    main()
