"""The steps of a training: which rows each takes, in which order, and the kernels that run it."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from typing import Any

from msgspec import Struct

from ..compiler.plan import Plan
from ..compiler.settings import Settings
from .accumulation import Group, next_states, update_kernel
from .init import generator
from .kernel import Array, Arrays, Kernel, Look
from .later import Values, whole
from .reading import Reading, filling
from .split import places, shuffled
from .team import Team

SECTIONS = ("forward", "gradient", "update")
State = Mapping[str, Any]  # of a generator of NumPy's


class Step(Struct, frozen=True, eq=False):
    """One step that is ready to run: the kernel with its batch, the arrays with the step's number.

    With several batches a step they are the `group`, and `kernel` is that of the first of them. `taken` are the rows of the one batch.
    """

    epoch: int
    number: int
    kernel: Kernel
    group: Group | None
    taken: Array

    @property
    def rows(self) -> int:
        """The rows of all its batches."""
        return self.kernel.rows if self.group is None else self.group.rows

    def run(self, loss: int, between: Callable[[], None] | None = None) -> float:
        """Runs it; gives the loss, which has the register `loss`. `between` two batches of a group it may end by an exception.

        Then only random draws have been made: no number of a param or a state has changed.
        """
        if self.group is not None:
            self.group.run(between)
            return self.group.loss
        self.kernel.run()
        return self.kernel[loss].item()


class Sampler:
    """The order of the rows in each epoch: shuffled, or as in the file if there is no shuffle or a batch is of all rows.

    `done` steps have been taken when it is made, and `shuffle` is then the state of its generator: None for that of the seed.
    """

    def __init__(self, rows: int, settings: Settings, done: int = 0, shuffle: State | None = None) -> None:
        self.rows, self.size, self.accumulate = rows, min(settings.batch, rows), settings.accumulate
        self.an_epoch = math.ceil(rows / (self.size * self.accumulate)) if self.size else 0
        self.done, self.epoch = done, 0
        self._shuffle = generator(settings.seed, "shuffle") if settings.shuffle and self.size < rows else None
        if self._shuffle is not None and shuffle is not None:
            self._shuffle.bit_generator.state = shuffle
        self._before = self._now()

    def epoch_of(self, step: int) -> int:
        """The epoch that a step belongs to, from 1."""
        return max(step - 1, 0) // max(self.an_epoch, 1) + 1

    def order(self, epoch: int) -> Array:
        """The rows of that epoch: the next one, or the one that was left within."""
        self._before, self.epoch = self._now(), epoch
        return shuffled(self.rows, self._shuffle) if self._shuffle is not None else places(self.rows)

    def state(self, done: int) -> State | None:
        """What a sampler is made with to go on after so many steps: in the epoch whose order was given last, before it or at its end."""
        return self._before if self.epoch == self.epoch_of(done + 1) else self._now()

    def _now(self) -> State | None:
        return self._shuffle.bit_generator.state if self._shuffle is not None else None


def steps(
    plan: Plan, arrays: Arrays, data: Mapping[str, Values], rows: int, settings: Settings, reuse: bool = True, keep: tuple[int, ...] = (),
    sampler: Sampler | None = None, look: Look | None = None, alone: bool = False,
) -> Generator[Step]:  # fmt: skip
    """The steps of a training, each ready to run when it is yielded, after those that `sampler` has done. `settings` are scheduled.

    A batch of all rows keeps the file's order; the last, smaller batch of an epoch has a kernel of its own.
    With `accumulate` above 1 a step is a group of batches, which `Step.run` runs. `look` is shown every value that is made.
    What is read ahead is read no more when it is closed, and the processes end that share the steps; with `alone` there are none, to the same
    bits.
    """
    sampler = sampler or Sampler(rows, settings)
    team = Team(arrays.ranks, alone or look is not None)
    size, several = sampler.size, settings.accumulate > 1
    sections = SECTIONS[:2] if several else SECTIONS
    keep = (*keep, *next_states(plan)) if several else keep
    read = {p: data[p] for p in (plan.values[r].name for r in plan.inputs)}
    there = whole(read)
    kernels: dict[int, Kernel] = {}
    for count in (size, rows % size if size else 0):
        if count:
            inputs = there if count == rows else None
            kernels[count] = Kernel(plan, sections, count, arrays, keep, reuse, inputs, look=look, team=team)
    update = update_kernel(plan, arrays, keep, reuse, look, team) if several else None
    fills = {kernel: filling(kernel, there, team) for kernel in kernels.values()} if there is not None else {}
    number = sampler.done
    team.begin()
    with closing(team):
        while number < settings.steps and kernels:
            epoch = sampler.epoch_of(number + 1)
            order = sampler.order(epoch)
            set_symbols(arrays, sampler, settings, number + 1)
            first = number % sampler.an_epoch * size * settings.accumulate
            with closing(Reading(read, order[first:], size, fills)) as reading:
                for start in range(first, rows, size * settings.accumulate):
                    number += 1
                    arrays.symbols["step"][...] = number
                    stop = min(start + size * settings.accumulate, rows)
                    batches = [(kernels[min(size, rows - i)], order[i : i + size]) for i in range(start, stop, size)]
                    if there is None:  # so that the next order need not come while this one is held on to
                        batches = [(kernel, chosen.copy()) for kernel, chosen in batches]
                    if update is None:
                        reading.take(*batches[0])
                    group = Group(plan, arrays, update, batches, reading) if update is not None else None
                    yield Step(epoch, number, batches[0][0], group, batches[0][1])
                    if number == settings.steps:
                        return
            del order, reading


def set_symbols(arrays: Arrays, sampler: Sampler, settings: Settings, step: int) -> None:
    """Writes the numbers of a step where the kernels read them."""
    found = {"step": step, "steps": settings.steps, "epoch": sampler.epoch_of(step), "epochs": settings.epochs}
    for name, number in found.items():
        arrays.symbols[name][...] = number
