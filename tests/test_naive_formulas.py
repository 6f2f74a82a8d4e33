"""Formulas as a student writes them, on 2,001 points over [-1e3, 1e3]: value, gradient, silence, and the note on the line."""

from __future__ import annotations

import operator
from typing import Any

import mpmath
import numpy as np
import pytest

import mlpc
from mlpc.compiler.facts import NOTHING
from mlpc.compiler.pipeline import compile
from mlpc.compiler.schema import DataValue, Schema
from mlpc.dsl.parse import parse, parse_expression
from mlpc.dsl.syntax import Binary, Call, Expr, Name, Number, Unary

from .interpret import run

EPS = float(np.finfo(float).eps)
E, LOG, TANH = mpmath.exp, mpmath.log, mpmath.tanh


def logistic(x: Any) -> Any:
    return 1 / (1 + E(-x))


def density(x: Any) -> Any:
    return logistic(x) * logistic(-x)


# what is written: its gradient in mathematics, and what its line says; t1 is what the gradient reads as well
NAIVE: dict[str, tuple[Any, str]] = {
    "log(1 + exp(x))": (logistic, "softplus(x)"),
    "log(1 + exp(-x))": (lambda x: -logistic(-x), "softplus(t1)"),
    "log(1 + exp(2 * x)) / 2": (lambda x: logistic(2 * x), "softplus(t1) / 2"),
    "max(x, 0) + log(1 + exp(-abs(x)))": (logistic, "softplus(x)"),
    "log(exp(x) + exp(-x))": (TANH, "t1 + softplus(-2 * t1)"),
    "sqrt(x^2)": (mpmath.sign, "abs(x)"),
    "sqrt(x * x)": (mpmath.sign, "abs(x)"),
    "1 / (1 + exp(-x))": (density, "sigmoid(x)"),
    "1 / (1 + exp(x))": (lambda x: -density(x), "sigmoid(-x)"),
    "exp(x) / (1 + exp(x))": (density, "sigmoid(x)"),
    "1 - 1 / (1 + exp(x))": (density, "sigmoid(x)"),
    "exp(-x) / (1 + exp(-x))^2": (lambda x: density(x) * (1 - 2 * logistic(x)), "t1 * t2"),
    "1 / (1 + exp(-x))^2": (lambda x: 2 * density(x) * logistic(x), "t1 * t1"),
    "log(1 / (1 + exp(-x)))": (lambda x: logistic(-x), "-softplus(t1)"),
    "-log(1 / (1 + exp(-x)))": (lambda x: -logistic(-x), "softplus(t1)"),
    "log(exp(x) / (1 + exp(x)))": (lambda x: logistic(-x), "-softplus(t1)"),
    "log(1 - 1 / (1 + exp(-x)))": (lambda x: -logistic(x), "-softplus(x)"),
    "(exp(x) - 1) / (exp(x) + 1)": (lambda x: 2 * density(x), "tanh(0.5 * x)"),
    "(exp(x) - exp(-x)) / (exp(x) + exp(-x))": (lambda x: 4 * density(2 * x), "tanh(x)"),
    "(1 - exp(-2 * x)) / (1 + exp(-2 * x))": (lambda x: 4 * density(2 * x), "tanh(x)"),
    "2 / (1 + exp(-2 * x)) - 1": (lambda x: 4 * density(2 * x), "tanh(x)"),
    "exp(x) - 1": (E, "expm1(x)"),
    "1 - exp(-x)": (lambda x: E(-x), "-expm1(t1)"),
    "log(1 + x^2)": (lambda x: 2 * x / (1 + x * x), "log1p(t1)"),
    "x / (1 + exp(-x))": (lambda x: logistic(x) + x * density(x), "silu(x)"),
    "x * exp(x) / (1 + exp(x))": (lambda x: logistic(x) + x * density(x), "silu(x)"),
    "log(1 + abs(x))": (lambda x: mpmath.sign(x) / (1 + abs(x)), "log1p(t1)"),
}  # fmt: skip
RANGE = {"exp(x) - 1": (-1000.0, 709.0), "1 - exp(-x)": (-709.0, 1000.0)}  # beyond, the value itself is no float64


def points() -> Any:
    """Every second number, and 500 a side from 1e-12 to 999 by equal factors; 0 is among them."""
    even, near = np.linspace(-1e3, 1e3, 1001), np.geomspace(1e-12, 999, 500)
    return np.sort(np.concatenate([-near, even, near]))


