"""A run's folder read back as a value: what was begun, how far it came, what came of it. The weights are not read.

A folder may be of a training that still goes on, or that ended early: then there is no run.json, and the last epoch speaks for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..compiler.render.json import numbers
from ..dsl.diagnostics import MlpcError, fault
from . import run_folder
from .train import Entry


class Beside(Struct, frozen=True):
    """A target of a split beside its prediction, row by row: places in `classes`, or (without them) lists of numbers in its own units."""

    target: str
    value: str
    classes: tuple[str, ...]
    true: tuple[Any, ...]
    predicted: tuple[Any, ...]


class Sample(Struct, frozen=True):
    """Some rows of a split, of which there are `rows`: where each comes from, and what it was predicted to be."""

    rows: int
    places: tuple[str, ...]
    of: tuple[Beside, ...]


class Record(Struct, frozen=True):
    """What a run's folder says. `ended`: there is a run.json; `losses` and `metrics` are else those of the last epoch, `kept_epoch` 0.

    `classes`: of each matrix of the report; `better`: of each of its items and the loss, "larger", "smaller" or None.
    `notes` say what training has seen amiss, as units that are dead; in `not_finite_steps` steps the loss was no number.
    `settings`: (name, value, where from). `begun`: a time in UTC, ISO 8601. `planned`: epochs that the settings ask for.
    """

    path: Path
    title: str
    begun: str
    command: tuple[str, ...]
    settings: tuple[tuple[str, str, str], ...]
    parameters: int
    rows: dict[str, int]
    classes: dict[str, tuple[str, ...]]
    better: dict[str, str | None]
    environment: dict[str, str]
    plan: str
    sources: tuple[tuple[str, str], ...]
    history: tuple[Entry, ...]
    ended: bool
    epochs: int
    planned: int
    steps: int
    kept_epoch: int
    stopped: str
    losses: dict[str, float]
    metrics: dict[str, dict[str, Any]]
    seconds: dict[str, float]
    weights_sha256: str
    not_finite_steps: int
    notes: tuple[str, ...]
    samples: dict[str, Sample]

    @property
    def scores(self) -> dict[str, float]:
        """Every number of the outcome under `split.name`: `test.loss`, `test.accuracy`; matrices are left out."""
        return {k: v for k, v in run_folder.flat({"epoch": 0, "step": 0, "loss": self.losses, "metrics": self.metrics}).items() if "." in k}


def record(path: Path) -> Record:
    """The record of a run's folder. MlpcError E0505 if it is none or damaged, OSError if it cannot be read."""
    if not is_run(path):
        run_folder.refuse_several(path, f"{path} has no {run_folder.SETTINGS}")
        found = "is a file" if path.is_file() else f"has no {run_folder.SETTINGS}" if path.is_dir() else "does not exist"
        raise fault("E0505", None, f"{path} {found}, and the folder of a run was needed", "mlpc runs  lists those in runs/")
    history = run_folder.history_in(path)
    begun = _document(path / run_folder.SETTINGS)
    ended = _document(path / run_folder.RUN) if (path / run_folder.RUN).exists() else None
    samples = _document(path / run_folder.PREDICTIONS) if (path / run_folder.PREDICTIONS).exists() else {"targets": [], "splits": {}}
    for name, found in ((run_folder.SETTINGS, begun), (run_folder.RUN, ended)):
        if found is not None and found.get("format") != 1:
            raise fault("E0505", None, f"{path / name} is of format {found.get('format')}, and this mlpc reads format 1")
    last = history[-1] if history else {"epoch": 0, "step": 0, "loss": {}, "metrics": {}}
    try:
        if ended is not None and int(ended["epochs"]) < len(history):
            ended = None  # it was resumed, and goes on
        said = ended or {
            "epochs": len(history), "steps": last["step"], "kept_epoch": 0, "stopped": None, "seconds": {},
            "weights_sha256": "", "not_finite_steps": 0, "notes": [],
            "loss": last["loss"], "metrics": last["metrics"],
        }  # fmt: skip
        settings = tuple((str(s["name"]), str(s["value"]), str(s["from"])) for s in begun["settings"])
        return Record(
            path=path, title=str(begun["title"]), begun=str(begun["begun"]), command=tuple(map(str, begun["command"])), settings=settings,
            parameters=int(begun["parameters"]), rows={str(k): int(v) for k, v in begun["rows"].items()},
            classes={str(k): tuple(map(str, v)) for k, v in begun["classes"].items()},
            better={str(k): v if v is None else str(v) for k, v in begun["better"].items()},
            environment={str(k): str(v) for k, v in begun["environment"].items()},
            plan=(path / run_folder.PLAN).read_text("utf-8"), sources=tuple(_sources(path / run_folder.SOURCE)),
            history=tuple(_entry(e) for e in history), ended=ended is not None, epochs=int(said["epochs"]),
            planned=int(begun["epochs"]), steps=int(said["steps"]),
            kept_epoch=int(said["kept_epoch"]), stopped=str(said["stopped"] or ""),
            losses=_scalars(said["loss"]), metrics={str(s): _metrics(m) for s, m in said["metrics"].items()},
            seconds=_scalars(said["seconds"]), weights_sha256=str(said["weights_sha256"]),
            not_finite_steps=int(said["not_finite_steps"]), notes=tuple(map(str, said["notes"])), samples=_samples(samples),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, IndexError, FileNotFoundError) as error:
        told = f"`{error.args[0]}` is missing" if isinstance(error, KeyError) else str(error)
        raise fault("E0505", None, f"{path} is damaged: {told}", "its weights may stand for themselves: mlpc predict") from None


