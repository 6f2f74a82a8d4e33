"""A matrix as rows of text: its columns aligned at the point, exact zeros as `0`, what does not fit as `...`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..trace import Numbers

PRECISIONS = (8, 6, 5, 4)  # significant digits of the largest number: the first with which the columns fit
SINGLE = 7  # all that float32 has
MOST_DECIMALS = 8
LEAST, LEAST_OF_COLUMN = 5, 3  # a matrix, and a column, that decimals show fewer digits of is written with exponents,
LARGE = 8  # and so is a column whose numbers have more before the point
GAP = 2
ELLIPSIS = "..."


def matrix(value: Numbers, room: int, rows: int | None = None, *, whole: bool = False) -> list[str]:
    """At most so many of its rows (None: all), each at most `room` wide: the middle rows, and columns before the last, are left out.

    A vector is one row. `whole`: [] instead if a column would have to be left out.
    """
    if 0 in value.shape:
        return ["(no numbers)"]
    flat = value.reshape(-1, value.shape[-1]) if value.shape else value.reshape(1, 1)
    height, width = flat.shape
    first, last = (height, 0) if rows is None or height <= rows + 1 else (rows - rows // 2, rows // 2)
    kept = [*range(first), *range(height - last, height)]
    most = room // (1 + GAP) + 1  # no column is narrower
    if last and float(flat.min()) == 0 == float(flat.max()):
        return ["all 0"]
    cells: list[list[float]] = [_some(flat[i].tolist(), most) for i in kept]
    columns = list(zip(*cells, strict=True))
    precisions = [min(p, SINGLE) if str(value.dtype) == "float32" else p for p in PRECISIONS]
    for precision in precisions if width <= most else ():
        written = _written(columns, precision)
        if _wide(written) <= room and (not whole or not last or len(_missing(height - len(kept))) <= room):
            return _rows(written, first, height - len(kept))
    if whole:
        return []
    if float(flat.min()) == 0 == float(flat.max()):
        return ["all 0"]
    written = _written(columns, precisions[-1])
    *leading, final = written
    while leading and _wide([*leading, [ELLIPSIS], final]) > room:
        leading.pop()
    return _rows([*leading, [ELLIPSIS] * len(kept), final], first, height - len(kept))


def number(value: float, precision: int = 10) -> str:
    """One number by itself, `NaN`, `inf` or `-inf` where it is none."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return f"{value:.{precision}g}"


def _some(row: list[float], most: int) -> list[float]:
    """As many as may find room, the last among them."""
    return row if len(row) <= most else [*row[: most - 1], row[-1]]


def _written(columns: Sequence[Sequence[float]], precision: int) -> list[list[str]]:
    """Every column as texts of one width. The decimals follow the largest number of all; those that no number needs are left out."""
    known = [v for column in columns for v in column if math.isfinite(v)]
    most = _decimals(known, precision)
    needed = _needed(known, most)
    few = _exponent(known) + most + 1 < min(precision, LEAST)
    return [_column(column, most, needed, precision, few) for column in columns]


def _column(column: Sequence[float], most: int, needed: int, precision: int, few: bool) -> list[str]:
    """With as many decimals as the matrix needs, of at most so many; with more if these leave less than is to be seen of it."""
    known = [v for v in column if math.isfinite(v) and v != 0]
    exponent = _exponent(known)
    integral = exponent < 15 and all(v == int(v) for v in known)
    if exponent + most + 1 < LEAST_OF_COLUMN and not few:
        most = _decimals(known, precision)
        needed, few = _needed(known, most), exponent + most + 1 < LEAST_OF_COLUMN
    if not integral and (few or exponent >= LARGE):
        texts = [f"{v:.{min(precision, LEAST) - 1}e}" if v in known else _special(v, 0) for v in column]
    else:
        decimals = 0 if integral else needed
        texts = [_fixed(v, decimals) if v in known else _special(v, decimals) for v in column]
    width = max(map(len, texts))
    return [t.rjust(width) for t in texts]


def _fixed(v: float, decimals: int) -> str:
    """With so many decimals; a number that they would round to 0 by its size alone, so that `0` is 0."""
    text = f"{v:.{decimals}f}"
    return text if float(text) else f"{v:.0e}"


def _special(v: float, decimals: int) -> str:
    """0 stands where the units do."""
    return ("0" + " " * (decimals + 1 if decimals else 0)) if v == 0 else number(v)


def _decimals(known: Sequence[float], precision: int) -> int:
    """How many show so many digits of the largest."""
    return min(max(precision - 1 - _exponent(known), 0), MOST_DECIMALS)


def _needed(known: Sequence[float], decimals: int) -> int:
    """Without those that are 0 in every number."""
    found = 0
    for v in known:
        found = max(found, len(f"{v:.{decimals}f}".rstrip("0").partition(".")[2]))
        if found == decimals:
            break
    return found


def _exponent(known: Sequence[float]) -> int:
    """Of the first digit of the largest."""
    largest = max(map(abs, known), default=0.0)
    return math.floor(math.log10(largest)) if largest else 0


def _wide(columns: Sequence[Sequence[str]]) -> int:
    return sum(len(column[0]) for column in columns) + GAP * (len(columns) - 1)


def _rows(columns: Sequence[Sequence[str]], first: int, missing: int) -> list[str]:
    rows = [(" " * GAP).join(row).rstrip() for row in zip(*columns, strict=True)]
    return [*rows[:first], _missing(missing), *rows[first:]] if missing else rows


def _missing(rows: int) -> str:
    return f"{ELLIPSIS} {rows:,} more rows"
