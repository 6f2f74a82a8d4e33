"""Models whose plans come from the cache: of a file that was compiled before, where nothing has changed on which its plans depend.

The data is read every time. A plan is taken if the text, what it imports, std, mlpc, the libraries, the settings and the schema of
the data are those that it was compiled of, and if it is verified as one that was compiled just now. Anything else is None: to be compiled.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from . import __version__
from .compiler import codec
from .compiler.schema import Schema
from .compiler.verify import fits
from .dsl.diagnostics import MlpcError
from .dsl.file import read_file
from .dsl.syntax import Program
from .model import Model
from .runtime import cache
from .runtime.fitted import schema_document
from .runtime.location import Words, located

if TYPE_CHECKING:
    from .building import Reading

ROOT = Path(__file__).parent
FORMAT = 1
CODE = ("dsl", "compiler")  # what makes a plan of a text
LIBRARIES = ("lark", "networkx", "numpy")  # by which it does; they are not imported to be asked


class Question(Struct, frozen=True):
    """What is known before the data is read: the bytes of a model's file, its path, `--set`, what else may be read, how many folds.

    `key` is a SHA-256 of all of it on which a plan depends, and of what compiles it.
    """

    text: bytes
    path: Path
    overrides: tuple[str, ...]
    data_root: Path | None
    folds: int
    key: str


def question(text: bytes, path: Path, overrides: tuple[str, ...], data_root: Path | None, folds: int) -> Question:
    """What is asked of the cache, with the key of the answer."""
    said = [
        FORMAT, os.path.realpath(path), path.name, hashlib.sha256(text).hexdigest(), overrides, folds, __version__, sys.version, *_fingerprint(),
    ]  # fmt: skip
    return Question(text, path, overrides, data_root, folds, hashlib.sha256(json.dumps(said).encode("utf-8", "surrogatepass")).hexdigest())


def recalled(asked: Question, reading: Reading) -> tuple[Model, ...] | None:
    """The models, one of each dataset that is read, from the cache; None if they must be built, where any fault of theirs is told."""
    began = time.perf_counter()
    kept = cache.kept(asked.key)
    if kept is None:
        return None
    try:
        program, plans = codec.decoded(json.loads(kept), asked.path)
        start = time.perf_counter()
        if not plans or not _unchanged(program, asked):
            return None
        first = next(iter(plans.values()))
        datasets = reading(program, frozenset(k.name for k in first.names if k.target), first.settings.seed)
        done = time.perf_counter()
    except (MlpcError, ValueError, RecursionError, AssertionError, ArithmeticError, AttributeError, LookupError, TypeError):
        return None  # the last five: a program that reads well and makes no sense, which the compiler would have refused
    found = [plans.get(_schema(dataset.schema)) for dataset in datasets]
    models: list[Model] = []
    for dataset, compilation in zip(datasets, found, strict=True):
        if compilation is None or compilation.training.title != asked.path.name or not fits(compilation, dataset.schema):
            return None
        seconds = {"data": done - start, "compile": 0.0}
        models.append(Model(program, dataset, compilation, seconds, asked.overrides))
    spent = time.perf_counter() - began - (done - start)
    return tuple(replace(m, seconds={"data": done - start, "compile": spent}) for m in models)


def remember(asked: Question, models: Sequence[Model]) -> None:
    """Keeps the plans of models that were built, for the next time; does nothing where that cannot be."""
    plans = {_schema(m.dataset.schema): replace(m.compilation, graph=None) for m in models}
    try:
        document = codec.encoded(models[0].program, plans)
        body = json.dumps(document, separators=(",", ":"), allow_nan=False).encode("utf-8", "surrogatepass")
    except (codec.Misfit, ValueError, RecursionError):
        return
    cache.keep(asked.key, body)


def _fingerprint() -> Iterator[tuple[object, ...]]:
    """std by its text; mlpc's own code and the libraries by where they lie, their size and the time they were written."""
    for path in sorted((ROOT / "std").glob("*.mlp")):
        yield path.name, hashlib.sha256(path.read_bytes()).hexdigest()
    files = [entry for folder in CODE for entry in os.scandir(ROOT / folder) if entry.name.endswith((".py", ".lark", ".json"))]
    for entry in sorted(files, key=lambda entry: entry.path):
        yield entry.path, entry.stat().st_size, entry.stat().st_mtime_ns
    for name in LIBRARIES:
        spec = find_spec(name)
        if spec is not None and spec.origin is not None:
            status = os.stat(spec.origin)
            yield spec.origin, status.st_size, status.st_mtime_ns


def _schema(schema: Schema) -> str:
    return hashlib.sha256(json.dumps(schema_document(schema)).encode("utf-8", "surrogatepass")).hexdigest()


def _unchanged(program: Program, asked: Question) -> bool:
    """Whether all that is imported still lies where it did and says what it said. MlpcError if it cannot be read."""
    from .dsl.lexing import read_source

    folder = asked.path.parent
    roots = [root for root in (folder, asked.data_root) if root is not None]
    for i, importer in codec.imported(program):
        start = folder if importer is program or importer.source.path is None else importer.source.path.parent
        real = located(i.path, start, roots, Words("E0109", "E0109", ""))
        if i.program is None or i.program.source.path != real:
            return False
        was = i.program.source
        if read_source(read_file(real), was.name, real).text != was.text:
            return False
    return True
