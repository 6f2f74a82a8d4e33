"""One training with its folder and its screen: the rows of the history as they come, checkpoints, and what it came to, kept."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from msgspec.structs import replace

from ..dsl.diagnostics import MlpcError, printable, render
from ..model import Model
from ..run import Run
from ..runtime import run_folder
from ..runtime.checkpoint import Found
from ..runtime.diagnosis import NotFinite
from ..runtime.kernel import Array
from ..runtime.run_folder import flat
from ..runtime.train import Entry, OnEpoch, OnStep
from . import kept
from .environment import environment
from .load import warn, write
from .plan import settings_of
from .results import number, watched_text
from .signals import Wish

NOTHING = Found(None, {})


def trained(
    args: argparse.Namespace,
    model: Model,
    folder: Path | None,
    stop: Wish,
    *,
    found: Found = NOTHING,
    threads: int | None = None,
    init: Mapping[str, Array] | None = None,
    lines: bool = True,
    label: str = "",
    named: Callable[[MlpcError], MlpcError] = lambda error: error,
) -> tuple[Run, dict[str, Any]]:
    """Trains on from what was `found` in the folder, and keeps there what comes of it; the run, and what `mlpc run --json` says of it.

    `lines`: whether epochs are printed where there is no bar, which begins with `label`; `named(error)` is what `--on-nan warn` says.
    NotFinite, E0503, when what there is is kept: its `trained` is the run. Interrupted; OSError.
    """
    checkpoints = kept.checkpoints(args, model, folder, found, threads) if folder is not None else None
    before = (found.snapshot.history if found.snapshot is not None else ()) if args.resume is not None else None
    longest = math.inf if args.max_time is None else args.max_time

    def keep(run: Run, done: dict[str, Any]) -> dict[str, Any]:
        if folder is not None:
            kept.end(folder, run, done)
        return done

    done = found.snapshot.step if found.snapshot is not None else 0
    with watchers(args, model, folder, before, lines, label, done, stop) as (on_epoch, on_step):
        try:
            run = model.train(on_epoch=on_epoch, on_step=on_step, threads=threads, max_memory=args.max_memory, init=init,
                              max_seconds=longest, since=found.snapshot, checkpoints=checkpoints, stop=stop,
                              on_nan=(lambda error: _warned(named(error))) if args.on_nan == "warn" else None, watch=args.watch)  # fmt: skip
        except NotFinite as error:
            keep(cast("Run", error.trained), spoilt(model, error, args.every, folder))
            raise
    return run, keep(run, document(model, run, args.every, folder))


def document(model: Model, run: Run, every: int | None, folder: Path | None) -> dict[str, Any]:
    """The run for scripts; the history only of the epochs that were asked for."""
    made: dict[str, Any] = {
        "title": model.plan.title,
        "out": str(folder) if folder is not None else None,
        "parameters": sum(p.count for p in model.plan.params),
        "rows": dict(model.dataset.schema.rows),
        "settings": settings_document(model),
        "epochs": run.epochs,
        "steps": run.steps,
        "kept_epoch": run.kept_epoch,
        "stopped": run.stopped or None,
        "loss": run.losses,
        "metrics": run.metrics,
        "seconds": {**model.seconds, **run.seconds},
        "threads": run.threads,
        "weights_sha256": run.weights_sha256,
        "not_finite_steps": run.not_finite,
        "notes": list(run.notes),
        "environment": environment(),
    }
    if any("watch" in entry for entry in run.history):
        made["watch"] = [{"epoch": entry["epoch"], "step": entry["step"], **entry["watch"]} for entry in run.history if "watch" in entry]
    if every:
        made["history"] = [entry for entry in run.history if entry["epoch"] % every == 0 or entry["epoch"] == run.epochs]
    return made


def spoilt(model: Model, error: NotFinite, every: int | None, folder: Path | None) -> dict[str, Any]:
    """As `document`, of a run that a loss which is not finite has ended, with where that began."""
    return {**document(model, cast("Run", error.trained), every, folder), "not_finite": error.document}


def settings_document(model: Model) -> list[dict[str, str]]:
    """Every setting with its value and where it comes from."""
    return [{"name": name, "value": value, "from": where} for name, value, where in settings_of(model)]


@contextmanager
def to_go_on(folder: Path | None) -> Generator[None]:
    """An OSError in here says how to go on with the run in that folder, unless it is only that nobody reads what is printed."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if folder is not None:
            error.add_note(f"what was saved is whole; when that is mended, to go on:  mlpc run --resume {printable(str(folder))}")
        raise


@contextmanager
def watchers(
    args: argparse.Namespace,
    model: Model,
    folder: Path | None,
    before: tuple[Entry, ...] | None,
    lines: bool,
    label: str,
    done: int,
    stop: Wish,
) -> Generator[tuple[OnEpoch, OnStep | None]]:
    """What is told of epochs and steps: the history of the folder, then the screen: a bar on a terminal, lines elsewhere.

    `before`: the rows of the history that a run that goes on begins with, after `done` steps. A screen that nobody reads any longer is a wish
    to `stop`.
    """
    told: list[OnEpoch] = []
    on_step: OnStep | None = None
    with ExitStack() as stack:
        if folder is not None:
            columns = run_folder.history_columns(model.compilation.evaluation, dict(model.dataset.schema.rows))
            told.append(stack.enter_context(run_folder.history(folder, columns, before)))
        if not args.json and sys.stdout.isatty() and not args.every:
            from .progress import bar

            shown, on_step = stack.enter_context(bar(model.settings.epochs, model.settings.steps, done, len(before or ()), label))
            told.append(shown)
        printed = [] if args.json else [_lines()] * (on_step is None and lines) + [_watched] * bool(args.watch)
        told.append(stack.enter_context(_some(args.every or 1, printed, stop)))

        def on_epoch(entry: Entry) -> None:
            for tell in told:
                tell(entry)

        yield on_epoch, on_step


@contextmanager
def _some(every: int, told: Sequence[OnEpoch], stop: Wish) -> Generator[OnEpoch]:
    """Tells of each `every`-th epoch, and of the last, whichever that turns out to be."""
    waiting: list[Entry] = []

    def on_epoch(entry: Entry) -> None:
        waiting[:] = [entry]
        if entry["epoch"] % every == 0:
            tell()

    def tell() -> None:
        with stop.at_closed_pipe():
            for entry in waiting:
                for each in told:
                    each(entry)
        waiting.clear()

    yield on_epoch
    tell()


def _lines() -> OnEpoch:
    """Prints an epoch on a line, the first below a heading."""
    headed: list[str] = []

    def on_epoch(entry: Entry) -> None:
        numbers = {name: value for name, value in flat(entry).items() if name not in {"epoch", "step"}}
        if not headed:
            headed.extend(numbers)
            write("  ".join(["epoch".rjust(6), *(name.rjust(10) for name in numbers)]))
        write("  ".join([str(entry["epoch"]).rjust(6), *(number(v).rjust(max(10, len(name))) for name, v in numbers.items())]))
        sys.stdout.flush()

    return on_epoch


def _watched(entry: Entry) -> None:
    """Prints a line for each value that `--watch` names."""
    wide = max(map(len, entry["watch"]))
    for name, seen in entry["watch"].items():
        write(f"{'':6}  {name.ljust(wide)}  {watched_text(seen)}")
    sys.stdout.flush()


def _warned(error: MlpcError) -> None:
    """A loss that is not finite, as a warning."""
    warn("\n".join(render(replace(d, severity="warning")) for d in error.diagnostics))
