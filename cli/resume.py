"""`mlpc run --resume RUN`: from a run's folder to the model that it was begun with, and to where it was left."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..compiler.render.json import numbers
from ..dsl.diagnostics import MlpcError, fault, printable
from ..loading import load, load_copy, load_folds
from ..model import Model
from ..runtime.atomic import sweep, write_file
from ..runtime.checkpoint import Found, newest
from ..runtime.identity import identity, other_environment, reads_length, refuse_another
from ..runtime.kernel import Array
from ..runtime.run_folder import RUN, SETTINGS, SOURCE, refuse_several
from ..runtime.threads import suitable
from ..runtime.watch import refuse_unknown
from ..runtime.weights import digest
from .environment import environment
from .kept import KEPT, options
from .load import json_text, overrides_of, tell, warn
from .plan import settings_of

NEEDED = ("source", "file", "data_root", "overrides", "threads", "command")
NEW = {"fold": None, "folds": None, "init": None, "watch": [], "on_nan": None, "checkpoint_every": None}  # of a run that says nothing of it


class Asked(Struct, frozen=True, eq=False):
    """What is to go on: the models, one or one of each fold, as they are now, and `copy(overrides)` of the run's own copy of them.

    `args`: those of the command line, with what the run was begun with where they say nothing. `words`: the settings, as `--set` has them.
    """

    args: argparse.Namespace
    place: Path
    root: str | None
    words: tuple[str, ...]
    models: tuple[Model, ...]
    copy: Callable[[tuple[str, ...]], tuple[Model, ...]]


class Begun(Struct, frozen=True, eq=False):
    """A run to go on with: its model, where it was left, the threads that it had, and what it begins with if it was left nowhere.

    `finished`: what run.json says if there is no more.
    """

    model: Model
    found: Found
    threads: int | None
    init: dict[str, Array] | None = None
    finished: dict[str, Any] | None = None


def refuse_what_was_not_begun(folder: Path) -> None:
    """MlpcError E0505 for a folder that is not a run's."""
    if not folder.is_dir():
        raise fault("E0505", None, f"{folder} is not the folder of a run", "mlpc run FILE  makes one, and says which")
    if not (folder / SETTINGS).exists():
        refuse_several(folder, f"{folder} has no {SETTINGS}")
        raise fault("E0505", None, f"{folder} has no {SETTINGS}: no run was begun in it", "mlpc run FILE  makes such a folder")


def asked(args: argparse.Namespace, folder: Path, of_folds: bool = False) -> Asked:
    """What was begun in the folder, which is locked, with the settings of now. MlpcError E0505 if it is damaged, E0507; and of its model.

    `of_folds`: whether it is that of the first fold of several.
    """
    told = _settings(folder)
    if told["fold"] is not None and not of_folds:
        message = f"{folder} is fold {told['fold']} of {told['folds']}, which go on together"
        raise fault("E0507", None, message, f"mlpc run --resume {folder.parent}")
    place = Path(args.file or told["file"])
    moved = f"mlpc run FILE --resume {args.resume}  with FILE where the model is now"
    if not place.parent.is_dir():
        raise fault("E0507", None, f"the folder of its model, {place.parent}, is not there, and its data is read from there", moved)
    root, folds = args.data_root or told["data_root"], told["folds"] or 0
    if of_folds and not folds:
        raise fault(
            "E0507", None, f"{folder.parent} was begun by an earlier mlpc, whose folds cannot go on", "mlpc run FILE --folds K  begins anew"
        )
    words = _latest((*told["overrides"], *overrides_of(args)))

    @cache
    def copy(overrides: tuple[str, ...]) -> tuple[Model, ...]:
        return load_copy(folder / told["source"], folder / SOURCE, overrides, data_folder=place.parent, data_root=root, folds=folds)

    if args.file:
        models = load_folds(place, folds, words, data_root=root) if folds else (load(place, words, data_root=root),)
    else:
        try:
            models = copy(words)
        except MlpcError as error:
            if place.exists() or error.diagnostics[0].code != "E0401":
                raise
            raise fault("E0507", None, f"its model, {place}, is not there, and its data neither", moved) from None
    tell(models[0])
    _note_edited(place, folder / told["source"])
    before = {name: value for name in KEPT if not getattr(args, name) and (value := told[name])}
    if "checkpoint_every" in before:
        before["checkpoint_every"] = numbers(before["checkpoint_every"])
    args = argparse.Namespace(**{**vars(args), **before})
    refuse_unknown(models[0].plan, args.watch, "--watch")
    return Asked(args, place, root, words, models, copy)


