"""Formulas as a user would write them, at sizes where they overflow or cancel: values, gradients, notes, and the textbook's forms."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

from mlpc.compiler.facts import NOTHING, ONEHOT, SIMPLEX, ZERO_ONE
from mlpc.compiler.pipeline import compile
from mlpc.compiler.schema import DataValue, Schema
from mlpc.dsl.parse import parse

from .interpret import run

TRAIN = "train {\n  optimizer = sgd(lr = 0.1)\n  epochs = 1\n}\n"
exp: Any = np.frompyfunc(mpmath.exp, 1, 1)
log: Any = np.frompyfunc(mpmath.log, 1, 1)


def plan_of(model, loss, functions="", **data):
    """The training plan of a model of x and what else is given: name = (width, facts)."""
    columns = "\n".join(f"  {name} = column_{name}" for name in data)
    text = f"{functions}\ndata {{\n{columns}\n}}\nmodel {{\n{model}\n}}\nloss = {loss}\n{TRAIN}"
    program = parse(text, "model.mlp")
    assert program.data is not None
    labels = {n: tuple("abcde"[:k]) if f == ONEHOT else () for n, (k, f) in data.items()}
    values = tuple(DataValue(n, k, f, (), labels[n], program.data.span) for n, (k, f) in data.items())
    return compile(program, Schema(values, (("train", 40),))).training


def line(plan, target):
    return next(entry for entry in plan.lines if entry.target == target)


def features(x: Any):
    return np.sum(x, axis=-1, keepdims=True)


def sigmoid(z):
    return 1 / (1 + exp(-z))


def softmax(z):
    return exp(z) / features(exp(z))


# --- values and gradients against mpmath ---------------------------------------------------------

# what is typed: its value, and the gradient of sum(c * value) with respect to z, in mathematics
TYPED: dict[str, tuple[Any, Any]] = {
    "log(softmax(z))": (lambda z: log(softmax(z)), lambda z, c: c - softmax(z) * features(c)),
    "log(exp(z) / sum(exp(z), axis = features))": (lambda z: log(softmax(z)), lambda z, c: c - softmax(z) * features(c)),
    "log(exp(z - max(z, axis = features)) / sum(exp(z - max(z, axis = features)), axis = features))": (
        lambda z: log(softmax(z)), lambda z, c: c - softmax(z) * features(c),
    ),
    "z - log(sum(exp(z), axis = features))": (lambda z: log(softmax(z)), lambda z, c: c - softmax(z) * features(c)),
    "exp(z) / sum(exp(z), axis = features)": (softmax, lambda z, c: softmax(z) * (c - features(c * softmax(z)))),
    "softmax(z)": (softmax, lambda z, c: softmax(z) * (c - features(c * softmax(z)))),
    "log(1 + exp(z))": (lambda z: log(1 + exp(z)), lambda z, c: c * sigmoid(z)),
    "log(exp(z) + 1)": (lambda z: log(1 + exp(z)), lambda z, c: c * sigmoid(z)),
    "log(sum(exp(z), axis = features))": (lambda z: log(features(exp(z))), lambda z, c: softmax(z) * features(c)),
    "log(sum(exp(z)))": (lambda z: log(np.sum(exp(z))), lambda z, c: exp(z) / np.sum(exp(z)) * np.sum(c)),
    "log(sum(exp(z), axis = batch))": (lambda z: log(np.sum(exp(z), axis=0)), lambda z, c: exp(z) / np.sum(exp(z), axis=0) * np.sum(c, axis=0)),
    "1 / (1 + exp(-z))": (sigmoid, lambda z, c: c * sigmoid(z) * sigmoid(-z)),
    "1 / (exp(-z) + 1)": (sigmoid, lambda z, c: c * sigmoid(z) * sigmoid(-z)),
    "1 / (1 + exp(z))": (lambda z: sigmoid(-z), lambda z, c: -c * sigmoid(z) * sigmoid(-z)),
    "exp(z) / (1 + exp(z))": (sigmoid, lambda z, c: c * sigmoid(z) * sigmoid(-z)),
    "1 - 1 / (1 + exp(-z))": (lambda z: sigmoid(-z), lambda z, c: -c * sigmoid(z) * sigmoid(-z)),
    "log(1 / (1 + exp(-z)))": (lambda z: -log(1 + exp(-z)), lambda z, c: c * sigmoid(-z)),
    "log(1 - 1 / (1 + exp(-z)))": (lambda z: -log(1 + exp(z)), lambda z, c: -c * sigmoid(z)),
    "log(1 + z / 1000000)": (lambda z: log(1 + z / 1000000), lambda z, c: c / (1000000 + z)),
    "log(1 - z / 1000000)": (lambda z: log(1 - z / 1000000), lambda z, c: -c / (1000000 - z)),
    "exp(z / 1000) - 1": (lambda z: exp(z / 1000) - 1, lambda z, c: c * exp(z / 1000) / 1000),
}  # fmt: skip
POINTS = np.array([
    [1000.0, -1000.0, 0.0], [-1000.0, -1000.0, -1000.0], [1000.0, 1000.0, 1000.0], [1e-9, 0.0, -1e-9], [37.0, -37.0, 1.0], [709.0, 710.0, -745.0],
])  # fmt: skip
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 1.0, 3.0], [2.0, 1.0, -1.5], [1.0, 1.0, -2.0], [3.0, 0.5, 1.0], [1.0, 2.0, 4.0]])


def as_floats(x):
    return np.asarray(np.frompyfunc(float, 1, 1)(x), float)


@pytest.mark.parametrize("formula", TYPED)
def test_what_a_user_types_is_right_at_any_size(formula):
    value, slope = TYPED[formula]
    plan = plan_of(f"  param w [3] ~ zeros\n  z = x + w\n  v = {formula}", "sum(v * c)", x=(3, NOTHING), c=(3, NOTHING))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        registers = run(plan, {"x": POINTS, "c": WEIGHTS, "w": np.zeros(3)}, {"N": len(POINTS)}, "forward", "gradient")
    with mpmath.workdps(2000):
        z, c = (np.frompyfunc(mpmath.mpf, 1, 1)(a) for a in (POINTS, WEIGHTS))
        expected, expected_slope = as_floats(value(z)), as_floats(slope(z, c))
    np.testing.assert_allclose(registers[line(plan, "v").value], expected, rtol=1e-13, atol=3e-16)
    np.testing.assert_allclose(registers[line(plan, "dz").value], expected_slope, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(registers[line(plan, "dw").value], np.sum(expected_slope, axis=0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("formula", [f for f in TYPED if f != "softmax(z)"])
def test_the_line_says_what_was_typed(formula):
    plan = plan_of(f"  param w [3] ~ zeros\n  z = x + w\n  v = {formula}", "sum(v * c)", x=(3, NOTHING), c=(3, NOTHING))
    found = line(plan, "v")
    assert found.text != formula
    assert found.note == formula


def test_what_is_typed_across_lines_is_found_too():
    model = "  param w [3] ~ zeros\n  z = x + w\n  e = exp(z)\n  total = sum(e, axis = features)\n  p = e / total\n  v = log(p)"
    plan = plan_of(model, "sum(v * c)", x=(3, NOTHING), c=(3, NOTHING))
    with np.errstate(over="ignore", invalid="ignore"):
        registers = run(plan, {"x": POINTS, "c": WEIGHTS, "w": np.zeros(3)}, {"N": len(POINTS)}, "forward", "gradient")
    with mpmath.workdps(2000):
        z, c = (np.frompyfunc(mpmath.mpf, 1, 1)(a) for a in (POINTS, WEIGHTS))
        expected, slope = as_floats(log(softmax(z))), as_floats(c - softmax(z) * features(c))
    np.testing.assert_allclose(registers[line(plan, "v").value], expected, rtol=1e-13, atol=3e-16)
    np.testing.assert_allclose(registers[line(plan, "dz").value], slope, rtol=1e-12, atol=1e-15)


# --- cross-entropy -------------------------------------------------------------------------------

NETWORK = "  param w [3] ~ zeros\n  z = x + w\n  p = softmax(z)"


@pytest.mark.parametrize("gap", [1, 10, 20, 21, 22, 36, 37, 38, 100, 700, 745, 1000, 10_000])
def test_cross_entropy_is_exact_at_any_gap(gap):
    """The notebook's clip at 1e-9 freezes the loss at 20.72; this is -log(softmax(z)) to the last digits."""
    plan = plan_of(NETWORK, "sum(cross_entropy(p, y))", x=(3, NOTHING), y=(3, ONEHOT))
    x, y = np.array([[float(gap), 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        registers = run(plan, {"x": x, "y": y, "w": np.zeros(3)}, {"N": 1}, "forward", "gradient")
    with mpmath.workdps(9000):
        z = [mpmath.mpf(v) for v in x[0].tolist()]
        total = sum(mpmath.exp(v) for v in z)
        loss, p = float(mpmath.log(total) - z[1]), np.array([float(mpmath.exp(v) / total) for v in z])
    np.testing.assert_allclose(registers[plan.loss], loss, rtol=1e-15)
    np.testing.assert_allclose(registers[line(plan, "dz").value][0], p - y[0], rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("gap", [1, 20, 37, 100, 1000, 10_000])
@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
def test_binary_cross_entropy_is_exact_at_any_gap(gap, target):
    plan = plan_of(
        "  param w [1] ~ zeros\n  z = x + w\n  p = sigmoid(z)", "sum(binary_cross_entropy(p, y))", x=(1, NOTHING), y=(1, NOTHING)
    )
    x, y = np.array([[float(gap)], [-float(gap)]]), np.full((2, 1), target)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        registers = run(plan, {"x": x, "y": y, "w": np.zeros(1)}, {"N": 2}, "forward", "gradient")
    with mpmath.workdps(9000):
        t = mpmath.mpf(target)
        loss = float(
            sum(t * mpmath.log(1 + mpmath.exp(-v)) + (1 - t) * mpmath.log(1 + mpmath.exp(v)) for v in (mpmath.mpf(gap), mpmath.mpf(-gap)))
        )
        slope = [float(1 / (1 + mpmath.exp(-v)) - t) for v in (mpmath.mpf(gap), mpmath.mpf(-gap))]
    np.testing.assert_allclose(registers[plan.loss], loss, rtol=1e-15)
    np.testing.assert_allclose(registers[line(plan, "dz").value][:, 0], slope, rtol=1e-13, atol=1e-16)


# --- the textbook's forms ------------------------------------------------------------------------


def test_cross_entropy_with_one_hot_targets_is_p_minus_y():
    assert line(plan_of(NETWORK, "sum(cross_entropy(p, y))", x=(3, NOTHING), y=(3, ONEHOT)), "dz").text == "p - y"
    assert line(plan_of(NETWORK, "mean(cross_entropy(p, y))", x=(3, NOTHING), y=(3, ONEHOT)), "dz").text == "(p - y) / N"


@pytest.mark.parametrize(
    ("head", "loss"),
    [
        ("q = softmax(u)", "sum(-t * log(softmax(u)))"), ("q = softmax(u)", "-sum(t * log(q))"), ("q = softmax(u)", "sum(-sum(log(q) * t, axis = features))"),
        ("q = exp(u) / sum(exp(u), axis = features)", "-sum(t * log(q))"), ("q = exp(u) / sum(exp(u), axis = features)", "0 - sum(t * log(q))"),
        ("q = softmax(u - max(u, axis = features))", "-sum(t * log(q))"), ("q = mine(u)", "sum(surprise(t, q))"), ("q = softmax(u)", "sum(surprise(t, q))"),
        ("q = softmax(u)", "sum(t * (log(sum(exp(u), axis = features)) - u))"), ("q = softmax(u)", "-sum(t * (u - log(sum(exp(u), axis = features))))"),
    ],
)  # fmt: skip
def test_the_same_formula_with_other_names_gives_the_same(head, loss):
    functions = "fn mine(a) {\n  b = exp(a)\n  return b / sum(b, axis = features)\n}\nfn surprise(a, b) = -a * log(b)"
    plan = plan_of(f"  param k [3] ~ zeros\n  u = x + k\n  {head}", loss, functions, x=(3, NOTHING), t=(3, ONEHOT))
    assert line(plan, "du").text == "q - t"


@pytest.mark.parametrize("facts", [NOTHING, ZERO_ONE])
def test_with_soft_targets_it_is_the_general_form(facts):
    plan = plan_of(NETWORK, "sum(cross_entropy(p, y))", x=(3, NOTHING), y=(3, facts))
    assert line(plan, "dz").text == "p * sum(y, axis = features) - y"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3)), rng.uniform(size=(4, 3))
    registers = run(plan, {"x": x, "y": y, "w": np.zeros(3)}, {"N": 4}, "forward", "gradient")
    p = np.exp(x) / features(np.exp(x))
    np.testing.assert_allclose(registers[line(plan, "dz").value], p * features(y) - y, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize(
    ("targets", "facts"), [("0.9 * y + 0.1 / 3", ONEHOT), ("y * 0.9 + 0.1 / cols(y)", ONEHOT), ("2 * y - y", ONEHOT), ("0.5 * y + 0.5 * softmax(x)", SIMPLEX)]
)  # fmt: skip
def test_smoothed_targets_stay_p_minus_t(targets, facts):
    plan = plan_of(f"{NETWORK}\n  t = {targets}\n  out = p * 1", "sum(cross_entropy(p, t))", x=(3, NOTHING), y=(3, facts))
    assert line(plan, "dz").text == "p - t"


@pytest.mark.parametrize("targets", ["0.9 * y", "y + 0.1", "y^2", "y * x", "0.9 * y + 0.1 / 4"])
def test_targets_whose_rows_sum_to_something_else_do_not(targets):
    plan = plan_of(f"{NETWORK}\n  t = {targets}\n  out = p * 1", "-sum(t * log(p))", x=(3, NOTHING), y=(3, ONEHOT))
    assert line(plan, "dz").text != "p - t"
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(4, 3)), np.eye(3)[[0, 2, 1, 1]]
    registers = run(plan, {"x": x, "y": y, "w": np.zeros(3)}, {"N": 4}, "forward", "gradient")
    t, p = registers[line(plan, "t").value], np.exp(x) / features(np.exp(x))
    np.testing.assert_allclose(registers[line(plan, "dz").value], p * features(t) - t, rtol=1e-12, atol=1e-14)


def test_binary_cross_entropy_is_p_minus_y_for_any_target():
    plan = plan_of(
        "  param w [1] ~ zeros\n  z = x + w\n  p = sigmoid(z)", "sum(binary_cross_entropy(p, y))", x=(1, NOTHING), y=(1, NOTHING)
    )
    assert line(plan, "dz").text == "p - y"


def test_the_gradient_is_that_of_the_loss_as_declared():
    """mean, sum and a scaled loss differ by their factor alone (TRAPS 2)."""
    texts = [line(plan_of(NETWORK, loss, x=(3, NOTHING), y=(3, ONEHOT)), "dz").text
             for loss in ("2 * sum(cross_entropy(p, y))", "mean(cross_entropy(p, y)) / 2", "sum(cross_entropy(p, y)) / 3")]  # fmt: skip
    assert texts == ["2 * (p - y)", "0.5 * (p - y) / N", "(p - y) / 3"]


def test_targets_that_a_model_makes_have_their_gradient_too():
    """That rows of q sum to 1 shortens dz; it does not make dq a part of something."""
    plan = plan_of(
        "  param w [3, 3] ~ zeros\n  z = x + 1\n  q = softmax(x @ w)\n  v = z * w[:, 0:1][0:1, :]",
        "-sum(q * log(softmax(v)))",
        x=(3, NOTHING),
    )
    assert "softmax(v) - q" in line(plan, "dv").text
    x, w = np.random.default_rng(2).normal(size=(2, 3, 3))
    registers = run(plan, {"x": x, "w": w}, {"N": 3}, "forward", "gradient")
    v = registers[line(plan, "v").value]
    np.testing.assert_allclose(registers[line(plan, "dq").value], np.log(features(np.exp(v))) - v, rtol=1e-13)
