"""Re-checks a plan by itself: single assignment, defined before use, every shape derived again by the op table."""

from __future__ import annotations

from .ops import TABLE
from .plan import Plan


def verify(plan: Plan) -> None:
    """Raises `AssertionError` where the plan is not what a plan must be: a bug in mlpc, not in the user's file."""
    known = {v.id for v in plan.values if v.role in {"input", "param", "state", "const", "symbol"}}
    for line in plan.lines:
        for step in line.steps:
            row = TABLE[step.op]
            missing = [a for a in step.args if a not in known]
            _hold(not missing, f"{line.id} {line.target}: reads {missing} before it is made")
            _hold(step.out not in known, f"{line.id} {line.target}: register {step.out} is assigned twice")
            shape = row.shape([plan.values[a].shape for a in step.args], dict(step.attrs))
            stated = plan.values[step.out].shape
            _hold(shape == stated, f"{line.id} {line.target}: {step.op} gives {shape}, not {stated}")
            known.add(step.out)
        _hold(bool(line.steps) and line.steps[-1].out == line.value, f"{line.id} {line.target}: its last step does not make it")
    _hold(plan.loss in known, "the loss is not computed")
    for param in plan.params:
        fits = param.gradient is None or plan.values[param.gradient].shape == param.shape
        _hold(fits, f"d({param.name}) has another shape than {param.name}")


def _hold(condition: bool, message: str) -> None:
    """Raises what `assert` would, under `python -O` too."""
    if not condition:
        raise AssertionError(message)
