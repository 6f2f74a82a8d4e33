"""The gradients of a traced step beside central differences of the loss, one entry at a time, as a reader would try them.

`gradcheck` asks whether a gradient is right, along random directions and wherever it can tell; this asks how far the numbers
that a page shows are from the differences at just these numbers.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from ..compiler.plan import Line, Plan
from ..compiler.trace import RIGHT, UNKNOWN, WRONG, Comparison
from .gradcheck import SHARP, Verdict, measured, sources
from .init import Draw, generator
from .kernel import Array
from .probe import Forward, Point

ENTRIES = 64  # of a larger matrix so many are compared, drawn by the seed
BUDGET = 10**9  # floating-point operations that all comparisons of a step may take, about a second ...
CALL = 5000  # ... when one of NumPy's calls counts for so many
EVALUATIONS = 4  # of the loss, for one entry: both sides at two step sizes


def compare(forward: Forward, params: Draw, shown: Mapping[int, Array], wanted: Collection[int]) -> dict[int, Comparison]:
    """A comparison for each line of the gradient whose register is `wanted`, if it is the slope along a param or a value.

    `params`: flat. `shown`: the registers of the lines -> the numbers that ran. In float64, under `np.errstate(all="ignore")`.
    """
    plan, along = forward.plan, sources(forward.plan)
    lines = [line for line in plan.gradient if line.value in along and line.value in wanted]
    if not lines:
        return {}
    point = forward.point(params)
    flops = {step.out: line.flops / len(line.steps) for line in plan.forward for step in line.steps}
    found: dict[int, Comparison] = {}
    for line in lines:
        cost = EVALUATIONS * sum(CALL + flops[step.out] for step in forward.after((along[line.value],)))
        most = max(1, min(ENTRIES, int(BUDGET / len(lines) / max(cost, 1))))
        found[line.value] = _compared(plan, line, point, along[line.value], shown[line.value], most, forward.seed)
    return found


def _compared(plan: Plan, line: Line, point: Point, register: int, shown: Array, most: int, seed: int) -> Comparison:
    """At most so many entries of one gradient; numbers in float32 are judged by what their line gives in float64."""
    gradient = shown if plan.precision == "float64" else point.values[line.value]
    scale = float(np.max(np.abs(gradient), initial=0.0))
    scale = scale if math.isfinite(scale) else 0.0
    chosen = np.arange(shown.size)
    if shown.size > most:
        chosen = np.sort(generator(seed, f"trace:{line.target}").choice(shown.size, most, replace=False))
    deviations: list[tuple[float, int, Verdict]] = []
    why = ""
    for index in chosen.tolist():
        u = np.zeros(shown.size)
        u[index] = 1
        verdict = measured(line.target, point, {register: u.reshape(shown.shape)}, float(gradient.flat[index]), scale)
        if verdict.verdict == UNKNOWN:
            why = why or verdict.why
            continue
        deviation = abs(float(shown.flat[index]) - verdict.measured[1])
        deviations.append((math.inf if math.isnan(deviation) else deviation, index, verdict))
    if not deviations:
        return Comparison(UNKNOWN, shown.size, len(chosen), 0, math.nan, (), math.nan, math.nan, why)
    largest, index, worst = max(deviations, key=lambda d: (d[2].verdict == WRONG, d[0]))
    wrong = worst.verdict == WRONG or largest > SHARP * max(scale, abs(worst.measured[1])) and plan.precision != "float64"
    at = tuple(int(i) for i in np.unravel_index(index, shown.shape))
    return Comparison(
        WRONG if wrong else RIGHT, shown.size, len(chosen), len(deviations), largest, at, float(shown.flat[index]), worst.measured[1], why
    )
