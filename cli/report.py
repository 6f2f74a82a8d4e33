"""`mlpc report`: a run as one page of HTML."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from ..compiler.render.page import Row
from ..dsl.diagnostics import fault, printable
from ..loading import load_run
from ..model import Model
from ..report.page import is_page, page, same_plan
from ..report.pictures import require
from ..runtime.atomic import write_file
from ..runtime.record import Record, record
from ..runtime.run_folder import REPORT, WEIGHTS
from ..runtime.symbols import by_step
from .load import write, write_json


def command(args: argparse.Namespace) -> int:
    """Writes the page. Status 0; 1 for a folder that is no run or is damaged, a file in the way, or a library that is missing; 74."""
    require()
    found = record(Path(args.run))
    place = Path(args.out) if args.out is not None else found.path / REPORT
    refuse_another(place)
    model = load_run(found.path).model if (found.path / WEIGHTS).exists() else None
    text = page(found, plan_of(model, found), rates(model, found))
    write_file(place, text.encode("utf-8", "backslashreplace"))
    if args.json:
        write_json({"run": str(found.path), "out": str(place), "bytes": len(text.encode("utf-8", "backslashreplace"))})
    else:
        write(printable(str(place)))
    if args.open:
        webbrowser.open(place.resolve().as_uri())
    return 0


def refuse_another(place: Path) -> None:
    """MlpcError E0506 if there is a file that is no report."""
    if place.is_dir():
        raise fault("E0506", None, f"{place} is a folder", f"-o names a file: -o {place / REPORT}")
    if not place.exists():
        return
    with open(place, "rb") as file:
        if not is_page(file.read(1000)):
            raise fault("E0506", None, f"{place} is there already and is no report of mlpc's", "-o names another file")


def plan_of(model: Model | None, found: Record) -> list[Row] | None:
    """The page of the plan, if this mlpc still makes the very lines that ran."""
    rows = model.page() if model is not None else None
    return rows if rows is not None and same_plan(rows, found) else None


def rates(model: Model | None, found: Record) -> dict[str, list[float]]:
    """What the update makes of the step's number alone, as a learning rate that falls, at the end of each epoch."""
    return by_step(model.plan, model.settings, [entry["step"] for entry in found.history]) if model is not None else {}
