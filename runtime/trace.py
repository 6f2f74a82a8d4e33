"""Every number of one step: params, inputs and states before it, each line's value, and its gradients beside central differences."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from msgspec.structs import replace

from ..compiler.ops import TABLE
from ..compiler.plan import Line, Plan
from ..compiler.settings import Settings
from ..compiler.trace import Entry, Trace
from .data import Dataset
from .differences import compare
from .init import Draw, draw
from .kernel import Array, Arrays, Kernel, allocate
from .probe import Forward
from .program import PARAMS, STATES, ranges
from .steps import Step
from .steps import steps as batches
from .threads import pinned, suitable
from .train import columns, train_rows


def trace(plan: Plan, dataset: Dataset, settings: Settings, steps: int = 1, check: bool | Collection[str] = False) -> Trace:
    """Runs `steps` steps of the training, and gives the last one.

    `check`: whether to compare its gradients with central differences, or the names or ids of those to compare.
    """
    rows = train_rows(dataset)
    known = settings.scheduled(rows)
    shown = sorted({line.value for line in plan.lines})
    with pinned(1), np.errstate(all="ignore"):
        arrays = allocate(plan, draw(plan.params, settings.seed, settings.rng), settings.seed, suitable(plan))
        data = columns(dataset, plan.precision)["train"]
        limit = replace(known, steps=max(known.steps, steps))
        for step in batches(plan, arrays, data, rows, limit, reuse=False, keep=tuple(shown), alone=True):
            if step.number == 1:  # a schedule sees the number of steps that the file gives
                arrays.symbols["steps"][...] = known.steps
            if step.number < steps:
                step.run(plan.loss)
            else:
                return _traced(plan, arrays, step, settings.seed, check)
    raise ValueError(f"there is no step {steps} in {rows} rows")


def _traced(plan: Plan, arrays: Arrays, step: Step, seed: int, check: bool | Collection[str]) -> Trace:
    """Runs one step and keeps its numbers."""
    symbols = {name: int(cell.item()) for name, cell in arrays.symbols.items()}
    update: list[Entry] = []
    if step.group is None:
        kernel = step.kernel
        start, forward = list(_before(plan, arrays, kernel)), _forward(plan, arrays, kernel, seed)
        params = _params(arrays)
        kernel.run()
        values = _values(plan, kernel, forward)
        update += _lines(plan, kernel, plan.update)
        loss = kernel[plan.loss].item()
    else:
        seen: list[tuple[list[Entry], Forward, Draw, dict[int, Array], Kernel]] = []

        def look(kernel: Kernel) -> None:
            """Keeps the last batch only. Nothing that it started from has changed yet."""
            forward = _forward(plan, arrays, kernel, seed)
            seen[:] = [(list(_before(plan, arrays, kernel)), forward, _params(arrays), _values(plan, kernel, forward), kernel)]

        step.group.gather(look)
        ((start, forward, params, values, kernel),) = seen
        name = plan.values[plan.update_dw].name if plan.update_dw is not None else "dw"
        update += [_entry(name, name, "update", arrays.gradients[p.name], p.name) for p in plan.params]
        step.group.finish()
        update += _lines(plan, step.group.update, plan.update)
        loss = step.group.loss
    named = {line.value for line in plan.gradient if check is True or (check and {line.target, line.id} & {*check})}
    compared = compare(forward, params, values, named)
    lines = [
        Entry(line.id, line.target, line.section, values[line.value], comparison=compared.get(line.value))
        for line in (*plan.forward, *plan.gradient)
    ]
    group = len(step.group.batches) if step.group is not None else 1
    return Trace(plan, step.number, step.epoch, loss, kernel.rows, group, symbols, (*start, *lines, *update))


def _entry(key: str, name: str, section: str, value: Array, param: str = "") -> Entry:
    return Entry(key, name, section, value.copy(), param)


def _params(arrays: Arrays) -> Draw:
    return arrays.flat[PARAMS].astype(np.float64)


def _forward(plan: Plan, arrays: Arrays, kernel: Kernel, seed: int) -> Forward:
    """The loss as a function of any value at this step, in float64; `_values` adds what the step draws."""
    inputs = {name: value.astype(np.float64) for name, value in kernel.inputs.items()}
    given = {s.value: arrays.model_states[s.name].astype(np.float64) for s in plan.model_states}
    given |= {v.id: arrays.symbols[v.name].copy() for v in plan.values if v.role == "symbol" and v.name in arrays.symbols}
    return Forward(plan, inputs, kernel.rows, seed, given)


def _values(plan: Plan, kernel: Kernel, forward: Forward) -> dict[int, Array]:
    """The values of the lines of forward and gradient by register; random draws go to what is given to `forward`."""
    draws = {s.out: kernel[s.out].astype(np.float64) for s in plan.steps("forward", "gradient") if TABLE[s.op].kind == "random"}
    forward.given = {**forward.given, **draws}
    return {line.value: kernel[line.value].copy() for line in (*plan.forward, *plan.gradient)}


def _before(plan: Plan, arrays: Arrays, kernel: Kernel) -> Iterator[Entry]:
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
            yield _entry(state.name, state.name, "state", value, p.name)


def _lines(plan: Plan, kernel: Kernel, lines: Collection[Line]) -> Iterator[Entry]:
    """The values of update lines; of one that has numbers for every param, one entry a param."""
    spans = ranges(plan)
    for line in lines:
        value = kernel[line.value]
        if line.value not in kernel.program.pieces:
            yield _entry(line.id, line.target, line.section, value)
        elif "P" in line.shape:
            for p, (start, stop) in zip(plan.params, spans, strict=True):
                yield _entry(line.id, line.target, line.section, value[start:stop].reshape(p.shape), p.name)
        else:  # a reduction: one value a param that has numbers
            for p, register in zip((p for p in plan.params if p.count), kernel.program.pieces[line.value], strict=True):
                yield _entry(line.id, line.target, line.section, kernel[register], p.name)
