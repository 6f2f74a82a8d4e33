"""`mlpc sweep`: the same model with every combination of some settings, each a run of its own in a process of its own; one table."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from msgspec import Struct

from ..compiler.imports import files_of
from ..dsl.diagnostics import did_you_mean, fault, printable
from ..model import Model
from ..runtime import memory, run_folder
from ..runtime.atomic import write_file
from ..runtime.location import stamp
from ..runtime.lock import locked
from . import sweep_folder
from .environment import environment
from .grid import Combination, Grid, checked, grid, short
from .load import json_text, tell, warn, write, write_json
from .processes import DONE, NOT_BEGUN, STOPPED, Outcome, outcomes
from .results import directions, number
from .signals import name_of, wish_to_stop

IO = 74


class Column(Struct, frozen=True):
    """What the table is sorted by: `split.name`, whether a larger one is better, and why it is this one."""

    name: str
    larger: bool
    why: str


def command(args: argparse.Namespace) -> int:
    """Runs all combinations and prints the table. Status 0 if one of them came to its end; else that of the first; 130 or 143."""
    args, said = sweep_folder.as_asked(args) if args.resume is not None else (args, None)
    found = grid([*args.set, *([f"train.seed={args.seed}"] if args.seed is not None else [])])
    runs, models = checked(args, found, tell)
    by = sorted_by(args.by, models)
    folder = Path(args.resume) if said is not None else None
    if said is not None and folder is not None:
        sweep_folder.refuse_another(said, models[0], folder)
    elif not args.no_out:
        folder = run_folder.empty(Path(args.out)) if args.out is not None else run_folder.numbered(f"{Path(args.file).stem}-sweep")
    with locked(folder) if folder is not None else nullcontext():
        return _run(args, found, runs, models, by, folder)


def _run(
    args: argparse.Namespace, found: Grid, runs: Sequence[Combination], models: Sequence[Model], by: Column, folder: Path | None
) -> int:
    """Runs what is not done yet, keeps the table and prints it."""
    asked = sweep_folder.asked(args, models[0])
    for mine in (folder / str(run.number) for run in runs) if folder is not None else ():
        if not sweep_folder.begun(mine):
            run_folder.discard(mine)
    if folder is not None:
        write_file(folder / run_folder.SWEEP, json_text(document(models[0], found, (), by, folder, asked)).encode())
    jobs = min(len(runs), args.jobs or _jobs(runs, args.max_memory))
    before = _stamps(args.file, models[0])
    with wish_to_stop() as wish:
        with wish.at_closed_pipe():
            if not args.json:
                write(heading(found, runs, models, by, jobs, args.folds))
                sys.stdout.flush()
        ended = outcomes(
            args,
            runs,
            folder,
            jobs,
            wish,
            lambda: _changed(before, _stamps(args.file, models[0])),
            lambda o, n: _progress(o, n, len(runs), by),
        )
        stopped = wish.number
    ranked = sorted(ended, key=lambda o: _rank(o, by))
    told = document(models[0], found, ranked, by, folder, asked)
    if folder is not None:
        write_file(folder / run_folder.SWEEP, json_text(told).encode())
    if args.json:
        write_json(told)
    else:
        write("\n" + table(found, ranked, by))
        for line in (*_notes(models[0], by), *([f"kept in {printable(str(folder))}/<run>"] if folder is not None else [])):
            write(line)
    if stopped:
        count = sum(o.status not in (NOT_BEGUN, *STOPPED) for o in ended)
        warn(
            f"stopped by {name_of(stopped)}: {count} of {len(runs)} runs had ended"
            + (f"\nto go on:  mlpc sweep --resume {printable(str(folder))}" if folder else "")
        )
        return 128 + stopped
    statuses = [o.status for o in ended]
    return IO if IO in statuses else DONE if DONE in statuses else abs(statuses[0])


def sorted_by(asked: str | None, models: Sequence[Model]) -> Column:
    """What --by asks for; else what `keep` watches, else val.loss, else train.loss: never by itself a number of the test split.

    MlpcError E0302 for a column that there is not, or of which nobody can tell what is better.
    """
    model = models[0]
    there = run_folder.history_columns(model.compilation.evaluation, dict(model.dataset.schema.rows))[2:]
    better = directions(model)
    if asked is None:
        keep = model.settings.keep
        if keep is not None and keep.split != "test":
            return Column(f"{keep.split}.{keep.name}", keep.larger, "what `keep` watches")
        return Column("val.loss", False, "") if "val.loss" in there else Column("train.loss", False, "there are no val rows")
    name, _, way = (part.strip() for part in asked.partition(","))
    if name not in there:
        raise fault("E0302", None, f"`--by {name}`: a run has no such number", did_you_mean(name, there))
    known = better[name.partition(".")[2]]
    if way not in ("", "max", "min") or (not way and known is None):
        found = f"and this is `{way}`" if way else "and of this one nothing says which"
        raise fault("E0302", None, f"`--by {asked}`: the best is the `max` or the `min`, {found}", f"--by {name},max, or --by {name},min")
    return Column(name, way == "max" if way else known == "larger", "")


def heading(found: Grid, runs: Sequence[Combination], models: Sequence[Model], by: Column, jobs: int, folds: int | None) -> str:
    """What is swept, how many runs that is, and what will be looked at."""
    drawn = f", drawn from {found.size:,}" if len(runs) < found.size else ""
    each = f", each of {folds} folds" if folds else ""
    at_once = f"{jobs} at a time" if jobs > 1 else "one after the other"
    lines = [f"{printable(models[0].plan.title)}   {len(runs)} combinations{drawn}{each} · {at_once}"]
    lines += [f"   {short(key)} = {', '.join(values)}" for key, values in found.axes]
    why = f": {by.why}" if by.why else ""
    lines.append(f"   the best by {by.name}, the {'larger' if by.larger else 'smaller'} the better{why}")
    return "\n".join(printable(line) for line in lines)


def document(
    model: Model, found: Grid, ranked: Sequence[Outcome], by: Column, folder: Path | None, asked: Mapping[str, Any]
) -> dict[str, Any]:
    """The sweep for scripts, the best first. The numbers of the test split are in it only if --by names one."""
    return {
        "title": model.plan.title,
        "out": str(folder) if folder is not None else None,
        "by": by.name,
        "better": "larger" if by.larger else "smaller",
        "grid": {key: list(values) for key, values in found.axes},
        "asked": asked,
        "runs": [
            {
                "run": o.run.number,
                "set": dict(o.run.values),
                "status": None if o.status == NOT_BEGUN else o.status,
                "reason": o.reason or None,
                "scores": {name: value for name, value in o.scores.items() if _shown(name, by)},
                **({"sd": {n: v for n, v in o.document["sd"].items() if _shown(n, by)}} if o.status == DONE and "sd" in o.document else {}),
                **{
                    name: o.document.get(name)
                    for name in ("out", "epochs", "kept_epoch", "stopped", "seconds", "threads", "weights_sha256")
                },
            }
            for o in ranked
        ],
        "environment": environment(),
    }


def table(found: Grid, ranked: Sequence[Outcome], by: Column) -> str:
    """A run a line, the best first, and why where one has no numbers."""
    swept = found.swept
    scores = next((list(o.scores) for o in ranked if o.scores), [])
    spread = any(o.status == DONE and "sd" in o.document for o in ranked)
    names = [by.name, *(name for name in scores if name != by.name and _shown(name, by))]
    head = ["run", *map(short, swept), by.name, *(["± sd"] if spread else []), *names[1:]]
    rows = [head]
    for o in ranked:
        values = dict(o.run.values)
        cells = [str(o.run.number), *(values[key] for key in swept)]
        if o.status == DONE:
            numbers_ = [number(o.scores[name]) for name in names]
            sd = [number(o.document["sd"][by.name])] if spread else []
            rows.append([*cells, numbers_[0], *sd, *numbers_[1:]])
        else:
            rows.append([*cells, o.reason])
    rows = [[printable(cell) for cell in cells] for cells in rows]
    fixed = 1 + len(swept)
    whole = [cells for cells in rows if len(cells) == len(head)]
    widths = [max(len(cells[i]) for cells in (rows if i < fixed else whole)) for i in range(len(head))]
    lines: list[str] = []
    for cells in rows:
        reason = len(cells) < len(head)
        shown = [c.rjust(w) for c, w in zip(cells[:fixed], widths, strict=False)]
        rest = cells[fixed:] if reason else [c.rjust(max(w, 10)) for c, w in zip(cells[fixed:], widths[fixed:], strict=True)]
        lines.append("  ".join([*shown, *rest]).rstrip())
    return "\n".join(lines)


def _progress(outcome: Outcome, count: int, of: int, by: Column) -> None:
    """A line on stderr as a run ends, in whatever order they do."""
    said = f"{by.name} {number(outcome.scores[by.name])}" if outcome.status == DONE else outcome.reason
    warn(f"{count}/{of}  run {outcome.run.number}: {printable(said)}")


def _rank(o: Outcome, by: Column) -> tuple[int, float, int]:
    """The best first, then what is not a number, then what has none; of equals the earlier in the grid."""
    value = o.scores.get(by.name)
    if value is None:
        return 2, 0.0, o.run.number
    return (1, 0.0, o.run.number) if math.isnan(value) else (0, -value if by.larger else value, o.run.number)


def _shown(name: str, by: Column) -> bool:
    """What is looked at by many runs is chosen by: so the test split stays out, but for what --by names."""
    return not name.startswith("test.") or name == by.name


def _notes(model: Model, by: Column) -> Iterator[str]:
    rows = dict(model.dataset.schema.rows)
    if by.name.startswith("test."):
        yield "chosen by the test split: its numbers no longer say how the best of these does on new rows"
    elif rows.get("test"):
        yield "the test split is not shown: what is chosen by it is no longer measured by it; it is in the run's folder"
    if by.name.startswith("train.") and "val" not in rows:
        yield "without val rows nothing says which generalises: split = random(train = 0.7, val = 0.15, test = 0.15), or --folds 5"


def _jobs(runs: Sequence[Combination], most: str) -> int:
    """As many as the cores have threads for, and the memory room."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    room = memory.parse_size(most) // max(1, *(run.bytes for run in runs))
    return max(1, min(cores // max(run.threads for run in runs), room))


def _stamps(file: str, model: Model) -> dict[str, object]:
    """Of each file that the runs read, the model's, its imports and the data: what changes when it is written to."""
    paths = [Path(f.source.path) for f in files_of(model.program) if f.source.path]
    paths += [Path(file).parent / model.dataset.origin] if model.dataset.origin else []
    return {str(p): stamp(p) for p in paths}


def _changed(before: Mapping[str, object], now: Mapping[str, object]) -> str:
    """The first file that is another than before, or ""."""
    return next((path for path, stamp in before.items() if now[path] != stamp), "")
