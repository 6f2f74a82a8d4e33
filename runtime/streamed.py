"""The data of a table that stays in its file: looked through once, and then made again of the rows that are asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from functools import partial

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Assign, Call, Matrix, Name, walk
from .columns import Rows, Stored, Table, Which
from .evaluation import Sources, at, rows_of
from .frame import Array, Frame, Indices, numbers
from .labels import class_counts
from .later import PIECE, Chosen, Later, Values, ahead, cut, neighbours
from .selection import KINDS, written
from .split import Split

Counts = dict[str, tuple[int, ...]]


def stays(table: Table | None, statements: Iterable[Assign]) -> Stored | None:
    """What stays in the file, if the statements read nothing else. E0409 for arrays of unequal rows."""
    if table is None or table.stored is None:
        return None
    stored, rows = table.stored, dict[str, int]()
    for s in statements:
        nodes = list(walk(s.value))
        kinds = any(isinstance(e, Name) and e.id in KINDS for e in nodes)
        names = table.names if kinds else dict.fromkeys(written(s.value, table))
        if any(isinstance(e, Matrix) for e in nodes) or not all(name in stored.rows for name in names):
            return None
        for name in names:
            first = next(iter(rows), name)
            rows[name] = stored.rows[name]
            if rows[name] != rows[first]:
                raise fault("E0409", s.name.span, f"`{name}` has {rows[name]} rows and `{first}` has {rows[first]}",
                            "every value of `data` has the same rows")  # fmt: skip
    return replace(stored, rows=rows) if rows else None


def looked_at_first(split: Split | None, statements: Iterable[Assign]) -> bool:
    """Whether rows can be dealt only when the statements have been evaluated, because of classes, groups, or rows to leave out."""
    drops = any(isinstance(e, Call) and e.function.id == "drop_missing" for s in statements for e in walk(s.value))
    return split is None or split.kind in {"stratified", "grouped"} or drops


class Streamed(Struct, frozen=True, eq=False):
    """The splits of a dataset, made when they are asked for, the `counts` of classes of the training rows, and all `rows`."""

    splits: dict[str, dict[str, Values]]
    counts: Counts
    rows: Rows


def streamed(
    sources: Sources, frames: Mapping[str, Frame], kept: NDArray[np.bool_] | None, parts: Mapping[str, Indices], targets: frozenset[str]
) -> Streamed:
    """All rows, looked through; `frames` show what the values are, and `sources` have what was fitted. MlpcError for what is at fault."""
    assert sources.stored is not None
    splits: dict[str, dict[str, Values]] = {}
    counts: Counts = {}
    for part, chosen in parts.items():
        rows = rows_of(sources.stored, kept, chosen)
        seen: dict[str, _Seen] = {}
        with closing(blocks(sources, frames, rows)) as found:
            for name, frame in (item for block in found for item in block.items()):
                if frame.gap is not None and name in targets:
                    raise MlpcError(frame.gap)
                seen[name] = _of_block(frame) if name not in seen else _both(seen[name], _of_block(frame))
        splits[part] = {
            name: Later((len(rows), len(frames[name].labels)), partial(_make, sources, name, rows), of.low, of.high)
            for name, of in seen.items()
        }
        counts = counts or {name: of.counts for name, of in seen.items()}  # train comes first
    every = rows_of(sources.stored, kept, None)
    lines = range(1, len(every) + 1) if isinstance(every, range) else every + 1
    return Streamed(splits, counts, Rows(next(iter(frames.values())).rows.file, lines, text=False))  # type: ignore[arg-type]


def blocks(sources: Sources, frames: Mapping[str, Frame], rows: Chosen) -> Generator[dict[str, Frame]]:
    """The values that are like `frames` at these rows, some at a time."""
    width = sum(len(frame.labels) for frame in frames.values())
    return ahead(at(sources, frames, which) for which in cut(rows, max(1, PIECE // width)))


class _Seen(Struct, frozen=True, eq=False):
    """Of a value in some rows: range of each column, and rows of each class."""

    low: Array
    high: Array
    counts: tuple[int, ...]


def _of_block(frame: Frame) -> _Seen:
    x = numbers(frame)
    return _Seen(x.min(axis=0), x.max(axis=0), class_counts(frame, slice(None)))


def _both(a: _Seen, b: _Seen) -> _Seen:
    counts = tuple(m + n for m, n in zip(a.counts, b.counts, strict=True)) if a.counts and b.counts else ()
    return _Seen(np.minimum(a.low, b.low), np.maximum(a.high, b.high), counts)


def _make(sources: Sources, name: str, rows: Chosen, which: Which) -> Array:
    """A value at some of a split's rows."""
    if isinstance(which, slice):
        return numbers(at(sources, [name], neighbours(rows[which]))[name])
    return numbers(at(sources, [name], which if isinstance(rows, range) else rows[which])[name])
