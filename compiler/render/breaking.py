"""A line's id, target and text on as many rows as it takes, and the widths that need the fewest.

A text that does not fit goes on under its beginning. Where a target is too long for the column of targets, the text begins
below it, with its sign of equality.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..plan import Line
from .page import Part

MARGIN = " "
OPERATORS = frozenset("+-*/@<>")
HANGING = 2  # columns beyond the target at which its text begins, if that stands below
WIDEST = 24  # what the column of targets may take at most
SHORT = 14  # targets that had better stand in it
CANDIDATES = 6  # widths of it that are tried

Pieces = list[Part]


def rows_of(line: Line, numbers: int, pad: int, room: int) -> list[Pieces]:
    """The rows of a line: ids take `numbers` columns, targets `pad`, and all must end before `room` if it can."""
    start = Part(MARGIN + line.id.ljust(numbers) + " ", "id")
    indent = len(start.text) + max(pad, len(line.target)) + 3
    beside = broken(line.text, room - indent)
    below = len(start.text) + HANGING
    if len(line.target) > pad + 2 * (line.target == "loss") or _too_long(beside, room - indent):
        texts = broken(line.text, room - below - 2)
        if len(line.target) > pad or not _too_long(texts, room - below - 2):
            return [[start, Part(line.target, "target")], *([Part(" " * below + ("  " if i else "= ") + t)] for i, t in enumerate(texts))]
    first, *rest = beside
    return [[start, Part(line.target.ljust(pad), "target"), Part(f" = {first}")], *([Part(" " * indent + t)] for t in rest)]


def _too_long(texts: Iterable[str], room: int) -> bool:
    return any(len(t) > room for t in texts)


def width_of(pieces: Iterable[Part]) -> int:
    """How wide a row is."""
    return sum(len(p.text) for p in pieces)


def target_width(lines: Sequence[Line], numbers: int, room: int) -> tuple[int, int]:
    """(cost, width): the width of the column of targets that needs the fewest rows, of equals the widest.

    The cost counts rows, and once more each line that begins below a short target.
    """
    lengths = sorted({len(line.target) for line in lines if line.target != "loss"} or {1})
    if lengths[-1] == 3 and any(line.target == "loss" for line in lines):
        lengths[-1] = 4  # `loss` may stick out of the row of signs of equality, but not by one
    tried = [n for n in lengths if n <= WIDEST][-CANDIDATES:] or lengths[:1]
    cost, pad = min((_cost(lines, numbers, pad, room), -pad) for pad in tried)
    return cost, -pad


def _cost(lines: Iterable[Line], numbers: int, pad: int, room: int) -> int:
    made = [(line, rows_of(line, numbers, pad, room)) for line in lines]
    return sum(len(rows) + (width_of(rows[-1]) > room) + (pad < len(line.target) <= SHORT and line.target != "loss") for line, rows in made)


@lru_cache(4096)
def broken(text: str, room: int) -> tuple[str, ...]:
    """A text broken before operators, the loosest that helps; a piece without one stays whole."""
    lines: list[str] = []
    while len(text) > max(room, 12):
        cut = _cut(text, max(room, 12))
        if cut <= 0:
            break
        lines.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return (*lines, text)


def _cut(text: str, room: int) -> int:
    """Where to break: before the last operator that fits, as far out of the brackets as there is one."""
    depth = 0
    best: dict[int, int] = {}
    for i, c in enumerate(text[: room + 1]):
        depth += (c in "([") - (c in ")]")
        if c == " " and i and text[i + 1 : i + 2] in OPERATORS and text[i + 2 : i + 3] in " =":
            rank = 3 * depth + {"+": 0, "-": 0}.get(text[i + 1], 1)
            best[rank] = i
        elif c == "," and 0 < i < room:
            best[3 * depth + 2] = i + 1
    useful = {rank: i for rank, i in best.items() if i >= room // 3} or best
    if useful:
        return useful[min(useful)]
    later = [i for i in (*(text.find(f" {op} ", room) for op in "+-*/@"), text.find(", ", room) + 1) if i > 0]
    return min(later, default=0)
