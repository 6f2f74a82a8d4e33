"""A transformed target: the loss sees it, metrics and predictions are in its own units (rules 41 and 42)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mlpc
from mlpc.compiler.facts import NOTHING
from mlpc.compiler.schema import DataValue, Undo
from mlpc.runtime.targets import inverse, labels

from .datasets import SPAN, inline

GRAMS = [3750.0, 3800, 3250, 3450, 4650, 3200]
MODEL = """
data {{
  x = [[0.1, 1], [0.2, -1], [0.3, 2], [0.4, 0], [0.5, 1], [0.6, 3]]
  g = {grams}
  {lines}
}}
model {{
  {model}
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0.1)
  epochs = 3
  batch = all
}}
report {report}
"""


def run(
    *lines: str, report: str = "m = mean(abs(yhat - y))", model: str = "yhat = dense(x, 1)", loss: str = "mean(mse(yhat, y))"
) -> tuple[mlpc.Model, dict[str, float]]:
    made = mlpc.loads(MODEL.format(grams=GRAMS, lines="\n  ".join(lines), report=report, model=model, loss=loss))
    return made, made.train().metrics["train"]


def predicted(made: mlpc.Model) -> np.ndarray:
    params = made.train().params
    return made.dataset.splits["train"]["x"] @ params["yhat.W"] + params["yhat.b"]


# --- what undoes a transform ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "pipes",
    ["standardize", "minmax", "log", "log |> standardize", "minmax |> standardize", "clip(1, 5000) |> standardize", "drop_missing |> log",
     "impute(0) |> standardize"],
)  # fmt: skip
def test_the_inverse_of_the_pipes(pipes: str) -> None:
    value = inline(f"y = {GRAMS} |> {pipes}", targets=frozenset({"y"}))
    assert_allclose(inverse(value.schema.values[0], value.splits["train"]["y"])[:, 0], GRAMS, rtol=1e-13)


def test_each_column_has_its_own() -> None:
    body = "a = [1, 2, 4]", "b = [[10, 20], [30, 60], [20, 70]] |> standardize", "y = concat(a |> log, b, a)"
    found = inline(*body, targets=frozenset({"y"}))
    expected = np.array([[1.0, 10, 20, 1], [2, 30, 60, 2], [4, 20, 70, 4]])
    assert_allclose(inverse(found.schema.values[2], found.splits["train"]["y"]), expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("y", "undo"),
    [
        ("[1, 3] / 2", ()),  # one's own arithmetic is one's own choice of units
        ("([1, 3] * 2) |> minmax", ((("mul", 4.0), ("add", 2.0)),)),
        ("([1, 3] |> minmax) * 2", ()),
        ("[1, 3] |> onehot", ()),
        ("[1, 3]", ()),
        ("[5, 5] |> minmax", ((("mul", 1.0), ("add", 5.0)),)),
        ("log(minmax([1, 3]) + 1)", ((("exp", 0.0),),)),
    ],
)
def test_what_is_undone(y: str, undo: tuple[Undo, ...]) -> None:
    assert inline(f"y = {y}", targets=frozenset({"y"})).schema.values[0].undo == undo


def test_inputs_have_nothing_to_undo_and_a_schema_without_statistics() -> None:
    assert inline(f"y = {GRAMS} |> standardize").schema.values[0].undo == ()


def test_an_array_as_it_is_and_an_overflow() -> None:
    array = np.array([[1.0], [1e4]])
    assert inverse(DataValue("y", 1, NOTHING, ("y",), (), SPAN), array) is array
    assert inverse(DataValue("y", 1, NOTHING, ("y",), (), SPAN, ((("exp", 0.0),),)), array).tolist() == [[np.e], [np.inf]]
    assert array.tolist() == [[1], [1e4]]


def test_labels_of_predicted_rows() -> None:
    value = DataValue("y", 2, NOTHING, ("u", "v"), ("u", "v"), SPAN)
    assert labels(value, np.array([[0.2, 0.8], [0.5, 0.5], [1, 0]])) == ["v", "u", "u"]


# --- metrics -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipes", ["standardize", "minmax", "log", "log |> standardize"])
def test_a_metric_is_in_the_units_of_the_file_and_the_loss_is_not(pipes: str) -> None:
    made, metrics = run(f"y = g |> {pipes}")
    target, raw = made.dataset.schema.values[-1], predicted(made)
    assert_allclose(metrics["m"], np.abs(inverse(target, raw)[:, 0] - GRAMS).mean(), rtol=1e-12)
    y = made.dataset.splits["train"]["y"]
    evaluated = made.compilation.evaluation
    assert {line.target for line in evaluated.forward} >= {"yhat.raw", "y.raw"}
    assert evaluated.loss_text == "mean(mse(yhat, y))"
    history = made.train().history
    assert abs(history[0]["loss"]["train"] - np.mean(y**2)) < 10 * np.mean(y**2) + 10  # of transformed numbers, not of grams squared


def test_the_training_plan_does_not_know_of_units() -> None:
    made, _ = run("y = g |> standardize")
    assert not any("raw" in line.target for line in made.plan.lines)


def test_the_lines_say_what_runs() -> None:
    made, _ = run("y = g |> minmax")
    texts = {line.target: line.text for line in made.compilation.evaluation.forward}
    assert (texts["yhat.raw"], texts["y.raw"]) == ("1450 * yhat + 3200", "1450 * y + 3200")


def test_without_a_transform_nothing_changes() -> None:
    made, _ = run("y = g / 1000")
    assert not any("raw" in line.target for line in made.compilation.evaluation.lines)


def test_the_output_or_the_target_by_itself_is_in_units_too() -> None:
    made, metrics = run("y = g |> standardize", report="top = max(yhat), low = min(y), count = sum(0 * x + 1)")
    assert_allclose(metrics["top"], inverse(made.dataset.schema.values[-1], predicted(made)).max(), rtol=1e-12)
    assert_allclose(metrics["low"], 3200, rtol=1e-12)
    assert metrics["count"] == 12


def test_each_head_has_the_units_of_the_target_that_it_is_measured_by() -> None:
    body = ("y = g |> standardize", "z = [1, 2, 3, 4, 5, 9] |> minmax")
    made, metrics = run(
        *body, model="zhat = dense(x, 1)\n  yhat = dense(x, 1)", loss="mean(mse(yhat, y)) + mean(mse(zhat, z))",
        report="a = mean(yhat - y), b = mean(zhat - z)",
    )  # fmt: skip
    train, params = made.dataset.splits["train"], made.train().params
    zhat = train["x"] @ params["zhat.W"] + params["zhat.b"]
    assert_allclose(metrics["b"], (8 * (zhat - train["z"])).mean(), rtol=1e-12)
    assert_allclose(metrics["a"], np.std(GRAMS) * (predicted(made) - train["y"]).mean(), rtol=1e-9)


def test_several_columns_each_in_its_units() -> None:
    made, metrics = run(
        "y = concat(g |> standardize, g |> minmax)", model="yhat = dense(x, 2)", report="far = max(yhat - y), near = min(yhat - y)"
    )
    train = made.dataset.splits["train"]
    gap = (predicted(made) - train["y"]) * [np.std(GRAMS), 1450]
    assert_allclose([metrics["far"], metrics["near"]], [gap.max(), gap.min()], rtol=1e-9)


def test_a_prediction_of_another_width_stays_as_the_loss_sees_it() -> None:
    made, metrics = run("y = g |> standardize", model="yhat = dense(x, 2)", loss="mean((yhat - y)^2)", report="m = mean(yhat - y)")
    assert_allclose(metrics["m"], (predicted(made) - made.dataset.splits["train"]["y"]).mean(), rtol=1e-9, atol=1e-12)


def test_which_value_predicts_must_be_clear() -> None:
    with pytest.raises(mlpc.MlpcError) as caught:
        run("y = g |> standardize", model="a = dense(x, 1)\n  b = dense(x, 1)\n  yhat = a + b", report="m = mean(a * b - y)")
    (found,) = caught.value.diagnostics
    assert (found.code, found.message, found.hint) == (
        "E0235",
        "`a` and `b` are both as wide as `y`: which of them predicts it, and so is in its units, is not clear",
        "compute the prediction in the model, and read that value alone",
    )


def test_diabetes_is_measured_in_points_of_progression(capsys: pytest.CaptureFixture[str]) -> None:
    from pathlib import Path

    from mlpc.cli.main import main

    assert main(["run", str(Path(__file__).parents[1] / "models/diabetes.mlp"), "--json", "--no-out"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 35 < found["metrics"]["test"]["mae"] < 48
    assert found["metrics"]["test"]["r2"] > 0.4
    assert found["loss"]["test"] < 0.7
