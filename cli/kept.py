"""What `mlpc run` puts into the folder of a run, before training and after it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..compiler.render.json import plan_document
from ..compiler.render.page import plain
from ..compiler.render.text import plan_page
from ..model import Model
from ..run import Run
from ..runtime import run_folder
from ..runtime.atomic import write_file
from .load import json_text, overrides_of


def begin(args: argparse.Namespace, model: Model, settings: list[dict[str, str]]) -> Path | None:
    """The new folder that `--out` asks for, with model, settings and plan in it; None for `--no-out`. MlpcError E0506, OSError."""
    if args.no_out:
        return None
    folder = run_folder.empty(Path(args.out)) if args.out is not None else run_folder.numbered(Path(args.file).stem)
    told = {
        "command": ["mlpc", *args.words],
        "file": os.path.realpath(args.file),
        "data_root": os.path.realpath(args.data_root) if args.data_root is not None else None,
        "overrides": overrides_of(args),
        "settings": settings,
    }
    run_folder.put(folder / run_folder.SETTINGS, json_text(told))
    run_folder.put_source(folder, model.program)
    run_folder.put(folder / run_folder.PLAN, plain(plan_page(model.plan, model.footprint)) + "\n")
    run_folder.put(folder / run_folder.PLAN_DOCUMENT, json_text(plan_document(model.plan, model.footprint)))
    return folder


def end(folder: Path, run: Run, document: dict[str, Any]) -> None:
    """The weights, and what `mlpc run --json` prints. OSError."""
    run.save(folder / run_folder.WEIGHTS)
    write_file(folder / run_folder.RUN, json_text(document).encode())
