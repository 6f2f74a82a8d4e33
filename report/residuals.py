"""How far predictions of numbers are from what the data says, in the units of the data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ..runtime.record import Beside, Record
from .figures import figure, number
from .markup import Markup, element, table
from .pictures import against, spread

WORST = 5  # rows of each split


def residuals(record: Record) -> list[Markup]:
    """For each column of each target of numbers two pictures, the residuals in figures, and the rows that are furthest off."""
    made: list[Markup] = []
    for target, value, column in _columns(record):
        both = {split: _pair(b, column) for split, s in record.samples.items() for b in s.of if b.target == target}
        name = f"{target}, column {column}" if _width(record, target) > 1 else target
        made += _of_column(record, name, value, both)
    return made


def _of_column(record: Record, name: str, value: str, both: dict[str, tuple[list[float], list[float]]]) -> list[Markup]:
    off = {split: [p - t for t, p in zip(*pair, strict=True)] for split, pair in both.items()}
    taken = [f"{len(s.places):,} of {s.rows:,} {split}" for split, s in record.samples.items() if len(s.places) < s.rows]
    told = "; ".join(f"{split}: mean {number(_mean(r))}, standard deviation {number(_sd(r))}" for split, r in off.items())
    note = f" Of the rows these are shown, evenly taken: {', '.join(taken)}." if taken else ""
    pictures = [
        figure(against(f"{value} against {name}", both), f"{value}, predicted, against {name}, true.{note}"),
        figure(spread(f"residuals of {name}", off), f"Residuals, predicted - true: {told}."),
    ]
    figures = (
        [split, f"{len(r):,}", *map(number, (_mean(r), _sd(r), _mean([abs(x) for x in r]), statistics.median(r), min(r), max(r)))]
        for split, r in off.items() if r
    )  # fmt: skip
    heads = ("split", "rows", "mean", "sd", "mean size", "median", "least", "most")
    worst = [
        [record.samples[split].places[i], split, number(both[split][0][i]), number(both[split][1][i]), number(r[i])]
        for split, r in off.items()
        for i in sorted(range(len(r)), key=lambda i: -abs(r[i]) if math.isfinite(r[i]) else -math.inf)[:WORST]
    ]
    return [
        element("h3", name),
        element("div", pictures, class_="beside"),
        table(f"residuals of {name}, predicted - true, in its own units", heads, figures, "numbers"),
        table(
            f"the rows of each split that are furthest off in {name}", ("row", "split", "true", "predicted", "residual"), worst, "numbers"
        ),
    ]


def _columns(record: Record) -> list[tuple[str, str, int]]:
    """(target, value, column) of all targets of numbers."""
    found = {b.target: b.value for s in record.samples.values() for b in s.of if not b.classes}
    return [(target, value, column) for target, value in found.items() for column in range(_width(record, target))]


def _width(record: Record, target: str) -> int:
    return max((len(row) for s in record.samples.values() for b in s.of if b.target == target for row in b.true), default=0)


def _pair(b: Beside, column: int) -> tuple[list[float], list[float]]:
    return [row[column] for row in b.true], [row[column] for row in b.predicted]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values and all(map(math.isfinite, values)) else math.nan


def _sd(values: Sequence[float]) -> float:
    return statistics.pstdev(values) if values and all(map(math.isfinite, values)) else math.nan
