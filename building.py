"""A text to models, by the parser and the compiler: what `loading` asks for where nothing of it is in the cache."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from .compiler import graph as graphs
from .compiler.imports import import_faults
from .compiler.pipeline import compile
from .compiler.resolution import override
from .compiler.survey import survey, told
from .compiler.undisturbed import undisturbed
from .dsl.diagnostics import MlpcError
from .dsl.parse import read_program
from .dsl.syntax import Program
from .model import Model
from .runtime.data import Dataset
from .runtime.link import linked
from .runtime.selection import without

Reading = Callable[[Program, frozenset[str], int], tuple[Dataset, ...]]  # of a program, its targets and its seed


def built(
    text: str | bytes,
    name: str,
    path: Path | None,
    overrides: tuple[str, ...],
    reading: Reading,
    *,
    folder: Path | None,
    data_root: Path | None,
) -> tuple[Model, ...]:
    """The models of a text, one of each dataset that is read. Imports lie beneath `folder` or `data_root`. MlpcError with every fault."""
    began = time.perf_counter()
    return _assembled(override(whole(text, name, path, folder, data_root), overrides), overrides, reading, began)


def whole(text: str | bytes, name: str, path: Path | None, folder: Path | None, data_root: Path | None) -> Program:
    """The program with all that it imports. Where it has faults of syntax, those of its imports are raised with them."""
    program, faults = read_program(text, name, path)
    program = linked(program, folder, data_root)
    if len(faults) > len(program.faults):
        raise MlpcError(*faults, *import_faults(program))
    return program


def _assembled(program: Program, overrides: tuple[str, ...], reading: Reading, began: float) -> tuple[Model, ...]:
    """Names and settings first, which the data needs; then data; then the plans, of each fold. Faults of all three are raised together."""
    with undisturbed():
        known = survey(program)
        start = time.perf_counter()
        try:
            datasets = reading(program, graphs.targets(known.graph), known.settings.seed if known.settings else 0)
        except MlpcError as error:
            found = told(program, (*known.faults, *error.diagnostics))
            rest = without(program, error.diagnostics)
            if rest is None:
                raise MlpcError(*found, status=error.status) from None
            return _assembled(rest, overrides, reading, began)
        done = time.perf_counter()
        surveys = [known, *(survey(program) for _ in datasets[1:])]  # each has a graph, with the shapes of its dataset
        compiled = [compile(program, dataset.schema, known=its) for dataset, its in zip(datasets, surveys, strict=True)]
    seconds = {"data": done - start, "compile": time.perf_counter() - began - (done - start)}
    return tuple(Model(program, dataset, found, seconds, overrides) for dataset, found in zip(datasets, compiled, strict=True))
