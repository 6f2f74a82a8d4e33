"""Training: minibatches through the kernel, and every split measured after each epoch."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct, to_builtins
from msgspec.structs import replace

from ..compiler.plan import Plan
from ..compiler.settings import Settings
from . import health
from .data import Dataset
from .diagnosis import NotFinite, diagnosis, document
from .init import draw
from .kernel import Array, Arrays, allocate
from .later import Values, in_precision
from .measure import Losses, Measures, Metrics
from .nonfinite import Guard
from .observe import flat_finite
from .program import MODEL_STATES, PARAMS
from .progress import Entry, Interrupted, Progress, Snapshot, restored, snapshot, undone
from .steps import Sampler, Step, set_symbols, steps
from .threads import pinned, suitable
from .watch import Watch

if TYPE_CHECKING:
    from .checkpoint import Checkpoints

OnEpoch = Callable[[Entry], object]  # of the row of the history; if it returns True, that was the last epoch
OnStep = Callable[[int], None]  # of the step's number, from 1


class Trained(Struct, frozen=True, eq=False):
    """What a training came to. `history`: one {epoch, step, loss, metrics} an epoch, of which there were `epochs`.

    `kept_epoch` is the one whose `losses`, `metrics`, `params` and `states` these are: the last, or the best by `keep`.
    `stopped` says why it ended before its settings do: "early_stop", "on_epoch", "time", "not_finite", or "" if it did not. `not_finite` steps had
    a loss that is not a finite number; `notes` say what else is wrong with the model, by line.
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
    stopped: str = ""
    not_finite: int = 0
    notes: tuple[str, ...] = ()


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
    max_seconds: float = math.inf,
    since: Snapshot | None = None,
    checkpoints: Checkpoints | None = None,
    stop: Callable[[], bool] | None = None,
    on_nan: Callable[[NotFinite], None] | None = None,
    watch: Collection[str] = (),
) -> Trained:
    """Trains `plan` on the train split and measures every split by `evaluation`. `threads` None: what suits the plan.

    `start`: params and model states to begin with, of the plan's names, shapes and precision; None: those that it draws.
    `since`: a snapshot of this training, to go on from. After `max_seconds` the step that is running is the last, and ends the epoch.
    `checkpoints` take a snapshot where one is due, and where `stop()` is true, which is asked between batches: then `Interrupted` is
    raised. `NotFinite`, E0503 (status 3), at the first step whose loss is not a finite number, with the last good state; with `on_nan`
    that is called, once, and the training goes on. `watch`: values or lines whose numbers the history has; E0201 for one that is not there.
    """
    begun = time.perf_counter()
    watched = Watch(plan, watch)
    rows = train_rows(dataset)
    settings = settings.scheduled(rows)
    threads = threads or suitable(plan)
    with pinned(1), np.errstate(all="ignore"), ExitStack() as ending:
        data = columns(dataset, plan.precision)
        arrays = allocate(plan, draw(plan.params, settings.seed, settings.rng), settings.seed, threads)
        for name, array in (start or {}).items():
            (arrays.params if name in arrays.params else arrays.model_states)[name][...] = array
        progress, sampler = Progress(), Sampler(rows, settings)
        if since is not None:
            progress, sampler = restored(since, plan, arrays, lambda done, shuffle: Sampler(rows, settings, done, shuffle))
        measured = {s: values for s, values in data.items() if s != "train" or evaluation.reports}  # its loss is that of its steps
        measures = Measures(evaluation, arrays, measured)
        set_symbols(arrays, sampler, settings, progress.step)
        guard = Guard(plan, arrays, data["train"], rows, settings)
        spoilt = 0

        def outcome(stopped: str) -> Trained:
            return _outcome(arrays, progress, time.perf_counter() - begun, threads, stopped, spoilt)

        def not_finite(loss: float, step: int) -> None:
            """The loss of a step or, where that is, the params after it are not finite: raises, or tells `on_nan` where it began."""
            nonlocal spoilt
            spoilt += 1
            if spoilt > 1:
                return
            found = guard.explain(step) if step else guard.begin()
            said = diagnosis(loss, step, sampler.epoch_of(step), settings, found, lambda row: dataset.place("train", row))
            error = NotFinite(said, document(found, lambda row: dataset.place("train", row)) if found is not None else None)
            if on_nan is None:
                progress.step = found.step - 1 if found is not None and found.step else progress.step
                error.trained = outcome("not_finite")
                raise error
            if found is not None and step:
                guard.again(step)
            on_nan(error)

        def between() -> None:
            if stop is not None and stop():
                raise Interrupted

        def save() -> None:
            if checkpoints is not None:
                checkpoints.save(snapshot(plan, progress, arrays, sampler, time.perf_counter() - begun))

        def end_epoch(step: Step | None = None) -> str:
            with undone(arrays):
                losses, metrics = measures.run(between if not watched.names else lambda: None)  # what is watched is there but once
            losses |= {"train": progress.weighted / progress.seen}
            losses, metrics = {split: losses[split] for split in data}, {split: metrics.get(split, {}) for split in data}
            entry = {"epoch": sampler.epoch_of(progress.step), "step": progress.step, "loss": losses, "metrics": metrics}
            if watched.names and step is not None:
                entry["watch"] = watched.after(step, arrays)
            last = on_epoch is not None and on_epoch(to_builtins(entry)) is True  # of a copy: what it does to its row is its own affair
            return progress.end_epoch(entry, settings, arrays) or ("on_epoch" if last else "")

        stopped = ""
        try:
            if guard.begin() is not None:
                not_finite(0.0, 0)
            guard.hold(snapshot(plan, progress, arrays, sampler, 0.0))
            if start is not None and since is None:
                save()  # what it begins with may not be there when it goes on
            if progress.measured < progress.step and (progress.seen == rows or progress.step == settings.steps):
                stopped = end_epoch()
            batches = steps(plan, arrays, data["train"], rows, settings, keep=watched.registers, sampler=sampler)
            ending.callback(batches.close)
            for step in () if stopped else batches:
                with undone(arrays) if step.group is not None else nullcontext():
                    loss = step.run(plan.loss, between)
                if not math.isfinite(loss):
                    not_finite(loss, step.number)
                progress.end_step(step, loss)
                if on_step:
                    on_step(step.number)
                last, late = step.number == settings.steps, time.perf_counter() - begun > max_seconds
                if late and not last and progress.seen < rows:
                    save()  # as it goes on, the epoch does not end here
                if progress.seen == rows or last or late:
                    stopped = end_epoch(step) or ("time" if late and not last else "")
                if stopped or last:
                    break
                between()
                if guard.due() and not spoilt:
                    if flat_finite(arrays):
                        guard.hold(snapshot(plan, progress, arrays, sampler, 0.0))
                    else:
                        not_finite(loss, step.number)
                if checkpoints is not None and checkpoints.due(progress):
                    save()
        except Interrupted as interrupted:
            save()
            raise interrupted.at(progress.step, settings, sampler) from None
        if progress.best is not None:
            arrays.flat[PARAMS][...], arrays.flat[MODEL_STATES][...] = progress.best.params, progress.best.states
        if not spoilt and not flat_finite(arrays):
            not_finite(0.0, progress.step)
        found = outcome(stopped)
        if spoilt:
            return found
        return replace(found, notes=health.notes(plan, arrays, data["train"], rows, settings, progress.step))


