"""`recompute = on`: forward values that are not kept for the gradient but computed again, before the gradient line that wants them.

Checkpoints, as Griewank (1992) and Chen et al. (2016) set them: the forward lines are cut where little crosses, in about sqrt(n)
segments; what crosses a cut is kept, and the last segment, whose gradient comes first. The lines of the others stand in the
gradient once more, under their own names, before the first line that needs them: the same steps on the same numbers, so that not
a bit changes. A draw is replayed from where its stream stood (`runtime/kernel`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise

from .footprint import piece
from .ops import TABLE
from .plan import Line, ParamSpec, Shape, Step, Value

RECOMPUTED = "recomputed"
SHARES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # how many segments are tried, beside the root of the number of kept values


def recomputed(
    forward: Sequence[Line], gradient: Sequence[Line], values: list[Value], size: Callable[[Shape], int], own: Collection[int],
    after: Collection[int], least: int,
) -> list[Line]:  # fmt: skip
    """The lines of the gradient, among them those of `forward` that it is worth to run again; as they were if none is.

    `values` gets the registers of what is computed again; `size` are the bytes of a shape, `own` the registers that have memory
    elsewhere, `after` those that are read when the gradient is done. `least` bytes are taken later in any case.
    """
    sizes = {v.id: 0 if v.id in own else size(v.shape) for v in values}
    fixed = {*after, *(line.value for line in forward if not line.shape)}  # a number costs nothing

    def peak(segments: Collection[tuple[int, int]]) -> int:
        dropped = {line.value for start, stop in segments for line in forward[start:stop]} - crossing(forward, segments) - fixed
        made, copies = _again(forward, gradient, dropped, len(values))
        steps = [s for line in (*forward, *made) for s in line.steps]
        return max(least, live_peak(steps, sizes | {copy: sizes[r] for r, copy in copies.items()}, after))

    best: tuple[int, tuple[tuple[int, int], ...]] = (peak(()), ())
    for cuts in _cuts(forward, gradient, sizes):
        segments = tuple(pairwise((0, *cuts)))
        best = min(best, (peak(segments), segments), key=lambda found: found[0])
    for segment in reversed(best[1]):  # one that makes the peak no lower is kept after all
        fewer = tuple(s for s in best[1] if s != segment)
        best = min((peak(fewer), fewer), best, key=lambda found: found[0])
    dropped = {line.value for start, stop in best[1] for line in forward[start:stop]} - crossing(forward, best[1]) - fixed
    made, copies = _again(forward, gradient, dropped, len(values))
    values += [replace(values[r], id=copy) for r, copy in copies.items()]
    return made


def crossing(forward: Sequence[Line], segments: Collection[tuple[int, int]]) -> set[int]:
    """The values of these segments that forward lines after their segment read: its checkpoints."""
    last = _last_reads(forward)
    return {line.value for start, stop in segments for line in forward[start:stop] if last.get(line.value, -1) >= stop}


def update_peak(update: Sequence[Line], values: Sequence[Value], params: Sequence[ParamSpec], itemsize: int) -> int:
    """The most bytes that are live at once in the update: of a piece of the params, or of the largest where a line adds one up."""
    total = sum(p.count for p in params)
    wide = {v.id for v in values if "P" in v.shape}
    each = [s for line in update if not line.whole for s in line.steps]
    reduces = any({*s.args} & wide and s.out not in wide for s in each)
    numbers = max((p.count for p in params), default=0) if reduces else min(piece(total), total)
    sizes = dict.fromkeys((s.out for s in each), numbers) | {s.out: total for line in update if line.whole for s in line.steps}
    sizes |= {line.value: 0 for line in update if line.commits is not None}
    return live_peak([s for line in update for s in line.steps], {r: n * itemsize * (r in wide) for r, n in sizes.items()}, ())


def live_peak(steps: Sequence[Step], sizes: Mapping[int, int], after: Collection[int]) -> int:
    """The most bytes that are live at once; an elementwise step may write over an operand that dies in it."""
    base: dict[int, int] = {}
    last: dict[int, int] = {}
    for i, step in enumerate(steps):
        if TABLE[step.op].kind == "view":
            base[step.out] = base.get(step.args[0], step.args[0])
        last.update((base.get(r, r), i) for r in (*step.args, step.out))
    last.update((base.get(r, r), len(steps)) for r in after)
    live = most = 0
    made: set[int] = set()
    for i, step in enumerate(steps):
        if step.out not in base:
            made.add(step.out)
            live += sizes[step.out]
        dying = [r for r in dict.fromkeys(base.get(a, a) for a in (*step.args, step.out)) if r in made and last[r] == i]
        over = TABLE[step.op].inplace and any(sizes[r] == sizes[step.out] and r in step.args for r in dying)
        most = max(most, live - (sizes[step.out] if over else 0))
        live -= sum(sizes[r] for r in dying)
    return most


def _last_reads(lines: Sequence[Line]) -> dict[int, int]:
    return {a: i for i, line in enumerate(lines) for step in line.steps for a in step.args}


def _cuts(forward: Sequence[Line], gradient: Sequence[Line], sizes: Mapping[int, int]) -> Iterator[tuple[int, ...]]:
    """Ends of segments to try: of even shares of what is kept, and of shares that shrink, since the last segment meets all checkpoints."""
    kept = {a for line in gradient for s in line.steps for a in s.args}
    last = _last_reads(forward)
    crossed = [0] * (len(forward) + 1)  # bytes across the end of each line, those that nothing else keeps twice
    for i, line in enumerate(forward):
        cost = sizes[line.value] * (1 if line.value in kept else 2)
        crossed[i] += cost
        crossed[max(last.get(line.value, i), i)] -= cost
    crossed = list(accumulate(crossed))
    upto = list(accumulate(sizes[line.value] * (line.value in kept) for line in forward))
    count = sum(1 for line in forward if line.value in kept and sizes[line.value])
    found: dict[tuple[int, ...], None] = {}
    for number in dict.fromkeys(round(share * math.sqrt(count)) for share in SHARES):
        for weights in ([1] * number, list(range(number, 0, -1))):
            cuts: list[int] = []
            whole = sum(weights)
            for share, (weight, following) in zip(accumulate(weights), pairwise(weights), strict=False):
                target, room = upto[-1] * share / whole, upto[-1] * min(weight, following) / whole / 2
                near = [i for i, bytes_ in enumerate(upto[:-1]) if abs(bytes_ - target) <= room]
                if near:
                    cuts.append(1 + min(near, key=lambda i: (crossed[i], abs(upto[i] - target))))
            if cuts:
                found.setdefault(tuple(sorted(set(cuts))))
    yield from found


def _again(forward: Sequence[Line], gradient: Sequence[Line], dropped: Collection[int], start: int) -> tuple[list[Line], dict[int, int]]:
    """The gradient with the lines that make `dropped` before the first that reads them, and the copy of each register, from `start` on."""
    maker = {line.value: i for i, line in enumerate(forward) if line.value in dropped}
    copies: dict[int, int] = {}
    found: list[Line] = []

    def copied(line: Line) -> Line:
        for step in line.steps:
            copies[step.out] = start + len(copies)
        steps = tuple(replace(s, args=tuple(copies.get(a, a) for a in s.args), out=copies[s.out]) for s in line.steps)
        return replace(line, section="gradient", value=copies[line.value], steps=steps, by=RECOMPUTED, note="", again=line.id)

    for line in gradient:
        wanted: set[int] = set()
        stack = list(line.steps)
        while stack:
            for a in stack.pop().args:
                if a in maker and a not in copies and maker[a] not in wanted:
                    wanted.add(maker[a])
                    stack.extend(forward[maker[a]].steps)
        found += [copied(forward[i]) for i in sorted(wanted)]
        steps = tuple(replace(s, args=tuple(copies.get(a, a) for a in s.args)) for s in line.steps)
        found.append(replace(line, steps=steps) if steps != line.steps else line)
    return found, copies
