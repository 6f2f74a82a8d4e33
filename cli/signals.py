"""Ctrl-C, SIGTERM and SIGHUP while a training runs: the first is a wish to stop, for which it first saves; the second ends it at once.

A pipe of stdout that nobody reads any longer is such a wish too, as SIGPIPE would be, and so is the end of the sweep that a run is of.
A terminal that is closed may send SIGHUP twice, by the system and by the shell: after one, others are passed over.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

HANGUP, PIPE = getattr(signal, "SIGHUP", None), int(getattr(signal, "SIGPIPE", 13))  # not on Windows
SWEEP = "MLPC_SWEEP"  # in the environment of a run of a sweep: the process that began it
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP else []))


def name_of(number: int) -> str:
    """What a person calls the signal."""
    return {signal.SIGINT: "Ctrl-C", PIPE: "a closed pipe"}.get(number) or signal.Signals(number).name


class Wish:
    """`number`: of the signal that asked to stop, or 0. `parent`: the process whose end is a wish too, as SIGTERM is; 0: none."""

    def __init__(self, parent: int = 0) -> None:
        self.number, self.parent = 0, parent

    def __call__(self) -> bool:
        """Whether there was one."""
        if self.parent and os.getppid() != self.parent:
            self.note(signal.SIGTERM)
        return self.number != 0

    def note(self, number: int) -> None:
        """What was first is what it was."""
        self.number = self.number or number

    @contextmanager
    def at_closed_pipe(self) -> Generator[None]:
        """A write to stdout in here that nobody will read is a wish to stop. What follows goes nowhere."""
        try:
            yield
        except BrokenPipeError:
            abandon(sys.stdout)
            self.note(PIPE)


def abandon(*streams: TextIO | None) -> None:
    """What is still in their buffers, and what follows, goes nowhere, or the interpreter would complain of it at its end."""
    for stream in streams:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)
        except (OSError, ValueError, AttributeError):  # not a file, as in a test
            pass


@contextmanager
def wish_to_stop() -> Generator[Wish]:
    """The first signal in here is only noted. From then on, and afterwards, signals do what they did before."""
    wish = Wish(_sweep())
    before: dict[int, Any] = {}

    def restore() -> None:
        while before:
            number, handler = before.popitem()
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        wish.number = number
        handler = before[number]
        restore()
        if number == HANGUP:
            before[number] = handler
            signal.signal(number, signal.SIG_IGN)
        if number == signal.SIGINT:
            with suppress(OSError):  # not print, which may be in the middle of a line
                os.write(2, b"\nstopping after this batch; Ctrl-C again stops at once\n" if os.isatty(2) else b"")

    try:
        for number in SIGNALS:
            handler = signal.signal(number, note)
            if handler in (signal.SIG_IGN, None):  # nohup, and what Python did not install: theirs to decide
                signal.signal(number, handler or signal.SIG_DFL)
            else:
                before[number] = handler
    except ValueError:  # not in the main thread, where signals do not arrive
        pass
    try:
        yield wish
    finally:
        restore()


def _sweep() -> int:
    """The process of the sweep that this one is a run of, or 0."""
    told = os.environ.get(SWEEP, "")
    return int(told) if told.isascii() and told.isdigit() else 0
