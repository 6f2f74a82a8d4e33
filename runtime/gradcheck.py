"""Are the gradients right? Every param's beside central differences of the loss, along random directions, at two step sizes.

A slope that has been found right stands for all that comes after it: a difference runs from a value to the next ones whose slopes
are known, so that the work grows as the plan does. The slopes are judged from the loss backwards, and at the end one difference of the
loss itself, along all params at once, holds them together; if that disagrees, every difference runs as far as the loss, as it does before
a param is called wrong.

A difference across a kink judges nothing: the outcomes of all comparisons must be the same at both ends and in the middle,
else the step shrinks, and then the params move. What could not be judged so is said to be so, never that it is right.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from ..compiler.plan import Line, ParamSpec, Plan
from ..compiler.settings import Settings
from ..compiler.trace import RIGHT, UNKNOWN, WRONG
from .data import Dataset
from .init import Draw, draw, generator
from .kernel import Kernel, allocate
from .probe import Forward, Point
from .program import ranges
from .threads import pinned
from .train import columns, train_rows

# Pairs of step sizes, in the order they are tried: what is smooth, what bends near, what is flat or noisy, what changes fast.
PAIRS = ((1e-4, 1e-5), (1e-5, 1e-6), (1e-3, 1e-4), (1e-6, 1e-7), (1e-7, 1e-8), (1e-2, 1e-3), (1e-9, 1e-10), (1e-11, 1e-12))
JITTERS = (0.0, 1e-3, 1e-2, 0.1, 0.5)  # how far the params move, as a share of their size, until every one is judged
DIRECTIONS = 2
ROWS = 64  # of the train split
FAR = 0.05  # a difference that moves the operand of an exp, a tanh or a softmax by more may have passed all that happens there
FLAT = 1e-6  # the smallest step at which a slope below rounding means 0: below it, rounding hides too much
SHARP = 1e-3  # a measurement judges if its own error is at most this share of the slope


class Verdict(Struct, frozen=True):
    """One param: slopes along the worst direction, by its gradient and by differences at the two steps `h`; `why` it is not judged.

    `is_sharp`: the differences tell the slope from its neighbours, and not only that it is lost in rounding.
    """

    name: str
    shape: tuple[int, ...]
    verdict: str
    gradient: float = math.nan
    measured: tuple[float, float] = (math.nan, math.nan)
    h: tuple[float, float] = (math.nan, math.nan)
    why: str = ""
    is_sharp: bool = False

    @property
    def differences(self) -> tuple[float, float]:
        """|gradient - measured| at both steps."""
        return abs(self.gradient - self.measured[0]), abs(self.gradient - self.measured[1])

    @property
    def is_open(self) -> bool:
        """Whether another point may tell more: nothing is known yet, or all slopes are 0, as behind a relu that is off."""
        return self.verdict == UNKNOWN or (self.verdict == RIGHT and self.gradient == 0 and not self.why)


class Report(Struct, frozen=True):
    """The verdict of every param, in order of declaration; `line` is the first wrong line of the plan, `why` says what is known of it."""

    params: tuple[Verdict, ...]
    rows: int
    seed: int
    line: Line | None = None
    why: str = ""

    def having(self, verdict: str) -> tuple[str, ...]:
        """The names of the params with a verdict."""
        return tuple(v.name for v in self.params if v.verdict == verdict)


def check(plan: Plan, dataset: Dataset, settings: Settings) -> Report:
    """Judges the gradient of every param of `plan`, in float64, on the first rows that a seeded shuffle of the train split gives."""
    plan = replace(plan, precision="float64")
    count = train_rows(dataset)
    chosen = generator(settings.seed, "check:rows").permutation(count)[: min(ROWS, max(plan.batch, 1), count)]
    data = {name: np.ascontiguousarray(a[chosen]) for name, a in columns(dataset, "float64")["train"].items()}
    start = draw(plan.params, settings.seed, settings.rng)
    with pinned(1), np.errstate(all="ignore"):
        forward = Forward(plan, data, len(chosen), settings.seed)
        verdicts: dict[str, Verdict] = {}
        blamed: tuple[Line, str] | None = None
        for number, share in enumerate(JITTERS):
            waiting = [p for p in plan.params if p.name not in verdicts or verdicts[p.name].is_open]
            if not waiting:
                break
            at = _moved(start, plan, share, settings.seed, number)
            point = forward.point(at)
            slopes, odd = _gradients(forward, at, point)
            _learn(plan, point, settings.seed)
            found = {p.name: _judged(p, point, slopes[p.name], settings.seed) for p in waiting}
            together = _holds_together(plan, point, slopes, found, settings.seed)
            whole = point.whole()
            doubtful = [p for p in waiting if not together or found[p.name].verdict == WRONG]
            found |= {p.name: _judged(p, whole, slopes[p.name], settings.seed) for p in doubtful}
            point = point if together else whole
            verdicts |= {name: v for name, v in found.items() if name not in verdicts or v.verdict != UNKNOWN}
            if blamed is None and any(v.verdict == WRONG for v in verdicts.values()):
                blamed = odd or _first_wrong(plan, point, verdicts, settings.seed)
    line, why = blamed or (None, "")
    return Report(tuple(verdicts[p.name] for p in plan.params), len(chosen), settings.seed, line, why)


def _moved(start: Draw, plan: Plan, share: float, seed: int, number: int) -> Draw:
    """The params, each moved at random by a share of its size, or of 1 if it is smaller than that."""
    noise = generator(seed, f"check:move {number}").standard_normal(len(start))
    size = np.concatenate([np.empty(0), *(np.full(b - a, max(1.0, _rms(start[a:b]))) for a, b in ranges(plan))])
    return start + share * size * noise


def _rms(x: Draw) -> float:
    return float(np.sqrt(np.mean(x**2))) if x.size else 0.0


def _gradients(forward: Forward, at: Draw, point: Point) -> tuple[dict[str, Draw], tuple[Line, str] | None]:
    """What the kernel makes of it, as in training; and the first line whose number there is not that of its steps run by themselves."""
    plan = forward.plan
    arrays = allocate(plan, at.copy(), forward.seed)
    kernel = Kernel(plan, ("forward", "gradient"), forward.rows, arrays, inputs=forward.data)
    kernel.run()
    slopes = {p.name: arrays.gradients[p.name].copy() for p in plan.params}
    lines = {line.value: line for line in plan.gradient}
    for p in plan.params:
        if p.gradient in lines and not _same(slopes[p.name], point.values[p.gradient]):
            return slopes, (lines[p.gradient], "the kernel's numbers differ from those of the line run by itself")
    return slopes, None


def _same(a: Draw, b: Draw) -> bool:
    scale = float(np.max(np.abs(b), initial=0.0))
    return bool(np.allclose(a, b, rtol=1e-9, atol=1e-12 * scale, equal_nan=True))


def _learn(plan: Plan, point: Point, seed: int) -> None:
    """Adds the slopes along values that are right to those that are known, from the loss backwards: the order of the gradient's lines."""
    params = {p.value for p in plan.params}
    along = sources(plan)
    for line in plan.gradient:
        register = along.get(line.value)
        if register is not None and register not in params and register not in point.slopes:
            gradient = point.values[line.value]
            checks = [measured(line.target, point, {register: u}, _along(gradient, u)) for u in _directions(gradient.shape, seed, line.id)]
            if all(v.verdict == RIGHT and v.is_sharp for v in checks):
                point.slopes[register] = gradient


