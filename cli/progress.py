"""The progress bar of a training on a terminal."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..runtime.train import Entry, OnEpoch

PAUSE = 0.1  # seconds between two changes: drawing must not cost what training costs


@contextmanager
def bar(epochs: int) -> Generator[OnEpoch]:
    """Epochs done, and the loss of every split. It is gone when the training is."""
    columns = (TextColumn("epoch"), MofNCompleteColumn(), BarColumn(None), TextColumn("{task.fields[losses]}"), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=5, transient=True, expand=True) as progress:
        task = progress.add_task("", total=epochs, losses="")
        changed = 0.0

        def on_epoch(entry: Entry) -> None:
            nonlocal changed
            epoch, losses, now = entry["epoch"], entry["loss"], time.monotonic()
            if now - changed > PAUSE or epoch == epochs:
                changed = now
                told = "  ".join(f"{split} {value:.5g}" for split, value in losses.items())
                progress.update(task, completed=epoch, losses=told)

        yield on_epoch
