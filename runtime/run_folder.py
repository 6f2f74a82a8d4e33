"""The folder of a run: what is in it under which name, how it is made, and its history, a row an epoch as it goes.

source/  the model and its imports     settings.json  plan.txt  plan.json     before the first step
history.csv  history.jsonl             a row an epoch, each on the disk's way before the next begins
weights.safetensors  predictions.json  run.json     at the end
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..compiler.imports import files_of
from ..compiler.plan import Plan
from ..compiler.render.json import numbers, plain
from ..dsl.diagnostics import fault
from ..dsl.syntax import Program
from . import weights
from .atomic import naming, write_file
from .train import Entry, OnEpoch

SOURCE, SETTINGS, PLAN, PLAN_DOCUMENT, RUN = "source", "settings.json", "plan.txt", "plan.json", "run.json"
HISTORY, HISTORY_LINES, PREDICTIONS, WEIGHTS = "history.csv", "history.jsonl", "predictions.json", weights.FILE
FOLDS, SWEEP = "folds.json", "sweep.json"  # of a folder that holds the folders of several runs
REPORT = "report.html"  # if it is asked for
PARENT = Path("runs")  # in the current folder
SHOWN = 5  # entries of a folder that a message names


def numbered(stem: str) -> Path:
    """A new folder `runs/<stem>-<n>` with the first n that is free: of two that ask at once, each gets its own. OSError."""
    PARENT.mkdir(exist_ok=True)
    n = 1
    while True:
        try:
            (made := PARENT / f"{stem}-{n}").mkdir()
            return made
        except FileExistsError:
            n += 1


def empty(path: Path) -> Path:
    """The folder of that path, made if it is not there; MlpcError E0506 if there is anything in it. OSError."""
    if path.exists() and not path.is_dir():
        raise fault("E0506", None, f"{path} is not a folder", "--out names a new folder, or an empty one")
    path.mkdir(parents=True, exist_ok=True)
    there = sorted(entry.name for entry in path.iterdir())
    if there:
        more = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
        named = ", ".join(there[:SHOWN]) + more
        raise fault(
            "E0506", None, f"{path} is not empty: it holds {named}", "name a new folder, or leave --out away: each run gets its own"
        )
    return path


def discard(folder: Path) -> None:
    """Removes the folder of a run that was just being made. MlpcError E0505 if something of a training is in it; OSError."""
    if not folder.exists():
        return
    found = next(
        (p for p in sorted(folder.rglob("*")) if p.name in (HISTORY_LINES, WEIGHTS, RUN) or p.name.startswith("checkpoint-")), None
    )
    if found is not None:
        message = f"{folder} holds {found.relative_to(folder)}, and {SETTINGS} is missing, by which it would go on"
        raise fault("E0505", None, message, "move it away, and it begins again from the start")
    shutil.rmtree(folder)


def put(path: Path, text: str) -> None:
    """A new file; OSError, which names it, if it is there already or cannot be written."""
    with naming(path), open(path, "x", encoding="utf-8", newline="\n") as file:
        file.write(text)


def put_source(folder: Path, program: Program, tables: Sequence[str] = ()) -> Path:
    """The model, its imports and the `tables` that it names beneath `source/`, each where the others look for it; gives the model's place."""
    of = program.source.path.parent if program.source.path else Path()
    names = [*tables, *(file.source.name for file in files_of(program))]
    up = max(Path(name).parts.count("..") for name in names)  # an import may lie beside the model's folder, which then has a name
    above = Path(os.path.realpath(program.source.path)).parent.parts if program.source.path else ()
    places = [folder / SOURCE / os.path.normpath(Path(*above[len(above) - up :], name)) for name in names]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
    for name, place in zip(tables, places, strict=False):
        shutil.copyfile(of / name, place)
    for place, file in zip(places[-len(files_of(program)) :], files_of(program), strict=True):
        put(place, file.source.text)
    return places[-1]


