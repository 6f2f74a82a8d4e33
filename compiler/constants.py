"""Arithmetic on constants, exact as long as it can be: `1 - 0.999` is 0.001, rounded to float64 once.

A literal is an exact decimal (`Fraction`). Sums, products, quotients and whole powers of exact numbers stay exact;
functions (exp, sqrt, ...) go through float64. Whatever has no finite value is left to the runtime (None).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

Number = Fraction | float
SMALLEST = 5e-324  # the least positive float64
LARGEST = 512  # bits of a numerator or denominator kept exact; beyond them a float64 is used

EXACT: dict[str, Callable[..., Number]] = {
    "neg": lambda a: -a, "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b, "pow": lambda a, b: a**b, "max": lambda a, b: max(a, b), "min": lambda a, b: min(a, b), "abs": lambda a: abs(a),
    "lt": lambda a, b: Fraction(a < b), "le": lambda a, b: Fraction(a <= b), "gt": lambda a, b: Fraction(a > b),
    "ge": lambda a, b: Fraction(a >= b), "eq": lambda a, b: Fraction(a == b), "ne": lambda a, b: Fraction(a != b),
    "floor": lambda a: Fraction(math.floor(a)), "sign": lambda a: Fraction((a > 0) - (a < 0)),
}  # fmt: skip
FLOAT: dict[str, Callable[..., float]] = {
    "exp": math.exp, "log": math.log, "sqrt": math.sqrt, "tanh": math.tanh, "sin": math.sin, "cos": math.cos,
    "erf": math.erf, "expm1": math.expm1, "log1p": math.log1p,
}  # fmt: skip


def exact(text: str) -> Fraction:
    """The number that a literal of the language writes; one too small for float64 is 0, and never expanded digit by digit."""
    return Fraction(text) if abs(float(text)) >= SMALLEST else Fraction(0)


def fold(op: str, values: list[Number]) -> Number | None:
    """The number `op(*values)`, or None where it is not finite, not real, or not a matter of constants."""
    try:
        if op in FLOAT:
            result: object = FLOAT[op](*(float(v) for v in values))
        elif op not in EXACT or (op == "neg" and values[0] == 0):
            return None
        elif op == "pow" and not _whole_small(values[1]):
            result = float(values[0]) ** float(values[1])
        else:
            result = EXACT[op](*values)
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    if not isinstance(result, (int, float, Fraction)):  # a complex power
        return None
    return settle(result)


def settle(value: Number | int) -> Number | None:
    """The number as it is kept: exact if it is small enough, else a float64; None if it overflows."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    number = Fraction(value)
    try:
        rounded = float(number)
    except OverflowError:
        return None
    small = max(number.numerator.bit_length(), number.denominator.bit_length()) <= LARGEST
    return number if small else rounded


def whole(value: Number | None) -> int | None:
    """The int, if the number is whole."""
    if value is None or value != int(value):
        return None
    return int(value)


def _whole_small(n: Number) -> bool:
    return isinstance(n, Fraction) and n.denominator == 1 and abs(n.numerator) <= 64