def _holds_together(plan: Plan, point: Point, slopes: dict[str, Draw], found: dict[str, Verdict], seed: int) -> bool:
    """Whether a difference of the loss along all params that are right is what their slopes come to, as far as it can be judged."""
    right = [p for p in plan.params if p.count and p.name in found and found[p.name].verdict == RIGHT]
    directions = {p.value: u for p in right for u in [next(_directions(p.shape, seed, f"all {p.name}"))]}
    slope = sum(_along(slopes[p.name], directions[p.value]) for p in right)
    return not right or measured("all", point.whole(), directions, slope).verdict != WRONG


def _judged(p: ParamSpec, point: Point, gradient: Draw, seed: int) -> Verdict:
    """The worst of some directions: wrong before not judged before right, then the larger difference."""
    if not p.count:
        return Verdict(p.name, p.shape, RIGHT, 0.0, (0.0, 0.0), why="it has no numbers")
    found = [measured(p.name, point, {p.value: u}, _along(gradient, u)) for u in _directions(p.shape, seed, p.name)]
    order = (RIGHT, UNKNOWN, WRONG)
    return max(found, key=lambda v: (order.index(v.verdict), max(v.differences)))


def _directions(shape: tuple[int, ...], seed: int, name: str) -> Iterator[Draw]:
    """Random directions of length 1."""
    random = generator(seed, f"check:{name}")
    for _ in range(DIRECTIONS):
        u = random.standard_normal(shape)
        yield u / max(float(np.sqrt(np.sum(u**2))), 1e-300)


