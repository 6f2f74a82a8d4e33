"""`mlpc predict`: what a run says of rows that it has not seen, as a table."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..dsl.diagnostics import fault, printable
from ..loading import load_run
from ..run import Run
from ..runtime import given, run_folder
from ..runtime.atomic import write_pieces
from ..runtime.columns import Table
from ..runtime.heads import Head
from ..runtime.kernel import Array
from ..runtime.table import SEPARATORS, batches, text_of
from .load import warn, write, write_json


def command(args: argparse.Namespace) -> int:
    """Predicts row by row, as the rows are read. Status 0; MlpcError for a run, a table or a value that cannot be used."""
    run = load_run(Path(args.run))
    head = run.head(args.value)
    if args.output not in (None, "-"):
        _refuse_what_is_read(Path(args.output), (Path(args.data), run_folder.weights_in(Path(args.run))))
    if args.proba:
        head.probable(np.zeros((1, len(head.shares))))  # refused before anything is read or written
    columns = head.shares if args.proba else head.columns
    tables = telling(source(args.data, run.columns(args.value)), run.columns(args.value), head.note)
    found = ([list(c) for c in _columns(head, raw, args.proba)] for _, raw in run.predictions(head, tables))
    if args.output not in (None, "-"):
        written = _Counted(found)
        separator = SEPARATORS.get(Path(args.output).suffix.lower(), ",")
        write_pieces(Path(args.output), (text.encode() for text in _texts(columns, written, separator)))
        if args.json:
            write_json({**_told(run, head, columns), "rows": written.rows, "out": args.output})
        else:
            warn(f"{written.rows} row{'s' * (written.rows != 1)} predicted in {printable(args.output)}")
        return 0
    if args.json:
        parts = list(found)
        values = {name: [x for part in parts for x in part[i]] for i, name in enumerate(columns)}
        write_json({**_told(run, head, columns), "rows": len(values[columns[0]]), "predictions": values})
        return 0
    for text in _texts(columns, found, ","):
        write(text.removesuffix("\n"))
    return 0


def _refuse_what_is_read(place: Path, read: tuple[Path, ...]) -> None:
    """MlpcError E0506 if the predictions would be written over one of these files."""
    if any(place.exists() and path.exists() and place.samefile(path) for path in read):
        raise fault("E0506", None, f"{place} is what is read here, and would be gone", "-o names another file")


def source(data: str, needed: dict[str, int]) -> Iterator[Table]:
    """The tables in a file, or in what comes from stdin as .csv, some rows at a time."""
    if data != "-":
        yield from given.tables(data, needed)
        return
    text = text_of(sys.stdin.buffer)
    try:
        yield from batches(text, "stdin", ",", None, given.BATCH)
    finally:
        text.detach()  # stdin is not ours to close


def telling(tables: Iterator[Table], needed: dict[str, int], note: str = "") -> Iterator[Table]:
    """The tables; with the first comes the note, if there is one, and one of the columns that nothing reads, on stderr."""
    if note:
        warn(f"note: {printable(note)}")
    for i, table in enumerate(tables):
        if not i:
            _told_unread(table, needed)
        yield table


def _told_unread(table: Table, needed: dict[str, int]) -> None:
    parts = {label for name, width in needed.items() for label in (name, *(f"{name}{i + 1}" for i in range(width)))}
    extra = [name for name in table.names if name not in parts]
    if extra:
        shown = ", ".join(printable(name) for name in extra[:12]) + (f" and {len(extra) - 12} more" if len(extra) > 12 else "")
        warn(f"note: {printable(table.file)}: not read: {shown}")


class _Counted:
    """Batches of columns, whose rows are counted as they pass."""

    def __init__(self, found: Iterable[list[list[Any]]]) -> None:
        self.found, self.rows = found, 0

    def __iter__(self) -> Iterator[list[list[Any]]]:
        for part in self.found:
            self.rows += len(part[0])
            yield part


def _columns(head: Head, raw: Array, proba: bool) -> list[list[Any]]:
    """What is written of a batch, column by column, in Python's own values."""
    found = list(head.probable(raw).T) if proba else head.predicted(raw)
    return [c if isinstance(c, list) else _shortest(c) for c in found]


def _shortest(column: Array) -> list[float]:
    """Floats that are written with no more digits than the precision has."""
    return column.tolist() if column.dtype == np.float64 else [float(str(x)) for x in column]


def _texts(columns: tuple[str, ...], found: Iterable[list[list[Any]]], separator: str) -> Iterator[str]:
    """The lines of the table, a batch at a time, the header before the first."""
    pending: list[Any] = [columns]
    for part in found:
        yield _text([*pending, *zip(*part, strict=True)], separator)
        pending = []
    if pending:
        yield _text(pending, separator)


def _text(rows: list[Any], separator: str) -> str:
    made = io.StringIO()
    csv.writer(made, delimiter=separator, lineterminator="\n").writerows(rows)
    return made.getvalue()


def _told(run: Run, head: Head, columns: tuple[str, ...]) -> dict[str, Any]:
    target = head.target.name if head.target else None
    return {"title": run.model.plan.title, "value": head.name, "target": target, "form": head.form, "columns": list(columns)}
