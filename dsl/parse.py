"""Text to syntax: `parse` a whole file, `load_file` from disk, `parse_expression` for a setting of the command line."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import cast

from lark import Lark

from .build import SOURCE, Builder, Item
from .lexing import Newlines, read_source
from .syntax import Arg, Assign, Definition, Expr, Import, Program, Section, Source


def parse(text: str | bytes, name: str, path: Path | None = None) -> Program:
    """The program that `text` writes down; MlpcError with every fault found. `name` is what diagnoses call it."""
    source = read_source(text, name, path)
    return _program(source, cast(tuple[Item, ...], _run(source, "program")))


def load_file(path: Path) -> Program:
    """The program in a file; MlpcError if it cannot be read or has faults."""
    return parse(path.read_bytes(), path.name, path)


def parse_expression(text: str, name: str = "--set") -> Expr:
    """One expression, as on the right of `=`; MlpcError with every fault found."""
    return cast(Expr, _run(read_source(text, name), "setting"))


@cache
def parser() -> Lark:
    """The one parser of the process."""
    grammar = (Path(__file__).parent / "grammar.lark").read_text(encoding="utf-8")
    return Lark(
        grammar, start=["program", "setting"], parser="lalr", lexer="contextual", postlex=Newlines(), transformer=Builder()
    )


def _run(source: Source, start: str) -> object:
    token = SOURCE.set(source)
    try:
        return parser().parse(source.text + "\n", start=start)
    finally:
        SOURCE.reset(token)


def _program(source: Source, items: tuple[Item, ...]) -> Program:
    sections = {i.keyword.id: i for i in items if isinstance(i, Section)}
    loss = [i for i in items if isinstance(i, Assign)]
    reports = [i for i in items if isinstance(i, tuple)]
    return Program(
        source,
        tuple(i for i in items if isinstance(i, Import)),
        tuple(i for i in items if isinstance(i, Definition)),
        sections.get("data"),
        sections.get("model"),
        loss[0] if loss else None,
        sections.get("train"),
        tuple(arg for report in reports for arg in report if isinstance(arg, Arg)),
    )
