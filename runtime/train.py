"""Training: minibatches through the kernel, and every split measured after each epoch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..compiler.plan import Plan
from ..compiler.settings import Settings
from ..compiler.stopping import Criterion
from ..dsl.diagnostics import Diagnostic, MlpcError
from .accumulation import Group, next_states, take, update_kernel
from .data import Dataset
from .init import draw, generator
from .kernel import Array, Arrays, Kernel, allocate
from .program import MODEL_STATES, PARAMS
from .threads import pinned, suitable

SECTIONS = ("forward", "gradient", "update")
Losses = dict[str, float]
Metrics = dict[str, dict[str, Any]]  # split -> name -> a number or a matrix as nested lists
Entry = dict[str, Any]  # {epoch, step, loss, metrics}: of each split, after an epoch
OnEpoch = Callable[[Entry], None]
OnStep = Callable[[int], None]  # of the step's number, from 1


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a training came to. `history`: one {epoch, step, loss, metrics} an epoch, of which there were `epochs`.

    `kept_epoch` is the one whose `losses`, `metrics`, `params` and `states` these are: the last, or the best by `keep`.
    `params`, `states` (of the model): name -> array; `weights_sha256` is that of their bytes in order of declaration, C order, little-endian.
    """

    history: tuple[Entry, ...]
    params: dict[str, Array]
    losses: Losses
    metrics: Metrics
    epochs: int
    steps: int
    seconds: dict[str, float]
    weights_sha256: str
    threads: int
    kept_epoch: int
    states: dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One step that is ready to run: the kernel with its batch, the arrays with the step's number.

    With several batches a step they are the `group`, and `kernel` is that of the first of them.
    """

    epoch: int
    number: int
    kernel: Kernel
    group: Group | None = None

    @property
    def rows(self) -> int:
        """The rows of all its batches."""
        return self.kernel.rows if self.group is None else self.group.rows

    def run(self, loss: int) -> float:
        """Runs it; gives the loss, which has the register `loss`."""
        if self.group is not None:
            self.group.run()
            return self.group.loss
        self.kernel.run()
        return self.kernel[loss].item()


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best epoch so far with its number, its params and the states of its model."""

    epoch: int
    value: float
    params: Array
    states: Array


def train(
    plan: Plan,
    evaluation: Plan,
    dataset: Dataset,
    settings: Settings,
    *,
    on_epoch: OnEpoch | None = None,
    on_step: OnStep | None = None,
    threads: int | None = None,
    start: Mapping[str, Array] | None = None,
    most_seconds: float = math.inf,
) -> Trained:
    """Trains `plan` on the train split and measures every split by `evaluation`. `threads` None: what suits the plan.

    `start`: params and model states to begin with, of the plan's names, shapes and precision; None: those that it draws.
    After `most_seconds` the step that is running is the last, and ends the epoch.
    MlpcError E0503 (status 3) at the first step whose loss is not a finite number.
    """
    begun = time.perf_counter()
    rows = train_rows(dataset)
    settings = settings.scheduled(rows)
    threads = threads or suitable(plan)
    history: list[Entry] = []
    with pinned(threads), np.errstate(all="ignore"):
        data = columns(dataset, plan.precision)
        arrays = allocate(plan, draw(plan.params, settings.seed, settings.rng), settings.seed)
        for name, array in (start or {}).items():
            (arrays.params if name in arrays.params else arrays.model_states)[name][...] = array
        measures = _evaluators(evaluation, arrays, data)
        best: _Best | None = None
        weighted, seen, last, since, mark = 0.0, 0, 0, 0, math.nan
        for step in steps(plan, arrays, data["train"], rows, settings):
            loss = step.run(plan.loss)
            if not math.isfinite(loss):
                raise _not_finite(loss, step, settings)
            weighted, seen, last = weighted + loss * step.rows, seen + step.rows, step.number
            if on_step:
                on_step(step.number)
            late = time.perf_counter() - begun > most_seconds
            if seen == rows or step.number == settings.steps or late:
                losses, metrics = measure(evaluation, measures)
                losses = {"train": weighted / seen} | {split: v for split, v in losses.items() if split != "train"}
                history.append({"epoch": step.epoch, "step": step.number, "loss": losses, "metrics": metrics})
                if on_epoch:
                    on_epoch(history[-1])
                weighted, seen = 0.0, 0
                if (keep := settings.keep) is not None:
                    value = watched(keep, losses, metrics)
                    if best is None or keep.better(value, best.value):
                        best = _Best(len(history), value, arrays.flat[PARAMS].copy(), arrays.flat[MODEL_STATES].copy())
                if (stop := settings.early_stop) is not None:
                    value = watched(stop, losses, metrics)
                    since, mark = (0, value) if stop.better(value, mark) else (since + 1, mark)
                    if since == stop.patience:
                        break
                if late:
                    break
        if best is not None:
            arrays.flat[PARAMS][...], arrays.flat[MODEL_STATES][...] = best.params, best.states
    kept = best.epoch if best is not None else len(history)
    return Trained(
        history=tuple(history),
        params={name: a.copy() for name, a in arrays.params.items()},
        losses=history[kept - 1]["loss"] if history else {},
        metrics=history[kept - 1]["metrics"] if history else {},
        epochs=len(history),
        steps=last,
        seconds={"train": time.perf_counter() - begun},
        weights_sha256=sha256(arrays.flat[0]),
        threads=threads,
        kept_epoch=kept,
        states={name: a.copy() for name, a in arrays.model_states.items()},
    )


