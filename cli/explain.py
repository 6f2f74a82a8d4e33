"""`mlpc explain`: the pages of a word, or all words that have one."""

from __future__ import annotations

import argparse
import textwrap

from ..dsl.diagnostics import TITLES
from ..pages.defined import Defined, defined
from ..pages.words import groups, pages
from .load import write, write_json

WIDTH = 100


def command(args: argparse.Namespace) -> int:
    """Prints what is known of a word, or without one what there are pages of. MlpcError E0201 for one that means nothing."""
    of = defined(args.file, args.data_root) if args.file is not None else None
    if args.list or not args.word:
        if args.json:
            write_json({**groups(of), "titles": TITLES})
        else:
            write(contents(of))
        return 0
    found = pages(" ".join(args.word), of)
    if args.json:
        write_json({"word": " ".join(args.word), "pages": [{"page_kind": p.kind, **p.document} for p in found]})
    else:
        write("\n\n".join(p.text for p in found))
    return 0


def contents(of: Defined | None = None) -> str:
    """Every word that has a page, in groups."""
    parts: list[str] = []
    for kind, group in groups(of).items():
        rows = [kind]
        for origin, names in group.items():
            if kind == "codes":
                rows += [f"  {code}  {TITLES[code]}" for code in names]
            else:
                lead = f"  {origin}: " if origin else "  "
                rows += textwrap.wrap(" · ".join(n.replace(" ", "\0") for n in names), WIDTH, initial_indent=lead, subsequent_indent="    ")
        parts.append("\n".join(rows).replace("\0", " "))
    return "\n\n".join([*parts, "mlpc explain WORD prints its page"])
