"""The files that a program imports, read: a program becomes one that holds theirs."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.file import read_file
from ..dsl.syntax import Import, Program, Span
from .location import Words, located

NESTED = 50  # files that import one another; below any recursion limit of those who walk them


def linked(program: Program, folder: Path | None, data_root: Path | None = None) -> Program:
    """The program with what it imports, and what that imports, read. `folder` holds the model's file; None: it stays as it is.

    A path is relative to the file that names it, and leads beneath `folder` or `data_root`. What is wrong stays with its import.
    """
    if folder is None:
        return program
    around = () if program.source.path is None else (Path(os.path.realpath(program.source.path)),)
    return _linked(program, folder, around, _Shelf(folder, tuple(root for root in (folder, data_root) if root is not None)))


class _Shelf(Struct, frozen=True, eq=False):
    """The model's folder, where files may lie, and what those that were read came to."""

    folder: Path
    roots: tuple[Path, ...]
    read: dict[Path, tuple[Program | None, tuple[Diagnostic, ...]]] = {}

    def name(self, real: Path) -> str:
        """A file as diagnoses call it: by its path from the model's folder."""
        return Path(os.path.relpath(real, os.path.realpath(self.folder))).as_posix()


def _linked(program: Program, start: Path, around: tuple[Path, ...], shelf: _Shelf) -> Program:
    """The program with its imports read. `start`: where their paths begin. `around`: the files being read, the model's first."""
    seen: dict[Path, Span] = {}
    return replace(program, imports=tuple(_taken(i, start, around, shelf, seen) for i in program.imports))


def _taken(i: Import, start: Path, around: tuple[Path, ...], shelf: _Shelf, seen: dict[Path, Span]) -> Import:
    """The import with the program of its file, or with what is wrong with it."""
    importer = f"the folder of {i.span.source.name}" if start != shelf.folder else "the model's folder"
    try:
        real = located(i.path, start, shelf.roots, Words("E0109", "E0109", 'name a file of definitions: import "blocks.mlp"', importer))
        if real.suffix.lower() != ".mlp":
            raise fault(
                "E0109", i.path.span, f"`{i.path.text}` is no .mlp file", "`from` in `data` reads a table; `import` takes definitions"
            )
        if real in seen:
            raise fault(
                "E0109", i.path.span, f"`{i.path.text}` is imported on {seen[real].told_from(i.span)} already", "leave one of them out"
            )
        seen[real] = i.span
        if real in around:
            circle = [*(shelf.name(p) for p in around[around.index(real) :]), shelf.name(real)]
            told = " imports ".join(f"`{name}`" for name in circle) if len(circle) > 2 else f"`{circle[0]}` imports itself"
            raise fault("E0109", i.path.span, told, "imports do not go in a circle: put what both need into a third file")
        if len(around) > NESTED:
            raise fault("E0109", i.path.span, f"more than {NESTED} files import one another here", "import less deeply")
        if real not in shelf.read:
            shelf.read[real] = _read(i, real, around, shelf)
        program, faults = shelf.read[real]
        return replace(i, program=program, faults=faults)
    except MlpcError as error:
        return replace(i, faults=error.diagnostics)


def _read(i: Import, real: Path, around: tuple[Path, ...], shelf: _Shelf) -> tuple[Program | None, tuple[Diagnostic, ...]]:
    """What could be read of a file, its own imports too, and what is wrong with it."""
    try:
        from ..dsl.parse import read_program

        program, faults = read_program(read_file(real), shelf.name(real), real)
    except MlpcError as error:
        lost = [replace(d, code="E0109", span=i.path.span) if d.span is None else d for d in error.diagnostics]
        return None, tuple(lost)
    faults = [d for d in faults if d.code != "E0106"] + _foreign(i, program)
    if not faults and not program.definitions and not program.imports:
        faults = [
            Diagnostic("E0109", i.path.span, f"`{i.path.text}` defines nothing", "write a fn, block or update into it, or leave this out")
        ]
    return _linked(program, real.parent, (*around, real), shelf), tuple(faults)


def _foreign(i: Import, program: Program) -> list[Diagnostic]:
    """What is no definition in a file that is imported, told once, where it begins."""
    words = [s.keyword for s in (program.data, program.model, program.train) if s is not None]
    spans = {word.id: word.span for word in words}
    if program.loss is not None:
        spans["loss"] = program.loss.name.span
    if program.report:
        spans["report"] = program.report[0].span
    if not spans:
        return []
    *others, last = (f"`{word}`" for word in sorted(spans, key=lambda word: spans[word].start))
    told = f"{', '.join(others)} and {last} have" if others else f"{last} has"
    first = min(spans.values(), key=lambda span: span.start)
    message = f"{told} no place in a file that is imported: it holds definitions only\n({i.span.told_from(first)} imports it)"
    return [Diagnostic("E0109", first, message, "move its fn, block and update into a file of their own, and import that")]
