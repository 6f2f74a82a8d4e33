"""The reference executor, a dozen lines: every step on arrays of its own. The kernel must give its bits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..compiler.ops import TABLE
from ..compiler.plan import Step
from .init import generator

Array = NDArray[Any]


Seen = Callable[[Step, list[Array], Array], None]  # of an operation that has run: its operands and its result


def evaluate(
    steps: Iterable[Step],
    environment: Mapping[int, Array],
    rows: int = 0,
    seed: int = 0,
    *,
    total: int = 0,
    look: Seen | None = None,
    keep: Collection[int] | None = None,
) -> dict[int, Array]:
    """The reference: every step on arrays of its own. `environment` holds the leaves, numbers and symbols in float64.

    An operation is in float64 until one of its operands is an array of the plan's precision. Draws are the first of their streams.
    `rows` and `total` are what N and P stand for. `look` is shown every operation. With `keep`, all but these go when nothing reads
    them any more.
    """
    found = dict(environment)
    known = {"N": rows, "P": total}
    order = [*steps] if keep is not None else steps
    last = {a: step.out for step in order for a in (*step.args, step.out) if a not in keep} if keep is not None else {}
    for step in order:
        row = TABLE[step.op]
        attrs = {k: tuple(known.get(d, d) for d in v) if isinstance(v, tuple) else v for k, v in step.attrs}
        if row.kind == "random":
            attrs["stream"] = generator(seed, f"draw:{attrs['stream']}")
        dtype = min((found[a].dtype for a in step.args), key=lambda d: d.itemsize)
        args = [np.asarray(found[a], dtype) for a in step.args]
        if row.kind == "view":
            out = cast("Callable[..., Array]", row.numpy)(*args, **attrs)
        else:
            out = np.empty(cast("tuple[int, ...]", row.shape([a.shape for a in args], attrs)), dtype)
            calls = row.bound.calls(*args, out=out, **attrs) if row.bound is not None else None
            if calls is None:
                cast("Callable[..., Array]", row.numpy)(*args, out=out, **attrs)
            for function, given in calls or ():
                function(*given)
        found[step.out] = out
        if look is not None:
            look(step, args, out)
        for register in {*step.args, step.out} if last else ():
            if last.get(register) == step.out:
                del found[register]
    return found
