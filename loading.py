"""What makes a model: of a file, of a text, of a run; a model for each fold.

The parser and the compiler, and the libraries that these need, are imported where they are wanted: a plan from the cache needs none.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .dsl.diagnostics import fault
from .dsl.file import read_file
from .dsl.syntax import Program
from .model import Model
from .recall import question, recalled, remember
from .run import Run, run_of, trained_of
from .runtime import fitted, run_folder, sources, weights
from .runtime.data import Dataset, read, read_folds
from .runtime.table import ENDINGS

if TYPE_CHECKING:
    from .building import Reading
    from .runtime.columns import Table


def load(
    path: str | os.PathLike[str],
    overrides: Iterable[str] = (),
    *,
    data: Any = None,
    data_root: str | os.PathLike[str] | None = None,
    cache: bool = False,
) -> Model:
    """The model in a file; its data and its imports are read beneath its folder, or beneath `data_root`. `overrides`: as in `train.epochs=5`.

    `data` stands in place of the file that `from` names: a mapping of columns, each [rows] or [rows, columns], a data frame of pandas,
    polars or others, an array, which has the name `data`, or a path. None, NaN and a frame's nulls are missing cells. `cache`: whether
    plans may come from the folder in which `mlpc run` keeps them, and be kept there.
    MlpcError with every fault that can be found.
    """
    return _in_file(path, overrides, data, data_root, cache)[0]


def load_folds(
    path: str | os.PathLike[str],
    folds: int,
    overrides: Iterable[str] = (),
    *,
    data: Any = None,
    data_root: str | os.PathLike[str] | None = None,
    cache: bool = False,
) -> tuple[Model, ...]:
    """As `load`, a model for each of so many folds of the train and val rows: the fold is its `val`, and the test rows are in none.

    What the pipes learn of the data, they learn of the other folds. MlpcError E0406 if there cannot be so many.
    """
    if folds < 2:
        raise fault("E0406", None, f"{folds} fold{'s' * (folds != 1)}: of one, nothing else could be trained on", "two folds or more")
    return _in_file(path, overrides, data, data_root, cache, folds)


def load_copy(
    path: Path, beneath: Path, overrides: Iterable[str], *, data_folder: Path, data_root: str | None, folds: int = 0
) -> tuple[Model, ...]:
    """The model in a copy of its file, or one of each fold: its imports lie `beneath` a folder as `put_source` lays them out, its data is where it was."""
    from .building import built

    reading = _reading(data_folder, data_root, folds=folds)
    return built(read_file(path), path.name, path, tuple(overrides), reading, folder=path.parent, data_root=beneath)


def loads(
    text: str,
    folder: str | os.PathLike[str] | None = None,
    overrides: Iterable[str] = (),
    *,
    data: Any = None,
    data_root: str | os.PathLike[str] | None = None,
) -> Model:
    """The model in a text; its data and its imports are read beneath `folder`, or beneath `data_root`, and without one all must stand in it.

    `data` and the rest as `load` has it.
    """
    from .building import built

    place, root = Path(folder) if folder is not None else None, Path(data_root) if data_root is not None else None
    return built(text, "model.mlp", None, tuple(overrides), _reading(place, data_root, data), folder=place, data_root=root)[0]


def load_run(path: str | os.PathLike[str]) -> Run:
    """The run in a folder that `mlpc run` has written, or in a file of weights; nothing else is read. Its model has no rows of data.

    MlpcError E0505 for one that is not whole.
    """
    from .compiler.pipeline import compile
    from .compiler.resolution import override
    from .compiler.undisturbed import undisturbed

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
    path: str | os.PathLike[str],
    overrides: Iterable[str],
    data: Any,
    data_root: str | os.PathLike[str] | None,
    cache: bool,
    folds: int = 0,
) -> tuple[Model, ...]:
    place, overrides = Path(path), tuple(overrides)
    if place.suffix.lower() in ENDINGS:
        raise fault(
            "E0502", None, f"{place} is a table, and the model was needed that reads it", f"mlpc new {place} --target COLUMN  writes one"
        )
    root = Path(data_root) if data_root is not None else None
    reading = _reading(place.parent, data_root, data, folds)
    text = read_file(place)
    asked = question(text, place, overrides, root, folds) if cache else None
    found = recalled(asked, reading) if asked is not None else None
    if found is not None:
        return found
    from .building import built

    models = built(text, place.name, place, overrides, reading, folder=place.parent, data_root=root)
    if asked is not None:
        remember(asked, models)
    return models


def _reading(folder: Path | None, data_root: str | os.PathLike[str] | None, data: Any = None, folds: int = 0) -> Reading:
    """What reads the data of a program whose folder this is: a dataset, or one of each fold."""
    root = Path(data_root) if data_root is not None else None
    table: Table | None = None
    if data is not None:
        from .runtime import given

        table = given.table(data)

    def reading(program: Program, targets: frozenset[str], seed: int) -> tuple[Dataset, ...]:
        if table is not None and program.data is None:
            raise fault("E0209", None, "data was given, and the model has no `data` section, which would read it",
                        'data { x = columns("*") }')  # fmt: skip
        if folds:
            return read_folds(program, folder, folds, targets=targets, seed=seed, data_root=root, given=table)
        return (read(program, folder, targets=targets, seed=seed, data_root=root, given=table),)

    return reading
