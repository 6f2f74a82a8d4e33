"""Products of rows as one call a row, all calls alike: what a row comes to cannot depend on where it stands, nor on its neighbours.

A BLAS multiplies many rows at once in tiles, and the rows at an edge by other instructions than the rest, which may round otherwise.
Which heights are safe follows from the library, the processor, the sizes and the precision. Of 2256 products of 128 rows in float32,
OpenBLAS 0.3.31 gave some row other bits at another place in 1360 with its Haswell kernels, which Zen has too, in 38 with Sandybridge's
and in none with SkylakeX's or Nehalem's; 24, 48 and 96 rows were no better. No table of heights outlives the next release, and a trial
on random numbers proves nothing.

So a product [N, k] @ [k, m] is written out in operations that the table has: the rows and the columns of the right side are brought
to where each begins on a cache line, and a stack [N, 1, k] @ [k, panel] is multiplied, for which NumPy calls BLAS once a row, with the
same sizes, the same right side and addresses that agree to the cache line. The right side goes in panels of columns that stay in the
cache while all rows pass: this takes about twice as long as the product at once, for 4096 columns too.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from .ops import TABLE
from .plan import Line, Plan, Shape, Step, Value
from .rowwise import ROW, reads

LINE = 64  # bytes of a cache line, and of the widest vector in use
PANEL = 256  # bytes of a row of a panel

Emit = Callable[..., int]


def by_row(plan: Plan) -> Plan:
    """The plan with every product of the rows of data with something fixed written out so; all other lines as they are."""
    values, lines, kinds = list(plan.values), list[Line](), reads(plan)
    numbers = LINE // (8 if plan.precision == "float64" else 4)
    placed: dict[int, int] = {}  # rows -> the same, each at the beginning of a cache line
    for line in plan.forward:
        steps: list[Step] = []

        def emit(op: str, *args: int, out: int | None = None, steps: list[Step] = steps, **attrs: object) -> int:
            if out is None:
                out = len(values)
                values.append(Value(out, "", "inner", TABLE[op].shape([values[a].shape for a in args], attrs)))
            steps.append(Step(op, args, out, tuple(attrs.items())))
            return out

        for step in line.steps:
            if TABLE[step.op].kind == "matmul" and kinds[step.out] == ROW and len(values[step.out].shape) == 2:
                a, b = step.args
                (_, k), (_, m) = values[a].shape, values[b].shape
                if a not in placed:
                    placed[a] = _rows(emit, a, int(k), numbers)
                _product(emit, placed[a], b, int(m), numbers, step.out)
            else:
                steps.append(step)
        lines.append(replace(line, steps=tuple(steps)))
    return replace(plan, values=tuple(values), forward=tuple(lines))


def _rows(emit: Emit, a: int, k: int, numbers: int) -> int:
    """[N, k] as [N, 1, k], each row at the beginning of a line."""
    wide = _copy(emit, a, k, _up(k, numbers))
    shape: Shape = ("N", 1, k)
    return emit("reshape", wide if k % numbers == 0 else emit("slice", wide, axis=1, start=0, stop=k), shape=shape)


def _product(emit: Emit, rows: int, b: int, m: int, numbers: int, out: int) -> None:
    """[N, 1, k] @ [k, m] as [N, m], a panel of columns at a time."""
    panel = PANEL // LINE * numbers
    found: list[int] = []
    for start in range(0, m, panel):
        width = min(panel, m - start)
        wide = width if m == 1 else _up(width, numbers)  # a single column gives one number a row, which has no place in a line
        columns = b if width == m else emit("slice", b, axis=1, start=start, stop=start + width)
        product = emit("matmul", rows, _copy(emit, columns, width, wide))
        shape: Shape = ("N", wide)
        if wide == m:
            emit("reshape", product, out=out, shape=shape)
            return
        product = emit("reshape", product, shape=shape)
        found.append(product if wide == width else emit("slice", product, axis=1, start=0, stop=width))
    emit("concat", *found, out=out)


def _copy(emit: Emit, x: int, width: int, wide: int) -> int:
    """[.., width] in an array of its own, [.., wide]: of those that a plan makes, each begins on a line."""
    return emit("concat", x) if wide == width else emit("pad", x, axis=1, start=0, size=wide)


def _up(count: int, step: int) -> int:
    return -(-count // step) * step
