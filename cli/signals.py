"""Ctrl-C, SIGTERM and SIGHUP while a training runs: the first is a wish to stop, for which it first saves; the second ends it at once.

A terminal that is closed may send SIGHUP twice, by the system and by the shell: after one, others are passed over.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
SIGNALS = (signal.SIGINT, signal.SIGTERM, *([HANGUP] if HANGUP else []))


def name_of(number: int) -> str:
    """What a person calls the signal."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


class Wish:
    """`number`: of the signal that asked to stop, or 0."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self) -> bool:
        """Whether there was one."""
        return self.number != 0


@contextmanager
def wish_to_stop() -> Generator[Wish]:
    """The first signal in here is only noted. From then on, and afterwards, signals do what they did before."""
    wish = Wish()
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
