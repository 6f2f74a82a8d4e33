"""`embedding`: one-hot rows times a matrix, run as a gather of its rows, and its gradient as a scatter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import mlpc
from mlpc.compiler.facts import NOTHING, ONEHOT, ZERO_ONE, counted
from mlpc.compiler.ir import Interner
from mlpc.compiler.ops import TABLE
from mlpc.compiler.simplify import RULES
from mlpc.dsl.diagnostics import MlpcError

from .interpret import evaluate
from .test_plan_text import text_is_what_runs

FIGURES = json.loads((Path(__file__).parent / "figures" / "torch_layers.json").read_text("utf-8"))["embedding"]
MODEL = """
data {{
  town  = {town} |> index
  c     = {c}
  {more}
}}
model {{
  e = {call}
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0.5)
  steps     = 3
  batch     = all
  {settings}
}}
"""


def model(town=(2, 0, 2, 4, 1, 2, 3), call="embedding(town, 2)", loss="sum(c * e)", c=None, more="", settings=""):
    c = [[1.0, -0.5]] * len(town) if c is None else c
    return mlpc.loads(MODEL.format(town=list(town), c=c, call=call, loss=loss, more=more, settings=settings))


def lines(plan):
    return {line.target: line.text for line in plan.lines}


def traced(model):
    return {e.name: np.asarray(e.value) for e in model.trace().entries}


def test_rows_are_gathered_and_their_gradients_scattered():
    plan = model().plan
    assert lines(plan)["e"] == "gather(e.W, town)"
    assert lines(plan)["d(e.W)"] == "scatter_add(de, town, 5)"
    assert plan.forward[0].note == "embedding(town, 2)"
    assert [(p.name, p.shape, p.init) for p in plan.params] == [("e.W", (5, 2), "normal")]
    assert {s.op for s in plan.steps("forward", "gradient")} == {"gather", "mul", "sum", "alias", "scatter_add"}


def test_it_is_torchs():
    """The label that its index lacks is that of one more row, without a gradient."""
    table = FIGURES["table"]
    found = traced(model([*FIGURES["index"], 3], f"embedding(town, 2, init = values({table}))", c=[*FIGURES["c"], [0.0, 0.0]]))
    np.testing.assert_array_equal(found["e"][:-1], FIGURES["value"])
    np.testing.assert_allclose(found["d(e.W)"], FIGURES["gradient"], rtol=1e-15)


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_it_is_the_product_with_one_hot_rows(precision):
    rng = np.random.default_rng(0)
    town, c, table = rng.integers(0, 7, 60), rng.normal(size=(60, 3)).round(3), rng.normal(size=(7, 3)).round(3)
    town[:7] = range(7)
    call = f"embedding(town, 3, init = values({table.tolist()}))"
    found = traced(model(town.tolist(), call, c=c.tolist(), settings=f"precision = {precision}"))
    hot, dtype = np.eye(7)[town], np.dtype(precision)
    np.testing.assert_array_equal(found["e"], (hot @ table).astype(dtype))
    np.testing.assert_allclose(found["d(e.W)"], hot.T @ c, rtol=1e-13 if precision == "float64" else 1e-5, atol=1e-6)


def test_its_gradient_is_right_by_central_differences():
    report = model(call="tanh(embedding(town, 4)) |> dense(2)", loss="mean((e - c)^2) + 0.1 * l2(weights)").check()
    assert [p.verdict for p in report.params] == ["right"] * 3


def test_its_text_is_what_runs():
    plan = model(
        call="tanh(embedding(town, 2)) * embedding(other, 2) + embedding(town, 2)", more="other = [1, 1, 0, 1, 0, 0, 1] |> index"
    ).plan
    rng = np.random.default_rng(1)
    inputs = {
        "town": rng.integers(0, 5, (6, 1)).astype(float),
        "other": rng.integers(0, 2, (6, 1)).astype(float),
        "c": rng.normal(size=(6, 2)),
    }
    text_is_what_runs(plan, inputs | {p.name: rng.normal(size=p.shape) for p in plan.params}, 6)


def test_a_nan_stays_in_its_row():
    """The product would spread it over every row: 0 * NaN is NaN."""
    ir = Interner(RULES)
    w, i = ir.leaf("param", (3, 2), address=("w",)), ir.leaf("input", ("N", 1), counted(3), name="i")
    node = ir.make("onehot", i, size=3) @ w
    assert (node.op, node.args) == ("gather", (w, i))
    (rows,) = evaluate([node], {w: np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, 4.0]]), i: np.array([[2.0], [0.0], [1.0]])}, 3)
    np.testing.assert_array_equal(rows, [[3, 4], [1, np.nan], [np.inf, 2]])


@pytest.mark.parametrize("index", [-1.0, 3.0, 0.5, np.nan, np.inf, -np.inf, 1e300])
def test_an_index_without_a_row_gives_zeros_as_its_one_hot_row_does(index):
    i, w = np.array([[index], [1.0]]), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    hot = TABLE["onehot"].numpy(i, out=np.empty((2, 3)), size=3)  # type: ignore[misc]
    assert TABLE["gather"].numpy(w, i, out=np.empty((2, 2))).tolist() == (hot @ w).tolist() == [[0, 0], [3, 4]]  # type: ignore[misc]
    x = np.array([[1.0, 1.0], [2.0, 2.0]])
    assert TABLE["scatter_add"].numpy(x, i, out=np.empty((3, 2)), size=3).tolist() == (hot.T @ x).tolist()  # type: ignore[misc]


def test_training_moves_the_rows_of_the_labels_there_are():
    run = model([0, 1, 0, 2], c=[[1.0, 1.0], [2.0, 0.0], [3.0, -1.0], [0.0, 0.0]], call="embedding(town, 2, init = zeros)").train()
    np.testing.assert_allclose(run.params["e.W"], [[-6.0, 0.0], [-3.0, 0.0], [0.0, 0.0]])


def test_a_label_first_seen_in_the_test_rows_is_named(tmp_path):
    (tmp_path / "towns.csv").write_text("town,price\nrome,1\noslo,2\nrome,3\nkyiv,4\n", "utf-8")
    text = """
