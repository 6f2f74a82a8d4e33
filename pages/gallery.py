"""Where a rewrite or an operation is met in the gallery: the models that come with mlpc, compiled when it is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path

from ..compiler.plan import Line
from ..dsl.diagnostics import MlpcError
from ..loading import load
from ..model import Model
from .example import compiled_without

SHOWN, WIDTH = 2, 100  # lines a model on a page; the document of --json has all
Found = dict[str, list[Line]]


@cache
def gallery() -> dict[str, Model]:
    """Every model of the gallery that can be loaded here (one may need a library of an extra), by the name of its file."""
    return dict(_loaded())


def _loaded() -> Iterator[tuple[str, Model]]:
    for path in sorted(Path(str(files("mlpc.models"))).glob("*.mlp")):
        try:
            yield path.name, load(path)
        except MlpcError as error:
            if error.diagnostics[0].code not in {"E0401", "E0504"}:
                raise


def changed_by(rule: str) -> Found:
    """The lines that would be others without the rewrite; of a model that does not compile without it, all."""
    found: Found = {}
    for name, model in gallery().items():
        try:
            others = {_unnumbered(line) for line in compiled_without(model, rule).plan.lines}  # asked for membership only
        except MlpcError:
            others = set()
        found[name] = [line for line in model.plan.lines if _unnumbered(line) not in others]
    return {name: lines for name, lines in found.items() if lines}


def _unnumbered(line: Line) -> str:
    """A line without the numbers of t1, t2, ..., which are others as soon as one comes or goes."""
    return re.sub(r"\bt[0-9]+\b", "t", f"{line.target} = {line.text}")


def computed_by(op: str) -> Found:
    """The lines that compute an operation."""
    found = {name: [line for line in model.plan.lines if any(s.op == op for s in line.steps)] for name, model in gallery().items()}
    return {name: lines for name, lines in found.items() if lines}


def said_to_be(reason: str) -> Found:
    """The gradient lines that say so of themselves, in the column `by`."""
    found = {name: [line for line in model.plan.gradient if reason in line.by] for name, model in gallery().items()}
    return {name: lines for name, lines in found.items() if lines}


def document(found: Found) -> dict[str, list[dict[str, str]]]:
    """The lines for --json, by model."""
    return {name: [{"id": line.id, "target": line.target, "text": line.text} for line in lines] for name, lines in found.items()}


def section(found: Found, nowhere: str) -> str:
    """The lines as a section of a page, a few of each model."""
    if not found:
        return f"## In the gallery\n\n{nowhere}"
    width = max(map(len, found))
    rows: list[str] = []
    for name, lines in found.items():
        for i, line in enumerate(lines[:SHOWN]):
            text = f"{name if i == 0 else '':<{width}}  {line.id:<4} {line.target} = {line.text}"
            rows.append(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")
        if len(lines) > SHOWN:
            rows.append(f"{'':<{width}}  and {len(lines) - SHOWN} more")
    return "## In the gallery\n\n```text\n" + "\n".join(rows) + "\n```"
