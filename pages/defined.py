"""The definitions that a file sees, its own and those that it imports, so that they have pages as std's have."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from ..building import whole
from ..compiler.definitions import Function
from ..compiler.library import library
from ..dsl.file import read_file


class Defined(Struct, frozen=True, eq=False):
    """`functions` by name; `text` defines or imports them all in a program whose files lie beneath `folder` or `data_root`."""

    functions: Mapping[str, Function]
    text: str
    folder: Path
    data_root: Path | None


def defined(path: str | os.PathLike[str], data_root: str | os.PathLike[str] | None = None) -> Defined:
    """What the file there sees; its data is not read. MlpcError with what is wrong in its text, its imports or its definitions."""
    place, root = Path(path), Path(data_root) if data_root is not None else None
    program = whole(read_file(place), place.name, place, place.parent, root)
    text = "\n".join(part.span.text for part in (*program.imports, *program.definitions))
    return Defined(library(program).user, f"{text}\n", place.parent, root)
