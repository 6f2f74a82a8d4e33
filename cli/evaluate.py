"""`mlpc evaluate`: the loss and the metrics of a run on rows that have their targets."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..dsl.diagnostics import printable
from ..loading import load_run
from .load import warn, write, write_json
from .predict import source, telling
from .results import confusions, table


def command(args: argparse.Namespace) -> int:
    """Measures as training measures a split, as the rows are read. Status 0; MlpcError for a run or a table that cannot be used."""
    run = load_run(Path(args.run))
    needed = run.measured_columns()
    found = run.evaluate_tables(telling(source(args.data, needed), needed))
    for note in found.notes:
        warn(f"note: {printable(note)}")
    if args.json:
        write_json({"title": run.model.plan.title, "data": args.data, "rows": found.rows, "loss": found.loss, "metrics": found.metrics})
        return 0
    name = "stdin" if args.data == "-" else Path(args.data).name
    metrics = {name: found.metrics}
    write(f"{printable(run.model.plan.title)}   {found.rows} row{'s' * (found.rows != 1)} of {printable(name)}\n")
    for i, block in enumerate((table({name: found.loss}, metrics), *confusions(run.model, metrics))):
        write("\n" * (i > 0) + block)
    return 0
