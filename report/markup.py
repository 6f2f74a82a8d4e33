"""HTML as values: what is a plain string is text, and is escaped wherever it is put; only what is made here is markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ..dsl.diagnostics import printable

VOID = {"meta", "br"}


class Markup(str):
    """A piece of HTML, as opposed to text."""

    __slots__ = ()


Content = str | Iterable[str]


def element(name: str, /, *content: Content, **attributes: str) -> Markup:
    """`<name attributes>content</name>`; a `_` at the end of an attribute's name falls away, others become `-`; one that is empty is left out."""
    told = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(_legible(value))}"' for key, value in attributes.items() if value)
    return Markup(f"<{name}{told}>") if name in VOID else Markup(f"<{name}{told}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Pieces and texts one after the other."""
    pieces = (piece for part in content for piece in ([part] if isinstance(part, str) else part))
    return Markup("".join(piece if isinstance(piece, Markup) else escape(_legible(piece)) for piece in pieces))


def table(caption: str, head: Iterable[Content], rows: Iterable[Iterable[Content]], kind: str = "") -> Markup:
    """A table whose first row and column are headings; each cell is text or markup, or a whole `td` of its own."""
    columns = element("tr", (element("th", cell, scope="col") for cell in head))
    body = (_row(row) for row in rows)
    made = element("table", element("caption", caption), element("thead", columns), element("tbody", body), class_=kind)
    return element("div", made, class_="wide", tabindex="0", role="region", aria_label=caption)


def _row(cells: Iterable[Content]) -> Markup:
    first, *others = cells
    ready = (cell if isinstance(cell, Markup) and cell.startswith("<td") else element("td", cell) for cell in others)
    return element("tr", element("th", first, scope="row"), ready)


def _legible(text: str) -> str:
    """Without a character that hides or turns others; lines stay."""
    return "\n".join(map(printable, text.split("\n")))