@contextmanager
def history(folder: Path, columns: tuple[str, ...], before: tuple[Entry, ...] | None = None) -> Generator[OnEpoch]:
    """Writes history.csv, which has these columns, and history.jsonl, a row for each call, flushed. OSError, which names the file.

    `before`: the rows that a run that goes on begins with; whatever else the files hold is gone.
    """

    encoder = json.JSONEncoder(allow_nan=False)

    def row(entry: Entry) -> list[float | str]:
        found = flat(entry)
        return [found.get(name, "") for name in columns]

    def line(entry: Entry) -> str:
        try:
            return encoder.encode(entry) + "\n"
        except ValueError:  # a number is not finite
            return encoder.encode(plain(entry)) + "\n"

    head = io.StringIO()
    csv.writer(head, lineterminator="\n").writerows([columns, *map(row, before or ())])
    begun = {HISTORY: head.getvalue(), HISTORY_LINES: "".join(map(line, before or ()))}
    for name, text in begun.items():
        if before is None:
            put(folder / name, text)
        else:
            write_file(folder / name, text.encode())
    with ExitStack() as stack:
        places = [folder / name for name in begun]
        table, lines = (stack.enter_context(_opened(place)) for place in places)
        rows = csv.writer(table, lineterminator="\n")

        def on_epoch(entry: Entry) -> None:
            with naming(places[0]):
                rows.writerow(row(entry))
                table.flush()
            with naming(places[1]):
                lines.write(line(entry))
                lines.flush()

        yield on_epoch


def history_columns(evaluation: Plan, rows: Mapping[str, int]) -> tuple[str, ...]:
    """`epoch`, `step`, the loss of each split that has rows, and each metric of it that is a number."""
    splits = ["train", *(split for split, n in rows.items() if n and split != "train")]
    shapes = {v.id: v.shape for v in evaluation.values}
    metrics = [name for name, register in evaluation.reports if all(size == 1 for size in shapes[register])]
    return ("epoch", "step", *(f"{s}.loss" for s in splits), *(f"{s}.{name}" for s in splits for name in metrics))


def flat(entry: Entry) -> dict[str, float]:
    """The numbers of an epoch under `epoch`, `step`, `val.loss`, `val.accuracy`; matrices are left out."""
    found: dict[str, float] = {"epoch": entry["epoch"], "step": entry["step"]}
    found |= {f"{split}.loss": value for split, value in entry["loss"].items()}
    return found | {f"{s}.{name}": x for s, metrics in entry["metrics"].items() for name, x in metrics.items() if not isinstance(x, list)}


def weights_in(path: Path) -> Path:
    """The file of weights that a path means, which is a run's folder or the file itself. MlpcError E0505 for a folder without one."""
    if path.is_dir() and not (path / WEIGHTS).exists():
        refuse_several(path, f"{path} has no {WEIGHTS}")
        begun = (path / SETTINGS).exists()
        message = f"{path} has no {WEIGHTS}" + (": its training has not ended" if begun else "")
        raise fault("E0505", None, message, "" if begun else "name the folder of a run: runs/iris-1")
    return path / WEIGHTS if path.is_dir() else path


def refuse_several(path: Path, message: str) -> None:
    """MlpcError E0505 with the message for a folder that holds the folders of several runs, and none itself."""
    within = next((place.parent for place in sorted(path.glob(f"*/{SETTINGS}"))), None) if not (path / SETTINGS).exists() else None
    if within is not None:
        raise fault("E0505", None, f"{message}: it holds several runs", f"name one of them: {within}")


def history_in(path: Path) -> tuple[dict[str, Any], ...]:
    """The history that a run's folder holds, () for a file of weights. MlpcError E0505 where it is damaged."""
    place = path / HISTORY_LINES
    if not path.is_dir() or not place.exists():
        return ()
    try:
        return entries_of(place.read_bytes())
    except ValueError:
        raise fault(
            "E0505", None, f"{place} is damaged: a line of it is no JSON", f"the weights in {path / WEIGHTS} stand for themselves"
        ) from None


def entries_of(lines: bytes) -> tuple[Entry, ...]:
    """The rows of these lines of history.jsonl. ValueError for one that is no JSON."""
    return tuple(numbers(json.loads(line)) for line in lines.splitlines())


def first_lines(folder: Path, count: int) -> bytes:
    """So many lines of history.jsonl, or those that there are. OSError."""
    place = folder / HISTORY_LINES
    return b"".join(place.read_bytes().splitlines(keepends=True)[:count]) if place.exists() else b""


@contextmanager
def _opened(path: Path) -> Generator[TextIO]:
    """A text file to write on in, closed at the end; a fault of that, as of a full disk, names the file."""
    file = open(path, "a", encoding="utf-8", newline="")  # noqa: SIM115  closed below, where its fault gets a name
    try:
        yield file
    finally:
        with naming(path):
            file.close()
