"""The pages of what derives a line, besides the rewrites and the derivatives of the operations: the words of `mlpc plan --why`."""

from __future__ import annotations

from importlib.resources import files

from . import gallery
from .page import Page

FOLDER = files("mlpc.pages") / "derivations"
SAID = {"broadcast over batch", "shared"}  # what a line of a plan says of itself


def names() -> list[str]:
    """What there is a page of: a file of the folder each."""
    return sorted(p.name.removesuffix(".md").replace("-", " ") for p in FOLDER.iterdir() if p.name.endswith(".md"))


def text_of(name: str) -> str:
    """The page as written: Markdown, with its example."""
    return (FOLDER / f"{name.replace(' ', '-')}.md").read_text("utf-8")


def page(name: str) -> Page:
    """The page of a word, and the lines that say it of themselves."""
    text = text_of(name).rstrip("\n")
    if name not in SAID:
        return Page("derivation", {"name": name, "page": text}, text)
    found = gallery.said_to_be(name)
    document = {"name": name, "page": text, "gallery": gallery.document(found)}
    return Page("derivation", document, f"{text}\n\n{gallery.section(found, 'No line of the gallery says so.')}")
