"""What a file says beside its lines, each statement on one line without its comments: two layouts of one file say the same."""

from __future__ import annotations

from collections.abc import Iterator

from ..dsl.layout import one_line
from ..dsl.syntax import Assign, Program
from .schema import Schema
from .settings import Settings, optimizer_text


def sayings(program: Program, settings: Settings, schema: Schema) -> Iterator[tuple[str, str, str]]:
    """(section, name, text) of data, what the schema knows of it, loss, report and every setting; the section is data, model or train."""
    for s in program.data.body if program.data else ():
        if isinstance(s, Assign):
            yield "data", s.name.id, one_line(s.value.span.text)
        else:
            yield "data", "from", one_line(s.span.text).removeprefix("from ")
    yield "data", "rows", ", ".join(f"{rows} {split}" for split, rows in schema.rows)
    for v in schema.values:
        if v.labels:
            yield "data", f"columns of {v.name}", ", ".join(v.labels)
        if v.classes:
            yield "data", f"classes of {v.name}", ", ".join(v.classes)
    if program.loss:
        yield "model", "loss", one_line(program.loss.value.span.text)
    if program.report:
        yield "model", "report", ", ".join(one_line(a.span.text) for a in program.report)
    for name, text, _ in settings.origins:
        if name not in {"optimizer", "epochs", "steps"}:
            yield "train", name, one_line(text)
    yield "train", "optimizer", optimizer_text(settings.optimizer)
    yield "train", "epochs", str(settings.epochs)
    yield "train", "steps", str(settings.steps)
