"""The statements of `data`, all of them: evaluated one after the other, without the rows that a `drop_missing` leaves out.

A table that stays in its file is evaluated on its first rows for what its values are called and what is known of them. What is learnt
of it, and which rows are left out, takes all rows, some at a time: the statements again, with the table of those rows and what was
fitted so far, as new rows go through them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TypeVar, cast

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError, fault
from ..dsl.syntax import Assign, Expr, From, Span
from .columns import Stored, Table, Which
from .expressions import Scope, Transform, evaluate, unconverted
from .frame import Frame, Indices
from .later import Chosen, ahead, cut
from .missing import Drop
from .split import places

_T = TypeVar("_T")
SAMPLE = 64  # rows that show what the values are


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


class Sources(Struct, frozen=True, eq=False):
    """What the statements are made of: themselves, the file, and for each the columns that others name.

    `fitted`: what each was in training, if that is past; `dropping`: whether a row with a missing cell may be left out. `stored`: what
    stays in the file, in place of `table` as far as its rows are concerned.
    """

    assigned: dict[str, Assign]
    files: list[From]
    table: Table | None
    taken: dict[str, frozenset[str]]
    fitted: Mapping[str, tuple[Transform, ...]] = {}
    dropping: bool = True
    stored: Stored | None = None

    def scope(
        self,
        name: str,
        values: Mapping[str, Frame | None],
        made: Mapping[str, tuple[Transform, ...]],
        train: Indices | None,
        kept: NDArray[np.bool_] | None,
        drops: list[Drop],
    ) -> Scope:
        """What the statement `name` sees; the `values` above it were `made` so."""
        lines = {name: s.name.span.line for name, s in self.assigned.items()}
        at_fault = bool(self.files) and self.table is None
        taken, fitted = self.taken.get(name, frozenset[str]()), self.fitted.get(name)
        scope = Scope(name, self.table, at_fault, values, lines, taken, train, kept, drops if self.dropping else None, fitted)
        if self.stored is None:
            return scope
        rows = rows_of(self.stored, kept, train)
        scope = replace(scope, table=self.stored.at(next(cut(rows, SAMPLE))), kept=None)
        return replace(scope, blocks=partial(_blocks, replace(self, fitted=made), scope, rows))


def evaluated(
    sources: Sources, train: Indices | None, kept: NDArray[np.bool_] | None, drops: list[Drop], collect: Collector
) -> tuple[dict[str, Frame], dict[str, tuple[Transform, ...]]]:
    """The values without a fault, in the order written, and how they were made; `train` None: every row trains."""
    values: dict[str, Frame | None] = {}
    made: dict[str, tuple[Transform, ...]] = {}
    for name, s in sources.assigned.items():
        scope = sources.scope(name, values, made, train, kept, drops)
        found = collect(lambda s=s, scope=scope: evaluate(s.value, scope))
        values[name] = found[0] if found else None
        if found:
            made[name] = found[1]
    return {name: frame for name, frame in values.items() if frame is not None}, made


def at(sources: Sources, names: Iterable[str], rows: Which) -> dict[str, Frame]:
    """Some values, and those that they are made of, at some rows of what is stored, by what was `fitted`; MlpcError for what they cannot take."""
    assert sources.stored is not None
    collect = Collector()
    assigned = {name: sources.assigned[name] for name in closure(sources.fitted, names)}
    there = replace(sources, assigned=assigned, table=sources.stored.at(rows), dropping=False, stored=None)
    frames, _ = evaluated(there, None, None, [], collect)
    collect.stop()
    return frames


def _blocks(sources: Sources, scope: Scope, rows: Chosen, expr: Expr, steps: tuple[Transform, ...], size: int) -> Iterator[Frame]:
    """An expression within a statement, which has these steps, at all of some rows, so many at a time."""
    read = list(reads(steps))

    def block(which: Which) -> Frame:
        assert sources.stored is not None
        values: Mapping[str, Frame | None] = at(sources, read, which) if read else {}
        there = replace(scope, table=sources.stored.at(which), values=values, train=None, drops=None, fitted=steps, blocks=None)
        return unconverted(expr, there)[0]

    return ahead(block(which) for which in cut(rows, size))


def rows_of(stored: Stored, kept: NDArray[np.bool_] | None, chosen: Indices | None) -> Chosen:
    """The rows in the file of the `chosen` (None: all) of those that are `kept`."""
    count = next(iter(stored.rows.values()))
    if kept is None:
        return range(count) if chosen is None else chosen
    there = places(count)[kept]
    return there if chosen is None else there[chosen]


def reads(steps: Iterable[Transform]) -> Iterator[str]:
    """The values above that a statement of these steps reads."""
    return (cast("tuple[str, ...]", s.statistics["names"][0])[0] for s in steps if s.name == "value")


def closure(fitted: Mapping[str, tuple[Transform, ...]], wanted: Iterable[str]) -> list[str]:
    """The values, and those that they are made of, in the order of their statements."""
    found: set[str] = set()
    stack = list(wanted)
    while stack:
        name = stack.pop()
        if name not in found:
            found.add(name)
            stack += reads(fitted[name])
    return [name for name in fitted if name in found]


class LeftOut(Struct, frozen=True):
    """How many rows were left out `of` so many, because of missing cells in these columns; `span`: of a `drop_missing`."""

    rows: int = 0
    of: int = 0
    columns: tuple[str, ...] = ()
    span: Span | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence, if there are any."""
        return (f"{self.rows} of {self.of} rows dropped: a cell of {', '.join(self.columns)} is missing",) if self.rows else ()

    def refused(self) -> list[MlpcError]:
        """E0404 if these are all rows."""
        if self.rows < self.of or not self.rows:
            return []
        columns = " and ".join(f"`{c}`" for c in self.columns)
        return [
            fault("E0404", self.span, f"every row has a missing cell in {columns}: none is left", "`|> impute(...)` fills cells instead")
        ]

    def __add__(self, other: LeftOut) -> LeftOut:
        columns = tuple(dict.fromkeys((*self.columns, *other.columns)))
        return LeftOut(self.rows + other.rows, self.of + other.of, columns, self.span or other.span)


