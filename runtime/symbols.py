"""What an update makes of the number of the step and nothing else: a learning rate that falls, at any steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..compiler.ops import TABLE
from ..compiler.plan import Plan
from ..compiler.settings import Settings
from .reference import Array, evaluate


def by_step(plan: Plan, settings: Settings, steps: Sequence[int]) -> dict[str, list[float]]:
    """Line -> its number at the last step of each epoch, of the named lines of the update that read but symbols. `settings` are scheduled."""
    given = {
        "step": np.asarray(steps, np.float64),
        "epoch": np.arange(1.0, len(steps) + 1),
        "steps": settings.steps,
        "epochs": settings.epochs,
    }
    known: dict[int, Array] = {
        v.id: np.asarray(given[v.name] if v.role == "symbol" else v.number, np.float64)
        for v in plan.values
        if (v.role == "symbol" and v.name in given) or (v.role == "const" and v.shape == ())
    }
    found: dict[str, list[float]] = {}
    for line in plan.update:
        made = {s.out for s in line.steps}
        if all(TABLE[s.op].kind == "elementwise" and all(a in known or a in made for a in s.args) for s in line.steps):
            with np.errstate(all="ignore"):
                known |= evaluate(line.steps, known)
            if not line.unnamed:
                found[line.target] = np.broadcast_to(known[line.value], len(steps)).tolist()
    return found
