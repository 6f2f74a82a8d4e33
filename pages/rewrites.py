"""The page of a rewrite: what it says and why it holds, as written; what its example would be without it, as computed."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

from ..compiler.simplify import KEEPS, LICENCE, NAMES, REASSOCIATES, STABILISES
from ..model import Model
from . import gallery
from .example import Lines, compiled_without, examples, load, only_in, shown, written
from .page import Page

FOLDER = files("mlpc.pages") / "rules"
STATEMENTS = {rule.__name__: re.sub(r"\s+", " ", rule.__doc__ or "") for rule in LICENCE}
LICENCES = {
    KEEPS: "every bit but the sign of a zero stays",
    REASSOCIATES: "the same in exact arithmetic; the last bits may differ",
    STABILISES: "right where the written form overflows or cancels",
}
MOST = 8  # numbers of a table


def text_of(name: str) -> str:
    """The page as written: Markdown, with its examples."""
    return (FOLDER / f"{name}.md").read_text("utf-8")


def page(name: str) -> Page:
    """The page of a rewrite."""
    text = text_of(name).rstrip("\n")
    told, mark, boundary = text.partition("\n\n## Not here")
    parts = [told]
    model = load(examples(text)[0].text)
    document: dict[str, Any] = {"name": name, "statement": STATEMENTS[name], "licence": licence(name), "page": text}
    other = compiled_without(model, name)
    changed, before = only_in(written(model.plan), written(other.plan)), only_in(written(other.plan), written(model.plan))
    document |= {"lines": _lines(changed), "without": _lines(before)}
    parts.append(f"## Without it\n\nThe lines of the example that would be others:\n\n```plan\n{shown(before)}\n```")
    target = next((t for t, _ in examples(text)[0].lines if t in dict(written(other.plan))), "")
    if numbers := side_by_side(model, other, target):
        document["numbers"] = {key: column.tolist() for key, column in numbers.items()}
        parts.append("```text\n" + table(numbers) + "\n```")
    parts += [f"{mark}{boundary}".strip()] if mark else []
    parts.append(f"## Licence\n\nIt {licence(name)}: {LICENCES[licence(name)]}.")
    found = gallery.changed_by(name)
    document["gallery"] = gallery.document(found)
    parts.append(gallery.section(found, "No line of a model of the gallery would be another without it."))
    return Page("rewrite", document, "\n\n".join(parts))


def licence(name: str) -> str:
    """What a rewrite does to the bits: keeps, reassociates or stabilises."""
    return NAMES[name]


def side_by_side(model: Model, other: Model, target: str) -> dict[str, Any]:
    """The numbers of one line with a rewrite and without it, and of the param that has its shape; {} if they are many."""
    with_it, without_it = model.trace(), other.trace()
    if target not in with_it or target not in without_it:
        return {}
    right, left = (
        next(iter(v.values())) if isinstance(v, dict) else v for v in (with_it[target], without_it[target])
    )  # of the first param
    if right.shape != left.shape or not 0 < right.size <= MOST:
        return {}
    beside = {p.name: with_it[p.name] for p in model.plan.params if with_it[p.name].shape == right.shape}
    found = {**beside, f"{target} without it": left, target: right}
    return {name: column.ravel() for name, column in found.items()}


def table(columns: dict[str, Any]) -> str:
    """Numbers below their names."""
    cells = [[name, *(f"{v:.10g}" for v in column.tolist())] for name, column in columns.items()]
    widths = [max(map(len, column)) for column in cells]
    return "\n".join("   ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in zip(*cells, strict=True))


def _lines(lines: Lines) -> list[dict[str, str]]:
    return [{"target": target, "text": text} for target, text in lines]
