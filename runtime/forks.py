"""A crew of processes: this one and those that it forks, on memory that they share.

They wait by looking at a number in that memory: to sleep and be woken would take longer than most of what they do. One that has waited for
some milliseconds sleeps until it is woken.
"""

from __future__ import annotations

import gc
import mmap
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from ..dsl.diagnostics import MlpcError, fault

SPINS, YIELDS = 200, 5000  # looks at another's number without a pause, and letting others go first: some milliseconds
NAP, SLEEP = 0.0002, 0.02  # seconds after which the first process looks again, and another that nobody has woken
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))  # what ends the first ends all
FAULT = 70  # status of a process in which mlpc has a bug
JOB, MET, ASLEEP = 0, 1, 2  # words: which kernel runs; and of each process how often it has met the others, and whether it sleeps
LINE, STRIDE = 8, 16  # words of a cache line, and of a process: each word has a line of its own


class Forks:
    """The first process is this one."""

    def __init__(self, members: int) -> None:
        self._members = members
        self._others: list[int] = []
        self._bells: list[int] = []  # where the first process wakes each of the others
        self._heard = 0  # and where one of these hears it
        self._owner = os.getpid()
        self._words = memoryview(mmap.mmap(-1, STRIDE * (1 + members) * 8)).cast("q")
        self._meetings = [self._meet(member) for member in range(members)]

    @property
    def job(self) -> int:
        """The number of the kernel that is to run."""
        return self._words[JOB]

    @job.setter
    def job(self, number: int) -> None:
        self._words[JOB] = number

    def meeting(self, member: int) -> Callable[[], None]:
        """What that process calls to wait for all others."""
        return self._meetings[member]

    def begin(self, serve: Callable[[int], None]) -> None:
        """Starts the processes. They see memory that is shared as it will be, and all other as it is now. MlpcError E0512."""
        masked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            for member in range(1, self._members):
                self._fork(member, serve)
        except OSError as error:
            self.close()
            raise ended(f"cannot be started: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)

    def close(self) -> None:
        """Ends the processes."""
        others, bells = self._others, self._bells
        self._others, self._bells = [], []
        for bell in bells:
            os.close(bell)
        for pid in others if os.getpid() == self._owner else ():
            with suppress(ProcessLookupError, ChildProcessError):  # ended already, and waited for
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _fork(self, member: int, serve: Callable[[int], None]) -> None:
        heard, bell = os.pipe()
        with warnings.catch_warnings():  # of threads, which the new process has not: it needs none
            warnings.simplefilter("ignore")
            pid = os.fork()
        if not pid:
            self._run(member, serve, heard, bell)
        os.close(heard)
        self._others.append(pid)
        self._bells.append(bell)

    def _run(self, member: int, serve: Callable[[int], None], heard: int, bell: int) -> NoReturn:
        """What another process does until it is ended, or the first is gone."""
        try:
            for inherited in (bell, *self._bells):
                os.close(inherited)
            self._heard = heard
            gc.disable()  # what this process has inherited is not its own to take apart
            for number in ENDING:
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
            serve(member)
        finally:  # only by a fault
            sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType]
            os._exit(FAULT)

    def _meet(self, member: int) -> Callable[[], None]:
        words, mine, wait, wake = self._words, _word(member, MET), self._wait, self._wake
        theirs = [(m, _word(m, MET), _word(m, ASLEEP)) for m in range(self._members) if m != member]

        def meet() -> None:
            words[mine] = met = words[mine] + 1
            for other, place, asleep in theirs:
                if not member and words[asleep]:
                    wake(other)
                if words[place] < met:
                    wait(member, place, met)

        return meet

    def _wait(self, member: int, place: int, met: int) -> None:
        """Looks until another process has met so often."""
        words, yields = self._words, os.sched_yield
        for _ in range(SPINS):
            if words[place] >= met:
                return
        for _ in range(YIELDS):
            if words[place] >= met:
                return
            yields()
        while words[place] < met:
            if member:
                self._sleep(member, place, met)
            else:
                self._look_after()
                time.sleep(NAP)

    def _sleep(self, member: int, place: int, met: int) -> None:
        """Until it is woken, or for a while, since the first may not have seen yet that it sleeps."""
        self._words[_word(member, ASLEEP)] = 1
        if self._words[place] < met:
            heard = select.poll()
            heard.register(self._heard, select.POLLIN)
            if heard.poll(SLEEP * 1000) and not os.read(self._heard, 64):
                os._exit(0)  # nobody can ring any more
            if self._words[place] >= met:
                self._apart()
        self._words[_word(member, ASLEEP)] = 0

    def _apart(self) -> None:
        """Goes to a core of its own: one that is woken may find itself on that of who woke it, and the system takes milliseconds to part them."""
        cores = os.sched_getaffinity(0)
        with suppress(OSError):
            if rest := cores - {_core(pid) for pid in (self._owner, *self._others)}:
                os.sched_setaffinity(0, rest)
                os.sched_setaffinity(0, cores)

    def _wake(self, member: int) -> None:
        with suppress(BrokenPipeError):  # it has been ended in its sleep, as the wait for it will find
            os.write(self._bells[member - 1], b"!")

    def _look_after(self) -> None:
        """Says so if another process is no longer there."""
        for pid in self._others:
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                code = os.waitstatus_to_exitcode(status)
                if code == FAULT:
                    raise RuntimeError("a process that shares this training failed, as it says above")
                raise ended(f"was ended by signal {-code}" if code < 0 else f"ended with status {code}")


def ended(how: str) -> MlpcError:
    """E0512: there is no second process any more, or never was."""
    return fault(
        "E0512", None, f"a process that shares this training {how}", "--threads 1 needs none; --resume goes on from a run's last checkpoint"
    )


def _core(pid: int) -> int:
    """The core that a process has run on last."""
    return int(Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[36])


def _word(member: int, which: int) -> int:
    """The place of a word of a process."""
    return STRIDE * member + which * LINE
