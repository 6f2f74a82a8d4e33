"""Pictures in plain text, of braille dots: a function of one number with its derivative, the losses of a training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

WIDTH, HEIGHT, SMALL = 60, 12, 8  # in characters, each of 2 x 4 dots
LABEL = 9
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # the bit of a dot by its row and column
WIDE = 8  # a loss that falls to less than one in so many is drawn by its logarithm
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
    return _page(dots, labels, HEIGHT, [f"{x[i]:.4g}" for i in (0, len(x) // 2, -1)])


def losses(curves: Mapping[str, Sequence[float]]) -> list[str]:
    """The lines of a picture of one number an epoch: the first curve as a line, the others dotted, and their names below.

    [] if there are fewer than two epochs, or none with a finite number.
    """
    epochs = max((len(values) for values in curves.values()), default=0)
    known = [v for values in curves.values() for v in values if math.isfinite(v)]
    if epochs < 2 or not known:
        return []
    low, high = min(known), max(known)
    scale = math.log if low > 0 and high > WIDE * low else float
    bottom, top = scale(low), scale(high)
    rows = 4 * SMALL
    dots: set[tuple[int, int]] = set()
    for number, values in enumerate(curves.values()):
        before: tuple[int, float] | None = None
        last: int | None = None
        for i, v in enumerate(values):
            here = (round(i * (2 * WIDTH - 1) / (epochs - 1)), scale(v)) if math.isfinite(v) else None
            for column, height in _between(before, here):
                row = round((top - height) / (top - bottom) * (rows - 1)) if high > low else rows - 1
                joined = range(min(last, row) + 1, max(last, row)) if last is not None and not number else ()
                dots |= {(r, column) for r in (row, *joined) if not number or column % SPARSE == 0}
                last = row
            before, last = here, last if here is not None else None
    page = _page(dots, {0: f"{high:.4g}", SMALL - 1: f"{low:.4g}"}, SMALL, ["1", f"{(epochs + 1) // 2}", f"{epochs}"])
    first, *others = curves
    return [
        *page,
        " " * (LABEL + 2) + f"epochs · line {first}" + "".join(f" · dots {name}" for name in others) + " · log scale" * (scale is math.log),
    ]


def _between(before: tuple[int, float] | None, here: tuple[int, float] | None) -> Iterator[tuple[int, float]]:
    """The places (column, height) of a straight line after one and up to another."""
    if here is None:
        return
    start, height = before or (here[0] - 1, here[1])
    for column in range(min(start + 1, here[0]), here[0] + 1):
        share = (column - start) / (here[0] - start) if here[0] > start else 1.0
        yield column, height + share * (here[1] - height)


def _page(dots: set[tuple[int, int]], labels: Mapping[int, str], height: int, below: Sequence[str]) -> list[str]:
    """The picture of some dots, with what stands left of its lines, and below it at its left, middle and right."""
    page = [f"{labels.get(r, ''):>{LABEL}} │{''.join(_braille(dots, r, c) for c in range(WIDTH))}".rstrip() for r in range(height)]
    left, middle, right = below
    half = WIDTH // 2 - len(middle) // 2
    said = left + middle.rjust(half + len(middle) - len(left)) + right.rjust(WIDTH - half - len(middle))
    return [*page, " " * LABEL + " └" + "─" * WIDTH, " " * (LABEL + 2) + said]


def _braille(dots: set[tuple[int, int]], row: int, column: int) -> str:
    """The character at a place; a blank where there is no dot."""
    bits = sum(DOTS[r][c] for r in range(4) for c in range(2) if (4 * row + r, 2 * column + c) in dots)
    return chr(0x2800 + bits) if bits else " "