def _outcome(arrays: Arrays, progress: Progress, seconds: float, threads: int, stopped: str, not_finite: int) -> Trained:
    """The training as it stands in `arrays`, after `seconds` of this process."""
    history, best = progress.history, progress.best if stopped != "not_finite" else None
    kept = best.epoch if best is not None else sum(entry["step"] <= progress.step for entry in history)
    return Trained(
        history=tuple(history),
        params={name: a.copy() for name, a in arrays.params.items()},
        losses=history[kept - 1]["loss"] if kept else {},
        metrics=history[kept - 1]["metrics"] if kept else {},
        epochs=len(history),
        steps=progress.step,
        seconds={"train": progress.seconds + seconds},
        weights_sha256=sha256(arrays.flat[0]),
        threads=threads,
        kept_epoch=kept,
        states={name: a.copy() for name, a in arrays.model_states.items()},
        stopped=stopped,
        not_finite=not_finite,
    )


def columns(dataset: Dataset, precision: str) -> dict[str, dict[str, Values]]:
    """Every split's values in the plan's precision; splits without rows are left out. Not copied where nothing changes."""
    cast = {s: {n: in_precision(a, precision) for n, a in values.items()} for s, values in dataset.splits.items()}
    return {"train": cast.get("train", {})} | {s: values for s, values in cast.items() if any(len(a) for a in values.values())}


def train_rows(dataset: Dataset) -> int:
    """Rows of the train split; 1 for a model without data, which makes one step an epoch."""
    return next((len(a) for a in dataset.splits.get("train", {}).values()), 1)


def sha256(flat: Array) -> str:
    """Of the bytes, little-endian."""
    return hashlib.sha256(flat.astype(flat.dtype.newbyteorder("<"), copy=False).tobytes()).hexdigest()
