"""Can a model learn a few rows? One that cannot learn eight has something wrong, and will not learn a thousand."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..compiler.ops import TABLE
from ..compiler.plan import Plan
from ..compiler.schema import Schema
from ..compiler.settings import Settings
from .data import Dataset
from .progress import Entry
from .train import Trained, train, train_rows

ENOUGH = 0.01  # of the way from the first loss to its floor that may be left
LEAST = 1000  # steps, where the run would take fewer
FALLING = 0.01  # of the loss, over the last tenth of the steps


class Overfit(Struct, frozen=True):
    """The loss of so many `rows` before the first step, the least that was reached, and in which step; `learnt`: it is `needed` or less.

    `floor` is what no prediction can go below: the mean entropy of targets that are distributions, else 0. `steps` are those that it
    had; `look_at` says what may be in its way.
    """

    rows: int
    first: float
    loss: float
    step: int
    steps: int
    floor: float
    needed: float
    learnt: bool
    look_at: tuple[str, ...] = ()


def overfit(plan: Plan, evaluation: Plan, dataset: Dataset, settings: Settings, goals: Collection[str], rows: int = 8) -> Overfit:
    """Trains on so many training rows alone, evenly spread and all of them a batch, until they are learnt or the steps end.

    `goals` are the values that are to be predicted. It has the steps of the run, at least 1000. MlpcError E0503 where training does.
    """
    data = _some(dataset, rows)
    count = train_rows(data)
    steps = max(settings.scheduled(train_rows(dataset)).steps, LEAST)
    settings = replace(settings, epochs=0, steps=steps, batch=0, early_stop=None, keep=None)
    floor = _entropy(goals, data)
    seen: list[float] = []

    def on_epoch(entry: Entry) -> None:
        seen.append(entry["loss"]["train"])
        if seen[-1] - floor <= ENOUGH * (seen[0] - floor) or seen[0] <= floor:
            raise _Enough

    trained: Trained | None = None
    with suppress(_Enough):
        trained = train(plan, evaluation, data, settings, on_epoch=on_epoch)
    if seen[0] <= floor:
        told = f"the loss begins at {seen[0]:.4g}: only of one that cannot go below 0 can it be said when it is small"
        return Overfit(count, seen[0], seen[0], 1, steps, floor, floor, False, (told,))
    at = min(range(len(seen)), key=lambda k: seen[k])
    needed = floor + ENOUGH * (seen[0] - floor)
    look_at = tuple(_look_at(plan, goals, data, seen, floor, trained)) if trained is not None else ()
    return Overfit(count, seen[0], seen[at], at + 1, steps, floor, needed, trained is None, look_at)


class _Enough(Exception):
    """The rows are learnt, or cannot be."""


def _some(data: Dataset, rows: int) -> Dataset:
    """Some training rows, evenly spread, since files are often in the order of the target; and no other split."""
    there = train_rows(data)
    count = min(rows, there)
    chosen = np.arange(count) * there // count
    taken = {name: array[chosen] for name, array in data.splits.get("train", {}).items()}
    parts = {"train": data.parts["train"][chosen]} if data.parts else {}
    return replace(data, schema=Schema(data.schema.values, (("train", count),)), splits={"train": taken}, parts=parts)


def _entropy(goals: Collection[str], data: Dataset) -> float:
    """The mean entropy of the targets' rows, as far as these are distributions."""
    total = 0.0
    for v in data.schema.values:
        if v.name in goals and v.facts.simplex and not v.facts.onehot:
            p = data.splits["train"][v.name][:]
            total -= float(np.where(p > 0, p * np.log(np.where(p > 0, p, 1)), 0).sum(axis=-1).mean())
    return total


def _look_at(plan: Plan, goals: Collection[str], data: Dataset, seen: list[float], floor: float, trained: Trained) -> Iterator[str]:
    """What may be in the way, the surest first."""
    yield from _contradictions(goals, data)
    yield from trained.notes
    tail = seen[-max(len(seen) // 10, 1) :]
    if min(seen) > 0.9 * seen[0]:
        yield "the loss hardly fell: try a learning rate 10 times as large, and one a tenth of it"
    elif min(tail) < (1 - FALLING) * tail[0]:
        yield "the loss was still falling: it wants more steps, or a larger learning rate"
    if floor:
        yield f"the targets are distributions, whose entropy is {floor:.4g}: cross_entropy cannot go below that"
    if _penalised(plan):
        yield "a part of the loss is of the params alone, as l2(weights) is, and keeps it from 0: try without"
    if any(TABLE[s.op].kind == "random" for line in plan.forward for s in line.steps):
        yield "values are dropped at random in training, which keeps its loss up: try without"
    yield "a wider model, or another output: relu or sigmoid there cuts off what the targets need"


def _contradictions(goals: Collection[str], data: Dataset) -> Iterator[str]:
    """Two rows with the same inputs and different targets: no function has both."""
    values = data.splits["train"]
    given = [a[:] for name, a in values.items() if name not in goals]
    wanted = [a[:] for name, a in values.items() if name in goals]
    if not given or not wanted:
        return
    x, y = np.hstack(given), np.hstack(wanted)
    for i in range(len(x)):
        for j in range(i):
            if (x[i] == x[j]).all() and (y[i] != y[j]).any():
                yield f"{data.place('train', j)} and {data.place('train', i)} have the same inputs and different targets"
                return


def _penalised(plan: Plan) -> bool:
    """Whether a number that the loss reads depends on params and on no input."""
    params, inputs = {p.value for p in plan.params}, {*plan.inputs}
    single = {v.id for v in plan.values if v.shape == ()}
    made = {s.out: s for line in plan.forward for s in line.steps}
    for step in made.values():
        params |= {step.out} if params & {*step.args} else set()
        inputs |= {step.out} if inputs & {*step.args} else set()
    stack, met = [plan.loss], set[int]()
    while stack:
        register = stack.pop()
        if register in single and register not in met:
            met.add(register)
            if register in params and register not in inputs and register in made:
                return True
            stack += made[register].args if register in made else ()
    return False
