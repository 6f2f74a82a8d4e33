"""The table that stands for the copies of lines: names of the printed lines in its heading, and in each row those of a copy."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .page import Part, Row, row
from .repeats import Copy, Repeat

MARGIN = " "
GAP = 3
NUMBERED = re.compile(r"t(\d+)")
AND_SO_ON = "⋮"


def table(run: Repeat, ids: Sequence[str], width: int) -> list[Row]:
    """The heading and a row for each copy, with the `ids` of lines; columns that find no room beside the others stand in a table of their own below."""
    spans = [_span([ids[run.start], ids[run.stop - 1]]) + " again"]
    spans += [_span([ids[c.start], ids[c.stop - 1]]) if c else AND_SO_ON for c in run.rows]
    columns = _grouped(run)
    start = max(map(len, spans)) + len(MARGIN) + GAP
    rows: list[Row] = []
    while columns:
        here = [columns.pop(0)]
        while columns and start + sum(GAP + max(map(len, c)) for c in [*here, columns[0]]) - GAP <= width:
            here.append(columns.pop(0))
        for i, (id_, *cells) in enumerate(zip(spans, *here, strict=True)):
            padded = (cell.ljust(max(map(len, column)) + GAP) for cell, column in zip(cells, here, strict=True))
            rows.append(row(Part((MARGIN + id_).ljust(start), "id"), Part("".join(padded), "" if i else "heading")))
    return rows


def _grouped(run: Repeat) -> list[list[str]]:
    """The columns, each from its heading down; numbered values that go on by one in every row are one column, `t1-t4`."""
    shown: list[Copy] = [c for c in run.rows if c]
    columns = [[label, *(c.cells[i] for c in shown)] for i, label in enumerate(run.labels)]
    groups: list[list[list[str]]] = []
    for column in columns:
        if groups and all(_follows(a, b) for a, b in zip(groups[-1][-1], column, strict=True)):
            groups[-1].append(column)
        else:
            groups.append([column])
    merged = [[_span(cells) for cells in zip(*group, strict=True)] for group in groups]
    gaps = [i for i, c in enumerate(run.rows) if c is None]
    for column in merged:
        for i in gaps:
            column.insert(i + 1, "")
    return merged


def _follows(a: str, b: str) -> bool:
    before, after = NUMBERED.fullmatch(a), NUMBERED.fullmatch(b)
    return before is not None and after is not None and int(after[1]) == int(before[1]) + 1


def _span(names: Sequence[str]) -> str:
    """`f2-f8`, or the one name."""
    return names[0] if names[0] == names[-1] else f"{names[0]}-{names[-1]}"