def left(asked: Asked, folder: Path, fold: int = 0) -> Begun:
    """Where the run in the folder was left, which is locked. MlpcError E0505 if it is damaged, E0507 if it cannot go on.

    `fold`: which of the models it is of.
    """
    sweep(folder)
    args, model = asked.args, asked.models[fold]
    told, ended = _settings(folder), _document(folder / RUN) if (folder / RUN).exists() else None
    found = newest(folder)
    for text in found.damaged:
        warn(f"note: {printable(text)}; the one before is used")
    threads = args.threads or found.identity.get("threads") or told["threads"]
    changed = asked.words != tuple(told["overrides"]) or bool(args.file)
    if found.snapshot is not None or args.file or overrides_of(args):
        before = found.identity or _identity(asked.copy(tuple(told["overrides"]))[fold], threads)
        now = _identity(model, threads)
        refuse_another(before, now, str(folder))
        _refuse_length(before, now, model, folder, found, ended)
        note = other_environment(before, now)
        if note:
            warn(f"note: {note}")
    if ended is not None and ended["stopped"] in (None, "early_stop") and ended["steps"] >= _steps(model, ended):
        return Begun(model, found, threads, finished=ended)
    if changed or options(args) != {name: told[name] for name in KEPT}:
        settings = [{"name": name, "value": value, "from": where} for name, value, where in settings_of(model)]
        now = {"file": os.path.realpath(asked.place), "data_root": asked.root and os.path.realpath(asked.root), "overrides": asked.words,
               "settings": settings, "epochs": model.settings.epochs, **options(args)}  # fmt: skip
        write_file(folder / SETTINGS, json_text({**told, **now}).encode())
    return Begun(model, found, threads, init(model, folder) if found.snapshot is None else None)


def anew(asked: Asked, folder: Path) -> argparse.Namespace:
    """The arguments by which another fold begins as the one in the folder was begun."""
    told = _settings(folder)
    as_it_was = {"words": told["command"][1:], "file": str(asked.place), "data_root": asked.root, "set": list(asked.words), "seed": None,
                 "threads": asked.args.threads or told["threads"], "init": told["init"] and told["init"]["from"]}  # fmt: skip
    return argparse.Namespace(**{**vars(asked.args), **as_it_was})


def init(model: Model, folder: Path) -> dict[str, Array] | None:
    """The weights that a run begins with which has no checkpoint yet. MlpcError E0505, or E0507 where they are others now."""
    told = _settings(folder)
    if told["init"] is None:
        return None
    place = told["init"]["from"]
    found = model.beginning(place)
    if digest(found.values()) != told["init"]["sha256"]:
        message = f"the weights in {place} are not those that {folder} was to begin with"
        raise fault("E0507", None, message, f"mlpc run FILE --init {place}  begins with these, as another run")
    return found


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


def _settings(folder: Path) -> dict[str, Any]:
    """What settings.json says; a run that an earlier mlpc has begun had nothing of what is new. MlpcError E0505 if something is missing."""
    told = {**NEW, **_document(folder / SETTINGS)}
    missing = next((name for name in NEEDED if name not in told), None)
    if missing is not None:
        raise fault("E0505", None, f"{folder / SETTINGS} is damaged: it has no `{missing}`", "mlpc run FILE  begins anew")
    return told


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise fault("E0505", None, f"{path} is damaged: it is no JSON document", "mlpc run FILE  begins anew")
    return found
