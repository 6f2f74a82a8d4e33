"""What goes on in even steps: texts of which only the numbers differ, each by the same amount from one to the next."""

from __future__ import annotations

import re
from collections.abc import Sequence

DIGITS = re.compile(r"\d+")
MOST_IN_TURN = 12  # terms of different form that take turns in a sum
LONG = 8  # terms of a sum that are all printed
AND_SO_ON = "⋯"


def even(a: str, b: str, c: str) -> bool:
    """Whether c follows on b as b does on a."""
    if len({DIGITS.sub("", t) for t in (a, b, c)}) != 1:
        return False
    numbers = ([int(n) for n in DIGITS.findall(t)] for t in (a, b, c))
    return all(y - x == z - y for x, y, z in zip(*numbers, strict=True))


def elided(text: str) -> str:
    """A text whose long sums in even steps say their first two terms (or turns) and their last."""
    terms = text.split(" + ")
    if len(terms) <= LONG:
        return text
    shown: list[str] = []
    i = 0
    while i < len(terms):
        stop, turn = max((_stretch(terms, i, turn), -turn) for turn in range(1, MOST_IN_TURN + 1))
        turn = -turn
        if stop - i > max(LONG, 3 * turn):
            shown += [*terms[i : i + 2 * turn], AND_SO_ON, *terms[stop - turn : stop]]
            i = stop
        else:
            shown.append(terms[i])
            i += 1
    return " + ".join(shown)


def _stretch(terms: Sequence[str], start: int, turn: int) -> int:
    """Where the even steps end that begin here, a whole number of turns away."""
    stop = start + 2 * turn
    while stop < len(terms) and even(terms[stop - 2 * turn], terms[stop - turn], terms[stop]):
        stop += 1
    return stop - (stop - start) % turn
