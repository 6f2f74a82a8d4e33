"""Who runs the ranks of a training's kernels: this process, and as many more as there are ranks and cores for.

They meet in places known beforehand and wait for each other there. Where there are fewer cores than ranks one runs several, to the same bits.
On Linux they are processes (`forks`); elsewhere threads, which hold each other up by the lock of the interpreter where the operations are small.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np

from .room import Room

Function = Callable[[], None]
STRONG = ("x86_64",)  # processors on which what one core writes is seen by others in the order it was written in


class Crew(Protocol):
    """Those that run the parts of a kernel, the first of which is here."""

    @property
    def job(self) -> int:
        """The number of the kernel that is to run, which all see."""
        ...

    @job.setter
    def job(self, number: int) -> None: ...

    def meeting(self, member: int) -> Function:
        """What that member calls to wait for all others."""
        ...

    def begin(self, serve: Callable[[int], None]) -> None:
        """Starts the others, each with its number; they see all that is common as it will be."""
        ...

    def close(self) -> None:
        """Ends them."""
        ...


class Team:
    """`ranks` parts of each step, on as many `members` as there are cores; `alone`: on one.

    What they all see is made by `room`. Kernels come in by `add`, and `begin` starts the others. Before it, and after `close`, nothing runs
    that several have parts of.
    """

    def __init__(self, ranks: int = 1, alone: bool = False) -> None:
        self.ranks = ranks
        self.members = 1 if alone else min(ranks, _cores())
        self._crew: Crew | None = None
        if self.members > 1:
            self._crew = _forks(self.members) if can_share() else Threads(self.members)
        self.room = room_for(ranks)
        self._jobs: list[Sequence[Function]] = []
        self._there = False

    def member_of(self, rank: int) -> int:
        """Who runs a rank."""
        return rank * self.members // self.ranks

    def meeting(self, member: int) -> Function:
        """What that member calls to wait for all others."""
        assert self._crew is not None
        return self._crew.meeting(member)

    def add(self, parts: Sequence[Function]) -> Function:
        """A kernel as one function for each member; what runs them all."""
        if self._crew is None:
            return parts[0]
        self._jobs.append(parts)
        number, own, crew, meet = len(self._jobs) - 1, parts[0], self._crew, self._crew.meeting(0)

        def run() -> None:
            if not self._there:
                raise RuntimeError("those who share this kernel have not begun, or have ended")
            crew.job = number
            done = False
            try:
                meet()
                own()
                meet()
                done = True
            finally:
                if not done:  # the others wait at a place that this one will not come to
                    self.close()

        return run

    def begin(self) -> None:
        """Starts the others."""
        if self._crew is not None and not self._there:
            self._crew.begin(self._serve)
            self._there = True

    def close(self) -> None:
        """Ends them."""
        if self._crew is not None and self._there:
            self._there = False
            self._crew.close()

    def _serve(self, member: int) -> None:
        """What another does until it is ended."""
        assert self._crew is not None
        crew, meet = self._crew, self._crew.meeting(member)
        with np.errstate(all="ignore"):
            while True:
                meet()
                self._jobs[crew.job][member]()
                meet()


class Threads:
    """A crew of threads. What several find for themselves, numbers of the step, they write to the same places: the same numbers."""

    def __init__(self, members: int) -> None:
        self.job = 0
        self._members = members
        self._barrier = threading.Barrier(members)

    def meeting(self, member: int) -> Function:
        """What that member calls to wait for all others."""
        return self._wait

    def begin(self, serve: Callable[[int], None]) -> None:
        """Starts the threads."""

        def run(member: int) -> None:
            with suppress(threading.BrokenBarrierError):  # as it is when they are to end
                try:
                    serve(member)
                finally:
                    self._barrier.abort()

        for member in range(1, self._members):
            threading.Thread(target=run, args=(member,), name=f"mlpc-{member}", daemon=True).start()

    def close(self) -> None:
        """Ends the threads."""
        self._barrier.abort()

    def _wait(self) -> None:
        self._barrier.wait()


def room_for(ranks: int) -> Room:
    """Where arrays lie that all see who run so many ranks."""
    return Room(ranks > 1 and can_share())


def can_share() -> bool:
    """Whether processes can wait for each other by looking at memory."""
    return sys.platform == "linux" and os.uname().machine in STRONG


def _forks(members: int) -> Crew:
    from .forks import Forks  # most trainings have one thread, and are short

    return Forks(members)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
