"""The reference executor, a dozen lines: every step on arrays of its own. The kernel must give its bits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..compiler.ops import TABLE
from ..compiler.plan import Step
from .init import generator

Array = NDArray[Any]


def evaluate(steps: Iterable[Step], environment: Mapping[int, Array], rows: int = 0, seed: int = 0) -> dict[int, Array]:
    """The reference: every step on arrays of its own. `environment` holds the leaves, numbers and symbols in float64.

    An operation is in float64 until one of its operands is an array of the plan's precision. Draws are the first of their streams.
    """
    found = dict(environment)
    for step in steps:
        row = TABLE[step.op]
        attrs = {k: tuple(rows if d == "N" else d for d in v) if isinstance(v, tuple) else v for k, v in step.attrs}
        if row.kind == "random":
            attrs["stream"] = generator(seed, f"draw:{attrs['stream']}")
        dtype = min((found[a].dtype for a in step.args), key=lambda d: d.itemsize)
        args = [np.asarray(found[a], dtype) for a in step.args]
        if row.kind == "view":
            found[step.out] = cast("Callable[..., Array]", row.numpy)(*args, **attrs)
        else:
            out = found[step.out] = np.empty(cast("tuple[int, ...]", row.shape([a.shape for a in args], attrs)), dtype)
            cast("Callable[..., Array]", row.numpy)(*args, out=out, **attrs)
    return found
