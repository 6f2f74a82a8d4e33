"""`mlpc run --folds K`: as many trainings as folds, each with one fold held out; what they came to, and the mean of it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..dsl.diagnostics import MlpcError, printable
from ..loading import load_folds
from ..model import Model
from ..runtime import run_folder
from ..runtime.atomic import write_file
from ..runtime.folds import in_fold
from ..runtime.lock import locked
from ..runtime.progress import Interrupted
from ..runtime.run_folder import flat
from . import kept
from .environment import environment
from .load import json_text, overrides_of, tell, warn, write, write_json
from .results import number
from .run import document, header, settings_document, watchers
from .signals import Wish, name_of, wish_to_stop

OF_A_FOLD = ("out", "rows", "epochs", "steps", "kept_epoch", "stopped", "loss", "metrics", "seconds", "threads", "weights_sha256")


def command(args: argparse.Namespace) -> int:
    """Trains every fold and prints a line for each, then mean and sd. Status as of `mlpc run`."""
    models = load_folds(Path(args.file), args.folds, overrides_of(args), data_root=args.data_root)
    tell(models[0])
    for model in models:
        model.refuse_what_cannot_run(args.max_memory)
    folder = _folder(args)
    if not args.json:
        write(f"{header(models[0], args.init).rstrip()}\n   {rows_text(models)}\n")
    done: list[dict[str, Any]] = []
    stopped = 0
    with wish_to_stop() as wish:
        for i, model in enumerate(models, 1):
            try:
                done.append(_fold(args, model, i, folder, wish))
            except Interrupted:
                stopped = wish.number
                break
            except MlpcError as error:
                raise in_fold(error, i) from None
            if not args.json:
                line(i, done)
            if wish():
                stopped = wish.number * (i < len(models))
                break
    found = summary(models, done, folder)
    if folder is not None:
        write_file(folder / run_folder.FOLDS, json_text(found).encode())
    if args.json:
        write_json(found)
    elif len(done) > 1:
        _row("mean", "", found["mean"])
        _row("± sd", "", found["sd"])
    if folder is not None and not args.json and done:
        write(f"\nkept in {printable(str(folder))}")
    if stopped:
        warn(f"stopped by {name_of(stopped)}: {len(done)} of {len(models)} folds are done")
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
    found = flat({"epoch": 0, "step": 0, "loss": fold["loss"], "metrics": fold["metrics"]})
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


def _fold(args: argparse.Namespace, model: Model, i: int, above: Path | None, stop: Wish) -> dict[str, Any]:
    """Trains with one fold held out, in a folder of its own. Epochs are shown by a bar, and in a pipe not at all."""
    mine = {"out": str(above / f"fold-{i}") if above is not None else None, "json": args.json or not sys.stdout.isatty()}
    args = argparse.Namespace(**{**vars(args), **mine})
    init = model.beginning(args.init) if args.init is not None else None
    folder = kept.begin(args, model, settings_document(model), fold=i)
    with locked(folder) if folder is not None else nullcontext():
        with watchers(args, model, folder, None) as (on_epoch, on_step):
            run = model.train(on_epoch=on_epoch, on_step=on_step, threads=args.threads, max_memory=args.max_memory, init=init, stop=stop)
        done = document(model, run, None, folder)
        if folder is not None:
            kept.end(folder, run, done)
    return {name: done[name] for name in OF_A_FOLD}
