"""The `data` section, evaluated: files and literals in; a schema, the rows of each split and the fitted transforms out.

Order: read, split, fit on the training rows, transform. What is fitted needs the split, and the split may need the
classes of a value: so with a split the statements are evaluated twice, first as if every row trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..compiler.definitions import expressions
from ..compiler.schema import DataValue, Schema
from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Assign, From, Name, Program, walk
from .expressions import Scope, Transform, evaluate
from .pipes import Frame, Indices
from .split import Split, deal, read_split
from .table import Table, read_table

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """`splits`: split -> value -> C-contiguous float64 [rows, width], in the order train, val, test and of the statements.

    `fitted`: value -> its transforms with their statistics, operands first, the value itself last.
    """

    schema: Schema
    splits: dict[str, dict[str, NDArray[np.float64]]]
    fitted: dict[str, tuple[Transform, ...]]


def read(
    program: Program,
    folder: Path | None,
    *,
    targets: frozenset[str] = frozenset(),
    seed: int = 0,
    data_root: Path | None = None,
) -> Dataset:
    """The data of a program. `folder` holds the model's file (None: inline data only); the model does not read `targets`.

    MlpcError with every fault that can be found: E04xx, and E01xx or E02xx for a statement that says nothing.
    """
    body = program.data.body if program.data else ()
    collect = _Collector()
    assigned: dict[str, Assign] = {}
    for s in body:
        if isinstance(s, Assign) and collect(lambda s=s: _once(s, assigned)):
            assigned[s.name.id] = s
    files = [s for s in body if isinstance(s, From)]
    table = collect(lambda: _table(files, folder, data_root))
    written = assigned.pop("split", None)
    split = collect(lambda: read_split(written)) if written else None

    frames, fitted = _evaluate(assigned, files, table, None, collect)
    collect.errors += _copied_targets(program, assigned, frames, targets) + _unequal_rows(assigned, frames)
    collect.stop()
    if not frames:
        return Dataset(Schema(), {}, {})
    rows = len(next(iter(frames.values())).rows.lines)
    parts: dict[str, Indices] = {"train": np.arange(rows)}
    if split is not None:
        labels = _class_of_rows(split, frames, targets) if split.kind == "stratified" else None
        parts = deal(split, rows, labels, seed)
        frames, fitted = _evaluate(assigned, files, table, parts["train"], collect)
        collect.stop()
    values = tuple(
        DataValue(name, len(frame.labels), frame.facts, frame.labels, frame.classes, assigned[name].name.span)
        for name, frame in frames.items()
    )
    splits = {part: {name: _rows_of(frame, which) for name, frame in frames.items()} for part, which in parts.items()}
    return Dataset(Schema(values, tuple((part, len(which)) for part, which in parts.items())), splits, fitted)


class _Collector:
    """Calls what may be at fault, goes on after a fault, and raises all of them at `stop`."""

    def __init__(self) -> None:
        self.errors: list[MlpcError] = []

    def __call__(self, make: Callable[[], _T]) -> _T | None:
        try:
            return make()
        except MlpcError as error:
            self.errors.append(error)
            return None

    def stop(self) -> None:
        if self.errors:
            diagnostics = dict.fromkeys(d for error in self.errors for d in error.diagnostics)
            raise MlpcError(*diagnostics, status=max(error.status for error in self.errors))


def _once(s: Assign, assigned: dict[str, Assign]) -> bool:
    """True, or E0203 in the words of compiler.graph, so that the two are one where both report it."""
    before = assigned.get(s.name.id)
    if before is not None:
        raise fault("E0203", s.name.span, f"`{s.name.id}` is already assigned on line {before.name.span.line}",
                    "each name is assigned once: choose another")
    return True


def _table(files: list[From], folder: Path | None, data_root: Path | None) -> Table | None:
    if not files:
        return None
    if len(files) > 1:
        raise fault("E0108", files[1].span, f"`from` stands on line {files[0].span.line} already", "data comes from one file")
    return read_table(files[0].path, folder, data_root)


def _evaluate(
    assigned: dict[str, Assign], files: list[From], table: Table | None, train: Indices | None, collect: _Collector
) -> tuple[dict[str, Frame], dict[str, tuple[Transform, ...]]]:
    """The values without a fault, in the order written, and how they were made; `train` None: every row trains."""
    values: dict[str, Frame | None] = {}
    fitted: dict[str, tuple[Transform, ...]] = {}
    lines = {name: s.name.span.line for name, s in assigned.items()}
    for name, s in assigned.items():
        scope = Scope(name, table, bool(files) and table is None, values, lines, train)
        made = collect(lambda s=s, scope=scope: evaluate(s.value, scope))
        values[name] = made[0] if made else None
        if made:
            fitted[name] = made[1]
    return {name: frame for name, frame in values.items() if frame is not None}, fitted


def _unequal_rows(assigned: dict[str, Assign], frames: dict[str, Frame]) -> list[MlpcError]:
    """E0409 for every value that has not as many rows as the first."""
    first = next(iter(frames), "")
    rows = {name: len(frame.rows.lines) for name, frame in frames.items()}
    return [
        fault("E0409", assigned[name].name.span,
              f"`{name}` has {count} rows and `{first}` (line {assigned[first].span.line}) has {rows[first]}",
              "every value of `data` has the same rows")
        for name, count in rows.items() if count != rows[first]
    ]  # fmt: skip


def _copied_targets(program: Program, assigned: dict[str, Assign], frames: dict[str, Frame], targets: frozenset[str]) -> list[MlpcError]:
    """E0410 for every column of a target that the model is given too: it would learn to copy."""
    model = [e for s in (program.model.body if program.model else ()) for e in expressions(s)]
    read_by_model = {e.id for expr in model for e in walk(expr) if isinstance(e, Name)}
    return [
        fault("E0410", assigned[given].name.span, f"the model reads column `{column}` in `{given}`, and the target `{target}` "
              f"(line {assigned[target].span.line}) is made of it: there is nothing to learn", f"leave `{column}` out of `{given}`")
        for target in frames if target in targets
        for given in frames if given in read_by_model and given not in targets
        for column in frames[given].sources if column in frames[target].sources
    ]  # fmt: skip


def _class_of_rows(split: Split, frames: dict[str, Frame], targets: frozenset[str]) -> Indices:
    """The class of each row [rows]: of the target that has classes, else of the only one-hot value; E0406 if that says nothing."""
    classed = [name for name, frame in frames.items() if frame.classes]
    named = [name for name in classed if name in targets] or classed
    if len(named) != 1:
        found, hint = "no value has classes", "make the target one-hot, `y = column |> onehot`, or use random(...)"
        if named:
            found, hint = f"{' and '.join(f'`{name}`' for name in named)} have some: which to keep is not clear", "use random(...)"
        raise fault("E0406", split.span, f"`stratified` keeps the shares of classes, and {found}", hint)
    array = frames[named[0]].array
    assert array is not None
    return array.argmax(axis=1)


def _rows_of(frame: Frame, which: Indices) -> NDArray[np.float64]:
    assert frame.array is not None
    return np.ascontiguousarray(frame.array[which], dtype=np.float64)
