"""The pages of what derives a line, besides the rewrites and the derivatives of the operations: the words of `mlpc plan --why`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

from . import gallery
from .page import Page

FOLDER = files("mlpc.pages") / "derivations"
MET: dict[str, Callable[[], gallery.Found]] = {  # where, if no step of a derivation is called so
    "broadcast over batch": lambda: gallery.said_to_be("broadcast over batch"),
    "shared": lambda: gallery.said_to_be("shared"),
    "several readers": gallery.with_several_readers,
    "swap": gallery.turned_round,
    "bypassed": gallery.passed_by,
}


def names() -> list[str]:
    """What there is a page of: a file of the folder each."""
    return sorted(p.name.removesuffix(".md").replace("-", " ") for p in FOLDER.iterdir() if p.name.endswith(".md"))


def text_of(name: str) -> str:
    """The page as written: Markdown, with its example."""
    return (FOLDER / f"{name.replace(' ', '-')}.md").read_text("utf-8")


def page(name: str) -> Page:
    """The page of a word, and the lines of the gallery of which it is true."""
    text = text_of(name).rstrip("\n")
    found = MET.get(name, lambda: gallery.derived_by(name))()
    document = {"name": name, "page": text, "gallery": gallery.document(found)}
    return Page("derivation", document, f"{text}\n\n{gallery.section(found, 'It is met in no line of the gallery.')}")
