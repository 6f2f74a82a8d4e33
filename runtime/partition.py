"""How a drafted model splits its rows: shares by their number, and the first seed with which training meets all that it must."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ..dsl.diagnostics import MlpcError
from .columns import Column
from .goal import Goal
from .kinds import NOWHERE, NUMBER, OUT, Kind, left_out
from .split import Indices, Split, deal

SEEDS = range(1, 21)  # tried before a column is given up
SHARES = (  # from so many rows on: train, val, test. The fewer rows, the larger the share that a test needs to say anything
    (10_000, ("0.8", "0.1", "0.1")),
    (200, ("0.7", "0.15", "0.15")),
    (50, ("0.75", "0", "0.25")),
    (10, ("0.7", "0", "0.3")),
)


class Partition(Struct, frozen=True):
    """`split` is None where all rows train; `written` is its text; `rows` are those of each part."""

    split: Split | None
    written: str
    rows: dict[str, int]
    seed: int

    @property
    def watched(self) -> bool:
        """There are rows to see by when to stop."""
        return "val" in self.rows


def partition(goal: Goal, kinds: tuple[Kind, ...]) -> tuple[Partition, tuple[Kind, ...]]:
    """The split and its seed, and the kinds, less those with a label or a gap that no seed brings into the training rows."""
    shares = next((found for least, found in SHARES if goal.rows >= least), None)
    if shares is None:
        return Partition(None, "", {"train": goal.rows}, SEEDS[0]), kinds
    named = tuple((name, share) for name, share in zip(("train", "val", "test"), shares, strict=True) if share != "0")
    for kind in ("stratified", "random") if goal.classes else ("random",):
        split = Split(kind, tuple((name, Fraction(share)) for name, share in named), NOWHERE)
        try:
            dealt = {seed: deal(split, goal.rows, np.array(goal.codes), seed) for seed in SEEDS}
        except MlpcError:  # the classes are so small that a part gets no row
            continue
        while True:
            failing = {seed: _failing(parts["train"], goal, kinds) for seed, parts in dealt.items()}
            best = min(SEEDS, key=lambda seed: len(failing[seed]))  # the first of equals
            if not failing[best]:
                written = f"{kind}({', '.join(f'{name} = {share}' for name, share in named)})"
                return Partition(split, written, {name: len(rows) for name, rows in dealt[best].items()}, best), kinds
            if goal.name in failing[best]:
                break
            why = "some of its labels or cells are so rare that training may not meet them"
            kinds = tuple(left_out(k.name, why) if k.name in failing[best] else k for k in kinds)
    return Partition(None, "", {"train": goal.rows}, SEEDS[0]), kinds


def _failing(train: Indices, goal: Goal, kinds: Sequence[Kind]) -> tuple[str, ...]:
    """The columns of which these rows lack a label, or all numbers but one; the target itself if they lack a class."""
    found = [k.name for k in kinds if k.role != OUT and not _is_met(k, train)]
    return (*found, goal.name) if goal.classes and not _all_there(np.array(goal.codes), train) else tuple(found)


def _is_met(kind: Kind, train: Indices) -> bool:
    if kind.role == NUMBER:
        return (len(kind.columns) > 1 and not kind.gaps) or all(_varies(c, train) for c in kind.columns)
    return _all_there(np.array(kind.codes), train)


def _varies(column: Column, train: Indices) -> bool:
    """Whether these rows have two different numbers."""
    assert column.numbers is not None
    x = column.numbers[train]
    return len(np.unique(x[~np.isnan(x)])) > 1


def _all_there(codes: NDArray[np.int64], train: Indices) -> bool:
    """Whether each number of `codes` stands at one of these rows too."""
    return len(np.unique(codes[train])) == len(np.unique(codes))
