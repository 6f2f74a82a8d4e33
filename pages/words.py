"""The words that have a page, and their pages."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.resources import files

from ..compiler.library import standard
from ..compiler.ops import TABLE
from ..compiler.vocabulary import BUILTINS
from ..dsl.diagnostics import TITLES, Diagnostic, MlpcError, did_you_mean, printable
from . import derivation, functions, operations, rewrites
from .defined import Defined
from .page import Page

CODES = files("mlpc.dsl") / "pages"


def code_text(code: str) -> str:
    """What a code means: what, why, a bad example and the good one, as Markdown."""
    return (CODES / f"{code}.md").read_text("utf-8")


def code_page(code: str) -> Page:
    """The page of a code."""
    return Page("code", {"code": code, "title": TITLES[code], "page": code_text(code)}, code_text(code).rstrip("\n"))


def groups(of: Defined | None = None) -> dict[str, dict[str, list[str]]]:
    """Every word that has a page: by kind of page, then by where it comes from. `of` a file: its definitions too, and what it imports."""
    std: dict[str, list[str]] = {}
    for name, function in (*(of.functions if of is not None else {}).items(), *standard().items()):
        std.setdefault(function.definition.span.source.name, []).append(name)
    return {
        "codes": {"errors": [c for c in TITLES if c.startswith("E")], "warnings": [c for c in TITLES if c.startswith("W")]},
        "functions": {**std, "the language": list(BUILTINS)},
        "rewrites": {word: [n for n in rewrites.STATEMENTS if rewrites.licence(n) == word] for word in rewrites.LICENCES},
        "derivation": {"": derivation.names()},
        "operations": {"": list(TABLE)},
    }


MAKERS: tuple[tuple[str, Callable[[str], Page]], ...] = (
    ("codes", code_page), ("functions", functions.page), ("rewrites", rewrites.page), ("derivation", derivation.page), ("operations", operations.page),
)  # fmt: skip


def pages(asked: str, of: Defined | None = None) -> list[Page]:
    """All pages that a word has, as a plan or a message writes it; those `of` a file's definitions first. MlpcError E0201 for one without."""
    known = {kind: [n for some in group.values() for n in some] for kind, group in groups().items()}
    own = list(of.functions) if of is not None else []
    spaced = re.sub(r"[-_\s]+", " ", asked.strip()).lower()
    meant = {asked.strip(), asked.strip().upper(), spaced, *operations.SYMBOLS.get(asked.strip(), ())}  # asked for membership only
    found = [functions.page(name, of) for name in own if name in meant]
    found += [make(name) for kind, make in MAKERS for name in known[kind] if name in meant]
    if found:
        return found
    code = asked.upper()
    words = list(dict.fromkeys([*own, *(n for kind, names in known.items() if kind != "codes" for n in names)]))
    hint = did_you_mean(code, TITLES) if re.fullmatch(r"[EW]\d+", code) else did_you_mean(asked, words) or did_you_mean(spaced, words)
    where = "std" if of is None else "std or the file"
    message = f"`{printable(asked)}` is no code, no function of {where}, no rewrite, no operation and no word of a derivation"
    name = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,40}", asked.strip())
    if name is not None and of is None and not re.fullmatch(r"[EW]\d+", code):
        hint = f"{hint} a name of a file has a page with  mlpc explain {name[0]} --in FILE".lstrip()
    raise MlpcError(Diagnostic("E0201", None, message, hint or "mlpc explain lists every word that has a page"))
