"""What `mlpc run` puts into the folder of a run, before training and after it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..compiler.render.json import plan_document
from ..compiler.render.page import plain
from ..compiler.render.text import plan_page
from ..model import Model
from ..run import Run
from ..runtime import run_folder
from ..runtime.atomic import write_file
from ..runtime.checkpoint import Checkpoints, Found, Interval
from ..runtime.identity import identity
from ..runtime.kernel import Array
from ..runtime.predictions import predictions
from ..runtime.threads import suitable
from ..runtime.weights import digest
from .environment import environment
from .load import json_text, overrides_of
from .results import directions, labelled

OFTEN = (60.0, 0)  # seconds and epochs between checkpoints: one a minute
KEPT = ("watch", "on_nan", "checkpoint_every")  # options that a run goes on with


def begin(
    args: argparse.Namespace,
    model: Model,
    settings: list[dict[str, str]],
    init: Mapping[str, Array] | None = None,
    fold: tuple[int, int] | None = None,
) -> Path | None:
    """The new folder that `--out` asks for, with model, settings and plan in it; None for `--no-out`. MlpcError E0506, OSError.

    `init`: what --init has named; `fold`: which one is held out, of how many.
    """
    if args.no_out:
        return None
    folder = run_folder.empty(Path(args.out)) if args.out is not None else run_folder.numbered(Path(args.file).stem)
    told = {
        "command": ["mlpc", *args.words],
        "file": os.path.realpath(args.file),
        "data_root": os.path.realpath(args.data_root) if args.data_root is not None else None,
        "overrides": overrides_of(args),
        "settings": settings,
        "title": model.plan.title,
        "begun": datetime.now(UTC).isoformat(timespec="seconds"),
        "epochs": model.settings.epochs,
        "parameters": sum(p.count for p in model.plan.params),
        "rows": dict(model.dataset.schema.rows),
        "classes": labelled(model),
        "better": directions(model),
        "environment": environment(),
    }
    source = run_folder.put_source(folder, model.program)
    run_folder.put(folder / run_folder.PLAN, plain(plan_page(model.plan, model.footprint)) + "\n")
    run_folder.put(folder / run_folder.PLAN_DOCUMENT, json_text(plan_document(model.plan, model.footprint)))
    told |= {"source": source.relative_to(folder).as_posix(), "threads": args.threads, **options(args)}
    told |= {"fold": None, "folds": None} if fold is None else {"fold": fold[0], "folds": fold[1]}
    told["init"] = None if init is None else {"from": os.path.realpath(args.init), "sha256": digest(init.values())}
    write_file(folder / run_folder.SETTINGS, json_text(told).encode())  # last and whole: where it is, a run was begun
    return folder


def options(args: argparse.Namespace) -> dict[str, Any]:
    """What a run that goes on keeps of the command line, beside the settings."""
    return {name: getattr(args, name) for name in KEPT}


def checkpoints(args: argparse.Namespace, model: Model, folder: Path, found: Found, threads: int | None) -> Checkpoints:
    """Those of the folder, as often as `--checkpoint-every` says."""
    used = threads or suitable(model.plan)
    seconds, epochs = args.checkpoint_every or OFTEN
    return Checkpoints(
        folder,
        Interval(seconds, epochs),
        lambda: identity(model.plan, model.compilation.evaluation, model.settings, model.dataset, used, environment()),
        found,
    )


def end(folder: Path, run: Run, document: dict[str, Any]) -> None:
    """The weights, some predictions, and what `mlpc run --json` prints. OSError."""
    model = run.model
    run.save(folder / run_folder.WEIGHTS)
    found = predictions(model.program, model.compilation, model.dataset, run.params, run.states)
    write_file(folder / run_folder.PREDICTIONS, json_text(found).encode())
    write_file(folder / run_folder.RUN, json_text(document).encode())
