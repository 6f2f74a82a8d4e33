"""A kernel's functions, one for each member of the team that runs it, and where these wait for each other.

A member waits where it is about to read what another has written since they met last, or to write what another has read or written.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiler.ops import Op
from ..compiler.plan import Attrs
from ..compiler.ranks import by_columns, by_rows, cut
from .source import Source
from .team import Team

Array = NDArray[Any]
Share = tuple[int, list[Array], Array]  # whose, operands and result


class Spans:
    """Stretches of memory, in order, joined where they meet."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []

    def add(self, start: int, stop: int) -> None:
        """One more stretch."""
        first, last = bisect_left(self._stops, start), bisect_right(self._starts, stop)
        if first < last:
            start, stop = min(start, self._starts[first]), max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def meet(self, start: int, stop: int) -> bool:
        """Whether a byte of it is among them."""
        found = bisect_right(self._stops, start)
        return found < len(self._starts) and self._starts[found] < stop


class Lanes:
    """The functions as they grow, a line each for what their ranks do. Numbers of the step every member finds for itself."""

    def __init__(self, team: Team) -> None:
        self._team = team
        self.sources = [Source() for _ in range(team.members)]
        self._forget()

    def operation(self, row: Op, args: Sequence[Array], out: Array, attrs: Attrs, independent: bool, shared: Sequence[bool]) -> None:
        """An operation on arrays, dealt out; `shared` are the operands that another may write."""
        for rank, given, made in shares(row, args, out, dict(attrs), self._team.ranks):
            member = self._team.member_of(rank)
            self._order(member, [a for a, others in zip(given, shared, strict=True) if others], made)
            self.sources[member].step(row, given, made, attrs, independent)

    def first(
        self,
        function: Callable[..., Any],
        args: Sequence[object],
        written: Array | None = None,
        attrs: Attrs = (),
        reads: Sequence[Array] = (),
    ) -> None:
        """A call that the first makes; what it writes and `reads` of that which is shared."""
        if written is not None:
            self._order(0, reads, written)
        self.sources[0].call(function, args, None, attrs)

    def each(self, function: Callable[..., Any], args: Sequence[object], attrs: Attrs = ()) -> None:
        """A call that everyone makes, on what is its own."""
        for source in self.sources:
            source.call(function, args, None, attrs)

    def number(self, row: Op, args: Sequence[Array], out: Array, attrs: Attrs, independent: bool) -> None:
        """An operation on numbers, which everyone does for itself."""
        for source in self.sources:
            source.step(row, args, out, attrs, independent)

    def _order(self, member: int, reads: Iterable[Array], written: Array) -> None:
        """Lets all wait before this call if another member has touched what it touches."""
        if len(self.sources) == 1:
            return
        read, (start, stop) = [_span(a) for a in reads if a.size], _span(written)
        for other in range(len(self.sources)):
            if other != member and (
                self._read[other].meet(start, stop) or any(self._written[other].meet(a, b) for a, b in (*read, (start, stop)))
            ):
                for p, source in enumerate(self.sources):
                    source.call(self._team.meeting(p), (), None)
                self._forget()
                break
        for a, b in read:
            self._read[member].add(a, b)
        self._written[member].add(start, stop)

    def _forget(self) -> None:
        self._read = [Spans() for _ in self.sources]
        self._written = [Spans() for _ in self.sources]


def shares(row: Op, args: Sequence[Array], out: Array, attrs: Mapping[str, Any], ranks: int) -> list[Share]:
    """What each rank does of an operation that has something to do: the first alone where it is not dealt out."""
    if ranks > 1:
        sizes = [a.shape for a in args]
        if by_columns(row, sizes, attrs) and out.flags.c_contiguous:
            (x,), flat = args, out.reshape(-1)
            return [(rank, [x[:, part]], flat[part].reshape((*out.shape[:-1], -1))) for rank, part in cut(len(flat), ranks)]
        read = by_rows(row, sizes, out.shape, attrs)
        if read is not None:
            return [
                (rank, [a[part] if own else a for a, own in zip(args, read, strict=True)], out[part]) for rank, part in cut(len(out), ranks)
            ]
    return [(0, [*args], out)]


def _span(a: Array) -> tuple[int, int]:
    """From the first byte of an array to behind its last."""
    start, stop = np.lib.array_utils.byte_bounds(a)
    return start, stop
