"""A derivation as a page and as a document: the line in a chain of equalities, below each the rewrite that makes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .. import shapes
from ..derivation import Derivation
from .breaking import broken, rows_of
from .json import FORMAT
from .page import WIDTH, Part, Row, folded, plain, row

MARGIN = 1


def derivation_text(found: Derivation) -> str:
    """The page without colours."""
    return plain(derivation_rows(found)) + "\n"


def derivation_rows(found: Derivation) -> Iterator[Row]:
    """The line, the lines whose gradients it gathers, and each step with its rule."""
    line = found.line
    whole = f"{line.id}  {line.target} = {line.text}   {shapes.show(line.shape)}"
    yield row(Part(whole if len(whole) <= WIDTH else f"{line.id}  {line.target}   {shapes.show(line.shape)}", "heading"))
    if found.said:
        yield from (row(Part(part, "aside")) for part in folded(found.said, WIDTH))
    if found.through:
        value = line.target[2:-1] if line.target.startswith("d(") else line.target[1:]
        yield row(f"{line.target} is ∂loss/∂{value}, and the loss feels {value} through")
        ids = max(len(x.id) for x in found.through)
        names = max(len(x.target) for x in found.through)
        for reader in found.through:
            yield from (row(*pieces) for pieces in rows_of(reader, ids, names, WIDTH))
    yield row("")
    start = len(line.target) + MARGIN
    hanging = start > WIDTH // 3  # a long name stands alone, and the chain below it
    if hanging:
        yield row(" " * MARGIN, Part(line.target, "target"))
        start = MARGIN + 2
    for number, step in enumerate(found.steps):
        first, *rest = broken(step.text, WIDTH - start - 3)
        target = Part(" " * start) if number or hanging else Part(f"{' ' * MARGIN}{line.target}", "target")
        yield row(target, f" = {first}")
        yield from (row(" " * (start + 3), part) for part in rest)
        facts = f"; {', '.join(step.facts)}" if step.facts else ""
        reason = f"{step.rule}: {step.statement}{facts}"
        yield from (row(Part(" " * (start + 7) + part, "aside")) for part in folded(reason, WIDTH - start - 7))


def derivation_document(found: Derivation) -> dict[str, Any]:
    """The steps of a line; each `text` is the line's right side, as executable as the last, which the plan has."""
    line = found.line
    return {
        "format": FORMAT, "id": line.id, "target": line.target, "text": line.text, "shape": list(line.shape), "said": found.said,
        "through": [x.id for x in found.through],
        "steps": [{"text": s.text, "rule": s.rule, "statement": s.statement, "facts": list(s.facts)} for s in found.steps],
    }  # fmt: skip
