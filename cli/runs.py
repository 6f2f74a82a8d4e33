"""`mlpc runs`: the runs in a folder as a table, or what separates two."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..compiler.render.page import Part, Row, columns, row
from ..dsl.diagnostics import MlpcError, did_you_mean, fault, printable, render
from ..loading import load_run
from ..runtime.record import Record, is_run, record, records
from ..runtime.run_folder import PARENT, WEIGHTS
from .load import warn, write_json
from .results import number
from .terminal import room, show

FACTS = ("run", "model", "begun", "epochs", "best", "time")


def command(args: argparse.Namespace) -> int:
    """Prints them. Status 0; 1 where there is no such folder or column; those that are damaged are told on stderr."""
    paths = [Path(path) for path in args.paths] or [PARENT]
    if len(paths) == 2 and all(map(is_run, paths)):
        if args.by is not None or args.reverse:
            raise fault("E0505", None, "two runs are compared, and --by and --reverse order a list", "mlpc runs --by test.loss")
        return compare(record(paths[0]), record(paths[1]), args.json)
    found: list[Record] = []
    for path in paths:
        if not path.is_dir():
            hint = "mlpc run FILE  keeps each run in runs/" if path == PARENT else "name a folder of runs, or a run"
            raise fault("E0505", None, f"there is no folder {path}", hint)
        read, faults = records(path)
        found += read
        for error in faults:
            warn("\n".join(map(render, error.diagnostics)))
    found = ordered(found, args.by, args.reverse)
    if args.json:
        write_json({"runs": [document(r) for r in found]})
    elif found:
        show(table(found, args.by))
    else:
        show([row(f"no runs in {', '.join(map(str, paths))}:  mlpc run FILE  makes one")])
    return 0


def ordered(found: Sequence[Record], by: str | None, reverse: bool) -> list[Record]:
    """The oldest first, or the best by a column: where nothing says what is better, the smallest. What has none comes last."""
    if by is None:
        return sorted(found, key=lambda r: r.begun, reverse=reverse)
    known = [*FACTS, *dict.fromkeys(name for r in found for name in r.scores)]
    if found and by not in known:
        raise fault("E0201", None, f"no run has a column `{by}`", did_you_mean(by, known))
    if by in {"run", "model", "begun"}:
        return sorted(found, key=lambda r: facts(r)[by], reverse=reverse)
    item = by.partition(".")[2]
    larger = next((word for r in found if (word := r.better.get(item))), None) == "larger"
    upward = larger == reverse

    def place(r: Record) -> tuple[bool, float]:
        value = {"epochs": r.epochs, "best": r.kept_epoch or None, "time": r.seconds.get("train"), **r.scores}.get(by)
        return (True, 0.0) if value is None or math.isnan(value) else (False, value if upward else -value)

    return sorted(found, key=place)


def facts(r: Record) -> dict[str, str]:
    """The columns that are no scores."""
    return {
        "run": str(r.path),
        "model": r.title,
        "begun": r.begun.replace("T", " ").removesuffix("+00:00"),
        "epochs": f"{r.epochs}/{r.planned}",
        "best": "not ended" if not r.ended else "not finite" if r.stopped == "not_finite" else str(r.kept_epoch),
        "time": f"{r.seconds['train']:.2f} s" if "train" in r.seconds else "",
    }


def table(found: Sequence[Record], by: str | None = None) -> list[Row]:
    """A row a run, a column a score; on a terminal only as many as find room, those of train going first."""
    scores = list(dict.fromkeys(name for r in found for name in r.scores))
    if by in scores:
        scores = [by, *(name for name in scores if name != by)]
    first, last = FACTS[:-1], FACTS[-1:]
    left: list[str] = []
    most = room() or math.inf
    while True:
        heads = [*first, *scores, *last]
        told = [facts(r) | {name: number(value) for name, value in r.scores.items()} for r in found]
        cells = [heads, *([t.get(h, "") for h in heads] for t in told)]
        made = columns(aligned(cells, text=3), ["target", *["aside"] * 2, *[""] * (len(heads) - 3)])
        if not scores or max(sum(len(p.text) for p in r) for r in made) <= most:
            break
        dropped = next((name for name in reversed(scores) if name.startswith("train.") and name != by), scores[-1])
        scores.remove(dropped)
        left.insert(0, dropped)
    head = row(*(Part(part.text, "heading") for part in made[0]))
    return [head, *made[1:], *([row(Part(f" beside these: {', '.join(left)} (--json has all)", "aside"))] if left else [])]


def aligned(cells: Sequence[Sequence[str]], text: int) -> list[list[str]]:
    """Cells as wide as their column, the first `text` columns to the left and the others to the right."""
    shown = [[printable(cell) for cell in line] for line in cells]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [[c.ljust(w) if i < text else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))] for line in shown]


def document(r: Record) -> dict[str, Any]:
    """A run for scripts: without its history."""
    return {
        "run": str(r.path), "model": r.title, "begun": r.begun, "ended": r.ended, "stopped": r.stopped or None, "epochs": r.epochs,
        "planned": r.planned, "steps": r.steps, "kept_epoch": r.kept_epoch or None, "parameters": r.parameters, "rows": r.rows,
        "loss": r.losses, "metrics": r.metrics, "seconds": r.seconds, "weights_sha256": r.weights_sha256 or None,
        "settings": {name: value for name, value, _ in r.settings},
    }  # fmt: skip


def compare(a: Record, b: Record, as_json: bool) -> int:
    """Prints the settings that differ, the scores beside each other, and whether there is more that separates the plans. Status 0."""
    ours, theirs = ({name: value for name, value, _ in r.settings} for r in (a, b))
    differ = [(n, ours.get(n), theirs.get(n)) for n in dict.fromkeys((*ours, *theirs)) if ours.get(n) != theirs.get(n)]
    plans = separated(a, b)
    if as_json:
        settings = [{"name": name, "values": [x, y]} for name, x, y in differ]
        write_json({"runs": [document(a), document(b)], "settings": settings, "plans": plans})
        return 0
    same = [row("the weights are the same, to the last bit")] if a.weights_sha256 and a.weights_sha256 == b.weights_sha256 else []
    blocks = (_named(a, b), _settings(differ), _scores(a, b), [row(plans), *same])
    show([r for block in blocks for r in ([row()] if block[0] else []) + block][1:])
    return 0


def separated(a: Record, b: Record) -> str:
    """What `mlpc diff` would say of the two, counted."""
    if not all((r.path / WEIGHTS).exists() for r in (a, b)):
        return "whether the plans differ is not known: one of the trainings has not ended"
    try:
        found = load_run(a.path).model.diff(load_run(b.path).model)
    except MlpcError as error:
        return f"whether the plans differ is not known: {error.diagnostics[0].message}"
    said = [s for s in found.sayings if s.section != "train"]
    parts = ((found.lines, "line"), (found.tensors, "tensor"), (found.renames, "name"), (said, "statement"))
    told = [f"{len(x)} {word}{'s' * (len(x) != 1)}" for x, word in parts if x]
    shown = f"mlpc diff {printable(str(a.path))} {printable(str(b.path))}"
    return f"the plans differ in {', '.join(told)}:  {shown}" if told else "the plans are the same"


def _named(a: Record, b: Record) -> list[Row]:
    cells = [[letter, f["run"], f["model"], f"begun {f['begun']}", f"{f['epochs']} epochs" + ("" if r.ended else ", not ended")]
             for letter, r, f in (("A", a, facts(a)), ("B", b, facts(b)))]  # fmt: skip
    return columns(aligned(cells, text=5), ["heading", "target", "", "aside", ""])


def _settings(differ: Sequence[tuple[str, str | None, str | None]]) -> list[Row]:
    if not differ:
        return [row("the settings are the same")]
    cells = [["settings", "A", "B"], *([name, x or "-", y or "-"] for name, x, y in differ)]
    return _headed(columns(aligned(cells, text=3), ["target", "", ""]))


def _scores(a: Record, b: Record) -> list[Row]:
    names = dict.fromkeys((*a.scores, *b.scores))
    cells = [["", "A", "B", "B - A"], *(list(_beside(name, a, b)) for name in names)]
    cells.append(["time", facts(a)["time"], facts(b)["time"], ""])
    return _headed(columns(aligned(cells, text=1), ["target", "", "", "aside"]))


def _beside(name: str, a: Record, b: Record) -> Iterator[str]:
    x, y = a.scores.get(name), b.scores.get(name)
    yield from (name, *("" if v is None else number(v) for v in (x, y)))
    yield "" if x is None or y is None else f"{'+' if y > x else ''}{number(y - x)}"


def _headed(rows: list[Row]) -> list[Row]:
    return [row(*(Part(part.text, "heading") for part in rows[0])), *rows[1:]]
