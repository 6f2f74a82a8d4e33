"""`weight = balanced(y)`: counted on the training rows, as scikit-learn weighs, beside PyTorch's weighted cross-entropy."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mlpc

from .test_plan_text import text_is_what_runs

FIGURES = json.loads((Path(__file__).parent / "figures" / "torch_losses.json").read_text("utf-8"))["balanced"]
MODEL = """
data {{
  x = {x}
  y = {y}
  {split}
}}
model {{
  param shift [{width}] ~ zeros
  z = x + shift
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0.1)
  steps     = 1
  batch     = all
}}
report weights = sum(w(y), axis = batch)
fn w(y) = {weight} + 0 * y
"""
RARE = [0, 0, 1, 2, 0, 1, 0, 0]  # 5, 2 and 1


def load(y, loss, x=None, width=3, split="", weight="balanced(y)"):
    x = [[0.5, -1.0, 2.0][:width]] * len(RARE) if x is None else x
    return mlpc.loads(MODEL.format(x=x, y=y, loss=loss, width=width, split=split, weight=weight))


def lines(model):
    return {line.target: line.text for line in model.plan.lines}


def test_it_is_torchs_weighted_cross_entropy_and_over_all_rows_its_mean():
    y = f"{FIGURES['classes']} |> onehot"
    rows = load(y, "sum(cross_entropy_with_logits(z, y, weight = balanced(y)))", FIGURES["z"]).trace()
    mean = load(y, "mean(cross_entropy_with_logits(z, y, weight = balanced(y)))", FIGURES["z"]).trace()
    assert rows["loss"] == pytest.approx(np.sum(FIGURES["value"]), rel=1e-13)
    assert mean["loss"] == pytest.approx(FIGURES["mean"], rel=1e-13)
    np.testing.assert_allclose(mean["dz"], FIGURES["gradient"], rtol=1e-12, atol=1e-14)


def test_the_weights_are_scikit_learns():
    """n_samples / (n_classes * np.bincount(y)), of each class, or of each row."""
    expected = len(RARE) / (3 * np.bincount(RARE))
    assert FIGURES["weights"] == (12 / (3 * np.bincount(FIGURES["classes"]))).tolist()
    report = load(f"{RARE} |> onehot", "mean(z^2)").train().metrics["train"]["weights"]
    np.testing.assert_allclose(report, len(RARE) * expected)
    report = load(f"{RARE} |> index", "mean(z^2)").train().metrics["train"]["weights"]
    assert report == pytest.approx(expected[RARE].sum())
    assert report == pytest.approx(len(RARE)), "all weights together are the rows"


@pytest.mark.parametrize("y", ["[0, 1, 1, 0, 1, 1, 1, 1]", "[0, 1, 1, 0, 1, 1, 1, 1] |> index"])
def test_one_column_has_the_weight_of_each_row_s_class(y):
    model = load(y, "mean(binary_cross_entropy_with_logits(z, y, weight = balanced(y)))", [[0.3]] * 8, 1)
    labels = np.array([0, 1, 1, 0, 1, 1, 1, 1])
    p = 1 / (1 + np.exp(-0.3))
    expected = np.mean((8 / (2 * np.bincount(labels)))[labels] * -np.where(labels, np.log(p), np.log(1 - p)))
    assert model.trace()["loss"] == pytest.approx(expected, rel=1e-14)
    assert lines(model)["t1"] == "sum(onehot(y, 2) * (sum([2, 6]) / (2 * [2, 6])), axis = features)"
    assert [p.verdict for p in model.check().params] == ["right"]


@pytest.mark.parametrize("loss", ["cross_entropy(softmax(z), y, 0.1, balanced(y))", "focal(softmax(z), y, weight = balanced(y))"])
def test_its_siblings_take_it(loss):
    model = load(f"{RARE} |> onehot", f"mean({loss})")
    by_hand = load(f"{RARE} |> onehot", f"mean({loss})".replace("balanced(y)", "[8/15, 8/6, 8/3]"))
    assert model.trace()["loss"] == pytest.approx(by_hand.trace()["loss"], rel=1e-15)
    np.testing.assert_allclose(model.trace()["dz"], by_hand.trace()["dz"], rtol=1e-13, atol=1e-16)
    assert [p.verdict for p in model.check().params] == ["right"]


def test_the_plan_shows_the_counts_and_its_text_is_what_runs():
    model = load(f"{RARE} |> onehot", "mean(cross_entropy_with_logits(z, y, weight = balanced(y)))")
    assert lines(model)["t1"] == "sum([5, 2, 1]) / (3 * [5, 2, 1])"
    assert lines(model)["loss"] == "-sum(t1 * (y * log_softmax(z))) / N"
    rng = np.random.default_rng(2)
    text_is_what_runs(model.plan, {"x": rng.normal(size=(4, 3)), "y": np.eye(3)[[0, 2, 1, 0]], "shift": rng.normal(size=3)}, 4)


def test_only_the_training_rows_count_whatever_is_measured():
    model = load(
        f"{RARE} |> onehot", "mean(cross_entropy_with_logits(z, y, weight = balanced(y)))", split="split = ordered(train = 0.5, test = 0.5)"
    )
    assert lines(model)["t1"] == "sum([2, 1, 1]) / (3 * [2, 1, 1])"
    assert model.dataset.schema.values[1].counts == (2, 1, 1)
    measured = {line.target: line.text for line in model.compilation.evaluation.forward}
    assert "sum([2, 1, 1]) / (3 * [2, 1, 1])" in measured.values()


@pytest.mark.parametrize(
    ("y", "counts"),
    [("[2, 0, 2] |> onehot", (1, 2)), ("[7, 3, 3] |> index", (2, 1)), ("[0, 1, 1]", (1, 2)), ("[1, 1, 1]", (0, 3)), ("[0, 1, 2]", ()),
     ("[0.5, 1, 0]", ()), ("[[0, 1], [1, 0], [1, 1]]", ()), ("[[0, 1], [1, 0], [1, 1]] |> onehot", ())],
)  # fmt: skip
def test_what_has_counts(y, counts):
    assert load(y, "mean(z^2)", [[1, 2, 3]] * 3, weight="1").dataset.schema.values[1].counts == counts
