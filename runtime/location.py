"""Where a file lies that a model names: a regular one beneath the model's folder, or beneath what is allowed; whether one was written to."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ..dsl.diagnostics import did_you_mean, fault, nearest
from ..dsl.syntax import Text


class Words(Struct, frozen=True):
    """What a refusal says: the code of what cannot be read and of what lies outside, an example of a file, what a path starts from."""

    unreadable: str
    outside: str
    example: str
    start: str = "the model's folder"


def located(path: Text, start: Path, roots: Sequence[Path], words: Words) -> Path:
    """The real path of a regular file beneath one of `roots`; a relative path begins at `start`. What lies outside is not looked at."""
    if "\0" in path.text:
        raise fault(words.unreadable, path.span, "a file's name holds no NUL")
    real = Path(os.path.realpath(start / path.text))
    beneath = [Path(os.path.realpath(root)) for root in roots]
    if not any(real.is_relative_to(root) for root in beneath):
        raise fault(
            words.outside,
            path.span,
            f"`{path.text}` leads out of the model's folder",
            "move the file beneath the model's folder, or allow another one with --data-root FOLDER",
        )
    if os.path.isfile(real):  # os.path: a name that no file can have is no file, where pathlib raises
        return real
    if os.path.exists(real):
        raise fault(words.unreadable, path.span, f"`{path.text}` is not a regular file", words.example)
    raise fault(words.unreadable, path.span, f"there is no file `{path.text}` in {words.start}", _near_file(real, beneath, start, words))


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What is another once a file is written to or replaced; None for what is no regular file, as a pipe, which changes as it is read."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else None


def _near_file(real: Path, roots: list[Path], start: Path, words: Words) -> str:
    """A hint with the existing file or folder most like the first part of the path that does not exist."""
    while not os.path.exists(real.parent) and real.parent not in roots:
        real = real.parent
    try:
        names = sorted(entry.name for entry in real.parent.iterdir() if not entry.name.startswith("."))
    except OSError:
        return ""
    near = nearest(real.name, names)
    if near is None:
        return did_you_mean(real.name, names) or f"a path is relative to {words.start}"
    return f"did you mean `{Path(os.path.relpath(real.parent / near, os.path.realpath(start))).as_posix()}`?"
