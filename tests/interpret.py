"""What nodes and plans mean, in a few lines of NumPy: nothing here is shared with the executor but the op table."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlpc.compiler.ir import ancestors
from mlpc.compiler.ops import TABLE


def apply(op, args, shape, attrs, sizes, dtype: Any = np.float64):
    """One operation on arrays. `sizes` says what N and P stand for."""

    def sized(dims):
        return tuple(sizes.get(d, d) for d in dims)

    attrs = {k: sized(v) if k == "shape" else v for k, v in attrs.items()}
    function: Any = TABLE[op].numpy
    if TABLE[op].kind == "view":
        return function(*args, **attrs)
    return function(*args, out=np.empty(sized(shape), dtype), **attrs)


def evaluate(roots, leaves, rows=0, dtype: Any = np.float64):
    """The arrays of nodes, given those of the inputs and params; constants and N are known, and a param has N numbers."""
    value = dict(leaves)
    for node in ancestors(roots):
        if node.value is not None:
            value[node] = np.asarray(float(node.value), dtype)
        elif node.op == "symbol" and node.attr("name") == "N":
            value[node] = np.asarray(rows, dtype)
        elif node not in value:
            value[node] = apply(node.op, [value[a] for a in node.args], node.shape, dict(node.attrs), {"N": rows, "P": rows}, dtype)
    return [value[r] for r in roots]


def run(plan, given, symbols, *sections):
    """The arrays of a plan's registers, given those of its inputs, params and states by name and the symbols (N, step ...)."""
    numbers = {v.id: v.number if v.role == "const" else symbols.get(v.name) for v in plan.values if v.role in {"const", "symbol"}}
    value = {i: np.asarray(number, np.float64) for i, number in numbers.items() if number is not None}
    value |= {v.id: given[v.name] for v in plan.values if v.role in {"input", "param", "state"} and v.name in given}
    sizes = {"N": symbols.get("N"), "P": next((len(value[v.id]) for v in plan.values if v.shape == ("P",) and v.id in value), 0)}
    for step in plan.steps(*sections):
        value[step.out] = apply(step.op, [value[a] for a in step.args], plan.values[step.out].shape, dict(step.attrs), sizes)
    return value
