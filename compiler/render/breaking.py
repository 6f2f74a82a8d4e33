"""A line's id, target and text on as many rows as it takes, and the widths that need the fewest.

A text that does not fit goes on under its beginning. Where a target is too long for the column of targets, the text begins
below it, with its sign of equality.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache

from ..plan import Line
from .page import Part

MARGIN = " "
HANGING = 2  # columns beyond the target at which its text begins, if that stands below
WIDEST = 24  # what the column of targets may take at most
SHORT = 14  # targets that had better stand in it
CANDIDATES = 6  # widths of it that are tried
MANY = 2000  # lines; of more, about so many decide on the width

Pieces = list[Part]
_MARK = re.compile(r"[()\[\],]| (?=[-+*/@<>](?:[ =]|$))")  # brackets, commas, and the blank before an operator


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
    some = lines[:: len(lines) // MANY | 1]
    cost, pad = min((_cost(some, numbers, pad, room), -pad) for pad in tried)
    return cost, -pad


def _cost(lines: Iterable[Line], numbers: int, pad: int, room: int) -> int:
    beside = room - len(MARGIN) - numbers - 1 - pad - 3
    cost = 0
    for line in lines:
        target = len(line.target)
        if target <= pad and len(line.text) <= beside:
            cost += 1
            continue
        rows = rows_of(line, numbers, pad, room)
        cost += len(rows) + (width_of(rows[-1]) > room) + (pad < target <= SHORT and line.target != "loss")
    return cost


def broken(text: str, room: int) -> tuple[str, ...]:
    """A text broken before operators, the loosest that helps; a piece without one stays whole."""
    room = max(room, 12)
    return _broken(text, room) if len(text) > room else (text,)


@lru_cache(4096)
def _broken(text: str, room: int) -> tuple[str, ...]:
    lines: list[str] = []
    places = _places(text)
    start = 0
    while len(text) - start > room:
        cut = _cut(text, start, room, places)
        if cut <= start:
            break
        lines.append(text[start:cut].rstrip())
        start = cut
        while text[start : start + 1].isspace():
            start += 1
    return (*lines, text[start:])


@lru_cache(4096)
def _places(text: str) -> tuple[tuple[int, int, int], ...]:
    """(where it is, where it would be broken, how loose it is: the less, the looser) of every operator and comma."""
    depth = 0
    found: list[tuple[int, int, int]] = []
    for match in _MARK.finditer(text):
        c, i = match[0], match.start()
        if c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == ",":
            found.append((i, i + 1, 3 * depth + 2))
        else:
            found.append((i, i, 3 * depth + (text[i + 1] not in "+-")))
    return tuple(found)


def _cut(text: str, start: int, room: int, places: Sequence[tuple[int, int, int]]) -> int:
    """Where to break what begins at `start`: before the last operator that fits, as far out of the brackets as there is one."""
    best: dict[int, int] = {}
    for i, cut, rank in places[bisect_right(places, start, key=_at) : bisect_right(places, start + room, key=_at)]:
        if cut == i or i < start + room:
            best[rank] = cut
    useful = {rank: cut for rank, cut in best.items() if cut - start >= room // 3} or best
    if useful:
        return useful[min(useful)]
    later = [i for i in (*(text.find(f" {op} ", start + room) for op in "+-*/@"), text.find(", ", start + room) + 1) if i > 0]
    return min(later, default=0)


def _at(place: tuple[int, int, int]) -> int:
    return place[0]
