"""The pipes of numbers, and the table of all pipes."""

from __future__ import annotations

import numpy as np

from ..compiler.facts import Facts
from ..dsl.diagnostics import fault
from ..dsl.syntax import Span
from . import labels, missing
from .frame import Arguments, Frame, Indices, Pipe, Statistics, computed, numbers, plain

# --- standardize, minmax: (x - center) / scale ---------------------------------------------------


def _fit_standardize(frame: Frame, train: Indices, arguments: Arguments, span: Span) -> Statistics:
    """Mean and population deviation. Scaled by a power of two, which costs no bit, so that no square over- or underflows."""
    x = numbers(frame)[1][train]
    _, exponent = np.frexp(np.abs(x).max(axis=0))
    scaled = np.ldexp(x, -exponent)
    mean, sd = np.ldexp(scaled.mean(axis=0), exponent), np.ldexp(scaled.std(axis=0), exponent)
    low, constant = x.min(axis=0), (x == x[0]).all(axis=0)  # rounding gives 0.1, 0.1, 0.1 a deviation of 1e-17
    return {"mean": plain(np.where(constant, low, mean)), "sd": plain(np.where(constant | (sd == 0), 1.0, sd))}


def _apply_standardize(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = numbers(frame)
    with np.errstate(all="ignore"):
        return computed(frame, (x - np.array(statistics["mean"])) / np.array(statistics["sd"]), span)


def _fit_minmax(frame: Frame, train: Indices, arguments: Arguments, span: Span) -> Statistics:
    x = numbers(frame)[1][train]
    return {"min": plain(x.min(axis=0)), "max": plain(x.max(axis=0))}


def _apply_minmax(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = numbers(frame)
    low, high = np.array(statistics["min"]), np.array(statistics["max"])
    with np.errstate(all="ignore"):
        return computed(frame, (x - low) / np.where(high > low, high - low, 1.0), span)


# --- log, clip: no statistics, at most arguments -------------------------------------------------


def _fit_nothing(frame: Frame, train: Indices, arguments: Arguments, span: Span) -> Statistics:
    return {name: (float(value),) for name, value in arguments.items()}


def _apply_log(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = numbers(frame)
    if not (x > 0).all():
        row, column = (int(i) for i in np.argwhere(x <= 0)[0])
        raise fault(
            "E0403",
            span,
            f"{frame.rows.place(row)}, column `{frame.labels[column]}`: `log` needs numbers above 0, and this is {x[row, column]:.6g}",
            "add a number first, as in `log(x + 1)`, or leave out the row",
        )
    return computed(frame, np.log(x), span)


def _fit_clip(frame: Frame, train: Indices, arguments: Arguments, span: Span) -> Statistics:
    low, high = float(arguments["low"]), float(arguments["high"])
    if low > high:
        raise fault("E0206", span, f"`clip` from {low:.6g} to {high:.6g} leaves nothing", "the lower bound comes first: clip(low, high)")
    return _fit_nothing(frame, train, arguments, span)


def _apply_clip(frame: Frame, statistics: Statistics, span: Span) -> Frame:
    frame, x = numbers(frame)
    low, high = np.array(statistics["low"], dtype=np.float64), np.array(statistics["high"], dtype=np.float64)
    facts = Facts(nonnegative=bool(low[0] >= 0), positive=bool(low[0] > 0), bounded=True)
    return computed(frame, np.clip(x, low, high), span, facts)


PIPES: dict[str, Pipe] = {
    "standardize": Pipe((), _fit_standardize, _apply_standardize),
    "minmax": Pipe((), _fit_minmax, _apply_minmax),
    "log": Pipe((), _fit_nothing, _apply_log),
    "clip": Pipe(("low", "high"), _fit_clip, _apply_clip),
    **labels.PIPES,
    **missing.PIPES,
}