def records(folder: Path) -> tuple[list[Record], list[MlpcError]]:
    """The runs in a folder, those of folds and sweeps among them, or the run that it is, the oldest first; and what is wrong with others."""
    found: list[Record] = []
    faults: list[MlpcError] = []
    for place in [folder] if is_run(folder) else _runs_in(folder):
        try:
            found.append(record(place))
        except MlpcError as error:
            faults.append(error)
    return sorted(found, key=lambda r: r.begun), faults


def _runs_in(folder: Path) -> Iterator[Path]:
    """iris-2 comes before iris-10."""
    for place in sorted(folder.iterdir(), key=_in_order):
        if is_run(place):
            yield place
        elif any((place / name).is_file() for name in (run_folder.FOLDS, run_folder.SWEEP)):
            yield from _runs_in(place)


def _in_order(path: Path) -> list[tuple[str, int]]:
    """Words and numbers by turns."""
    return [(word, int(digits or 0)) for word, digits in re.findall("([^0-9]*)([0-9]*)", path.name)]


def is_run(path: Path) -> bool:
    """Whether it is the folder of a run."""
    return (path / run_folder.SETTINGS).is_file()


def _document(place: Path) -> dict[str, Any]:
    try:
        found = json.loads(place.read_text("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise fault("E0505", None, f"{place} is damaged: it is no JSON object", "the other files of the run stand for themselves")
    return found


def _sources(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of the model's files."""
    for place in sorted(p for p in folder.rglob("*.mlp") if p.is_file()):
        yield place.relative_to(folder).as_posix(), place.read_text("utf-8", errors="surrogateescape")


def _entry(found: Mapping[str, Any]) -> Entry:
    """An epoch of the history, with what `--watch` has seen if it was asked to."""
    metrics = {str(s): _metrics(m) for s, m in found["metrics"].items()}
    entry: Entry = {"epoch": int(found["epoch"]), "step": int(found["step"]), "loss": _scalars(found["loss"]), "metrics": metrics}
    if "watch" in found:
        entry["watch"] = {
            str(name): {str(what): x for what, x in seen.items() if isinstance(x, int | float)} for name, seen in found["watch"].items()
        }
    return entry


def _scalars(found: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(value) for name, value in found.items()}


def _metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> a number, or a list of numbers or of such lists."""
    return {str(name): _numbers(value) for name, value in found.items()}


def _numbers(value: Any) -> Any:
    return [_numbers(v) for v in value] if isinstance(value, list) else float(numbers(value))


def _samples(found: Mapping[str, Any]) -> dict[str, Sample]:
    targets = {str(t["name"]): (str(t["value"]), tuple(map(str, t["classes"]))) for t in found["targets"]}
    return {str(split): _sample(s, targets) for split, s in found["splits"].items()}


def _sample(found: Mapping[str, Any], targets: Mapping[str, tuple[str, tuple[str, ...]]]) -> Sample:
    made: list[Beside] = []
    for name, (value, classes) in targets.items():
        both: list[tuple[Any, ...]] = []
        for which in ("true", "predicted"):
            entries = found["of"][name][which]
            if classes and not all(0 <= i < len(classes) for i in entries):
                raise ValueError(f"a class of `{name}` that there is not")
            both.append(tuple(map(int, entries)) if classes else tuple(tuple(map(_numbers, row)) for row in entries))
        if not len(both[0]) == len(both[1]) == len(found["places"]):
            raise ValueError(f"rows of `{name}` are missing")
        made.append(Beside(name, value, classes, both[0], both[1]))
    return Sample(int(found["rows"]), tuple(map(str, found["places"])), tuple(made))
