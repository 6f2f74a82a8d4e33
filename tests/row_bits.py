"""Whether a row comes to the same bits wherever it stands in a chunk and whatever stands beside it: operations and products by themselves.

`python -m mlpc.tests.row_bits` prints what fails, as JSON: `tests/test_row_bits.py` starts it where other instructions are switched off.
With `many` it tries many sizes; with `at-once` products of all rows of a chunk at once, for the figures of `docs/predicting.md`:
`OPENBLAS_CORETYPE=Haswell python -m mlpc.tests.row_bits many at-once`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from mlpc.compiler.ops import TABLE
from mlpc.compiler.plan import Attrs, Line, ParamSpec, Plan, Shape, Step, Value
from mlpc.compiler.verify import verify
from mlpc.runtime import chunks
from mlpc.runtime.chunks import HEIGHT, Chunks
from mlpc.runtime.kernel import Array, Arrays, allocate
from mlpc.runtime.threads import pinned

HARD = np.array([0.0, -0.0, 1e300, -1e300, 1e-310, np.inf, -np.inf, np.nan, 1e5, -1e5, 710.0, -745.0, 88.9, -104.0, 1e22])
WIDTHS = (1, 2, 3, 5, 8, 13, 16, 17, 33, 64, 129)
SIZES = ((1, 1), (3, 1), (2, 3), (4, 16), (8, 16), (8, 17), (31, 1), (64, 10), (64, 64), (100, 193), (257, 300), (784, 65), (1000, 1))
MANY_SIZES = tuple(
    (k, m) for k in (*range(1, 40), 63, 64, 65, 127, 128, 129, 300, 513) for m in (*range(1, 18), 31, 32, 33, 64, 65, 129, 200)
)
PRECISIONS = ("float64", "float32")


def one_step(op: str, inputs: tuple[Shape, ...], params: tuple[Shape, ...], attrs: Attrs, precision: str, cut: bool = False) -> Plan:
    """A plan of one operation on `inputs` and then `params`; `cut`: an input is the middle of one that is wider, so no row follows the last."""
    values, forward, args = list[Value](), list[Step](), list[int]()

    def value(role: str, shape: Shape) -> int:
        values.append(Value(len(values), f"v{len(values)}", role, shape))
        return values[-1].id

    for shape in inputs:
        wide = (*shape[:-1], cast("int", shape[-1]) + 3) if cut else shape
        args.append(value("input", wide))
    for shape in params:
        args.append(value("param", shape))
    found = [v.id for v in values if v.role == "input"]
    for at, shape in enumerate(inputs if cut else ()):
        args[at] = value("inner", shape)
        forward.append(Step("slice", (found[at],), args[at], (("axis", 1), ("start", 1), ("stop", cast("int", shape[-1]) + 1))))
    order = [*args[len(inputs) :], *args[: len(inputs)]] if op == "gather" else args
    out = value("line", TABLE[op].shape([values[a].shape for a in order], dict(attrs)))
    forward.append(Step(op, tuple(order), out, attrs))
    line = Line("F1", "forward", "out", "", values[out].shape, out, tuple(forward))
    specs = tuple(ParamSpec(v.name, cast("tuple[int, ...]", v.shape), "zeros", (), "", v.id, None) for v in values if v.role == "param")
    plan = Plan("", tuple(values), tuple(found), specs, (), (line,), (), (), out, "", out, HEIGHT, precision)
    verify(plan)
    return plan


def operations(widths: tuple[int, ...] = WIDTHS) -> Iterator[tuple[str, tuple[Shape, ...], tuple[Shape, ...], Attrs]]:
    """Every operation of the table that can be of a row, with operands as wide: of rows, a column, and what all rows share."""
    for name, op in TABLE.items():
        if op.numpy is None or op.kind in {"columns", "random", "view", "matmul"} or name == "scatter_add":
            continue
        arity = len(cast("Any", op.example)[0])
        for k in widths:
            rows, column = ("N", k), ("N", 1)
            if name == "onehot":
                yield name, (column,), (), (("size", k),)
            elif name == "gather":
                yield name, (column,), ((7, k),), ()
            elif name == "pad":
                yield name, (rows,), (), (("axis", 1), ("start", 2), ("size", k + 5))
            elif op.kind == "reduce":
                yield name, (rows,), (), (("axes", (1,)), ("keep", True))
            else:
                yield name, (rows,) * arity, (), ()
                if op.kind == "elementwise" and arity > 1 and k > 1:
                    yield name, (rows,) * (arity - 1), ((k,),), ()
                    yield name, (rows,) * (arity - 1) + (column,), (), ()


def misplaced_operations(widths: tuple[int, ...] = WIDTHS) -> list[str]:
    """Those that give some row other bits at another place, with their sizes."""
    found: list[str] = []
    for name, inputs, params, attrs in operations(widths):
        for precision in PRECISIONS:
            for cut in (False, True):
                plan = one_step(name, inputs, params, attrs, precision, cut)
                if misplaced(plan, whole=name in {"onehot", "gather"}):
                    found.append(f"{name} {inputs} {params} {precision}{' cut' if cut else ''}")
    return found


def misplaced_products(sizes: tuple[tuple[int, int], ...] = SIZES) -> list[str]:
    """Products whose rows have other bits at other places."""
    return [
        f"[N, {k}] @ [{k}, {m}] {precision}{' cut' if cut else ''}"
        for k, m in sizes
        for precision in PRECISIONS
        for cut in (False, True)
        if misplaced(one_step("matmul", (("N", k),), ((k, m),), (), precision, cut))
    ]


def misplaced(plan: Plan, whole: bool = False, rounds: int = 4, seed: int = 0) -> bool:
    """Whether some of a plan's rows come to other bits elsewhere. Their numbers round at every turn; between them stand hard ones."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(plan.precision)
    inputs = {plan.values[r].name: int(plan.values[r].shape[1]) for r in plan.inputs}
    arrays = filled(plan, rng)
    mine = HEIGHT // 2 + 3
    with pinned(1), np.errstate(all="ignore"):
        own = {n: rng.integers(0, 9, (mine, k)).astype(dtype) if whole else uneven(rng, (mine, k)).astype(dtype) for n, k in inputs.items()}
        runner = Chunks(plan, (plan.loss,), arrays)
        expected: Array | None = None
        for _ in range(rounds):
            places = rng.permutation(HEIGHT)[:mine]
            data = {n: rng.choice(HARD, (HEIGHT, k)).astype(dtype) for n, k in inputs.items()}
            for n, a in own.items():
                data[n][places] = a
            out = np.empty((HEIGHT, *cast("tuple[int, ...]", plan.values[plan.loss].shape[1:])), dtype)
            runner.run(HEIGHT, data, {plan.loss: out})
            found = out[places]
            if expected is not None and found.tobytes() != expected.tobytes():
                return True
            expected = found
    return False


def filled(plan: Plan, rng: np.random.Generator) -> Arrays:
    """Params of uneven numbers."""
    arrays = allocate(plan)
    for array in arrays.params.values():
        array[...] = uneven(rng, array.shape)
    return arrays


def uneven(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers of both signs and 13 magnitudes: of sums of their products no order of adding has the bits of another."""
    return rng.choice([-1.0, 1.0], shape) * (1 + rng.random(shape)) * 2.0 ** rng.integers(-6, 7, shape)


if __name__ == "__main__":
    many, found = "many" in sys.argv, list[str]()
    if "at-once" in sys.argv:
        chunks.by_row = lambda plan: plan
    else:
        found = misplaced_operations((*range(1, 70), 127, 128, 129, 255, 300) if many else WIDTHS[::2])
    print(json.dumps(found + misplaced_products(MANY_SIZES if many else SIZES)))
