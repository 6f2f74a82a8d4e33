"""A function of one number as a picture in plain text, of braille dots: its value as a line, its derivative dotted."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 60, 12  # in characters, each of 2 x 4 dots
LABEL = 9
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # the bit of a dot by its row and column
SPARSE = 4  # one dot of the derivative in so many columns


def curve(x: Sequence[float], value: Sequence[float], derivative: Sequence[float]) -> list[str]:
    """The lines of the picture: the two over the same axes, with the ends of both, where the value is finite; [] if it nowhere is."""
    known = [n for v, d in zip(value, derivative, strict=True) if math.isfinite(v) for n in (v, d) if math.isfinite(n)]
    if not known:
        return []
    low, high = min(*known, 0.0), max(*known, 0.0)
    high = high if high > low else low + 1
    columns, rows = 2 * WIDTH, 4 * HEIGHT

    def row(v: float) -> int:
        return round((high - v) / (high - low) * (rows - 1))

    dots: set[tuple[int, int]] = set()
    before: int | None = None
    for i, (v, d) in enumerate(zip(value, derivative, strict=True)):
        column = round(i * (columns - 1) / max(len(x) - 1, 1))
        if math.isfinite(v):
            here = row(v)
            between = range(min(before, here) + 1, max(before, here)) if before is not None else ()
            dots |= {(r, column) for r in (here, *between)}
        before = row(v) if math.isfinite(v) else None
        if math.isfinite(v) and math.isfinite(d) and i % SPARSE == 0:
            dots.add((row(d), column))
    labels = {0: f"{high:.4g}", HEIGHT - 1: f"{low:.4g}"} | {row(0.0) // 4: "0"}
    page = [f"{labels.get(r, ''):>{LABEL}} │{''.join(_braille(dots, r, c) for c in range(WIDTH))}".rstrip() for r in range(HEIGHT)]
    left, middle, right = (f"{x[i]:.4g}" for i in (0, len(x) // 2, -1))
    half = WIDTH // 2 - len(middle) // 2
    below = left + middle.rjust(half + len(middle) - len(left)) + right.rjust(WIDTH - half - len(middle))
    return [*page, " " * LABEL + " └" + "─" * WIDTH, " " * (LABEL + 2) + below]


def _braille(dots: set[tuple[int, int]], row: int, column: int) -> str:
    """The character at a place; a blank where there is no dot."""
    bits = sum(DOTS[r][c] for r in range(4) for c in range(2) if (4 * row + r, 2 * column + c) in dots)
    return chr(0x2800 + bits) if bits else " "
