"""A page before it is plain or coloured: rows of parts, each with the role that gives it its colour on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from ...dsl.diagnostics import printable

if TYPE_CHECKING:
    from IPython.lib.pretty import RepresentationPrinter

WIDTH = 100


class Part(Struct, frozen=True):
    """A piece of a row. `role`: heading | id | target | kept | aside, or none for plain text."""

    text: str
    role: str = ""


Row = tuple[Part, ...]


class Shown:
    """A value that is shown as a page: printed, in a notebook, in a shell of IPython."""

    __slots__ = ()

    def page(self) -> Sequence[Row]:
        """The rows of its page."""
        raise NotImplementedError

    def __str__(self) -> str:
        return plain(self.page())

    def __repr__(self) -> str:
        first = next(iter(plain(self.page()).split("\n")), "")
        return f"<{type(self).__name__}: {' '.join(first.split())}>"

    def _repr_html_(self) -> str:
        from .html import rows_html

        return rows_html(self.page())

    def _repr_pretty_(self, printer: RepresentationPrinter, cycle: bool) -> None:
        printer.text(str(self))


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
