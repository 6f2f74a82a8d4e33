"""Which class was taken for which: the report's own matrices, or those of the rows that the folder holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..runtime.record import Record
from .figures import number
from .markup import Markup, element, joined, table


def confusions(record: Record) -> list[Markup]:
    """A table for each matrix that the report measured, split by split; without one, for each target of classes, from its rows."""
    found = list(_measured(record)) or list(_counted(record))
    return [element("div", found, class_="beside")] if found else []


def _measured(record: Record) -> Iterator[Markup]:
    """The matrices of the report. One that is no square of classes is a table of numbers."""
    for split in _held_first(list(record.metrics)):
        for name, value in record.metrics[split].items():
            if isinstance(value, list):
                rows: list[list[Any]] = [r if isinstance(r, list) else [r] for r in value]  # type: ignore[misc]
                labels = record.classes.get(name, ())
                if len(labels) == len(rows) and all(len(r) == len(rows) for r in rows):
                    yield _matrix(f"{name}, {split}", rows, labels)
                else:
                    body = ([str(i), *map(number, r)] for i, r in enumerate(rows))
                    yield table(f"{name}, {split}", ("", *map(str, range(len(rows[0]) if rows else 0))), body, "numbers")


def _counted(record: Record) -> Iterator[Markup]:
    for split in _held_first(list(record.samples)):
        sample = record.samples[split]
        for b in (b for b in sample.of if b.classes):
            counts = [[0.0] * len(b.classes) for _ in b.classes]
            for true, predicted in zip(b.true, b.predicted, strict=True):
                counts[true][predicted] += 1
            shown = len(sample.places)
            which = "" if shown == sample.rows else f", {shown:,} of {sample.rows:,} rows, evenly taken"
            yield _matrix(f"{b.value} against {b.target}, {split}{which}", counts, b.classes)


def _matrix(caption: str, rows: Sequence[Sequence[float]], labels: Sequence[str]) -> Markup:
    """Counts with their share of the row: the deeper the colour, the more; the diagonal has one of its own."""
    body: list[list[Markup | str]] = []
    for i, (label, counts) in enumerate(zip(labels, rows, strict=True)):
        total = sum(counts)
        shares = [n / total if total > 0 else 0.0 for n in counts]
        cells = [_cell(n, share, "right" if i == j else "wrong") for j, (n, share) in enumerate(zip(counts, shares, strict=True))]
        body.append([label, *cells, element("td", number(total))])
    return table(f"{caption}: rows true, columns predicted", ("true", *labels, "rows"), body, "counts")


def _cell(count: float, share: float, kind: str) -> Markup:
    shown = joined(element("b", number(count)), element("br"), element("small", f"{100 * share:.1f}%")) if count else joined("0")
    return element("td", shown, style=f"background:rgb(var(--{kind}) / {0.55 * share:.3f})" if count else "")


def _held_first(splits: list[str]) -> list[str]:
    """The rows that training has not seen come first."""
    return sorted(splits, key=lambda s: s == "train")
