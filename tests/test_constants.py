"""Arithmetic on constants: exact while it can be, NumPy's value where it cannot, and nothing that is not finite."""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlpc.compiler.constants import EXACT, FLOAT, exact, fold, settle, whole
from mlpc.compiler.ir import Interner
from mlpc.compiler.ops import TABLE
from mlpc.compiler.simplify import RULES

DECIMALS = st.decimals(-1000, 1000, places=6).map(Fraction)
BINARY = sorted({"add", "sub", "mul", "div", "max", "min", "lt", "le", "gt", "ge", "eq", "ne"})


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.1", Fraction(1, 10)), ("1e-8", Fraction(1, 10**8)), (".5", Fraction(1, 2)), ("2", Fraction(2)), ("1e3", Fraction(1000)), ("1e-400", Fraction(0))],
)  # fmt: skip
def test_a_literal_is_an_exact_decimal(text, value):
    assert exact(text) == value


@pytest.mark.parametrize(
    ("op", "values", "result"),
    [
        ("sub", ["1", "0.999"], Fraction(1, 1000)), ("add", ["0.1", "0.2"], Fraction(3, 10)), ("mul", ["0.1", "3"], Fraction(3, 10)),
        ("div", ["1", "3"], Fraction(1, 3)), ("pow", ["0.1", "2"], Fraction(1, 100)), ("pow", ["2", "-2"], Fraction(1, 4)),
        ("pow", ["0", "0"], Fraction(1)), ("floor", ["-0.5"] , Fraction(-1)), ("sign", ["-3"], Fraction(-1)), ("abs", ["-3"], Fraction(3)),
        ("eq", ["0.5", ".50"], Fraction(1)), ("lt", ["2", "1"], Fraction(0)), ("neg", ["0.1"], Fraction(-1, 10)),
    ],
)  # fmt: skip
def test_what_is_exact_stays_exact(op, values, result):
    numbers = [-exact(v[1:]) if v.startswith("-") else exact(v) for v in values]
    found = fold(op, list(numbers))
    assert found == result
    assert isinstance(found, Fraction)


@pytest.mark.parametrize(
    ("op", "values"),
    [
        ("div", [1, 0]), ("div", [0, 0]), ("pow", [0, -1]), ("log", [0]), ("log", [-1]), ("sqrt", [-1]), ("exp", [1000]), ("log1p", [-1]),
        ("pow", [-8, Fraction(1, 3)]), ("pow", [10, 1000]), ("mul", [10**200, 10**200]), ("neg", [0]), ("expm1", [1000]),
    ],
)  # fmt: skip
def test_what_is_not_finite_or_not_real_is_left_to_the_runtime(op, values):
    assert fold(op, [Fraction(v) for v in values]) is None


@pytest.mark.parametrize("op", ["sum", "softmax", "sigmoid", "where", "matmul", "concat"])
def test_other_operations_are_no_matter_of_constants(op):
    assert fold(op, [Fraction(1)]) is None


@pytest.mark.parametrize("op", [*EXACT, *FLOAT])
def test_a_folded_number_is_numpys_to_the_last_bit_but_one(op):
    """The exact result, rounded once, is at most one unit in the last place from NumPy's of rounded operands."""
    pairs = [(Fraction(a, 8), Fraction(b, 8)) for a in (-24, -5, 0, 1, 8, 20) for b in (-16, -8, 3, 8, 16)]
    function: Any = TABLE[op].numpy
    for a, b in pairs:
        values = [a, b] if op in {*BINARY, "pow"} else [a]
        found = fold(op, list(values))
        out = np.empty(())
        with np.errstate(all="ignore"):
            expected = float(function(*(np.asarray(float(v)) for v in values), out=out))
        if found is None:
            assert not math.isfinite(expected) or (op == "neg" and a == 0)
        else:
            assert abs(float(found) - expected) <= np.spacing(abs(expected)), (op, values)


@given(st.sampled_from(BINARY), DECIMALS, DECIMALS)
def test_folding_rounds_once(op, a, b):
    found = fold(op, [a, b])
    if op == "div" and b == 0:
        assert found is None
        return
    reference = {"add": a + b, "sub": a - b, "mul": a * b, "div": a / b if b else 0, "max": max(a, b), "min": min(a, b), "lt": a < b, "le": a <= b,
                 "gt": a > b, "ge": a >= b, "eq": a == b, "ne": a != b}  # fmt: skip
    assert found == reference[op]


def test_large_fractions_become_floats():
    third = Fraction(1, 3**400)
    assert settle(third) == float(third)
    assert isinstance(settle(third), float)
    assert settle(Fraction(10) ** 400) is None
    assert settle(math.inf) is None
    assert settle(math.nan) is None


@pytest.mark.parametrize("values", [(9, 10**9), (Fraction(1, 10), 10**8), (1 + Fraction(1, 10**9), 10**12)])
def test_towers_of_powers_take_no_time(values):
    start = time.perf_counter()
    fold("pow", [Fraction(v) for v in values])
    assert time.perf_counter() - start < 0.1


@pytest.mark.parametrize(
    ("value", "result"), [(Fraction(3), 3), (2.0, 2), (Fraction(1, 2), None), (None, None), (math.pi, None), (Fraction(-4), -4)]
)
def test_whole_numbers(value, result):
    assert whole(value) == result


def test_constants_that_print_alike_are_not_one_node():
    ir = Interner({})
    assert ir.const(0.0) is not ir.const(-0.0)
    assert ir.const(1) is ir.const(Fraction(1))
    assert ir.leaf("const", (), value=1.0) is not ir.leaf("const", (), value=True)
    assert ir.leaf("const", (), value=math.nan) is ir.leaf("const", (), value=math.nan)


def test_a_float_that_only_a_float_holds_stays_one():
    ir = Interner(RULES)
    pi = ir.const(math.pi)
    assert (pi * 2).value == 2 * math.pi
    assert isinstance((pi * 2).value, float)
    assert (ir.const(Fraction(1, 10)) + ir.const(Fraction(2, 10))).value == Fraction(3, 10)


def test_the_sign_of_zero_survives():
    """-(0) is no constant: 1 / -0 is -inf."""
    ir = Interner(RULES)
    assert (-ir.const(0)).op == "neg"
