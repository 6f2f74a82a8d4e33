"""Every number of one step: params, inputs and states before it, and each line's value."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ..compiler.plan import Line, Plan
from ..compiler.settings import Settings
from ..dsl.diagnostics import fault
from .data import Dataset
from .init import draw
from .kernel import Array, Arrays, Kernel, allocate
from .program import STATES, ranges
from .threads import pinned, suitable
from .train import columns, train_rows
from .train import steps as batches


def trace(plan: Plan, dataset: Dataset, settings: Settings, steps: int = 1) -> dict[str, Any]:
    """Runs `steps` steps of the training, and gives {step, epoch, loss, values} of the last one.

    `values`: dicts of id, name, section (param input state forward gradient update), shape, dtype, value (an array). Params and
    states are those before the update. What an update line or a state has for every param stands once a param, named by `param`.
    """
    if settings.accumulate > 1:
        message = f"a trace shows the lines of one batch, and with `accumulate = {settings.accumulate}` a step has several"
        raise fault("E0302", None, message, "trace it with one:  --set train.accumulate=1")
    rows = train_rows(dataset)
    known = settings.scheduled(rows)
    shown = {line.value for line in plan.lines}
    with pinned(suitable(plan)), np.errstate(all="ignore"):
        arrays = allocate(plan, draw(plan.params, settings.seed, settings.rng), settings.seed)
        data = columns(dataset, plan.precision)["train"]
        limit = replace(known, steps=max(known.steps, steps))
        for step in batches(plan, arrays, data, rows, limit, reuse=False, keep=tuple(sorted(shown))):
            if step.number == 1:  # a schedule sees the number of steps that the file gives
                arrays.symbols["steps"][...] = known.steps
            before = list(_before(plan, arrays, step.kernel)) if step.number == steps else []
            step.kernel.run()
            if step.number == steps:
                after = [entry for line in plan.lines for entry in _line(plan, line, step.kernel)]
                loss = step.kernel[plan.loss].item()
                return {"step": step.number, "epoch": step.epoch, "loss": loss, "values": before + after}
    raise ValueError(f"there is no step {steps} in {rows} rows")


def _entry(key: str, name: str, section: str, value: Array, **more: str) -> dict[str, Any]:
    value = value.copy()
    return {"id": key, "name": name, "section": section, **more, "shape": list(value.shape), "dtype": str(value.dtype), "value": value}


def _before(plan: Plan, arrays: Arrays, kernel: Kernel) -> Iterator[dict[str, Any]]:
    """What the step starts from."""
    for p in plan.params:
        yield _entry(p.name, p.name, "param", arrays.params[p.name])
    for name, value in kernel.inputs.items():
        yield _entry(name, name, "input", value)
    for name, value in arrays.model_states.items():
        yield _entry(name, name, "state", value)
    for number, state in enumerate(plan.states):
        for p, (start, stop) in zip(plan.params, ranges(plan), strict=True):
            value = arrays.flat[STATES + number][start:stop].reshape(p.shape)
            yield _entry(state.name, state.name, "state", value, param=p.name)


def _line(plan: Plan, line: Line, kernel: Kernel) -> Iterator[dict[str, Any]]:
    """The value of a line; of an update line that has numbers for every param, one entry a param."""
    value = kernel[line.value]
    spans = ranges(plan)
    if line.section != "update" or line.value not in kernel.program.pieces:
        yield _entry(line.id, line.target, line.section, value)
    elif "P" in line.shape:
        for p, (start, stop) in zip(plan.params, spans, strict=True):
            yield _entry(line.id, line.target, line.section, value[start:stop].reshape(p.shape), param=p.name)
    else:  # a reduction: one value a param that has numbers
        for p, register in zip((p for p in plan.params if p.count), kernel.program.pieces[line.value], strict=True):
            yield _entry(line.id, line.target, line.section, kernel[register], param=p.name)
