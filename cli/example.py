"""The gallery as `mlpc new --example` copies it: a model, what it imports, its data and where that comes from, out of the installed package."""

from __future__ import annotations

import posixpath
import re
from importlib.resources import files

from msgspec import Struct

from .. import models
from ..dsl.diagnostics import did_you_mean, fault
from ..dsl.parse import parse
from ..dsl.syntax import From

GALLERY = models.__name__


class Example(Struct, frozen=True):
    """A model of the gallery: its text, and the other files that it needs by their path from its folder."""

    name: str
    text: str
    others: dict[str, bytes]


def names() -> list[str]:
    """Every model of the gallery."""
    return sorted(entry.name.removesuffix(".mlp") for entry in files(GALLERY).iterdir() if entry.name.endswith(".mlp"))


def example(name: str) -> Example:
    """The example of that name; MlpcError E0201 if there is none."""
    known = names()
    name = name.removesuffix(".mlp")
    if name not in known:
        near = did_you_mean(name, known)
        raise fault("E0201", None, f"there is no example `{name}`", near or f"there is {', '.join(known)}")
    model = f"{name}.mlp"
    return Example(name, _read(model).decode("utf-8"), {path: content for path, content in _closure(model).items() if path != model})


def about(name: str) -> str:
    """What the comment above the model says of it first."""
    lines = _read(f"{name}.mlp").decode("utf-8").split("\n")
    comment = " ".join(line.lstrip("# ") for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))])
    return re.split(r"\. (?=[A-Z])|\.$", comment.removeprefix(f"models/{name}.mlp: "))[0]


def _closure(path: str) -> dict[str, bytes]:
    """The file and all that it needs: imports, data, and beside the data a page with their source and licence."""
    found = {path: _read(path)}
    program = parse(found[path], path)
    folder = posixpath.dirname(path)
    for i in program.imports:
        found |= _closure(posixpath.normpath(posixpath.join(folder, i.path.text)))
    for s in program.data.body if program.data else ():
        if isinstance(s, From):
            table = posixpath.normpath(posixpath.join(folder, s.path.text))
            found[table] = _read(table)
            found[f"{posixpath.splitext(table)[0]}.md"] = _source_of(posixpath.basename(table)).encode("utf-8")
    return found


def _source_of(table: str) -> str:
    """The section of the data's README on one table, as a page."""
    sections = re.split(r"^## ", _read("data/README.md").decode("utf-8"), flags=re.MULTILINE)
    return f"# {next(s for s in sections if s.startswith(table)).rstrip()}\n"


def _read(path: str) -> bytes:
    return files(GALLERY).joinpath(*path.split("/")).read_bytes()
