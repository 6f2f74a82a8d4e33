"""Gradient lines as a textbook factors them: what several terms begin with stands once, and a choice stays a choice."""

from __future__ import annotations

import numpy as np
import pytest

import mlpc

MODEL = """fn f(v) = {body}
data {{
  x = [[0.5, -1.5], [2, -0.25]]
  y = [0.5, 2]
}}
model {{
  param w [2, 1] ~ values([[0.75], [-0.5]])
  z = x @ w
  h = f(z)
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0.1)
  epochs = 1
}}
"""


def loaded(body, loss="sum((h - y)^2)"):
    return mlpc.loads(MODEL.format(body=body, loss=loss))


@pytest.mark.parametrize(
    ("body", "dz"),
    [
        ("v * v * v", "3 * dh * z^2"),
        ("v + sin(v)", "dh * (1 + cos(z))"),
        ("v * tanh(log(1 + exp(v)))", "dh * (z * (1 - t1^2) * sigmoid(z) + t1)"),
        ("v / (1 + abs(v))", "dh / t1 * (1 - h * sign(z))"),
        ("where(v > 0, v, exp(v) - 1)", "dh * where(t1, 1, exp(z))"),
        ("where(v > 0, v, 0.1 * v)", "where(t1, dh, 0.1 * dh)"),
        ("max(v, 0)", "dh * (h > 0)"),
        ("v * v * exp(v)", "dh * (2 * t1 * z + h)"),
        ("v + v", "2 * dh"),
    ],
)
def test_the_gradient_of_an_activation_is_one_factored_line(body, dz):
    plan = loaded(body).plan
    found = {line.target: line.text for line in plan.gradient}
    if body == "v * v * v":  # the square is shared with the forward pass
        dz = dz.replace("z^2", next(line.target for line in plan.forward if line.target.startswith("t")))
    assert found["dz"] == dz


def test_a_choice_between_two_losses_is_one_choice():
    model = loaded("v", "mean(where(abs(h - y) <= 1, 0.5 * (h - y)^2, abs(h - y) - 0.5))")
    found = {line.target: line.text for line in model.plan.gradient}
    assert found["dz"] == "where(t3, t1, sign(t1)) / N"


def test_nothing_is_sent_to_the_side_not_taken_however_infinite_its_derivative():
    model = mlpc.loads(MODEL.format(body="where(v > -10, v, exp(exp(v * -1000)))", loss="sum(h)"))
    assert np.isfinite(model.trace()["dw"]).all()


def test_a_long_factor_is_a_decimal_and_a_short_one_a_fraction():
    texts = {line.target: line.text for line in loaded("1.0507009873554804934193349852946 * exp(v) / 3 + v").plan.gradient}
    assert texts["dz"] == "dh * (1 + 0.35023366245182685 * t1)"
    assert {line.target: line.text for line in loaded("v * 2 / 3").plan.gradient}["dz"] == "2 * dh / 3"
