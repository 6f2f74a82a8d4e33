"""From the arguments of a command to a model; and what a command writes."""

from __future__ import annotations

import argparse
import errno
import gc
import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..compiler.render.json import FORMAT, plain
from ..compiler.undisturbed import undisturbed
from ..dsl.diagnostics import printable, render
from ..loading import load
from ..model import Model
from .signals import abandon


def model_of(args: argparse.Namespace, *, cache: bool = False) -> Model:
    """The model of `FILE`, with `--set` and `--seed`; `cache`: its plan may be one that was kept. Warnings and notes go to stderr."""
    with lasting():
        model = load(Path(args.file), overrides_of(args), data_root=args.data_root, cache=cache)
    tell(model)
    return model


@contextmanager
def lasting() -> Generator[None]:
    """What is imported and made in here lasts as long as the process: the garbage collector is off, and passes over it later.

    The parser, the compiler and their libraries are imported in here, and its walks over them would take 0.1 s.
    """
    before = len(sys.modules)
    with undisturbed():
        yield
        if len(sys.modules) > before:
            gc.freeze()


def tell(model: Model) -> None:
    """Writes the warnings and notes of a model to stderr."""
    told = [render(w) for w in model.warnings] + [f"note: {printable(n)}" for n in (*model.dataset.notes, *model.compilation.notes)]
    if told:
        warn("\n".join(told))


def overrides_of(args: argparse.Namespace) -> list[str]:
    """What --set and --seed put in place of the file's settings."""
    return [*args.set, *([f"train.seed={args.seed}"] if args.seed is not None else [])]


def warn(text: str) -> None:
    """A text and a newline to stderr, if there is one, and somebody who reads it."""
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  it is None where it was closed
        try:
            print(text.encode("utf-8", "backslashreplace").decode("utf-8"), file=sys.stderr)
        except BrokenPipeError:
            abandon(sys.stderr)


def write(text: str) -> None:
    """A text and a newline to stdout; what it cannot encode is spelled out. OSError if that is closed."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison]  closed before we came
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), "stdout")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def write_json(document: dict[str, Any]) -> None:
    """The one document of a command, with its format first."""
    utf8 = (sys.stdout.encoding or "utf-8").lower().replace("-", "") == "utf8" if sys.stdout else True
    write(json_text(document, utf8).rstrip("\n"))


def json_text(document: dict[str, Any], utf8: bool = True) -> str:
    """A document with its format first, a line an entry."""
    found = {"format": FORMAT, **document}
    return "{\n" + ",\n".join(f" {_compact(key, utf8)}: {_entries(value, utf8)}" for key, value in found.items()) + "\n}\n"


def _entries(value: object, utf8: bool) -> str:
    """A list of objects with one on a line; anything else on one line."""
    if isinstance(value, (list, tuple)) and value and all(isinstance(v, dict) for v in value):
        return "[\n" + ",\n".join(f"  {_compact(v, utf8)}" for v in value) + "\n ]"
    return _compact(value, utf8)


def _compact(value: object, utf8: bool) -> str:
    return json.dumps(plain(value), ensure_ascii=not utf8, allow_nan=False)
