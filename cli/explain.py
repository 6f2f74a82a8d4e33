"""`mlpc explain`: the page of a code."""

from __future__ import annotations

import argparse
from importlib.resources import files

from ..dsl.diagnostics import TITLES, Diagnostic, MlpcError, did_you_mean, printable
from .load import write, write_json

PAGES = files("mlpc.dsl") / "pages"


def command(args: argparse.Namespace) -> int:
    """Prints what is known of a word. MlpcError E0201 for one that means nothing."""
    word: str = args.word
    if word.upper() in TITLES:
        code = word.upper()
        if args.json:
            write_json({"code": code, "title": TITLES[code], "page": page(code)})
        else:
            write(page(code).rstrip("\n"))
        return 0
    raise MlpcError(Diagnostic("E0201", None, f"`{printable(word)}` is no code", did_you_mean(word.upper(), TITLES)))


def page(code: str) -> str:
    """What a code means: what, why, a bad example and the good one, as Markdown."""
    return (PAGES / f"{code}.md").read_text("utf-8")
