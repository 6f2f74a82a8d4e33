"""`mlpc run`: train, measure, report, and keep all of it in a folder."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import cast

from ..compiler.settings import optimizer_text
from ..dsl.diagnostics import printable
from ..model import Model
from ..run import Run
from ..runtime import memory, run_folder
from ..runtime.checkpoint import Found
from ..runtime.diagnosis import NotFinite
from ..runtime.kernel import Array
from ..runtime.lock import locked
from ..runtime.progress import Interrupted
from ..runtime.watch import refuse_unknown
from . import kept
from .load import model_of, warn, write, write_json
from .plan import settings_of
from .results import closing, confusions, curve, number, table
from .signals import name_of, wish_to_stop
from .training import settings_document, spoilt, to_go_on, trained


def command(args: argparse.Namespace) -> int:
    """Trains and prints what came of it. Status 0; 3 with E0503 if the loss is not finite; 130 or 143 if it was asked to stop."""
    if args.resume is not None:
        return _resumed(args)
    if args.folds is not None:
        from . import folds

        return folds.command(args)
    model = model_of(args, cache=not args.no_cache)
    model.refuse_what_cannot_run(args.max_memory)
    refuse_unknown(model.plan, args.watch, "--watch")
    if args.overfit is not None:
        from .overfit import answer

        return answer(model, args.overfit, args.json)
    init = model.beginning(args.init) if args.init is not None else None
    if args.dry_run:
        return rehearse(args, model, header(model, args.init))
    folder = kept.begin(args, model, settings_document(model), init)
    with locked(folder) if folder is not None else nullcontext():
        return _train(args, model, folder, Found(None, {}), args.threads, init)


def _resumed(args: argparse.Namespace) -> int:
    """Goes on with the run in a folder, or says that it has come to its end, which is status 0 too."""
    from . import folds, resume

    folder = Path(args.resume)
    if folds.are_in(folder):
        return folds.resumed(args, folder)
    resume.refuse_what_was_not_begun(folder)
    with locked(folder):
        asked = resume.asked(args, folder)
        begun = resume.left(asked, folder)
        if begun.finished is None:
            return _train(asked.args, begun.model, folder, begun.found, begun.threads, begun.init)
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
    with wish_to_stop() as wish, to_go_on(folder):
        with wish.at_closed_pipe():
            if not args.json:
                write(header(model, args.init))
                if args.resume is not None:
                    write(f"   {resumed_text(found)}\n")
        try:
            run, done = trained(args, model, folder, wish, found=found, threads=threads, init=init)
        except NotFinite as error:
            if args.json:
                write_json(spoilt(model, error, args.every, folder))
            elif folder is not None:
                write(f"\nkept in {printable(str(folder))}: the weights after step {cast('Run', error.trained).steps}")
            raise
        except Interrupted as interrupted:
            warn(stopped_text(wish.number, where_text(interrupted), folder))
            return 128 + wish.number
    if run.notes:
        warn("\n".join(f"note: {printable(note)}" for note in run.notes))
    if args.json:
        write_json(done)
        return 0
    pictures = [curve(run.history)] if args.curve or sys.stdout.isatty() else []
    told = [f"kept in {printable(str(folder))}"] if folder is not None else []
    for block in (*filter(None, pictures), table(run.losses, run.metrics), *confusions(model, run.metrics), closing(model, run), *told):
        write("\n" * (block not in told) + block)
    return 0


def resumed_text(found: Found) -> str:
    """Where a run goes on."""
    return f"goes on after step {found.snapshot.step}" if found.snapshot is not None else "has no checkpoint: begins again from the start"


def where_text(i: Interrupted) -> str:
    """Where a training was left."""
    return f"after step {i.step} of {i.steps}, in epoch {i.epoch} of {i.epochs}"


def stopped_text(number: int, where: str, folder: Path | None) -> str:
    """By which signal a run was stopped and where, and how to go on."""
    more = f"to go on:  mlpc run --resume {printable(str(folder))}" if folder is not None else "nothing is kept: --no-out"
    return f"stopped by {name_of(number)} {where}\n{more}"


def rehearse(args: argparse.Namespace, model: Model, head: str) -> int:
    """`--dry-run`: what would happen, with the loss of the first step and the memory that all of it takes. Writes nothing. Status 0.

    `head`: what stands above it.
    """
    run = model.train(threads=args.threads, max_memory=args.max_memory, init=args.init, max_seconds=0)
    loss = run.history[0]["loss"]["train"] if run.history else math.nan
    predicted = memory.predict(
        model.plan, model.compilation.evaluation, dict(model.dataset.schema.rows), model.settings, model.dataset.stored
    )
    if args.json:
        told = {"title": model.plan.title, "rows": dict(model.dataset.schema.rows), "settings": settings_document(model)}
        write_json({**told, "steps": model.settings.steps, "memory": predicted.total, "first_loss": loss})
        return 0
    where = "nowhere" if args.no_out else args.out or f"a new folder {run_folder.PARENT / Path(args.file).stem}-<n>"
    lines = [
        head,
        f"first loss   {number(loss)}, of the first {'group of batches' if model.settings.accumulate > 1 else 'batch'}",
        f"memory       {memory.show(predicted.total)} of {memory.show(memory.available())} that are free",
        f"kept in      {printable(str(where))}",
        "a dry run: nothing is trained, and nothing is written",
    ]
    write("\n".join(lines))
    return 0


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
