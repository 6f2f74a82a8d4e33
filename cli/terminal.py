"""Pages on a terminal, in a few colours. Piped, or under NO_COLOR, the same page as plain text.

Colour adds escapes and not one character else: no markup is read, nothing is wrapped or cut.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable

from ..compiler.render.page import WIDTH, Row, plain
from .load import write

STYLES = {
    "heading": "bold", "id": "dim", "target": "bold", "kept": "green", "aside": "dim", "wrong": "bold red",
    "removed": "red", "added": "green", "changed": "yellow", "removed word": "bold red", "added word": "bold green",
}  # fmt: skip
NARROWEST = 72


def show(rows: Iterable[Row]) -> None:
    """Writes the rows to stdout, coloured where it is a terminal (or FORCE_COLOR or CLICOLOR_FORCE says so) and none forbids it."""
    write(coloured(rows) if in_colour() else plain(rows))


def in_colour() -> bool:
    """Whether stdout takes colours: FORCE_COLOR is heeded as rich does, CLICOLOR_FORCE too, and NO_COLOR above both."""
    said = os.environ
    if said.get("NO_COLOR"):
        return False
    if "FORCE_COLOR" in said:
        return said["FORCE_COLOR"] != ""
    return said.get("CLICOLOR_FORCE", "0") not in {"", "0"} or (_terminal() and said.get("TERM", "").lower() not in {"dumb", "unknown"})


def page_width() -> int:
    """Columns that a page may take: those of the terminal, between 72 and 100; 100 where there is none."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 1)).columns)) if _terminal() else WIDTH


def room() -> int | None:
    """Columns of the terminal; None where there is none, and a table may be as wide as it is."""
    return max(NARROWEST, shutil.get_terminal_size((WIDTH, 1)).columns) if _terminal() else None


def coloured(rows: Iterable[Row]) -> str:
    """The rows with escapes, as many as the terminal understands."""
    from rich.console import Console  # it takes longer to import than a page to print
    from rich.text import Text

    console = Console(force_terminal=True, highlight=False, markup=False, emoji=False)
    page = Text("\n").join(Text.assemble(*((part.text, STYLES.get(part.role, "")) for part in row)) for row in rows)
    with console.capture() as captured:
        console.print(page, soft_wrap=True, end="")
    return captured.get()


def _terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()  # pyright: ignore[reportUnnecessaryComparison]  it is None where it was closed
