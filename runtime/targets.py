"""Back from what a model predicts to what the data's file says: labels, and numbers in their own units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..compiler.schema import DataValue, Undo
from .expressions import Transform
from .frame import Statistics

AS_THEY_ARE = ("drop_missing", "impute", "clip")  # pipes that keep the units


def inverse(value: DataValue, array: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers [rows, width] in the units of `value` before its pipes: the inverse of standardize, minmax, log. Overflow is inf."""
    if not value.undo:
        return array
    back = np.array(array, dtype=np.float64)
    with np.errstate(over="ignore"):
        for column, undo in enumerate(value.undo):
            x = back[:, column]
            for op, number in undo:
                x = x * number if op == "mul" else x + number if op == "add" else np.exp(x)
            back[:, column] = x
    return back


def labels(value: DataValue, array: NDArray[np.float64]) -> list[str]:
    """The label of each row of [rows, classes], by its largest number; of several largest the first."""
    return [value.classes[i] for i in array.argmax(axis=1).tolist()]


def undoing(fitted: Mapping[str, tuple[Transform, ...]], name: str) -> tuple[Undo, ...]:
    """Column by column, what undoes the pipes at the end of a value; () if there is nothing to undo or no number to go back to.

    Arithmetic of the user's is his own choice of units: it is not undone, and neither is what stands before it.
    """
    columns = _undoing(fitted, fitted[name], len(fitted[name]) - 1)
    return tuple(columns) if any(columns) else ()


def _undoing(fitted: Mapping[str, tuple[Transform, ...]], steps: tuple[Transform, ...], at: int) -> list[Undo]:
    """That of one step. Recursive in `concat` and in values read by name, and no deeper than the file nests them."""
    undo: list[list[tuple[str, float]]] = []
    while True:
        step = steps[at]
        undo = undo or [[] for _ in range(step.width)]
        match step.name:
            case "standardize" | "minmax":
                for column, (scale, shift) in zip(undo, _scales(step.statistics), strict=True):
                    column += [("mul", scale), ("add", shift)]
            case "log":
                for column in undo:
                    column.append(("exp", 0.0))
            case "concat":
                inner = [c for operand in step.of for c in _undoing(fitted, steps, operand)]
                return [(*column, *before) for column, before in zip(undo, inner, strict=True)]
            case "value":
                other = fitted[str(step.statistics["names"][0][0])]  # type: ignore[index]
                return [(*column, *before) for column, before in zip(undo, _undoing(fitted, other, len(other) - 1), strict=True)]
            case word:
                if word not in AS_THEY_ARE:
                    return [tuple(column) for column in undo]
        at = step.of[0]


def _scales(statistics: Statistics) -> list[tuple[float, float]]:
    """(scale, shift) of each column: raw = scale * transformed + shift."""
    if "sd" in statistics:
        return list(zip(_numbers(statistics, "sd"), _numbers(statistics, "mean"), strict=True))
    low, high = _numbers(statistics, "min"), _numbers(statistics, "max")
    return [(b - a if b > a else 1.0, a) for a, b in zip(low, high, strict=True)]


def _numbers(statistics: Statistics, key: str) -> list[float]:
    return [x for x in statistics[key] if isinstance(x, float)]
