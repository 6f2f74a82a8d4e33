"""`recompute = on`: forward values that are not kept for the gradient but computed again, before the gradient line that wants them.

Checkpoints, as Griewank (1992) and Chen et al. (2016) set them: the forward lines are cut where little crosses, in about sqrt(n)
segments; what crosses a cut is kept, and the last segment, whose gradient comes first. The lines of the others stand in the
gradient once more, under their own names, before the first line that needs them: the same steps on the same numbers, so that not
a bit changes. A draw is replayed from where its stream stood (`runtime/kernel`).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, chain, islice, pairwise

from msgspec.structs import replace

from .footprint import piece
from .ops import TABLE
from .plan import Line, ParamSpec, Shape, Step, Value

RECOMPUTED = "recomputed"
SHARES = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # how many segments are tried, beside the root of the number of kept values

Segment = tuple[int, int]  # the first of its forward lines, and the first after them
Order = dict[int, list[int]]  # the forward lines that come again before each line of the gradient
Touch = tuple[int, int | None, int, list[int], list[int]]  # made, of which it is a view, own bytes, operands, those it may write over
Row = tuple[int | None, list[int], list[int]]  # memory that is begun, read, and may be written over


def recomputed(
    forward: Sequence[Line], gradient: Sequence[Line], values: list[Value], size: Callable[[Shape], int], own: Collection[int],
    after: Collection[int], least: int,
) -> list[Line]:  # fmt: skip
    """The lines of the gradient, among them those of `forward` that it is worth to run again; as they were if none is.

    `values` gets the registers of what is computed again; `size` are the bytes of a shape, `own` the registers that have memory
    elsewhere, `after` those that are read when the gradient is done. `least` bytes are taken later in any case.
    """
    elsewhere = frozenset(own)
    sizes = {v.id: 0 if v.id in elsewhere else size(v.shape) for v in values}
    fixed = {*after, *(line.value for line in forward if not line.shape)}  # a number costs nothing
    again, swept = _orders(forward, gradient, fixed), _candidates(forward, gradient, sizes, after)

    def peak(segments: Iterable[Segment], bound: float) -> int:
        return max(least, swept(_together(map(again, segments)), bound))

    best: tuple[int, tuple[Segment, ...]] = (peak((), math.inf), ())
    for cuts in _cuts(forward, gradient, sizes) if best[0] > least else ():
        segments = tuple(pairwise((0, *cuts)))
        best = min(best, (peak(segments, best[0]), segments), key=lambda found: found[0])
    for segment in reversed(best[1]):  # one that makes the peak no lower is kept after all
        fewer = tuple(s for s in best[1] if s != segment)
        best = min((peak(fewer, best[0]), fewer), best, key=lambda found: found[0])
    made, copies = _again(forward, gradient, _together(map(again, best[1])), len(values))
    values += [replace(values[r], id=copy) for r, copy in copies.items()]
    return made


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
    weights: dict[int, int] = {}
    at: dict[int, int] = {}
    rows = _rows(_touches(steps, sizes, weights), at, 0)
    return _sweep((rows,), weights, {at[r] for r in after if weights.get(r)}, math.inf)


def _touches(steps: Iterable[Step], sizes: Mapping[int, int], weights: dict[int, int]) -> list[Touch]:
    """What steps do with memory. `weights` gets the bytes of each register they make; a view has those of what it looks at."""
    found: list[Touch] = []
    views: set[int] = set()
    for step in steps:
        op, out, reads = TABLE[step.op], step.out, [a for a in dict.fromkeys(step.args) if weights.get(a)]
        if op.kind == "view":
            views.add(out)
            weights[out] = weights.get(step.args[0], 0)
            found.append((out, step.args[0] if weights[out] else None, 0, reads, []))
        else:
            weights[out] = own = sizes[out]
            found.append((out, None, own, reads, [a for a in reads if weights[a] == own and a not in views] if op.inplace else []))
    return found


def _rows(touches: Iterable[Touch], at: dict[int, int], shift: int) -> list[Row]:
    """The same with memory in the place of registers: `at` says which each one has; what is made here gets that `shift` further."""
    rows: list[Row] = []
    for out, viewed, own, reads, over in touches:
        read = [at[a] for a in reads]
        rows.append((out + shift if own else None, read, [at[a] for a in over] if over else over))
        if viewed is not None:
            at[out] = at[viewed]
        elif own:
            at[out] = out + shift
    return rows


def _sweep(parts: Sequence[Sequence[Row]], weights: Mapping[int, int], live: set[int], bound: float) -> int:
    """The most bytes that are live at once, or some number beyond `bound`: from what is `live` in the end back, as the last read comes first."""
    most, total = 0, sum(weights[r] for r in live)
    for rows in reversed(parts):
        for out, read, over in reversed(rows):
            spare = bool(over) and not live.issuperset(over)
            for r in read:
                if r not in live:
                    live.add(r)
                    total += weights[r]
            if out is None:
                continue
            own = weights[out]
            if out in live:
                live.remove(out)
                total -= own
            most = max(most, total if spare else total + own)
        if most > bound:
            break
    return most


def _candidates(
    forward: Sequence[Line], gradient: Sequence[Line], sizes: Mapping[int, int], after: Collection[int],
) -> Callable[[Order, float], int]:  # fmt: skip
    """The peak of both with lines that come again, or some number beyond a bound. No line is made for it."""
    weights: dict[int, int] = {}
    shift, begun = len(sizes), dict[int, int]()
    each = iter(_touches((s for line in (*forward, *gradient) for s in line.steps), sizes, weights))
    there, back = ([list(islice(each, len(line.steps))) for line in lines] for lines in (forward, gradient))
    rows = _rows(chain.from_iterable(there), begun, 0)
    weights |= {r + shift: weight for r, weight in weights.items()}

    def peak(order: Order, bound: float) -> int:
        at, parts = begun.copy(), [rows]
        for g, line in enumerate(back):
            parts += [_rows(there[i], at, shift) for i in order.get(g, ())]
            parts.append(_rows(line, at, 0))
        return _sweep(parts, weights, {begun[r] if r in begun else at[r] for r in after if weights.get(r)}, bound)

    return peak


def _orders(forward: Sequence[Line], gradient: Sequence[Line], fixed: Collection[int]) -> Callable[[Segment], Order]:
    """What of a segment comes again, and where: all but `fixed` and its checkpoints, which forward lines after it read.

    So no segment wants a value of another to come again, and each is looked at by itself, once.
    """
    maker = {line.value: i for i, line in enumerate(forward)}
    reads = [[maker[a] for s in line.steps for a in s.args if a in maker] for line in forward]
    first = {maker[a]: g for g, line in reversed([*enumerate(gradient)]) for s in line.steps for a in s.args if a in maker}
    last = _last_reads(forward)

    @cache
    def again(segment: Segment) -> Order:
        start, stop = segment
        dropped = {i for i in range(start, stop) if last.get(forward[i].value, -1) < stop and forward[i].value not in fixed}
        order: Order = {}
        for g, wanted in sorted((first[i], i) for i in dropped if i in first):
            stack = [wanted]
            while stack:
                i = stack.pop()
                if i in dropped:
                    dropped.remove(i)
                    order.setdefault(g, []).append(i)
                    stack += reads[i]
        return order

    return again


def _together(orders: Iterable[Order]) -> Order:
    found: Order = {}
    for order in orders:
        for g, again in order.items():
            found.setdefault(g, []).extend(again)
    return {g: sorted(again) for g, again in found.items()}


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
                near = range(bisect_left(upto, target - room), min(bisect_right(upto, target + room), len(upto) - 1))
                if near:
                    cuts.append(1 + min(near, key=lambda i: (crossed[i], abs(upto[i] - target))))
            if cuts:
                found.setdefault(tuple(sorted(set(cuts))))
    yield from found


def _again(forward: Sequence[Line], gradient: Sequence[Line], order: Order, start: int) -> tuple[list[Line], dict[int, int]]:
    """The gradient with the lines that come again, and the copy of each of their registers, from `start` on."""
    copies: dict[int, int] = {}
    found: list[Line] = []

    def copied(line: Line) -> Line:
        for step in line.steps:
            copies[step.out] = start + len(copies)
        steps = tuple(replace(s, args=tuple(copies.get(a, a) for a in s.args), out=copies[s.out]) for s in line.steps)
        return replace(line, section="gradient", value=copies[line.value], steps=steps, by=RECOMPUTED, note="", again=line.id)

    for g, line in enumerate(gradient):
        found += [copied(forward[i]) for i in order.get(g, ())]
        if copies.keys().isdisjoint(a for s in line.steps for a in s.args):
            found.append(line)
        else:
            found.append(replace(line, steps=tuple(replace(s, args=tuple(copies.get(a, a) for a in s.args)) for s in line.steps)))
    return found, copies
