"""The folder of a sweep: what was asked for, kept with the table, so that a sweep which was ended goes on with the runs that it has not done."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import fault
from ..model import Model
from ..runtime import run_folder, sources
from ..runtime.weights import digest

PATHS = ("file", "data_root", "init")
ASKED = (*PATHS, "set", "seed", "by", "random", "random_seed", "folds", "threads")


def asked(args: argparse.Namespace, model: Model) -> dict[str, Any]:
    """What the command line said of the runs, for JSON, and a digest of the model and its data."""
    said = {name: getattr(args, name) for name in ASKED}
    return {**said, **{name: said[name] and os.path.realpath(said[name]) for name in PATHS}, "sha256": _of(model)}


def as_asked(args: argparse.Namespace) -> tuple[argparse.Namespace, dict[str, Any]]:
    """The arguments by which the sweep in `args.resume` was begun, and what it says was asked for. MlpcError E0505 if there is none."""
    folder = Path(args.resume)
    place = folder / run_folder.SWEEP
    if not place.is_file():
        raise fault(
            "E0505",
            None,
            f"{folder} is not the folder of a sweep: it has no {run_folder.SWEEP}",
            "mlpc sweep FILE  makes one, and says which",
        )
    try:
        told = json.loads(place.read_bytes())["asked"]
        said = {name: told[name] for name in (*ASKED, "sha256")}
    except (ValueError, KeyError, TypeError):
        raise fault("E0505", None, f"{place} is damaged, or of another version", "the folders of its runs stand for themselves") from None
    given = {"file": args.file or said["file"], "by": args.by or said["by"], "no_out": False}
    return argparse.Namespace(**{**vars(args), **{name: said[name] for name in ASKED}, **given}), said


def refuse_another(said: dict[str, Any], model: Model, folder: Path) -> None:
    """MlpcError E0507 if the model or its data is another than when the sweep was begun: its runs could not be compared."""
    if said["sha256"] != _of(model):
        message = f"the model or its data is not what the sweep in {folder} was begun with, and its runs could not be compared"
        raise fault("E0507", None, message, "mlpc sweep FILE  begins anew")


def begun(folder: Path) -> bool:
    """Whether a run, or one with folds, was begun in a folder."""
    return any((folder / name / run_folder.SETTINGS).exists() for name in ("", "fold-1"))


def _of(model: Model) -> str:
    arrays = [array for values in model.dataset.splits.values() for array in values.values()]
    return hashlib.sha256((json.dumps(sources.texts(model.program)) + digest(arrays)).encode()).hexdigest()
