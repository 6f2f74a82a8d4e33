"""Std's metrics by hand, what its definitions say of themselves, and how one stands in a model of one's own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import mlpc

STD = Path(mlpc.__file__ or "").parent / "std"
TEXTS = {path.name: path.read_text("utf-8") for path in sorted(STD.glob("*.mlp"))}

MODEL = """
data {{
  x = {x}
  y = {y}
}}
model {{
  param shift [{width}] ~ zeros
  p = x + shift
}}
loss = sum(mse(p, y))
train {{
  optimizer = sgd(lr = 0)
  epochs    = 1
  batch     = all
}}
report {call}
"""

SCORES = [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.4, 0.35, 0.25], [0.5, 0.2, 0.3]]
LABELS = [[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]  # judged 0 1 0 1 0 0, are 0 1 1 1 2 0


def measured(call, x, y):
    run = mlpc.loads(MODEL.format(x=x, y=y, width=len(x[0]), call=call)).train()
    return next(iter(run.metrics["train"].values()))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("accuracy(p, y)", 4 / 6),
        ("precision(p, y)", (2 / 4 + 2 / 2 + 0) / 3),  # class 2 is never said
        ("recall(p, y)", (2 / 2 + 2 / 3 + 0 / 1) / 3),
        ("f1(p, y)", (2 * 2 / (4 + 2) + 2 * 2 / (2 + 3) + 0) / 3),
        ("top_k(p, y, k = 1)", 4 / 6),
        ("top_k(p, y, k = 2)", 5 / 6),
        ("top_k(p, y)", 1),
        ("top_k(p, y, 3)", 1),
        ("confusion(p, y)", [[2, 0, 0], [1, 2, 0], [1, 0, 0]]),
    ],
)
def test_metric_of_classes(call, expected):
    np.testing.assert_allclose(measured(call, SCORES, LABELS), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        ("accuracy(p, y)", 3 / 5),
        ("precision(p, y)", 2 / 3),
        ("recall(p, y)", 2 / 3),
        ("f1(p, y)", 4 / 6),
        ("confusion(p, y)", [[1, 1], [1, 2]]),
    ],
)
def test_metric_of_class_1(call, expected):
    scores = [[0.9], [0.6], [0.5], [0.7], [0.1]]  # judged 1 1 0 1 0: a half is not above a half
    np.testing.assert_allclose(measured(call, scores, [[1], [0], [1], [1], [0]]), expected, rtol=1e-15)


@pytest.mark.parametrize("call", ["precision(p, y)", "recall(p, y)", "f1(p, y)"])
def test_a_metric_without_a_case_is_0(call):
    assert measured(call, [[0.1], [0.2]], [[0], [0]]) == 0.0


@pytest.mark.parametrize(
    ("call", "x", "y", "expected"),
    [
        ("rmse(p, y)", [[1], [2], [6]], [[1], [4], [3]], (13 / 3) ** 0.5),
        ("mae(p, y)", [[1], [2], [6]], [[1], [4], [3]], 5 / 3),
        ("mse(p, y)", [[1], [2], [6]], [[1], [4], [3]], 13 / 3),
        ("r2(p, y)", [[1], [2], [6]], [[1], [4], [3]], 1 - 13 / (14 / 3)),
        ("r2(p, y)", [[1, 5], [4, 5], [3, 5]], [[1, 5], [4, 5], [3, 5]], 1 / 2),  # the second column does not vary
        ("r2(p, y)", [[2], [2]], [[7], [7]], 0),
        ("rmse(p, y)", [[3], [4]], [[3], [4]], 0),
    ],
)
def test_metric_of_numbers(call, x, y, expected):
    assert measured(call, x, y) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("name", TEXTS)
def test_every_definition_says_in_one_line_what_it_is(name):
    text = TEXTS[name]
    documented = re.findall(r"(?m)(?:^|(?<=\n\n))## [^\n]+\n(?:fn|block|update) (\w+)", text)
    assert documented == re.findall(r"(?m)^(?:fn|block|update) (\w+)", text)


def test_a_fully_smoothed_target_is_every_class_alike():
    text = MODEL.format(x=[[3, 1, 2]], y=[[1, 0, 0]], width=3, call="accuracy(p, y)")
    sharp = mlpc.loads(text.replace("mse(p, y)", "cross_entropy_with_logits(p, y, smoothing = 1)"))
    z = np.array([3.0, 1.0, 2.0])
    expected = -(z - np.log(np.exp(z).sum())).mean()
    assert sharp.train().losses["train"] == pytest.approx(expected, rel=1e-15)


def test_smoothing_and_weight_left_out_leave_no_trace():
    text = MODEL.format(x=[[3, 1, 2]], y="[0, 1, 2, 0] |> onehot", width=3, call="accuracy(p, y)").replace(
        "[[3, 1, 2]]", "[[3, 1, 2], [0, 0, 1], [1, 1, 0], [2, 0, 0]]"
    )
    plan = mlpc.loads(text.replace("sum(mse(p, y))", "mean(cross_entropy_with_logits(p, y))")).plan
    gradient = next(line for line in plan.gradient if line.target == "dp")
    assert gradient.text == "(softmax(p) - y) / N"


RESIDUAL = """
data {
  x = [[1, -2, 0.5], [0.25, 3, -1]]
  y = [[1, 2, 3], [4, 5, 6]]
}
model {
  h = residual(x, 5)
}
loss = mean(mse(h, y))
train {
  optimizer = sgd(lr = 0.5)
  steps = 3
  batch = all
}
"""


def test_a_residual_block_starts_as_the_identity_and_learns():
    model = mlpc.loads(RESIDUAL)
    first = model.trace(1)
    np.testing.assert_array_equal(first["h"], [[1, -2, 0.5], [0.25, 3, -1]])
    third = model.trace(3)
    x = np.array([[1, -2, 0.5], [0.25, 3, -1]])
    hidden = np.maximum(x @ third["h.dense1.W"] + third["h.dense1.b"], 0)
    np.testing.assert_allclose(third["h"], x + hidden @ third["h.dense2.W"] + third["h.dense2.b"], rtol=1e-14)
    assert np.abs(third["h.dense2.W"]).min() > 0
    assert model.check().line is None


def test_roc_auc_counts_the_pairs():
    p = [0.1, 0.4, 0.35, 0.8, 0.35]
    y = [0, 0, 1, 1, 0]
    pairs = [(a > b) + (a == b) / 2 for a, i in zip(p, y, strict=True) if i for b, j in zip(p, y, strict=True) if not j]
    assert measured("roc_auc(p, y)", [[v] for v in p], [[v] for v in y]) == pytest.approx(np.mean(pairs), rel=1e-15)
    assert measured("roc_auc(p, y)", [[v] for v in p], [[0]] * 5) == 0  # without a case of one kind it is 0
