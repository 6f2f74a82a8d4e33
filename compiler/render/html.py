"""A page as HTML that stands by itself: the rows of the text, each part in a span of its role, nothing of the user's as markup."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from .page import Row

# No colour but what both a light and a dark notebook can show.
STYLES = {
    "heading": "font-weight:bold", "id": "opacity:.55", "target": "font-weight:bold", "kept": "color:#1a7f37", "aside": "opacity:.55",
    "removed": "color:#cf222e", "added": "color:#1a7f37", "changed": "color:#9a6700",
    "removed word": "color:#cf222e;font-weight:bold", "added word": "color:#1a7f37;font-weight:bold", "wrong": "color:#cf222e",
}  # fmt: skip
PRE = "white-space:pre;overflow-x:auto;line-height:1.35;background:none;padding:0"


def rows_html(rows: Iterable[Row]) -> str:
    """One `pre`; its text is that of the page, to the letter."""
    lines = ("".join(_part(part.text, part.role) for part in parts) for parts in rows)
    return f'<pre class="mlpc" style="{PRE}">{chr(10).join(lines)}</pre>'


def _part(text: str, role: str) -> str:
    shown = escape(text)
    return f'<span style="{STYLES[role]}">{shown}</span>' if role in STYLES else shown
