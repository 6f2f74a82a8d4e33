"""`mlpc run --folds K`: as many trainings as folds, each with one fold held out; what they came to, and the mean of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..compiler.render.json import numbers
from ..dsl.diagnostics import MlpcError, printable
from ..loading import load_folds
from ..model import Model
from ..run import Run
from ..runtime import run_folder
from ..runtime.atomic import sweep, write_file
from ..runtime.checkpoint import Found
from ..runtime.diagnosis import NotFinite
from ..runtime.folds import in_fold
from ..runtime.kernel import Array
from ..runtime.lock import locked
from ..runtime.progress import Interrupted
from ..runtime.run_folder import SETTINGS, flat
from ..runtime.watch import refuse_unknown
from . import kept, resume
from .environment import environment
from .load import json_text, lasting, overrides_of, tell, warn, write, write_json
from .results import curve, number
from .run import header, rehearse, stopped_text, where_text
from .signals import Wish, wish_to_stop
from .training import NOTHING, settings_document, to_go_on, trained

OF_A_FOLD = ("out", "rows", "epochs", "steps", "kept_epoch", "stopped", "loss", "metrics", "seconds", "threads", "weights_sha256",
             "not_finite_steps", "notes", "watch", "history")  # fmt: skip

Fold = Callable[[int, Wish], dict[str, Any]]  # trains one, counted from 1: its document


def command(args: argparse.Namespace) -> int:
    """Trains every fold and prints a line for each, then mean and sd. Status as of `mlpc run`."""
    with lasting():
        models = load_folds(Path(args.file), args.folds, overrides_of(args), data_root=args.data_root, cache=not args.no_cache)
    tell(models[0])
    for model in models:
        model.refuse_what_cannot_run(args.max_memory)
    refuse_unknown(models[0].plan, args.watch, "--watch")
    init = models[0].beginning(args.init) if args.init is not None else None
    if args.dry_run:
        return rehearse(args, models[0], _head(args, models))
    folder = _folder(args)
    with locked(folder) if folder is not None else nullcontext():
        return _train(args, models, folder, lambda i, wish: _begin(args, models, i, folder, init, wish))


def resumed(args: argparse.Namespace, folder: Path) -> int:
    """Goes on with the folds in a folder, those that have ended told as they are. Status as of `mlpc run`."""
    resume.refuse_what_was_not_begun(_of(folder, 1))
    with locked(folder):
        sweep(folder)
        asked = resume.asked(args, _of(folder, 1), of_folds=True)
        return _train(asked.args, asked.models, folder, lambda i, wish: _go_on(asked, i, folder, wish))


def are_in(folder: Path) -> bool:
    """Whether a folder is that of a run with folds."""
    return (folder / run_folder.FOLDS).is_file()


def _train(args: argparse.Namespace, models: Sequence[Model], folder: Path | None, fold: Fold) -> int:
    """Trains each fold, keeps what they have come to after each, and prints it."""
    done: list[dict[str, Any]] = []
    by_line = not _loud(args)
    left: Interrupted | None = None

    def keep() -> dict[str, Any]:
        found = summary(models, done, folder)
        if folder is not None:
            write_file(folder / run_folder.FOLDS, json_text(found).encode())
        return found

    with wish_to_stop() as wish, to_go_on(folder):
        with wish.at_closed_pipe():
            if not args.json:
                write(_head(args, models))
        found = keep()
        for i in range(1, len(models) + 1):
            try:
                if done and wish():  # the first is begun, or nothing could go on
                    break
                done.append(fold(i, wish))
            except Interrupted as interrupted:
                left = interrupted
                break
            except MlpcError as error:
                if args.json and isinstance(error, NotFinite):
                    write_json(found)
                elif folder is not None and isinstance(error, NotFinite):
                    write(f"\nkept in {printable(str(_of(folder, i)))}: the weights after step {cast('Run', error.trained).steps}")
                raise in_fold(error, i) from None
            found = keep()
            if not args.json and by_line:
                with wish.at_closed_pipe():
                    line(i, done)
        stopped = wish.number if len(done) < len(models) else 0
    if not args.json and not by_line:
        for i in range(1, len(done) + 1):
            line(i, done[:i])
    if args.json:
        write_json(found)
    elif len(done) > 1:
        _row("mean", "", found["mean"])
        _row("± sd", "", found["sd"])
    if folder is not None and not args.json and done:
        write(f"\nkept in {printable(str(folder))}")
    if stopped:
        where = (
            f"in fold {len(done) + 1} of {len(models)}, {where_text(left)}"
            if left is not None
            else f"after fold {len(done)} of {len(models)}"
        )
        warn(stopped_text(stopped, where, folder))
        return 128 + stopped
    return 0


def rows_text(models: Sequence[Model]) -> str:
    """What is cut into how many folds, and what is left out."""
    rows = dict(models[0].dataset.schema.rows)
    pool = sum(rows.values())
    origin = models[0].dataset.rows
    left = len(origin.lines) - pool if origin is not None else 0
    held = sorted({dict(m.dataset.schema.rows)["val"] for m in models})
    each = f"{held[0]} rows" if len(held) == 1 else f"{held[0]} to {held[-1]} rows"
    out = f"; the {left} test row{'s are' if left > 1 else ' is'} in none" if left else ""
    return f"{len(models)} folds of {each} out of {pool}, each in turn the `val` of a training on the others{out}"


def summary(models: Sequence[Model], done: Sequence[Mapping[str, Any]], folder: Path | None) -> dict[str, Any]:
    """All folds for scripts; `mean` and `sd` of every number under `split.name`, the sd that of a sample (None of one fold)."""
    numbers = [scores(fold) for fold in done]
    table = {name: np.array([row[name] for row in numbers]) for name in (numbers[0] if numbers else ())}
    with np.errstate(all="ignore"):
        mean = {name: float(column.mean()) for name, column in table.items()}
        sd = {name: float(column.std(ddof=1)) if len(column) > 1 else None for name, column in table.items()}
    return {
        "title": models[0].plan.title,
        "out": str(folder) if folder is not None else None,
        "parameters": sum(p.count for p in models[0].plan.params),
        "settings": settings_document(models[0]),
        "of": len(models),
        "folds": [{"fold": i, **fold} for i, fold in enumerate(done, 1)],
        "mean": mean,
        "sd": sd,
        "environment": environment(),
    }


def scores(fold: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a fold under `split.name`, matrices left out."""
    found = flat({"epoch": 0, "step": 0, "loss": numbers(fold["loss"]), "metrics": numbers(fold["metrics"])})
    return {name: value for name, value in found.items() if "." in name}


