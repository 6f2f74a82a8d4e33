"""`mlpc run`: train, measure, report, and keep all of it in a folder."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..compiler.settings import optimizer_text
from ..dsl.diagnostics import MlpcError, printable, render
from ..model import Model
from ..run import Run
from ..runtime import memory, run_folder
from ..runtime.checkpoint import Found
from ..runtime.diagnosis import NotFinite
from ..runtime.kernel import Array
from ..runtime.lock import locked
from ..runtime.progress import Interrupted
from ..runtime.run_folder import flat
from ..runtime.train import Entry, OnEpoch, OnStep
from ..runtime.watch import refuse_unknown
from . import kept
from .environment import environment
from .load import model_of, warn, write, write_json
from .plan import settings_of
from .results import closing, confusions, curve, number, table, watched_text
from .signals import name_of, wish_to_stop


def command(args: argparse.Namespace) -> int:
    """Trains and prints what came of it. Status 0; 3 with E0503 if the loss is not finite; 130 or 143 if it was asked to stop."""
    if args.resume is not None:
        return _resumed(args)
    if args.folds is not None:
        from . import folds

        return folds.command(args)
    model = model_of(args)
    model.refuse_what_cannot_run(args.max_memory)
    refuse_unknown(model.plan, args.watch, "--watch")
    if args.overfit is not None:
        from .overfit import answer

        return answer(model, args.overfit, args.json)
    init = model.beginning(args.init) if args.init is not None else None
    if args.dry_run:
        return rehearse(args, model)
    folder = kept.begin(args, model, settings_document(model))
    with locked(folder) if folder is not None else nullcontext():
        return _train(args, model, folder, Found(None, {}), args.threads, init)


def _resumed(args: argparse.Namespace) -> int:
    """Goes on with the run in a folder, or says that it has come to its end, which is status 0 too."""
    from . import resume

    folder = resume.folder_of(args)
    with locked(folder):
        begun = resume.begun(args, folder)
        if begun.finished is None:
            return _train(args, begun.model, folder, begun.found, begun.threads)
    if args.json:
        write_json({name: value for name, value in begun.finished.items() if name != "format"})
    else:
        more = (
            ""
            if begun.finished["stopped"]
            else f"; for more:  mlpc run --resume {folder} --set train.epochs={2 * begun.finished['epochs']}"
        )
        write(f"{printable(str(folder))} has come to its end, with epoch {begun.finished['epochs']}{more}")
    return 0


def _train(
    args: argparse.Namespace, model: Model, folder: Path | None, found: Found, threads: int | None, init: Mapping[str, Array] | None = None
) -> int:
    """Trains on from what was found in the folder, keeps what comes of it there, and prints it."""
    if not args.json:
        write(header(model, args.init))
        if args.resume is not None:
            write(f"   {resumed_text(found)}\n")
    checkpoints = kept.checkpoints(args, model, folder, found, threads) if folder is not None else None
    longest = math.inf if args.max_time is None else args.max_time
    with wish_to_stop() as wish:
        try:
            before = (found.snapshot.history if found.snapshot is not None else ()) if args.resume is not None else None
            with watchers(args, model, folder, before) as (on_epoch, on_step):
                run = model.train(on_epoch=on_epoch, on_step=on_step, threads=threads, max_memory=args.max_memory, init=init,
                                  max_seconds=longest, since=found.snapshot, checkpoints=checkpoints, stop=wish,
                                  on_nan=_told_of if args.on_nan == "warn" else None, watch=args.watch)  # fmt: skip
            done = document(model, run, args.every, folder)
            if folder is not None:
                kept.end(folder, run, done)
        except NotFinite as error:
            run = cast("Run", error.trained)
            done = {**document(model, run, args.every, folder), "not_finite": error.document}
            if folder is not None:
                kept.end(folder, run, done)
            if args.json:
                write_json(done)
            elif folder is not None:
                write(f"\nkept in {printable(str(folder))}: the weights after step {run.steps}")
            raise
        except Interrupted as interrupted:
            warn(stopped_text(interrupted, wish.number, folder))
            return 128 + wish.number
        except OSError as error:
            if folder is not None and not isinstance(error, BrokenPipeError):
                error.add_note(f"what was saved is whole; when that is mended, to go on:  mlpc run --resume {printable(str(folder))}")
            raise
    if run.notes:
        warn("\n".join(f"note: {printable(note)}" for note in run.notes))
    if args.json:
        write_json(done)
        return 0
    pictures = [curve(run)] if args.curve or sys.stdout.isatty() else []
    told = [f"kept in {printable(str(folder))}"] if folder is not None else []
    for block in (*filter(None, pictures), table(run.losses, run.metrics), *confusions(model, run.metrics), closing(model, run), *told):
        write("\n" * (block not in told) + block)
    return 0


def _told_of(error: MlpcError) -> None:
    """A loss that is not finite, as a warning."""
    warn("\n".join(render(replace(d, severity="warning")) for d in error.diagnostics))


def resumed_text(found: Found) -> str:
    """Where a run goes on."""
    return f"goes on after step {found.snapshot.step}" if found.snapshot is not None else "has no checkpoint: begins again from the start"


def stopped_text(interrupted: Interrupted, number: int, folder: Path | None) -> str:
    """Where a run was left, and how to go on."""
    i = interrupted
    lines = [f"stopped by {name_of(number)} after step {i.step} of {i.steps}, in epoch {i.epoch} of {i.epochs}"]
    lines.append(f"to go on:  mlpc run --resume {printable(str(folder))}" if folder is not None else "nothing is kept: --no-out")
    return "\n".join(lines)


def rehearse(args: argparse.Namespace, model: Model) -> int:
    """`--dry-run`: what would happen, with the loss of the first step and the memory that all of it takes. Writes nothing. Status 0."""
    run = model.train(threads=args.threads, max_memory=args.max_memory, init=args.init, max_seconds=0)
    loss = run.history[0]["loss"]["train"] if run.history else math.nan
    predicted = memory.predict(model.plan, model.compilation.evaluation, dict(model.dataset.schema.rows), model.settings)
    if args.json:
        told = {"title": model.plan.title, "rows": dict(model.dataset.schema.rows), "settings": settings_document(model)}
        write_json({**told, "steps": model.settings.steps, "memory": predicted.total, "first_loss": loss})
        return 0
    where = "nowhere" if args.no_out else args.out or f"a new folder {run_folder.PARENT / Path(args.file).stem}-<n>"
    lines = [
        header(model, args.init),
        f"first loss   {number(loss)}, of the first {'group of batches' if model.settings.accumulate > 1 else 'batch'}",
        f"memory       {memory.show(predicted.total)} of {memory.show(memory.available())} that are free",
        f"kept in      {printable(str(where))}",
        "a dry run: nothing is trained, and nothing is written",
    ]
    write("\n".join(lines))
    return 0


def settings_document(model: Model) -> list[dict[str, str]]:
    """Every setting with its value and where it comes from."""
    return [{"name": name, "value": value, "from": where} for name, value, where in settings_of(model)]


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


def header(model: Model, init: str | None = None) -> str:
    """What is trained, on what, how."""
    plan, s = model.plan, model.settings
    count = sum(p.count for p in plan.params)
    rows = ", ".join(f"{n} {split}" for split, n in model.dataset.schema.rows)
    batches = f"{s.accumulate} batches of " if s.accumulate > 1 else ""
    lines = [
        f"{printable(plan.title)}   {count:,} parameter{'s' * (count != 1)} · {f'rows {rows}' if rows else 'no data'} · {plan.precision}",
        f"   loss = {plan.loss_text}",
        f"   {optimizer_text(s.optimizer)} · {s.epochs} epochs, {s.steps} steps of {batches}{s.batch} rows · seed {s.seed}",
    ]
    changed = [f"{name} = {value}" for name, value, where in settings_of(model) if where == "command line"]
    if changed:
        lines.append(f"   from the command line: {', '.join(changed)}")
    if init is not None:
        lines.append(f"   begins with the weights of {printable(init)}")
    return "\n".join(lines) + "\n"


@contextmanager
def watchers(
    args: argparse.Namespace, model: Model, folder: Path | None, before: tuple[Entry, ...] | None
) -> Generator[tuple[OnEpoch, OnStep | None]]:
    """What is told of epochs and steps: the history of the folder, then the screen: a bar on a terminal, lines elsewhere.

    `before`: the rows of the history that a run that goes on begins with.
    """
    told: list[OnEpoch] = []
    on_step: OnStep | None = None
    with ExitStack() as stack:
        if folder is not None:
            columns = run_folder.history_columns(model.compilation.evaluation, dict(model.dataset.schema.rows))
            told.append(stack.enter_context(run_folder.history(folder, columns, before)))
        if not args.json and sys.stdout.isatty() and not args.every:
            from .progress import bar

            shown, on_step = stack.enter_context(bar(model.settings.epochs, model.settings.steps))
            told.append(shown)
        printed = [] if args.json else [_lines()] * (on_step is None) + [_watched] * bool(args.watch)
        told.append(stack.enter_context(_some(args.every or 1, printed)))

        def on_epoch(entry: Entry) -> None:
            for tell in told:
                tell(entry)

        yield on_epoch, on_step


@contextmanager
def _some(every: int, told: Sequence[OnEpoch]) -> Generator[OnEpoch]:
    """Tells of each `every`-th epoch, and of the last, whichever that turns out to be."""
    waiting: list[Entry] = []

    def on_epoch(entry: Entry) -> None:
        waiting[:] = [entry]
        if entry["epoch"] % every == 0:
            tell()

    def tell() -> None:
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
