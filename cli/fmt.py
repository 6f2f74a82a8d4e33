"""`mlpc fmt`: the one layout, for files in place or for a text on its way from stdin to stdout."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from difflib import unified_diff
from pathlib import Path

from msgspec import Struct

from ..dsl.diagnostics import MlpcError, fault, printable
from ..dsl.file import SIZE, read_file
from ..dsl.format import formatted
from ..runtime.atomic import replace_file
from .load import warn, write, write_json
from .main import FAULT, OK

STDIN = "-"


class Formatted(Struct, frozen=True):
    """A file as it is and as it would be."""

    file: str
    before: bytes
    after: bytes

    @property
    def changed(self) -> bool:
        """It is not in canonical layout."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """The change as a unified diff, or ''."""
        name = printable(self.file)
        old, new = (text.decode("utf-8").split("\n") for text in (self.before, self.after))
        lines = list(unified_diff(_marked(old), _marked(new), name, f"{name} (formatted)", lineterm=""))
        return "\n".join(line.replace("\n", "\n\\ ") for line in lines)


def command(args: argparse.Namespace) -> int:
    """Rewrites the files, unless asked with --check or --diff what it would do. Status 1 for a fault, or for --check if any would change."""
    found: list[Formatted] = []
    faulty = False
    for file in args.files:
        try:
            f = _formatted(file)
        except MlpcError as error:  # the other files are no worse for it
            faulty = True
            warn(str(error))
            continue
        found.append(f)
        if f.changed and file != STDIN and not args.check and not args.diff:
            replace_file(Path(file), f.after)
    if args.json:
        write_json({"files": [_document(f, args) for f in found]})
    else:
        for f in found:
            _tell(f, args)
    return FAULT if faulty or (args.check and any(f.changed for f in found)) else OK


def _formatted(file: str) -> Formatted:
    if file != STDIN:
        before = read_file(Path(file))
        return Formatted(file, before, formatted(before, Path(file).name).encode("utf-8"))
    if sys.stdin is None:  # pyright: ignore[reportUnnecessaryComparison]  closed before we came
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdin")
    before = sys.stdin.buffer.read(SIZE + 1)
    if len(before) > SIZE:
        raise fault("E0502", None, f"stdin has more than {SIZE:,} bytes", "keep data in a file of its own")
    return Formatted(file, before, formatted(before, "stdin").encode("utf-8"))


def _document(f: Formatted, args: argparse.Namespace) -> dict[str, object]:
    asked = args.check or args.diff
    text = {"text": f.after.decode("utf-8")} if f.file == STDIN and not asked else {}
    written = f.changed and f.file != STDIN and not asked
    return {"file": f.file, "changed": f.changed, "written": written, **({"diff": f.diff} if args.diff else {}), **text}


def _tell(f: Formatted, args: argparse.Namespace) -> None:
    """The diff, the name of what would change or has changed, or the text that came from stdin."""
    if args.diff:
        if f.changed:
            write(f.diff)
    elif f.file == STDIN and not args.check:
        _write_utf8(f.after)
    elif f.changed:
        write(printable(f.file) if args.check else f"formatted {printable(f.file)}")


def _write_utf8(text: bytes) -> None:
    """To stdout whatever its encoding: the text is a file's, and comes back as it was read."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  closed before we came
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdout")
    sys.stdout.flush()
    sys.stdout.buffer.write(text)


def _marked(lines: list[str]) -> list[str]:
    """The lines for a diff; a last one without a newline differs from one with it, and says so as `patch` reads it."""
    return lines[:-1] if lines[-1] == "" else [*lines[:-1], f"{lines[-1]}\nNo newline at end of file"]
