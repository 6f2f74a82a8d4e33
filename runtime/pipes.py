"""The pipes of numbers, and the table of all pipes."""

from __future__ import annotations

import numpy as np

from ..compiler.facts import Facts
from ..dsl.diagnostics import fault
from ..dsl.syntax import Span
from . import labels, missing
from .frame import Arguments, Frame, Pieces, Pipe, Statistics, computed, numbers, plain
from .moments import moments

# --- standardize, minmax: (x - center) / scale ---------------------------------------------------


def _fit_standardize(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    """Mean and population deviation."""
    found = moments(numbers(frame)[rows] for frame, rows in pieces)
    constant, sd = found.low == found.high, found.sd  # rounding gives 0.1, 0.1, 0.1 a deviation of 1e-17
    return {"mean": plain(np.where(constant, found.low, found.mean)), "sd": plain(np.where(constant | (sd == 0), 1.0, sd))}


def _apply_standardize(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    with np.errstate(all="ignore"):
        return computed(frame, (numbers(frame) - np.array(statistics["mean"])) / np.array(statistics["sd"]), span)


def _fit_minmax(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    ranges = [(x.min(axis=0), x.max(axis=0)) for x in (numbers(frame)[rows] for frame, rows in pieces)]
    return {"min": plain(np.minimum.reduce([low for low, _ in ranges])), "max": plain(np.maximum.reduce([high for _, high in ranges]))}


def _apply_minmax(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    low, high = np.array(statistics["min"]), np.array(statistics["max"])
    with np.errstate(all="ignore"):
        return computed(frame, (numbers(frame) - low) / np.where(high > low, high - low, 1.0), span)


# --- log, clip: no statistics, at most arguments -------------------------------------------------


def _fit_nothing(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    return {name: (float(value),) for name, value in arguments.items()}


def _apply_log(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    x = numbers(frame)
    if not (x > 0).all():
        row, column = (int(i) for i in np.argwhere(x <= 0)[0])
        raise fault(
            "E0403",
            span,
            f"{frame.rows.place(row)}, column `{frame.labels[column]}`: `log` needs numbers above 0, and this is {x[row, column]:.6g}",
            "add a number first, as in `log(x + 1)`, or leave out the row",
        )
    return computed(frame, np.log(x), span)


def _fit_clip(pieces: Pieces, arguments: Arguments, span: Span) -> Statistics:
    low, high = float(arguments["low"]), float(arguments["high"])
    if low > high:
        raise fault("E0206", span, f"`clip` from {low:.6g} to {high:.6g} leaves nothing", "the lower bound comes first: clip(low, high)")
    return _fit_nothing(pieces, arguments, span)


def _apply_clip(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    low, high = np.array(statistics["low"], dtype=np.float64), np.array(statistics["high"], dtype=np.float64)
    facts = Facts(nonnegative=bool(low[0] >= 0), positive=bool(low[0] > 0), bounded=True)
    return computed(frame, np.clip(numbers(frame), low, high), span, facts)


PIPES: dict[str, Pipe] = {
    "standardize": Pipe((), _fit_standardize, _apply_standardize, numeric=True),
    "minmax": Pipe((), _fit_minmax, _apply_minmax, numeric=True),
    "log": Pipe((), _fit_nothing, _apply_log, numeric=True),
    "clip": Pipe(("low", "high"), _fit_clip, _apply_clip, numeric=True),
    **labels.PIPES,
    **missing.PIPES,
}
