"""`mlpc check`: is every gradient right?"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
from pathlib import Path
from typing import Any

from .. import __version__
from ..compiler import shapes
from ..dsl.diagnostics import printable
from ..dsl.syntax import From, Program
from ..model import Model
from ..runtime.gradcheck import RIGHT, UNKNOWN, WRONG, Report, Verdict
from ..runtime.run_folder import SOURCE, put_source
from .load import model_of, overrides_of, write, write_json
from .main import BUG, FAULT, OK

LARGEST = 100 * 10**6  # bytes of a table that is copied beside a model


def command(args: argparse.Namespace) -> int:
    """Status 0 if all gradients that could be judged are right, 70 if one is wrong; with --strict 1 if one could not be judged or there is a warning."""
    model = model_of(args)
    report = model.check(max_memory=args.max_memory)
    wrong, unknown = report.having(WRONG), report.having(UNKNOWN)
    written = reproducer(model, report, args) if wrong else None
    if args.json:
        write_json(document(model, report, written))
    else:
        write(page(model, report))
        if written is not None:
            write(f"\nthis is a bug in mlpc: please report it with {written}")
    return BUG if wrong else FAULT if args.strict and (unknown or model.warnings) else OK


def document(model: Model, report: Report, written: Path | None) -> dict[str, Any]:
    """Every param's verdict with its numbers."""
    params = [
        {
            "name": v.name, "shape": list(v.shape), "verdict": v.verdict, "why": v.why, "gradient": v.gradient,
            "measured": list(v.measured), "h": list(v.h), "difference": list(v.differences),
        }
        for v in report.params
    ]  # fmt: skip
    line = {"id": report.line.id, "target": report.line.target, "text": report.line.text, "why": report.why} if report.line else None
    return {
        "title": model.plan.title, "rows": report.rows, "seed": report.seed, "params": params, "right": len(report.having(RIGHT)),
        "wrong": len(report.having(WRONG)), "not_judged": len(report.having(UNKNOWN)), "line": line,
        "reproducer": str(written) if written else None,
    }  # fmt: skip


def page(model: Model, report: Report) -> str:
    """A row a param, and what it comes to."""
    rows = [("param", "shape", "gradient", "|difference|", "at smaller step", "verdict")]
    rows += [(v.name, shapes.show(v.shape), *_numbers(v), v.verdict + (f": {v.why}" if v.why else "")) for v in report.params]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    lines = [
        f"{printable(model.plan.title)}   slopes of the loss along random directions, {report.rows} rows, float64, seed {report.seed}", ""
    ]  # fmt: skip
    for row in rows:
        left = (row[i].ljust(widths[i]) if i < 2 else row[i].rjust(widths[i]) for i in range(5))
        lines.append("  ".join([*left, row[5]]).rstrip())
    lines += ["", summary(report)]
    if report.line is not None:
        lines.append(f"the first wrong line is {report.line.id}  {report.line.target} = {report.line.text}\n   {report.why}")
    return "\n".join(lines)


def summary(report: Report) -> str:
    """How many are right, wrong, and not judged, by name where it matters."""
    parts = [f"{len(report.having(RIGHT))} right"]
    for verdict in (WRONG, UNKNOWN):
        names = report.having(verdict)
        parts.append(f"{len(names)} {verdict}" + (f": {' '.join(names)}" if names else ""))
    return " · ".join(parts)


def _numbers(v: Verdict) -> tuple[str, str, str]:
    coarse, fine = ("-" if d != d else f"{d:.1e} (h {h:.0e})" for d, h in zip(v.differences, v.h, strict=True))
    return f"{v.gradient:.6g}", coarse, fine


def reproducer(model: Model, report: Report, args: argparse.Namespace) -> Path:
    """The model's place in a new folder, which shows the wrong gradient again by itself: its imports and its table lie with it.

    Above the model stand the line, the seed and the command. OSError.
    """
    program, source = model.program, model.program.source
    folder = _new_folder("mlpc-check-" + re.sub(r"[^A-Za-z0-9_-]", "_", Path(source.name).stem)[:60])
    named = [s.path.text for s in (program.data.body if program.data else ()) if isinstance(s, From)]
    near = [name for name in named if not os.path.isabs(name) and _size(program, name) <= LARGEST]
    place = put_source(folder, program, near)
    beside = folder / SOURCE
    options = [word for text in overrides_of(args) for word in ("--set", text)]
    options += ["--data-root", "."] if place.parent != beside else []
    line = f"{report.line.id}  {report.line.target} = {report.line.text}: {report.why}" if report.line else "no line was found"
    told = [
        f"mlpc {__version__} check: the gradient of {' '.join(report.having(WRONG))} is wrong",
        f"line: {line}",
        f"seed: {report.seed}, rows: {report.rows}, file: {source.path.resolve() if source.path else source.name}",
        f"in {beside}: {shlex.join(['mlpc', 'check', str(place.relative_to(beside)), *options])}",
        *(f"not copied: {name}, {'an absolute path' if os.path.isabs(name) else 'too large'}" for name in named if name not in near),
    ]
    text = "".join(f"# {printable(t)}\n" for t in told) + source.text
    place.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
    return place


def _new_folder(stem: str) -> Path:
    """A folder of that name in the current one, or with the first number that is free."""
    for number in itertools.count(1):
        path = Path(stem if number == 1 else f"{stem}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise AssertionError("itertools.count has no end")


def _size(program: Program, name: str) -> int:
    return os.path.getsize((program.source.path.parent if program.source.path else Path()) / name)