def _along(gradient: Draw, u: Draw) -> float:
    """The slope in a direction."""
    return float(np.sum(gradient * u))


def measured(name: str, point: Point, directions: Mapping[int, Draw], slope: float, scale: float = 0.0) -> Verdict:
    """A slope of the loss in a direction from the values of some registers, at the first pair of steps that can judge it.

    `scale`: a slope so large counts as large, so that a smaller one need not be known as well in proportion to itself.
    """
    shape = next(iter(directions.values())).shape
    if not math.isfinite(point.loss):
        return Verdict(name, shape, UNKNOWN, slope, why=f"the loss is {point.loss} here")
    if not math.isfinite(slope) and point.singular:
        return Verdict(name, shape, UNKNOWN, slope, why=f"a derivative is infinite here, in {point.singular}")
    size = max(1.0, *(_rms(point.values[register]) for register in directions))
    last = Verdict(name, shape, UNKNOWN, slope)
    for pair in PAIRS:
        h = (pair[0] * size, pair[1] * size)
        ends = [point.difference(directions, step) for step in h]
        if any(e is None for e in ends):
            last = replace(last, h=h, why=last.why or "a comparison turns out otherwise however near: a kink or a jump")
            continue
        coarse, fine = (e.slope for e in ends if e is not None)
        noise, far = max(e.noise for e in ends if e is not None), max(e.moved for e in ends if e is not None)
        error = abs(coarse - fine) / 2 + noise  # ten times nearer, the error is a hundredth
        last = Verdict(name, shape, UNKNOWN, slope, (coarse, fine), h, "differences are not exact enough here")
        if not (math.isfinite(coarse) and math.isfinite(fine)):
            last = replace(last, why="the loss is not finite near here")
        elif abs(slope - fine) <= error:
            flat = h[1] >= FLAT and max(abs(coarse), abs(fine), abs(slope)) <= noise
            sharp = error <= SHARP * max(abs(fine), abs(slope), scale)
            if flat or sharp:
                return replace(last, verdict=RIGHT, why="", is_sharp=sharp)
        elif far <= FAR:  # rounding within the loss may be more than its last bits tell: see how the slopes scatter
            error += 10 * _scatter(point, directions, h[1])
            if not abs(slope - fine) <= error and error <= SHARP * max(abs(fine), abs(slope)):
                return replace(last, verdict=WRONG, why="")  # so is a gradient that is not a number
    return last


def _scatter(point: Point, directions: Mapping[int, Draw], h: float) -> float:
    """How far slopes at nearly the same step lie apart."""
    found = [point.difference(directions, h * share) for share in (1.0, 0.97, 0.93, 0.88)]
    slopes = [d.slope for d in found if d is not None]
    return max(slopes) - min(slopes) if len(slopes) > 1 else math.inf


def sources(plan: Plan) -> dict[int, int]:
    """The registers of gradient lines -> that of the param or the value along which it is the slope of the loss; other lines have none."""
    named = {**{f"d{line.target}": line.value for line in plan.forward}, **{f"d({line.target})": line.value for line in plan.forward}}
    own = {p.gradient: p.value for p in plan.params if p.gradient is not None}
    return {line.value: named[line.target] for line in plan.gradient if line.target in named and not line.again} | own


def _first_wrong(plan: Plan, point: Point, verdicts: dict[str, Verdict], seed: int) -> tuple[Line, str] | None:
    """The first wrong gradient line in the plan's order: all that it needs has been found right, or could not be judged."""
    along = sources(plan)
    unsure: list[str] = []
    for line in plan.gradient:
        found = UNKNOWN
        if line.value in along:
            register = along[line.value]
            gradient = point.values[line.value]
            checks = [measured(line.target, point, {register: u}, _along(gradient, u)) for u in _directions(gradient.shape, seed, line.id)]
            found = WRONG if any(v.verdict == WRONG for v in checks) else RIGHT if all(v.verdict == RIGHT for v in checks) else UNKNOWN
        if found == WRONG:
            doubtful = [name for name in line.needs if name in unsure]
            more = f", or {' or '.join(f'`{n}`' for n in doubtful)}, which it reads and which could not be judged" if doubtful else ""
            return line, f"it is not the slope of the loss along `{line.target.removeprefix('d').strip('()')}`{more}"
        if found == UNKNOWN:
            unsure.append(line.target)
    wrong = next((p for p in plan.params if verdicts[p.name].verdict == WRONG), None)
    line = next((x for x in plan.gradient if wrong is not None and x.value == wrong.gradient), None)
    return (line, "no line before it could be found wrong") if line else None
