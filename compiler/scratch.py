"""What the kernels take beside their results, in bytes: of the operands' shapes, the result's, and the bytes of a number.

A bound that is met, so that a run's memory is known before it starts; `tests/test_memory.py` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from .bound import TRANSPOSED
from .kernels import BLOCK

Sizes = tuple[int, ...]
Scratch = Callable[[Sequence[Sizes], Sizes, int], int]
PLACE = 8  # bytes of an index
BUFFER = 8192  # numbers that NumPy casts or repeats at a time


def nothing(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """For what writes its result and no more."""
    return 0


def buffered(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """What NumPy takes to make a long loop of rows: of an operand that is repeated a buffer full."""
    numbers = min(math.prod(out), BUFFER)
    return numbers * itemsize if any(a and a != out for a in args) else 0


def compared(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """That, and a buffer of truths that become numbers."""
    return buffered(args, out, itemsize) + min(math.prod(out), BUFFER)


def one_more(masks: int) -> Scratch:
    """An array like the result, and so many masks of its shape."""
    return lambda args, out, itemsize: math.prod(out) * (itemsize + masks)


def condition(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """A mask like the first operand."""
    return math.prod(args[0])


def shifted(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """The operand once more, and some arrays like the result."""
    return (math.prod(args[0]) + 4 * math.prod(out) + min(math.prod(args[0]), BUFFER)) * itemsize


def transposed(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """A copy of the right side, if it may be one that is copied."""
    least, most = TRANSPOSED
    return math.prod(args[1]) * itemsize if least <= math.prod(args[1]) <= most and len(args[1]) == 2 else 0


def column(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """A number for each row."""
    return math.prod(out[:-1]) * itemsize


def places(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """An index for each number of the result."""
    return math.prod(out) * PLACE


def looked_up(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """Of the second operand the indices, and masks."""
    return math.prod(args[1]) * (PLACE + 4) + min(math.prod(args[1]), BUFFER) * PLACE


def scattered(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """As `looked_up`, and a block of the rows that are added."""
    rows = min(math.prod(args[1]), BLOCK)
    return looked_up(args, out, itemsize) + rows * (PLACE + args[0][-1] * itemsize)


def sorted_column(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """What `np.unique` makes of a column, and the ranks looked up in it."""
    return out[0] * 8 * PLACE if out else 0


def drawn(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """A block of uniform numbers, or all of them where each has a probability of its own."""
    return 8 * (math.prod(out) if args[0] else min(math.prod(out), BLOCK))


def columns(args: Sequence[Sizes], out: Sizes, itemsize: int) -> int:
    """The number of each column, which are compared with the places."""
    return out[-1] * itemsize + min(math.prod(out), BUFFER) * (2 * itemsize + 1)
