"""The `data` section, evaluated: files and literals in; a schema, the rows of each split and the fitted transforms out.

Order: read, drop rows, split, fit on the training rows, transform. Which rows a `drop_missing` leaves out shows when its columns
are made: so the statements are evaluated again without them. What is fitted needs the split, and the split may need the classes
of a value: so with a split the statements are evaluated twice, first as if every row trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..compiler.definitions import expressions
from ..compiler.schema import DataValue, Schema
from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Assign, From, Name, Program, walk
from .columns import Rows, Table
from .expressions import Drop, Scope, Transform, evaluate
from .folds import BLOCKS, folds, in_fold
from .frame import Frame, Indices
from .labels import class_counts
from .selection import named
from .split import deal, read_split
from .strata import class_of_rows, group_of_rows
from .table import read_table
from .targets import undoing

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """`splits`: split -> value -> C-contiguous float64 [rows, width], in the order train, val, test and of the statements.

    `fitted`: value -> its transforms with their statistics, operands first, the value itself last. `notes` say which rows were dropped.
    `columns`: those of the file that the values are made of, in their order of use: `number` or `text`.
    `rows` are all that were read and not dropped, `parts` which of them each split has; `origin`: where they come from, as `Table` has it.
    """

    schema: Schema
    splits: dict[str, dict[str, NDArray[np.float64]]]
    fitted: dict[str, tuple[Transform, ...]]
    notes: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict[str, str])
    rows: Rows | None = None
    parts: dict[str, Indices] = field(default_factory=dict[str, "Indices"])
    origin: str = ""

    def place(self, split: str, row: int) -> str:
        """Where a row of a split, counted from 0, comes from: `iris.csv:17`."""
        return f"row {row + 1} of {split}" if self.rows is None else self.rows.place(int(self.parts[split][row]))


def read(
    program: Program,
    folder: Path | None,
    *,
    targets: frozenset[str] = frozenset(),
    seed: int = 0,
    data_root: Path | None = None,
    given: Table | None = None,
) -> Dataset:
    """The data of a program. `folder` holds the model's file (None: inline data only); the model does not read `targets`.

    `given` stands in place of the file that `from` names, which may be absent then.
    MlpcError with every fault that can be found: E04xx, and E01xx or E02xx for a statement that says nothing.
    """
    return read_folds(program, folder, 0, targets=targets, seed=seed, data_root=data_root, given=given)[0]


def read_folds(
    program: Program, folder: Path | None, count: int, *, targets: frozenset[str], seed: int, data_root: Path | None, given: Table | None
) -> tuple[Dataset, ...]:
    """As `read`, with train and val rows cut into `count` folds: a dataset for each, which is `val` in it; the test rows are in none.

    0 folds is the one dataset whose splits are those of the file. E0406 if there cannot be so many folds.
    """
    body = program.data.body if program.data else ()
    collect = Collector()
    assigned: dict[str, Assign] = {}
    for s in body:
        if isinstance(s, Assign) and collect(lambda s=s: _once(s, assigned)):
            assigned[s.name.id] = s
    files = [s for s in body if isinstance(s, From)]
    table = collect(lambda: _table(files, folder, data_root, given))
    written = assigned.pop("split", None)
    split = collect(lambda: read_split(written)) if written else None

    sources = Sources(assigned, files, table, named({**assigned, "split": written} if written else assigned, table) if table else {})
    frames, fitted, kept, notes = complete(sources, collect)
    collect.errors += _copied_targets(program, assigned, frames, targets) + unequal_rows(assigned, frames)
    collect.errors += [MlpcError(frame.gap) for name, frame in frames.items() if name in targets and frame.gap]
    collect.stop()
    if not frames:
        if count:
            raise fault("E0406", None, "there are no rows to cut into folds: the model reads no data", "leave --folds out")
        return (Dataset(Schema(), {}, {}),)
    rows = len(next(iter(frames.values())).rows.lines)
    dealt: dict[str, Indices] = {"train": np.arange(rows)}
    labels, names = None, ()
    if split is not None:
        if split.kind == "stratified":
            labels, names = class_of_rows(split, frames, targets)
        elif split.group is not None:
            labels, names = group_of_rows(split.group, sources.scope("split", dict(frames), None, kept, []), rows)
        dealt = deal(split, rows, labels, seed)
    found: list[Dataset] = []
    if count and split is not None and split.kind == "ordered":
        notes = (*notes, BLOCKS)
    for parts in folds(count, dealt, split, labels, names, seed) if count else [dealt]:
        if count or split is not None:
            mine = Collector()
            frames, fitted = _evaluate(sources, parts["train"], kept, [], mine)
            collect.errors += [in_fold(e, len(found) + 1) for e in mine.errors] if count else mine.errors
            collect.stop()
        found.append(_dealt(assigned, table, frames, fitted, parts, targets, notes))
    return tuple(found)


def _dealt(
    assigned: dict[str, Assign],
    table: Table | None,
    frames: dict[str, Frame],
    fitted: dict[str, tuple[Transform, ...]],
    parts: dict[str, Indices],
    targets: frozenset[str],
    notes: tuple[str, ...],
) -> Dataset:
    """The values of all rows, as they were fitted, dealt to the splits."""
    values = tuple(
        DataValue(name, len(frame.labels), frame.facts, frame.labels, frame.classes, assigned[name].name.span,
                  undoing(fitted, name) if name in targets else (), class_counts(frame, parts["train"]))
        for name, frame in frames.items()
    )  # fmt: skip
    splits = {part: {name: _rows_of(frame, which) for name, frame in frames.items()} for part, which in parts.items()}
    rows_of = tuple((part, len(which)) for part, which in parts.items())
    rows = next(iter(frames.values())).rows
    return Dataset(Schema(values, rows_of), splits, fitted, notes, _kinds(table, frames), rows, parts, table.origin if table else "")


def _kinds(table: Table | None, frames: dict[str, Frame]) -> dict[str, str]:
    """The columns of the file that frames are made of, `number` if all their cells are numbers, else `text`."""
    used = dict.fromkeys(name for frame in frames.values() for name in frame.sources) if table else {}
    return {name: "number" if all(c.is_numeric for c in table.known[name]) else "text" for name in used if table}


class Collector:
    """Calls what may be at fault, goes on after a fault, and raises all of them at `stop`."""

    def __init__(self) -> None:
        self.errors: list[MlpcError] = []

    def __call__(self, make: Callable[[], _T]) -> _T | None:
        """What it makes, or None where that is at fault."""
        try:
            return make()
        except MlpcError as error:
            self.errors.append(error)
            return None

    def stop(self) -> None:
        """Raises what was found."""
        if self.errors:
            diagnostics = dict.fromkeys(d for error in self.errors for d in error.diagnostics)
            raise MlpcError(*diagnostics, status=max(error.status for error in self.errors))


def _once(s: Assign, assigned: dict[str, Assign]) -> bool:
    """True, or E0203 in the words of compiler.graph, so that the two are one where both report it."""
    before = assigned.get(s.name.id)
    if before is not None:
        raise fault(
            "E0203",
            s.name.span,
            f"`{s.name.id}` is already assigned on line {before.name.span.line}",
            "each name is assigned once: choose another",
        )
    return True


def _table(files: list[From], folder: Path | None, data_root: Path | None, given: Table | None) -> Table | None:
    if len(files) > 1:
        raise fault("E0108", files[1].span, f"`from` stands on line {files[0].span.line} already", "data comes from one file")
    if given is not None or not files:
        return given
    return read_table(files[0].path, folder, data_root)


@dataclass(frozen=True, slots=True, eq=False)
class Sources:
    """What the statements are made of: themselves, the file, and for each the columns that others name.

    `fitted`: what each was in training, if that is past; `dropping`: whether a row with a missing cell may be left out.
    """

    assigned: dict[str, Assign]
    files: list[From]
    table: Table | None
    taken: dict[str, frozenset[str]]
    fitted: Mapping[str, tuple[Transform, ...]] = field(default_factory=dict[str, "tuple[Transform, ...]"])
    dropping: bool = True

    def scope(
        self, name: str, values: dict[str, Frame | None], train: Indices | None, kept: NDArray[np.bool_] | None, drops: list[Drop]
    ) -> Scope:
        """What the statement `name` sees."""
        lines = {name: s.name.span.line for name, s in self.assigned.items()}
        at_fault = bool(self.files) and self.table is None
        taken, fitted = self.taken.get(name, frozenset[str]()), self.fitted.get(name)
        return Scope(name, self.table, at_fault, values, lines, taken, train, kept, drops if self.dropping else None, fitted)


def _evaluate(
    sources: Sources, train: Indices | None, kept: NDArray[np.bool_] | None, drops: list[Drop], collect: Collector
) -> tuple[dict[str, Frame], dict[str, tuple[Transform, ...]]]:
    """The values without a fault, in the order written, and how they were made; `train` None: every row trains."""
    values: dict[str, Frame | None] = {}
    fitted: dict[str, tuple[Transform, ...]] = {}
    for name, s in sources.assigned.items():
        scope = sources.scope(name, values, train, kept, drops)
        made = collect(lambda s=s, scope=scope: evaluate(s.value, scope))
        values[name] = made[0] if made else None
        if made:
            fitted[name] = made[1]
    return {name: frame for name, frame in values.items() if frame is not None}, fitted


def complete(
    sources: Sources, collect: Collector
) -> tuple[dict[str, Frame], dict[str, tuple[Transform, ...]], NDArray[np.bool_] | None, tuple[str, ...]]:
    """The values of the rows that no `drop_missing` leaves out, how they were made, which rows these are (None: all), and a note."""
    kept: NDArray[np.bool_] | None = None
    columns: dict[str, None] = {}
    while True:
        attempt, drops = Collector(), list[Drop]()
        frames, fitted = _evaluate(sources, None, kept, drops, attempt)
        there = len(drops[0].rows) if kept is None and drops else 0 if kept is None else int(kept.sum())
        unequal = next((d for d in drops if len(d.rows) != there), None)
        if unequal is not None:
            attempt.errors.append(fault("E0409", unequal.span, f"this drops some of {len(unequal.rows)} rows, and other values have {there}",
                                        "every value of `data` has the same rows"))  # fmt: skip
        if unequal is not None or not drops:
            collect.errors += attempt.errors
            return frames, fitted, kept, _dropped(kept, columns)
        left = ~np.logical_or.reduce([d.rows for d in drops])
        columns |= dict.fromkeys(c for d in drops for c in d.columns)
        if not left.any():
            named_columns = " and ".join(f"`{c}`" for c in columns)
            collect.errors.append(fault("E0404", drops[0].span, f"every row has a missing cell in {named_columns}: none is left",
                                        "`|> impute(...)` fills cells instead"))  # fmt: skip
            return {}, {}, kept, ()
        kept = np.ones(there, dtype=np.bool_) if kept is None else kept
        kept[np.flatnonzero(kept)] = left


def _dropped(kept: NDArray[np.bool_] | None, columns: dict[str, None]) -> tuple[str, ...]:
    if kept is None:
        return ()
    count = int((~kept).sum())
    return (f"{count} of {len(kept)} rows dropped: a cell of {', '.join(columns)} is missing",)


def unequal_rows(assigned: dict[str, Assign], frames: dict[str, Frame]) -> list[MlpcError]:
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


def _rows_of(frame: Frame, which: Indices) -> NDArray[np.float64]:
    assert frame.array is not None
    return np.ascontiguousarray(frame.array[which], dtype=np.float64)
