"""Numbers in words, and pictures with theirs below."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .markup import Markup, element


def number(value: float) -> str:
    """Six significant digits."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e9 else f"{value:.6g}"


def course_of(name: str, values: Sequence[float]) -> str:
    """`train from 0.72 to 0.04, between 0.04 (epoch 200) and 0.72 (epoch 1)`; what is not finite is counted."""
    known = [(v, epoch) for epoch, v in enumerate(values, 1) if math.isfinite(v)]
    if not known:
        return f"{name} never finite"
    (low, low_at), (high, high_at) = min(known), max(known, key=lambda k: (k[0], -k[1]))
    told = f"{name} from {number(values[0])} to {number(values[-1])}"
    if low < high and {low_at, high_at} != {1, len(values)}:
        told += f", least {number(low)} (epoch {low_at}), most {number(high)} (epoch {high_at})"
    lost = len(values) - len(known)
    return told + (f", not finite in {lost} epoch{'s' * (lost != 1)}" if lost else "")


def figure(picture: Markup, caption: str) -> Markup:
    """A picture with its words below it."""
    return element("figure", picture, element("figcaption", caption))
