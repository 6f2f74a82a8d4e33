"""`mlpc run --resume RUN`: from a run's folder to the model that it was begun with, and to where it was left."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..dsl.diagnostics import fault, printable
from ..loading import load, load_copy
from ..model import Model
from ..runtime.atomic import sweep, write_file
from ..runtime.checkpoint import Found, newest
from ..runtime.identity import identity, other_environment, reads_length, refuse_another
from ..runtime.run_folder import RUN, SETTINGS, SOURCE
from ..runtime.threads import suitable
from .environment import environment
from .load import json_text, overrides_of, tell, warn
from .plan import settings_of


@dataclass(frozen=True, slots=True, eq=False)
class Begun:
    """A run to go on with: its model, where it was left, and the threads that it had. `finished`: what run.json says if there is no more."""

    model: Model
    found: Found
    threads: int | None
    finished: dict[str, Any] | None = None


def folder_of(args: argparse.Namespace) -> Path:
    """The run's folder. MlpcError E0505 if it is none, or nothing was begun in it."""
    folder = Path(args.resume)
    if not folder.is_dir():
        raise fault("E0505", None, f"{folder} is not the folder of a run", "mlpc run FILE  makes one, and says which")
    if not (folder / SETTINGS).exists():
        raise fault("E0505", None, f"{folder} has no {SETTINGS}: no run was begun in it", "mlpc run FILE  makes such a folder")
    return folder


def begun(args: argparse.Namespace, folder: Path) -> Begun:
    """What was begun in the folder, whose lock is held. MlpcError E0505 if it is damaged, E0507 if it cannot go on; and of its model."""
    sweep(folder)
    told, ended = _document(folder / SETTINGS), _document(folder / RUN) if (folder / RUN).exists() else None
    if "source" not in told:
        raise fault("E0505", None, f"{folder / SETTINGS} does not say which file of {SOURCE}/ is the model", "mlpc run FILE  begins anew")
    if told.get("fold") is not None:
        raise fault(
            "E0507",
            None,
            f"{folder} is fold {told['fold']} of a run with --folds, which has no checkpoints",
            "mlpc run FILE --folds K  begins anew",
        )
    place = Path(args.file or told["file"])
    if not place.parent.is_dir():
        message = f"the folder of its model, {place.parent}, is not there, and its data is read from there"
        raise fault("E0507", None, message, f"mlpc run FILE --resume {folder}  with FILE where the model is now")
    root = args.data_root or told["data_root"]
    words = _latest((*told["overrides"], *overrides_of(args)))

    def copy(overrides: tuple[str, ...]) -> Model:
        return load_copy(folder / told["source"], folder / SOURCE, overrides, data_folder=place.parent, data_root=root)

    model = load(place, words, data_root=root) if args.file else copy(words)
    tell(model)
    _note_edited(place, folder / told["source"])
    found = newest(folder)
    for text in found.damaged:
        warn(f"note: {printable(text)}; the one before is used")
    threads = args.threads or found.identity.get("threads") or told["threads"]
    if found.snapshot is not None or args.file or overrides_of(args):
        before = found.identity or _identity(copy(tuple(told["overrides"])), threads)
        now = _identity(model, threads)
        refuse_another(before, now, str(folder))
        _refuse_length(before, now, model, folder, found, ended)
        note = other_environment(before, now)
        if note:
            warn(f"note: {note}")
    if ended is not None and ended["stopped"] in (None, "early_stop") and ended["steps"] >= _steps(model, ended):
        return Begun(model, found, threads, ended)
    if words != tuple(told["overrides"]) or args.file:
        settings = [{"name": name, "value": value, "from": where} for name, value, where in settings_of(model)]
        changed = {"file": os.path.realpath(place), "data_root": root and os.path.realpath(root), "overrides": words, "settings": settings,
                   "epochs": model.settings.epochs}  # fmt: skip
        write_file(folder / SETTINGS, json_text({**told, **changed}).encode())
    return Begun(model, found, threads)


def _latest(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """Of each setting the last word: `epochs` and `steps` are one, the length."""
    found: dict[str, str] = {}
    for word in overrides:
        key = word.partition("=")[0].strip()
        key = "length" if key in ("train.epochs", "train.steps") else key
        found.pop(key, None)
        found[key] = word
    return tuple(found.values())


def _identity(model: Model, threads: int | None) -> dict[str, Any]:
    found = identity(
        model.plan, model.compilation.evaluation, model.settings, model.dataset, threads or suitable(model.plan), environment()
    )
    return json.loads(json.dumps(found))  # as it is read back


def _refuse_length(
    before: dict[str, Any], now: dict[str, Any], model: Model, folder: Path, found: Found, ended: dict[str, Any] | None
) -> None:
    """MlpcError E0507 if it is to be longer or shorter than it was begun, and that would have made another past."""
    if all(before["settings"].get(name) == now["settings"].get(name) for name in ("epochs", "steps")):
        return
    done = max(found.snapshot.step if found.snapshot is not None else 0, ended["steps"] if ended else 0)
    if reads_length(before, now, model.plan):
        message = (
            f"{folder} was begun for another length, and its update reads `steps` or `epochs`: each step so far would have been another"
        )
        raise fault("E0507", None, message, "mlpc run FILE  with that length begins anew; --init takes its weights along")
    if ended is not None and ended["stopped"] == "early_stop":
        message = f"`early_stop` ended {folder} after epoch {ended['epochs']}, and however long it may train, it would again"
        raise fault("E0507", None, message, "mlpc run FILE --init RUN  trains on from its weights, as another run")
    if model.settings.steps < done:
        message = f"{folder} has done {done} steps, and this would be {model.settings.steps} in all"
        raise fault("E0507", None, message, "its weights after fewer steps are not there; mlpc run FILE  begins anew")


def _steps(model: Model, ended: dict[str, Any]) -> int:
    """The steps that there are to be; those that there were where `early_stop` ended it."""
    return ended["steps"] if ended["stopped"] == "early_stop" else model.settings.steps


def _note_edited(original: Path, copy: Path) -> None:
    """Says that the file is another than it was, which changes nothing of the run."""
    try:
        edited = original.read_bytes() != copy.read_bytes()
    except OSError:
        return
    if edited:
        warn(
            f"note: {printable(str(original))} has changed since; the run goes on with the model that it was begun with, {printable(str(copy))}"
        )


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise fault("E0505", None, f"{path} is damaged: it is no JSON document", "mlpc run FILE  begins anew")
    return found
