"""How far a training has come, and all of it as one value: a snapshot between two steps, from which it goes on to the same bits.

Between two steps nothing is half done: the params, the states and the streams of chance are as the last update has left them.
A gradient that is being gathered from several batches is no part of it; that step begins again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from msgspec import Struct

from ..compiler.plan import Plan
from ..compiler.render.json import numbers, plain
from ..compiler.settings import Criterion, Settings
from .kernel import Array, Arrays
from .measure import Losses, Metrics
from .program import MODEL_STATES, PARAMS, STATES
from .steps import Sampler, State, Step

Entry = dict[str, Any]  # {epoch, step, loss, metrics}: of each split, after an epoch


class Best(Struct, frozen=True, eq=False):
    """The best epoch so far with its number, its params and the states of its model."""

    epoch: int
    value: float
    params: Array
    states: Array


class Progress(Struct, eq=False):
    """What the loop of a training carries from one step to the next, beside the arrays.

    `weighted` is the sum of loss times rows over the `seen` rows of the epoch that runs. `since`: epochs without a better value
    than `mark`. `seconds` were spent before this process. `measured`: the step after which the splits were measured last.
    """

    step: int = 0
    weighted: float = 0.0
    seen: int = 0
    measured: int = 0
    since: int = 0
    mark: float = math.nan
    best: Best | None = None
    seconds: float = 0.0
    history: list[Entry] = []

    def end_step(self, step: Step, loss: float) -> None:
        """Counts a step that has run."""
        self.weighted, self.seen, self.step = self.weighted + loss * step.rows, self.seen + step.rows, step.number

    def end_epoch(self, entry: Entry, settings: Settings, arrays: Arrays) -> str:
        """Counts an epoch with its row of the history, and holds on to the best; gives "early_stop" if it is to be the last."""
        self.history.append(entry)
        self.weighted, self.seen, self.measured = 0.0, 0, self.step
        if (keep := settings.keep) is not None:
            value = watched(keep, entry)
            if self.best is None or keep.better(value, self.best.value):
                self.best = Best(len(self.history), value, arrays.flat[PARAMS].copy(), arrays.flat[MODEL_STATES].copy())
        if (stop := settings.early_stop) is not None:
            value = watched(stop, entry)
            self.since, self.mark = (0, value) if stop.better(value, self.mark) else (self.since + 1, self.mark)
            return "early_stop" if self.since == stop.patience else ""
        return ""


class Snapshot(Struct, frozen=True, eq=False):
    """A training between two steps: a document of numbers and words, and arrays by name, flat, in the plan's precision.

    `history`: the rows of the epochs that have ended.
    """

    document: dict[str, Any]
    arrays: dict[str, Array]
    history: tuple[Entry, ...]

    @property
    def step(self) -> int:
        """Steps that are done."""
        return self.document["step"]


class Interrupted(Exception):
    """A training was asked to stop, and stands between two steps: after `step` of `steps`, in `epoch` of `epochs`.

    Raised between two batches of a step, or of a measurement, it leaves that undone.
    """

    def __init__(self, step: int = 0, steps: int = 0, epoch: int = 0, epochs: int = 0) -> None:
        super().__init__(step)
        self.step, self.steps, self.epoch, self.epochs = step, steps, epoch, epochs

    def at(self, step: int, settings: Settings, sampler: Sampler) -> Interrupted:
        """The same with its place."""
        return Interrupted(step, settings.steps, sampler.epoch_of(step), settings.epochs)


def snapshot(plan: Plan, progress: Progress, arrays: Arrays, sampler: Sampler, seconds: float) -> Snapshot:
    """The training as it stands, after `seconds` of this process; the arrays are those of the training itself, not copies."""
    best = progress.best
    document: dict[str, Any] = {
        "step": progress.step,
        "weighted": plain(progress.weighted),
        "seen": progress.seen,
        "measured": progress.measured,
        "since": progress.since,
        "mark": plain(progress.mark),
        "best": {"epoch": best.epoch, "value": plain(best.value)} if best is not None else None,
        "seconds": progress.seconds + seconds,
        "shuffle": sampler.state(progress.step),
        "streams": {name: stream.bit_generator.state for name, stream in arrays.streams.items()},
    }
    kept = {f"best {name}": a for name, a in (("params", best.params), ("states", best.states))} if best is not None else {}
    return Snapshot(document, {name: arrays.flat[k] for name, k in _places(plan).items()} | kept, tuple(progress.history))


def restored(found: Snapshot, plan: Plan, arrays: Arrays, sampler: Callable[[int, State | None], Sampler]) -> tuple[Progress, Sampler]:
    """Fills `arrays` and gives the rest; `sampler(done, shuffle)` makes one."""
    said = found.document
    for name, k in _places(plan).items():
        arrays.flat[k][...] = found.arrays[name]
    for name, state in said["streams"].items():
        arrays.stream(name).bit_generator.state = state
    best = None
    if said["best"] is not None:
        held = (found.arrays[f"best {name}"].copy() for name in ("params", "states"))
        best = Best(said["best"]["epoch"], numbers(said["best"]["value"]), *held)
    progress = Progress(said["step"], numbers(said["weighted"]), said["seen"], said["measured"], said["since"], numbers(said["mark"]),
                        best, said["seconds"], list(found.history))  # fmt: skip
    return progress, sampler(said["step"], said["shuffle"])


@contextmanager
def undone(arrays: Arrays) -> Generator[None]:
    """What is drawn in here and `Interrupted` will be drawn again."""
    before: Mapping[str, Any] = {name: stream.bit_generator.state for name, stream in arrays.streams.items()}
    try:
        yield
    except Interrupted:
        for name, state in before.items():
            arrays.streams[name].bit_generator.state = state
        raise


def watched(criterion: Criterion, entry: Entry) -> float:
    """The number that `keep` or `early_stop` looks at."""
    losses: Losses = entry["loss"]
    metrics: Metrics = entry["metrics"]
    return losses[criterion.split] if criterion.name == "loss" else metrics[criterion.split][criterion.name]


def _places(plan: Plan) -> dict[str, int]:
    """The flat arrays that outlive a step, by name: which they are in `Arrays.flat`."""
    return {"params": PARAMS, "states": MODEL_STATES} | {f"update {s.name}": STATES + k for k, s in enumerate(plan.states)}