def complete(
    sources: Sources, collect: Collector
) -> tuple[dict[str, Frame], dict[str, tuple[Transform, ...]], NDArray[np.bool_] | None, LeftOut]:
    """The values of the rows that no `drop_missing` leaves out, how they were made, which rows these are (None: all), and what is not there.

    No values if no row is left.
    """
    kept: NDArray[np.bool_] | None = None
    columns: dict[str, None] = {}
    while True:
        attempt, drops = Collector(), list[Drop]()
        frames, fitted = evaluated(sources, None, kept, drops, attempt)
        there = len(drops[0].rows) if kept is None and drops else 0 if kept is None else int(kept.sum())
        unequal = next((d for d in drops if len(d.rows) != there), None)
        if unequal is not None:
            attempt.errors.append(fault("E0409", unequal.span, f"this drops some of {len(unequal.rows)} rows, and other values have {there}",
                                        "every value of `data` has the same rows"))  # fmt: skip
        if unequal is not None or not drops:
            collect.errors += attempt.errors
            count = len(next(iter(frames.values())).rows.lines) if frames else 0
            left_out = LeftOut(0, count) if kept is None else LeftOut(int((~kept).sum()), len(kept), tuple(columns))
            return frames, fitted, kept, left_out
        left = ~np.logical_or.reduce([d.rows for d in drops])
        columns |= dict.fromkeys(c for d in drops for c in d.columns)
        if not left.any():
            count = there if kept is None else len(kept)
            return {}, {}, kept, LeftOut(count, count, tuple(columns), drops[0].span)
        kept = np.ones(there, dtype=np.bool_) if kept is None else kept
        kept[np.flatnonzero(kept)] = left


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