def plan_of(formula: str) -> Any:
    """The training plan of a model whose value v is the formula of x, and x = column + w."""
    model = f"data {{\n  c = column_c\n}}\nmodel {{\n  param w [1] ~ zeros\n  x = c + w\n  v = {formula}\n}}\n"
    program = parse(f"{model}loss = sum(v)\ntrain {{\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}}\n", "model.mlp")
    assert program.data is not None
    return compile(program, Schema((DataValue("c", 1, NOTHING, (), (), program.data.span),), (("train", 40),))).training


def line(plan: Any, target: str) -> Any:
    return next(entry for entry in plan.lines if entry.target == target)


def measured(formula: str, slope: Any, at: Any) -> tuple[Any, Any, Any, Any]:
    """The errors of the values, in units of their last place, and of the gradients, in eps * max(1, |g|); any warning raises."""
    plan = plan_of(formula)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        registers = run(plan, {"c": at[:, None], "w": np.zeros(1)}, {"N": len(at)}, "forward", "gradient")
    value, gradient = (registers[line(plan, name).value][:, 0] for name in ("v", "dx"))
    off, tilt = np.zeros(len(at)), np.zeros(len(at))
    expression = parse_expression(formula)
    for i, x in enumerate(at.tolist()):
        with mpmath.workdps(60 + int(abs(x))):  # exp(x) + exp(-x) has 0.87 |x| digits
            expected, slope_there = exactly(expression, mpmath.mpf(x)), slope(mpmath.mpf(x))
            off[i] = abs(mpmath.mpf(float(value[i])) - expected) / float(np.spacing(abs(float(expected))))
            tilt[i] = abs(mpmath.mpf(float(gradient[i])) - slope_there) / max(1, abs(slope_there)) / EPS
    return value, gradient, off, tilt


def exactly(expression: Expr, x: Any) -> Any:
    """What is written, in the working precision of mpmath."""
    match expression:
        case Number(text=text):
            return mpmath.mpf(text)
        case Name():
            return x
        case Unary(value=value):
            return -exactly(value, x)
        case Binary(op=op, left=left, right=right):
            return BINARY[op](exactly(left, x), exactly(right, x))
        case Call(function=function, args=args):
            return CALLED[function.id](*(exactly(a.value, x) for a in args))
        case _:
            raise AssertionError(expression)


BINARY: dict[str, Any] = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "^": operator.pow}
CALLED: dict[str, Any] = {"exp": E, "log": LOG, "sqrt": mpmath.sqrt, "abs": abs, "max": max}


def within(formula: str) -> Any:
    """The points at which the value is a float64."""
    low, high = RANGE.get(formula, (-1e3, 1e3))
    at = points()
    return at[(low <= at) & (at <= high)]


def test_there_are_as_many_points_as_said() -> None:
    assert len(NAIVE) == 27
    assert len(points()) == len(np.unique(points())) == 2001
    assert 0 in points()


@pytest.mark.parametrize("formula", NAIVE)
def test_a_formula_as_a_student_writes_it(formula: str) -> None:
    value, gradient, off, tilt = measured(formula, NAIVE[formula][0], within(formula))
    assert not np.isnan(value).any()
    assert not np.isnan(gradient).any()
    assert off.max() <= 4, (within(formula)[off.argmax()], off.max())
    assert tilt.max() <= 4, (within(formula)[tilt.argmax()], tilt.max())


@pytest.mark.parametrize("formula", NAIVE)
def test_its_line_says_what_was_written(formula: str) -> None:
    found = line(plan_of(formula), "v")
    assert (found.text, found.note) == (NAIVE[formula][1], formula)


@pytest.mark.parametrize("formula", ["x / (1 + exp(-x))", "x * exp(x) / (1 + exp(x))"])
def test_x_times_a_gate_that_is_no_normal_number_has_all_its_digits(formula: str) -> None:
    at = np.linspace(-760, -690, 2001)
    value, _, off, tilt = measured(formula, NAIVE[formula][0], at)
    assert (value[at > -745] < 0).all()
    assert off.max() <= 4, (at[off.argmax()], off.max())
    assert tilt.max() <= 4


def test_the_note_is_there_in_a_model_loaded_from_text() -> None:
    text = (
        "data {\n  c = [[0.5], [-2]]\n  y = [[1], [0]]\n}\nmodel {\n  param w [1, 1] ~ zeros\n  x = c @ w\n  v = x / (1 + exp(-x))\n}\n"
        "loss = sum((v - y)^2)\ntrain {\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}\n"
    )
    found = line(mlpc.loads(text).plan, "v")
    assert (found.text, found.note) == ("silu(x)", "x / (1 + exp(-x))")