def watched(criterion: Criterion, losses: Losses, metrics: Metrics) -> float:
    """The number that `keep` or `early_stop` looks at."""
    return losses[criterion.split] if criterion.name == "loss" else metrics[criterion.split][criterion.name]


def steps(
    plan: Plan, arrays: Arrays, data: Mapping[str, Array], rows: int, settings: Settings, reuse: bool = True, keep: tuple[int, ...] = ()
) -> Iterator[Step]:
    """The steps of a training, each ready to run when it is yielded. `settings` are scheduled.

    A batch of all rows keeps the file's order; the last, smaller batch of an epoch has a kernel of its own.
    With `accumulate` above 1 a step is a group of batches, which `Step.run` runs.
    """
    size, several = min(settings.batch, rows), settings.accumulate > 1
    sections = SECTIONS[:2] if several else SECTIONS
    keep = (*keep, *next_states(plan)) if several else keep
    whole = {p: data[p] for p in (_name(plan, r) for r in plan.inputs)}
    kernels: dict[int, Kernel] = {}
    for count in (size, rows % size if size else 0):
        if count:
            inputs = whole if count == rows else None
            kernels[count] = Kernel(plan, sections, count, arrays, keep, reuse, inputs)
    update = update_kernel(plan, arrays, keep, reuse) if several else None
    cells = arrays.symbols
    cells["steps"][...], cells["epochs"][...] = settings.steps, settings.epochs
    order = np.arange(rows)
    shuffle = generator(settings.seed, "shuffle") if settings.shuffle and size < rows else None
    number = epoch = 0
    while number < settings.steps and kernels:
        epoch += 1
        cells["epoch"][...] = epoch
        if shuffle is not None:
            order = shuffle.permutation(rows)
        for start in range(0, rows, size * settings.accumulate):
            number += 1
            cells["step"][...] = number
            stop = min(start + size * settings.accumulate, rows)
            batches = [(kernels[min(size, rows - i)], order[i : i + size]) for i in range(start, stop, size)]
            if update is None:
                take(batches[0][0], whole, batches[0][1])
            yield Step(epoch, number, batches[0][0], Group(plan, arrays, update, batches, whole) if update is not None else None)
            if number == settings.steps:
                return


def columns(dataset: Dataset, precision: str) -> dict[str, dict[str, Array]]:
    """Every split's values in the plan's precision; splits without rows are left out. Not copied where nothing changes."""
    cast = {s: {n: np.ascontiguousarray(a, precision) for n, a in values.items()} for s, values in dataset.splits.items()}
    return {"train": cast.get("train", {})} | {s: values for s, values in cast.items() if any(len(a) for a in values.values())}


def train_rows(dataset: Dataset) -> int:
    """Rows of the train split; 1 for a model without data, which makes one step an epoch."""
    return next((len(a) for a in dataset.splits.get("train", {}).values()), 1)


def _evaluators(evaluation: Plan, arrays: Arrays, data: Mapping[str, Mapping[str, Array]]) -> dict[str, Kernel]:
    """One kernel a split, over all its rows. They run one after the other and share the largest one's workspace."""
    sizes = {split: next((len(a) for a in values.values()), 1) for split, values in data.items()}
    made: dict[str, Kernel] = {}
    workspace: Array | None = None
    for split in sorted(sizes, key=lambda s: -sizes[s]):
        names = [_name(evaluation, r) for r in evaluation.inputs]
        inputs = {name: data[split][name] for name in names}
        made[split] = Kernel(evaluation, ("forward",), sizes[split], arrays, inputs=inputs, workspace=workspace)
        workspace = made[split].workspace
    return {split: made[split] for split in sizes}


def measure(evaluation: Plan, kernels: Mapping[str, Kernel]) -> tuple[Losses, Metrics]:
    """The loss and the reports of every split."""
    losses: Losses = {}
    metrics: Metrics = {}
    for split, kernel in kernels.items():
        kernel.run()
        losses[split] = kernel[evaluation.loss].item()
        metrics[split] = {name: plain(kernel[register]) for name, register in evaluation.reports}
    return losses, metrics


def plain(value: Array) -> Any:
    """A number for an array of one, else nested lists."""
    return value.item() if value.size == 1 else value.tolist()


def sha256(flat: Array) -> str:
    """Of the bytes, little-endian."""
    return hashlib.sha256(flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()


def _name(plan: Plan, register: int) -> str:
    return next(v.name for v in plan.values if v.id == register)


def _not_finite(loss: float, step: Step, settings: Settings) -> MlpcError:
    said = "not a number" if math.isnan(loss) else "infinite"
    message = f"the loss is {said} at step {step.number} of {settings.steps}, in epoch {step.epoch} of {settings.epochs}"
    hint = "a smaller learning rate, inputs that are standardized, or a look at the numbers:  mlpc trace FILE --step " + str(step.number)
    return MlpcError(Diagnostic("E0503", None, message, hint), status=3)
