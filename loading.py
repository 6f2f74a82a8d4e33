"""What makes a model: of a file, of a text, of a run; a model for each fold."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from .compiler import graph as graphs
from .compiler.imports import import_faults
from .compiler.pipeline import compile
from .compiler.resolution import override
from .compiler.survey import survey, told
from .compiler.undisturbed import undisturbed
from .dsl.diagnostics import MlpcError, fault
from .dsl.file import read_file
from .dsl.parse import read_program
from .dsl.syntax import Program
from .model import Model
from .run import Run, run_of, trained_of
from .runtime import fitted, given, run_folder, sources, weights
from .runtime.data import Dataset, read, read_folds
from .runtime.link import linked
from .runtime.selection import without
from .runtime.table import ENDINGS

Reading = Callable[[Program, frozenset[str], int], tuple[Dataset, ...]]  # of a program, its targets and its seed


def load(
    path: str | os.PathLike[str], overrides: Iterable[str] = (), *, data: Any = None, data_root: str | os.PathLike[str] | None = None
) -> Model:
    """The model in a file; its data and its imports are read beneath its folder, or beneath `data_root`. `overrides`: as in `train.epochs=5`.

    `data` stands in place of the file that `from` names: a mapping of columns, each [rows] or [rows, columns], a data frame of pandas,
    polars or others, an array, which has the name `data`, or a path. None, NaN and a frame's nulls are missing cells.
    MlpcError with every fault that can be found.
    """
    return _in_file(path, overrides, _reading(Path(path).parent, data_root, data), data_root)[0]


def load_folds(
    path: str | os.PathLike[str],
    folds: int,
    overrides: Iterable[str] = (),
    *,
    data: Any = None,
    data_root: str | os.PathLike[str] | None = None,
) -> tuple[Model, ...]:
    """As `load`, a model for each of so many folds of the train and val rows: the fold is its `val`, and the test rows are in none.

    What the pipes learn of the data, they learn of the other folds. MlpcError E0406 if there cannot be so many.
    """
    if folds < 2:
        raise fault("E0406", None, f"{folds} fold{'s' * (folds != 1)}: of one, nothing else could be trained on", "two folds or more")
    return _in_file(path, overrides, _reading(Path(path).parent, data_root, data, folds), data_root)


def load_copy(
    path: Path, beneath: Path, overrides: Iterable[str], *, data_folder: Path, data_root: str | None, folds: int = 0
) -> tuple[Model, ...]:
    """The model in a copy of its file, or one of each fold: its imports lie `beneath` a folder as `put_source` lays them out, its data is where it was."""
    began = time.perf_counter()
    overrides = tuple(overrides)
    program = override(_whole(read_file(path), path.name, path, path.parent, beneath), overrides)
    return _assembled(program, overrides, _reading(data_folder, data_root, folds=folds), began)


def loads(text: str, folder: str | os.PathLike[str] | None = None, overrides: Iterable[str] = (), *, data: Any = None) -> Model:
    """The model in a text; its data and its imports are read beneath `folder`, and without one all must stand in the text.

    `data` and the rest as `load` has it.
    """
    began = time.perf_counter()
    place = Path(folder) if folder is not None else None
    overrides = tuple(overrides)
    program = override(_whole(text, "model.mlp", None, place, None), overrides)
    return _assembled(program, overrides, _reading(place, None, data), began)[0]


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder that `mlpc run` has written, or in a file of weights; nothing else is read. Its model has no rows of data.

    MlpcError E0505 for one that is not whole.
    """
    began = time.perf_counter()
    found = weights.load(run_folder.weights_in(Path(path)))
    said = found.document
    program = override(sources.program_of(said["files"]), said["overrides"])
    dataset = fitted.restored(said, program.source)
    with undisturbed():
        compilation = compile(program, dataset.schema)
    seconds = {"data": 0.0, "compile": time.perf_counter() - began}
    model = Model(program, dataset, compilation, seconds, tuple(said["overrides"]))
    tensors = weights.fitting(model.plan, found.tensors, str(path))
    params = {p.name: tensors[p.name] for p in model.plan.params}
    states = {s.name: tensors[s.name] for s in model.plan.model_states}
    return run_of(model, trained_of(said["trained"], params, states, run_folder.history_in(Path(path))))


def _in_file(
    path: str | os.PathLike[str], overrides: Iterable[str], reading: Reading, data_root: str | os.PathLike[str] | None
) -> tuple[Model, ...]:
    began = time.perf_counter()
    place = Path(path)
    if place.suffix.lower() in ENDINGS:
        raise fault(
            "E0502", None, f"{place} is a table, and the model was needed that reads it", f"mlpc new {place} --target COLUMN  writes one"
        )
    root = Path(data_root) if data_root is not None else None
    overrides = tuple(overrides)
    program = override(_whole(read_file(place), place.name, place, place.parent, root), overrides)
    return _assembled(program, overrides, reading, began)


def _reading(folder: Path | None, data_root: str | os.PathLike[str] | None, data: Any = None, folds: int = 0) -> Reading:
    """What reads the data of a program whose folder this is: a dataset, or one of each fold."""
    root = Path(data_root) if data_root is not None else None
    table = given.table(data) if data is not None else None

    def reading(program: Program, targets: frozenset[str], seed: int) -> tuple[Dataset, ...]:
        if table is not None and program.data is None:
            raise fault("E0209", None, "data was given, and the model has no `data` section, which would read it",
                        'data { x = columns("*") }')  # fmt: skip
        if folds:
            return read_folds(program, folder, folds, targets=targets, seed=seed, data_root=root, given=table)
        return (read(program, folder, targets=targets, seed=seed, data_root=root, given=table),)

    return reading


def _whole(text: str | bytes, name: str, path: Path | None, folder: Path | None, data_root: Path | None) -> Program:
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
