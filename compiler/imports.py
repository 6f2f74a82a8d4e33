"""What a program takes from other files, once they are read: each of them once, and what is wrong with taking it."""

from __future__ import annotations

from collections.abc import Iterator

from ..dsl.diagnostics import Diagnostic
from ..dsl.syntax import Program, Source


def files_of(program: Program) -> tuple[Program, ...]:
    """The program with all that it imports, each file once, a file after those that it imports."""
    found: dict[Source, Program] = {}
    _add(program, found)
    return tuple(found.values())


def import_faults(program: Program) -> Iterator[Diagnostic]:
    """All that is wrong with the imports of a program and with theirs. E0109 for one that nobody has tried to read."""
    told: set[Diagnostic] = set()
    for file in files_of(program):
        for i in file.imports:
            unread = Diagnostic(
                "E0109",
                i.path.span,
                f"this model has no folder, so it cannot import `{i.path.text}`",
                "write the definitions into the text, or load the model from a file",
            )
            found = i.faults if i.program is not None or i.faults else (unread,)
            yield from (d for d in found if d not in told)
            told.update(found)


def _add(program: Program, found: dict[Source, Program]) -> None:
    for i in program.imports:
        if i.program is not None and i.program.source not in found:
            _add(i.program, found)
    found[program.source] = program
