"""The progress bar of a training on a terminal."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..runtime.train import Entry, OnEpoch, OnStep

PAUSE = 0.1  # seconds between two changes: drawing must not cost what training costs


@contextmanager
def bar(epochs: int, steps: int, done: int = 0, ended: int = 0, label: str = "") -> Generator[tuple[OnEpoch, OnStep]]:
    """The epoch, the loss of every split after the last one, steps a second and the time left. It is gone when the training is.

    `done` steps and `ended` epochs were there before; `label` stands in front.
    """
    columns = (TextColumn("{task.fields[epoch]}"), BarColumn(None), TextColumn("{task.fields[losses]}"), TextColumn("{task.fields[rate]}"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, refresh_per_second=5, transient=True, expand=True) as progress:
        begun = time.monotonic()
        task = progress.add_task(
            "", total=steps, completed=done, epoch=f"{label}epoch {min(ended + 1, epochs)}/{epochs}", losses="", rate=""
        )
        changed = begun

        def on_step(step: int) -> None:
            nonlocal changed
            now = time.monotonic()
            if now - changed > PAUSE:
                changed = now
                progress.update(task, completed=step, rate=rate((step - done) / (now - begun)))

        def on_epoch(entry: Entry) -> None:
            told = "  ".join(f"{split} {value:.5g}" for split, value in entry["loss"].items())
            progress.update(task, epoch=f"{label}epoch {min(entry['epoch'] + 1, epochs)}/{epochs}", losses=told)

        yield on_epoch, on_step


def rate(steps: float) -> str:
    """Steps a second, in three digits: `12.3 steps/s`, `4,560 steps/s`."""
    return f"{float(f'{steps:.3g}'):,.0f} steps/s" if steps >= 100 else f"{steps:.3g} steps/s"
