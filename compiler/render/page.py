"""A page before it is plain or coloured: rows of parts, each with the role that gives it its colour on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...dsl.diagnostics import printable

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a row. `role`: heading | id | target | kept | aside, or none for plain text."""

    text: str
    role: str = ""


Row = tuple[Part, ...]


def row(*parts: Part | str) -> Row:
    """Parts side by side without blanks at the end; what must not reach a terminal is spelled out."""
    made = [p if isinstance(p, Part) else Part(p) for p in parts]
    made = [Part(printable(p.text), p.role) for p in made if p.text]
    while made and made[-1].text.isspace():
        made.pop()
    return (*made[:-1], Part(made[-1].text.rstrip(), made[-1].role)) if made else ()


def plain(rows: Iterable[Row]) -> str:
    """The rows as text, one a line, without a newline at the end."""
    return "\n".join("".join(p.text for p in parts) for parts in rows)


def columns(table: Iterable[Sequence[str]], roles: Sequence[str]) -> list[Row]:
    """Cells in aligned columns, two blanks between; `roles` are those of the columns."""
    rows = [[printable(cell) for cell in cells] for cells in table]
    widths = [max(map(len, column)) + 2 for column in zip(*rows, strict=True)]
    return [row(" ", *(Part(c.ljust(w), r) for c, w, r in zip(cells, widths, roles, strict=True))) for cells in rows]


def folded(text: str, width: int) -> list[str]:
    """A sentence on lines of a width, broken at spaces."""
    lines: list[str] = []
    for word in printable(text).split():
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
