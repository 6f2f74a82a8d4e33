"""`--watch NAME`: what a value or a gradient looks like after every epoch, in a few numbers and a small histogram."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from ..compiler.plan import Line, Plan
from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean
from .kernel import Array, Arrays
from .nonfinite import norm
from .program import GRADIENTS, STATES
from .steps import Step

BINS = 10


class Watch:
    """Some values of a plan, called by name or by the id of a line; of an update line, a state or `dw` the numbers of all params."""

    def __init__(self, plan: Plan, names: Collection[str], option: str = "watch") -> None:
        refuse_unknown(plan, names, option)
        self.plan, self.names = plan, tuple(dict.fromkeys(names))
        self.lines = {name: line for name in self.names if (line := self._line(name)) is not None}

    @property
    def registers(self) -> tuple[int, ...]:
        """What a kernel must keep for it."""
        return tuple(line.value for line in self.lines.values())

    def after(self, step: Step, arrays: Arrays) -> dict[str, dict[str, Any]]:
        """The numbers of each value, from the last batch of a step that has run; of params and states as the step left them."""
        return {name: numbers(self._value(name, step, arrays)) for name in self.names}

    def _line(self, name: str) -> Line | None:
        leaves = {v.name for v in self.plan.values if v.role in ("input", "param")} - {line.target for line in self.plan.lines}
        return None if name in leaves else next((line for line in self.plan.lines if name in (line.target, line.id)), None)

    def _value(self, name: str, step: Step, arrays: Arrays) -> Array:
        plan = self.plan
        kernel = step.kernel if step.group is None else step.group.batches[-1][0]
        if name in arrays.params:
            return arrays.params[name]
        if (line := self.lines.get(name)) is not None:
            return (step.group.update if step.group is not None and line.section == "update" else kernel)[line.value]
        if name in kernel.inputs:
            return kernel.inputs[name]
        if name in arrays.model_states:
            return arrays.model_states[name]
        return arrays.flat[next((STATES + k for k, s in enumerate(plan.states) if s.name == name), GRADIENTS)]


def numbers(value: Array) -> dict[str, Any]:
    """Norm, min, max and mean of the finite numbers, how many are not, and the counts of ten even parts from min to max.

    None for each where there is no finite number.
    """
    flat = np.asarray(value, np.float64).ravel()
    known = flat[np.isfinite(flat)]
    if not known.size:
        return {"norm": None, "min": None, "max": None, "mean": None, "not_finite": flat.size, "histogram": [0] * BINS}
    low, high = float(known.min()), float(known.max())
    with np.errstate(all="ignore"):
        share = (known - low) / (high - low) if 0 < high - low < np.inf else np.zeros_like(known)
        counts = np.bincount(np.minimum((share * BINS).astype(np.int64), BINS - 1), minlength=BINS)
        mean = low + float(np.mean(known - low)) if high - low < np.inf else float(np.mean(known / 2)) * 2
    return {"norm": norm(known), "min": low, "max": high, "mean": mean, "not_finite": flat.size - known.size, "histogram": counts.tolist()}


def refuse_unknown(plan: Plan, names: Collection[str], option: str) -> None:
    """MlpcError E0201 for every name that no value and no line of the plan has; `option` is where it was written."""
    known = list(_names(plan))
    ids = {line.id for line in plan.lines}
    unknown = [n for n in names if n not in known and n not in ids]
    if unknown:
        raise MlpcError(
            *(Diagnostic("E0201", None, f"{option} {n}: no value and no line is called so", did_you_mean(n, known)) for n in unknown)
        )


def _names(plan: Plan) -> Iterator[str]:
    yield from (p.name for p in plan.params)
    yield from (plan.values[r].name for r in plan.inputs)
    yield from (s.name for s in (*plan.model_states, *plan.states))
    if plan.update_dw is not None:
        yield plan.values[plan.update_dw].name
    yield from (line.target for line in plan.lines)
