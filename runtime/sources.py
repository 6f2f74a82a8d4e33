"""A program as the texts that it was read from, its imports among them, and back without a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ..compiler.imports import files_of
from ..dsl.syntax import Program


def texts(program: Program) -> list[dict[str, Any]]:
    """Every file once, a file after those that it imports, the model last: its name, its text, and for each import the file that it is.

    A name is the path from the model's folder, with `/` on every system.
    """
    files = files_of(program)
    place = {file.source: i for i, file in enumerate(files)}
    return [
        {
            "name": file.source.name,
            "text": file.source.text,
            "imports": [place[i.program.source] for i in file.imports if i.program is not None],
        }
        for file in files
    ]


def program_of(found: list[dict[str, Any]]) -> Program:
    """The program of these texts. Raises what `parse` does."""
    from ..dsl.parse import parse

    read: list[Program] = []
    for file in found:
        parsed = parse(file["text"], file["name"], Path(file["name"]))
        taken = [read[i] for i in file["imports"]]
        read.append(replace(parsed, imports=tuple(replace(i, program=p) for i, p in zip(parsed.imports, taken, strict=True))))
    return read[-1]