def line(i: int, done: Sequence[Mapping[str, Any]]) -> None:
    """Prints what the last fold came to, below a heading if it is the first."""
    found = scores(done[-1])
    if i == 1:
        write("  ".join(["fold".rjust(6), "epoch".rjust(6), *(name.rjust(10) for name in found)]))
    _row(str(i), str(done[-1]["kept_epoch"]), found)
    sys.stdout.flush()


def _row(name: str, epoch: str, numbers: Mapping[str, float]) -> None:
    write("  ".join([name.rjust(6), epoch.rjust(6), *(number(v).rjust(max(10, len(k))) for k, v in numbers.items())]))


def _folder(args: argparse.Namespace) -> Path | None:
    if args.no_out:
        return None
    return run_folder.empty(Path(args.out)) if args.out is not None else run_folder.numbered(Path(args.file).stem)


def _head(args: argparse.Namespace, models: Sequence[Model]) -> str:
    return f"{header(models[0], args.init).rstrip()}\n   {rows_text(models)}\n"


def _of(folder: Path, i: int) -> Path:
    """The folder of a fold."""
    return folder / f"fold-{i}"


def _loud(args: argparse.Namespace) -> bool:
    """Whether the epochs of the folds are printed, with the table of the folds below all of them."""
    return bool(args.every or args.curve or args.watch)


def _begin(
    args: argparse.Namespace, models: Sequence[Model], i: int, above: Path | None, init: Mapping[str, Array] | None, stop: Wish
) -> dict[str, Any]:
    """Trains with one fold held out, in a folder of its own."""
    model = models[i - 1]
    if above is not None:
        args = argparse.Namespace(**{**vars(args), "out": str(_of(above, i))})
    folder = kept.begin(args, model, settings_document(model), init, (i, len(models)))
    return _fold(args, model, (i, len(models)), stop, folder, init=init, threads=args.threads)


def _go_on(asked: resume.Asked, i: int, above: Path, stop: Wish) -> dict[str, Any]:
    """The document of a fold that has ended; else trains it where it was left or, where it was not begun, from the start."""
    folder = _of(above, i)
    if not (folder / SETTINGS).exists():
        run_folder.discard(folder)
        return _begin(resume.anew(asked, _of(above, 1)), asked.models, i, above, resume.init(asked.models[0], _of(above, 1)), stop)
    begun = resume.left(asked, folder, i - 1)
    if begun.finished is not None:
        return {name: begun.finished[name] for name in OF_A_FOLD if name in begun.finished}
    return _fold(asked.args, begun.model, (i, len(asked.models)), stop, folder, found=begun.found, threads=begun.threads, init=begun.init)


def _fold(
    args: argparse.Namespace,
    model: Model,
    place: tuple[int, int],
    stop: Wish,
    folder: Path | None,
    *,
    found: Found = NOTHING,
    threads: int | None = None,
    init: Mapping[str, Array] | None = None,
) -> dict[str, Any]:
    """Trains one. Its epochs are shown by a bar; in a pipe, if an option asks to see of them."""
    i, of = place
    loud = _loud(args) and not args.json
    with stop.at_closed_pipe():
        if loud:
            write(f"fold {i} of {of}")
    run, done = trained(
        args,
        model,
        folder,
        stop,
        found=found,
        threads=threads,
        init=init,
        lines=loud,
        label=f"fold {i}/{of}  ",
        named=lambda error: in_fold(error, i),
    )
    if run.notes:
        warn("\n".join(f"note: in fold {i}, {printable(note)}" for note in run.notes))
    with stop.at_closed_pipe():
        if loud:
            write(f"\n{curve(run.history)}\n" if args.curve and len(run.history) > 1 else "")
    return {name: done[name] for name in OF_A_FOLD if name in done}
