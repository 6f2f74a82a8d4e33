"""Where the values of a straight-line program live: one arena, colours of the intervals in which they are live.

A value is live from the step that makes it to the last step that reads it or a view of it. Offsets are first-fit, in
the order of the steps, what is read after the last of them first if that takes less; an elementwise step may write over an
operand of the same shape that dies in it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

from msgspec import Struct

from ..compiler.ops import TABLE
from ..compiler.plan import Shape, Step, Value

ALIGNMENT = 64  # bytes: a cache line, and the widest vector register


class Layout(Struct, frozen=True):
    """The byte offset in the arena of every value that a step makes, the arena's size, and the size without any sharing."""

    offsets: dict[int, int]
    arena_bytes: int
    unshared_bytes: int


def assign(
    steps: Sequence[Step],
    values: Iterable[Value],
    keep: Collection[int],
    rows: int,
    itemsize: int,
    elsewhere: Collection[int] = (),
) -> Layout:
    """The layout of `steps`, run in order on a batch of `rows`.

    `values` describes the registers, `keep` are those read after the last step, `elsewhere` those whose memory is not the
    arena's. Views take no memory of their own: they keep what they look at alive.
    """
    elsewhere = frozenset(elsewhere)
    shapes = {v.id: _sizes(v.shape, rows) for v in values}
    sizes = {register: _aligned(_count(shape) * itemsize) for register, shape in shapes.items()}
    base = bases(steps)
    last = last_reads(steps, keep, base)
    dying = _by_step(last, len(steps))
    own = [s.out for s in steps if s.out not in base and s.out not in elsewhere]
    unshared = sum(sizes[r] for r in own)

    def placed(first: Iterable[int]) -> tuple[Layout, int]:
        """The layout with the registers `first` below all others, and the most bytes that are live at once in it."""
        free = _FreeList()
        offsets = {register: free.take(sizes[register]) for register in first}
        live = most = sum(sizes[register] for register in offsets)
        for index, step in enumerate(steps):
            taken = None
            if step.out not in base and step.out not in elsewhere and step.out not in offsets:
                taken = _overwritten(step, index, shapes, base, last, offsets)
                offsets[step.out] = free.take(sizes[step.out]) if taken is None else offsets[taken]
                live += sizes[step.out] if taken is None else 0
                most = max(most, live)
            for register in dying[index]:
                if register in offsets and register != taken:
                    free.give(offsets[register], sizes[register])
                    live -= sizes[register]
        return Layout(offsets, free.end, unshared), most

    found, most = placed(())
    if found.arena_bytes > most:  # what stays to the end may have been left in the midst of what others could share
        below, _ = placed(r for r in own if last[r] == len(steps))
        found = min(found, below, key=lambda layout: layout.arena_bytes)
    return found


def bases(steps: Iterable[Step]) -> dict[int, int]:
    """The register that each view looks at in the end."""
    found: dict[int, int] = {}
    for step in steps:
        if TABLE[step.op].kind == "view":
            found[step.out] = found.get(step.args[0], step.args[0])
    return found


def last_reads(steps: Sequence[Step], keep: Iterable[int], base: dict[int, int]) -> dict[int, int]:
    """The index of the last step that needs each base register; len(steps) for what is kept."""
    last: dict[int, int] = {}
    for index, step in enumerate(steps):
        for register in (*step.args, step.out):
            last[base.get(register, register)] = index
    last.update(dict.fromkeys((base.get(r, r) for r in keep), len(steps)))
    return last


def _by_step(last: dict[int, int], count: int) -> list[list[int]]:
    """The registers that die in each step."""
    found: list[list[int]] = [[] for _ in range(count + 1)]
    for register, index in last.items():
        found[index].append(register)
    return found


def _overwritten(
    step: Step, index: int, shapes: dict[int, Shape], base: dict[int, int], last: dict[int, int], offsets: dict[int, int]
) -> int | None:
    """The operand whose memory the result may take: made in the arena, dying here, of the same shape, read only as itself.

    Not of a single number, where NumPy takes three times as long to see that it may.
    """
    if not TABLE[step.op].inplace or last[step.out] == index or _count(shapes[step.out]) == 1:
        return None
    for register in step.args:
        if register not in offsets or last[register] != index or shapes[register] != shapes[step.out]:
            continue
        if all(other == register or base.get(other) != register for other in step.args):
            return register
    return None


class _FreeList:
    """The gaps of the arena, sorted by offset; neighbours are merged."""

    def __init__(self) -> None:
        self.gaps: list[tuple[int, int]] = []
        self.end = 0

    def take(self, size: int) -> int:
        """The lowest offset with room for `size` bytes."""
        for at, (start, stop) in enumerate(self.gaps):
            if stop - start >= size:
                self.gaps[at : at + 1] = [(start + size, stop)] if stop - start > size else []
                return start
        start = self.end
        if self.gaps and self.gaps[-1][1] == self.end:  # the last gap touches the end: grow it
            start = self.gaps.pop()[0]
        self.end = start + size
        return start

    def give(self, start: int, size: int) -> None:
        """Frees `size` bytes at `start`."""
        if not size:
            return
        at, stop = bisect_left(self.gaps, (start, 0)), start + size
        if at < len(self.gaps) and self.gaps[at][0] == stop:
            stop = self.gaps.pop(at)[1]
        if at and self.gaps[at - 1][1] == start:
            start = self.gaps.pop(at - 1)[0]
            at -= 1
        self.gaps.insert(at, (start, stop))


def _sizes(shape: Shape, rows: int) -> Shape:
    return tuple(rows if d == "N" else d for d in shape)


def _count(shape: Shape) -> int:
    total = 1
    for size in shape:
        assert isinstance(size, int), f"{size} is no number here"
        total *= size
    return total


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
