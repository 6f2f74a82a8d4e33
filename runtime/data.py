"""The `data` section, evaluated: files and literals in; a schema, the rows of each split and the fitted transforms out.

Order: read, drop rows, split, fit on the training rows, transform. Which rows a `drop_missing` leaves out shows when its columns
are made: so the statements are evaluated again without them. What is fitted needs the split, and the split may need the classes
of a value: so with a split the statements are evaluated twice, first as if every row trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..compiler.definitions import expressions
from ..compiler.schema import DataValue, Schema
from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Assign, From, Name, Program, walk
from .columns import Rows, Table
from .evaluation import Collector, LeftOut, Sources, complete, evaluated, rows_of, unequal_rows
from .expressions import Transform
from .folds import BLOCKS, folds, in_fold
from .frame import Frame, Indices
from .labels import class_counts
from .later import Later, Values
from .selection import named
from .split import deal, places, read_split
from .strata import class_of_rows, group_of_rows
from .streamed import blocks, looked_at_first, stays, streamed
from .table import read_table
from .targets import undoing


class Dataset(Struct, frozen=True, eq=False):
    """`splits`: split -> value -> C-contiguous float64 [rows, width], in the order train, val, test and of the statements. Of a file
    that is too large they are made when they are asked for.

    `fitted`: value -> its transforms with their statistics, operands first, the value itself last. `notes` say which rows were dropped.
    `columns`: those of the file that the values are made of, in their order of use: `number` or `text`.
    `rows` are all that were read and not dropped, `parts` which of them each split has; `origin`: where they come from, as `Table` has it.
    """

    schema: Schema
    splits: dict[str, dict[str, Values]]
    fitted: dict[str, tuple[Transform, ...]]
    notes: tuple[str, ...] = ()
    columns: dict[str, str] = {}
    rows: Rows | None = None
    parts: dict[str, Indices] = {}
    origin: str = ""

    @property
    def stored(self) -> bool:
        """Whether the values are made when they are asked for."""
        return any(isinstance(a, Later) for values in self.splits.values() for a in values.values())

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

    statements = {**assigned, "split": written} if written else assigned
    stored = collect(lambda: stays(table, statements.values()))
    sources = Sources(assigned, files, table, named(statements, table) if table else {}, stored=stored)
    frames, fitted, kept, left_out = {}, {}, None, LeftOut()
    if stored is None or looked_at_first(split, assigned.values()):
        frames, fitted, kept, left_out = complete(sources, collect)
        collect.errors += left_out.refused() + _refused(program, assigned, frames, targets)
    collect.stop()
    if not frames and stored is None:
        if count:
            raise fault("E0406", None, "there are no rows to cut into folds: the model reads no data", "leave --folds out")
        return (Dataset(Schema(), {}, {}),)
    rows = len(rows_of(stored, kept, None) if stored is not None else next(iter(frames.values())).rows.lines)
    dealt: dict[str, Indices] = {"train": places(rows)}
    labels, names = None, ()
    if split is not None:
        if split.kind == "stratified":
            classed = replace(sources, fitted=fitted)
            of_value = partial(_frames_of, classed, frames, kept)
            labels, names = class_of_rows(split, frames, targets, of_value)
        elif split.group is not None:
            labels, names = group_of_rows(split.group, sources.scope("split", frames, fitted, None, kept, []), rows)
        dealt = deal(split, rows, labels, seed)
    found: list[Dataset] = []
    notes = (*left_out.notes, *(BLOCKS for _ in range(count and split is not None and split.kind == "ordered")))
    for parts in folds(count, dealt, split, labels, names, seed) if count else [dealt]:
        if count or split is not None:
            mine = Collector()
            frames, fitted = evaluated(sources, parts["train"], kept, [], mine)
            mine.errors += _refused(program, assigned, frames, targets) if stored is not None else []
            collect.errors += [in_fold(e, len(found) + 1) for e in mine.errors] if count else mine.errors
            collect.stop()
        found.append(_dealt(replace(sources, fitted=fitted), frames, kept, parts, targets, notes))
    return tuple(found)


def _refused(program: Program, assigned: dict[str, Assign], frames: dict[str, Frame], targets: frozenset[str]) -> list[MlpcError]:
    """What is wrong with values that are right each by itself."""
    gaps = [MlpcError(frame.gap) for name, frame in frames.items() if name in targets and frame.gap]
    return [*_copied_targets(program, assigned, frames, targets), *unequal_rows(assigned, frames), *gaps]


def _frames_of(sources: Sources, frames: dict[str, Frame], kept: NDArray[np.bool_] | None, name: str) -> Iterator[Frame]:
    """A value at all rows that are kept."""
    if sources.stored is None:
        return iter([frames[name]])
    return (block[name] for block in blocks(sources, {name: frames[name]}, rows_of(sources.stored, kept, None)))


def _dealt(
    sources: Sources,
    frames: dict[str, Frame],
    kept: NDArray[np.bool_] | None,
    parts: dict[str, Indices],
    targets: frozenset[str],
    notes: tuple[str, ...],
) -> Dataset:
    """The values of all rows, as they were fitted, dealt to the splits."""
    rows, fitted, table = next(iter(frames.values())).rows, dict(sources.fitted), sources.table
    splits: dict[str, dict[str, Values]]
    if sources.stored is None:
        splits = {part: {name: _rows_of(frame, which) for name, frame in frames.items()} for part, which in parts.items()}
        counts = {name: class_counts(frame, parts["train"]) for name, frame in frames.items()}
    else:
        there = streamed(sources, frames, kept, parts, targets)
        splits, counts, rows = there.splits, there.counts, there.rows
    values = tuple(
        DataValue(name, len(frame.labels), frame.facts, frame.labels, frame.classes, sources.assigned[name].name.span,
                  undoing(fitted, name) if name in targets else (), counts[name])
        for name, frame in frames.items()
    )  # fmt: skip
    schema = Schema(values, tuple((part, len(which)) for part, which in parts.items()))
    return Dataset(schema, splits, fitted, notes, _kinds(table, frames), rows, parts, table.origin if table else "")


def _kinds(table: Table | None, frames: dict[str, Frame]) -> dict[str, str]:
    """The columns of the file that frames are made of, `number` if all their cells are numbers, else `text`."""
    used = dict.fromkeys(name for frame in frames.values() for name in frame.sources) if table else {}
    return {name: "number" if all(c.is_numeric for c in table.known.get(name, ())) else "text" for name in used if table}


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