data {
  from "towns.csv"
  city  = town |> index
  y     = price
  split = ordered(train = 0.75, test = 0.25)
}
model {
  p = embedding(city, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = sgd
  epochs    = 1
}
"""
    with pytest.raises(
        MlpcError, match=r"towns.csv:5, column `town`: `kyiv` \(1 row\) is in no training row; the classes there are oslo, rome"
    ):
        mlpc.loads(text, tmp_path)


def test_what_counts_is_known_of_positions():
    ir = Interner(RULES)
    p, town = ir.leaf("input", ("N", 3), name="p"), ir.leaf("input", ("N", 1), counted(5), name="town")
    place = ir.make("argmax", p)
    assert place.facts == counted(3)
    assert ir.make("onehot", place, size=3).facts == ir.make("onehot", place, size=4).facts == ONEHOT
    assert ir.make("onehot", place, size=2).facts == ZERO_ONE, "a row of zeros is no one-hot row"
    assert ir.make("onehot", town, size=5).facts == ONEHOT
    assert ir.make("onehot", ir.make("gt", town, 2), size=2).facts == ONEHOT
    assert ir.make("onehot", ir.leaf("input", ("N", 1), NOTHING, name="x"), size=3).facts == ZERO_ONE
    assert not (1 - town).facts.nonnegative, "1 - 4 is below 0"


def test_the_gallery_has_one_that_predicts_how_far_a_car_goes():
    model = mlpc.load(Path(__file__).parents[1] / "models" / "mileage.mlp")
    assert {"who": "gather(who.W, maker)", "what": "gather(what.W, kind)"}.items() <= lines(model.plan).items()
    run = model.train()
    assert (run.metrics["test"]["r2"], run.metrics["test"]["mae"]) == pytest.approx((0.941, 1.163), abs=0.01)
    assert run.predict(
        {"manufacturer": ["toyota"], "displ": [1.8], "cyl": [4], "year": [2008], "class": ["compact"], "drv": ["f"], "fl": ["r"]}
    ) == pytest.approx(np.array([36.0]), abs=2)
