"""`mlpc diff`: what separates the plans of two files, or of two runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from msgspec.structs import replace

from ..compiler.render.difference import difference_rows
from ..compiler.render.difference_document import difference_document
from ..dsl.diagnostics import MlpcError, fault, printable
from ..loading import load, load_run
from ..model import Model
from ..runtime.record import is_run
from .load import overrides_of, warn, write_json
from .main import FAULT, OK
from .terminal import show


def command(args: argparse.Namespace) -> int:
    """Prints the difference. Status 0, with --exit-code 1 if there is one; if a file is at fault its status, the faults of both told."""
    models: list[Model] = []
    faults: list[MlpcError] = []
    for file in (args.file, args.other):
        try:
            models.append(model_at(Path(file), args))
        except MlpcError as error:
            warn(f"{printable(file)}:\n{error}" if not faults else f"\n{printable(file)}:\n{error}")
            faults.append(error)
    if faults:
        return max(error.status for error in faults)
    found = models[0].diff(models[1], prediction=args.prediction)
    found = replace(found, before=replace(found.before, name=args.file), after=replace(found.after, name=args.other))
    if args.json:
        write_json(difference_document(found))
    else:
        show(list(difference_rows(found, every=args.all)))
    return FAULT if args.exit_code and not found.same else OK


def model_at(place: Path, args: argparse.Namespace) -> Model:
    """The model of a file, or that of a run's folder, whose settings are what they were."""
    if not is_run(place):
        return load(place, overrides_of(args), data_root=args.data_root)
    if overrides_of(args):
        raise fault(
            "E0505", None, f"{place} is a run, whose settings are what they were", "leave --set and --seed away, or name its model file"
        )
    return load_run(place).model
