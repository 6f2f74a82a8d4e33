"""Literal matrices outside `data`: exact, unbatched, printed as written, computed once; rule 16."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest

import mlpc
from mlpc.compiler.facts import ONEHOT, Facts
from mlpc.compiler.notation import literal
from mlpc.dsl.diagnostics import MlpcError

from .test_plan_text import text_is_what_runs

MODEL = """
{pre}
data {{
  x = [[1, -2], [0.5, 4], [5, -6]]
  y = [0, 1, 1] |> onehot
}}
model {{
  {model}
}}
loss = {loss}
train {{
  optimizer = sgd(lr = 0.1)
  steps     = 2
  batch     = all
  {settings}
}}
report {report}
"""
X = np.array([[1, -2], [0.5, 4], [5, -6]])
DENSE = "param W [2, 2] ~ values([[1, 2], [3, 4]])\n  z = h @ W"


def load(model, loss="mean(cross_entropy(p, y))", pre="", settings="", report="q = mean(h)"):
    return mlpc.loads(MODEL.format(model=model, loss=loss, pre=pre, settings=settings, report=report))


def lines(model):
    return {line.target: line.text for line in model.plan.lines}


def traced(model):
    return {e.name: np.asarray(e.value) for e in model.trace().entries}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x + [1, 2]", X + [1, 2]), ("x * [[1, 2]]", X * [[1, 2]]), ("x * [[3]]", X * 3), ("x * [3]", X * 3), ("x @ [[1, 2], [3, 4]]", X @ [[1, 2], [3, 4]]),
        ("x @ [[0, 1, 0], [1, 0, -1]] @ transpose([[1, 2, 3], [4, 5, 6]])", X @ [[0, 1, 0], [1, 0, -1]] @ np.array([[1, 2, 3], [4, 5, 6]]).T),
        ("where(x > [0, -3], x, [[0.1, 0.2]])", np.where([[1, 1], [1, 1], [1, 0]], X, [[0.1, 0.2]])),
        ("x + sum([1, 2]) * max([[1, 2], [3, 4]])", X + 12), ("x * exp([0, 1])", X * np.exp([0, 1])),
        ("x * mean([[1, 2], [3, 6]], axis = features)[0:1, :]", X * 1.5),
        ("x - [1/3, 2 * pi]", X - [1 / 3, 2 * math.pi]), ("x * [cols(x), classes(y) + 0.5]", X * [2, 2.5]), ("x + [1, 2, 3][1:3]", X + [2, 3]),
    ],
)  # fmt: skip
def test_values_are_numpys(text, expected):
    model = load(f"h = {text}\n  {DENSE}\n  p = softmax(z)")
    found = traced(model)
    np.testing.assert_allclose(found["h"], expected, rtol=1e-15)
    assert [p.verdict for p in model.check().params] == ["right"]
    text_is_what_runs(model.plan, {"x": X, "y": np.eye(2)[[0, 1, 1]], "W": np.array([[1.0, 2.0], [3.0, 4.0]])}, 3)


def test_a_named_one_has_a_line_and_is_written_by_its_name():
    found = lines(load("k = [[0.1, -2], [3, 1e-8]]\n  h = x @ k * [1, 2]\n  p = dense(h, 2, softmax)"))
    assert found["k"] == "[[0.1, -2], [3, 1e-08]]"
    assert found["h"] == "x @ k * [1, 2]"


def test_one_of_a_block_is_its_instance_s():
    pre = "block blur(v) {\n  k = [[0.25, 0.5], [0.5, 0.25]]\n  param g [2] ~ ones\n  return g * (v @ k)\n}"
    found = lines(load("h = blur(x)\n  p = dense(h, 2, softmax)", pre=pre))
    assert found["h.k"] == "[[0.25, 0.5], [0.5, 0.25]]"


def test_one_of_a_function_and_of_the_loss():
    model = load(
        "h = tilted(x)\n  p = dense(h, 2, softmax)", "mean(cross_entropy(p, y, weight = [1, 2.5]))", "fn tilted(v) = v * [1, 3] + v"
    )
    np.testing.assert_array_equal(traced(model)["h"], X * [1, 3] + X)
    assert "[1, 2.5]" in lines(model)["loss"]
    p = np.asarray(traced(model)["p"])
    np.testing.assert_allclose(traced(model)["loss"], -(np.log(p) * np.eye(2)[[0, 1, 1]] * [1, 2.5]).sum() / 3)


def test_a_long_one_is_elided_with_its_sizes():
    def numbers(*shape):
        return tuple(Fraction(i, 2) for i in range(shape[0])) if len(shape) == 1 else tuple(numbers(shape[1]) for _ in range(shape[0]))

    assert literal(numbers(12)) == "[0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5]"
    assert literal(numbers(13)) == 'literal([13], 0, 0.5, 1, "...")'
    assert literal(numbers(3, 4)) == "[[0, 0.5, 1, 1.5], [0, 0.5, 1, 1.5], [0, 0.5, 1, 1.5]]"
    assert literal(numbers(20, 30)) == 'literal([20, 30], 0, 0.5, 1, "...")'
    assert literal(numbers(30, 2)) == 'literal([30, 2], 0, 0.5, "...")'


def test_numbers_are_exact_and_cast_once():
    """0.1 in float32 is the float32 next to 0.1; 1 - 0.999 is 0.001."""
    model = load(f"k = [0.1, 1 - 0.999]\n  h = x * k\n  {DENSE}\n  p = softmax(z)", settings="precision = float32")
    np.testing.assert_array_equal(traced(model)["h"], X.astype(np.float32) * np.array([0.1, 0.001], np.float32))
    assert lines(model)["k"] == "[0.1, 0.001]"


def test_what_is_of_literals_alone_runs_once():
    """It is computed in float64 as the step is built, and the step itself has not more to do."""
    model = load(f"h = x * (exp([0.1, 0.2]) / sum(exp([0.1, 0.2])))\n  {DENSE}\n  p = softmax(z)", settings="precision = float32")
    weights = np.exp([0.1, 0.2]) / np.exp([0.1, 0.2]).sum()
    np.testing.assert_array_equal(traced(model)["h"], X.astype(np.float32) * weights.astype(np.float32))


def test_two_of_the_same_numbers_are_one_and_other_shapes_are_not():
    found = lines(load("a = [1, 2]\n  b = [[1, 2]]\n  c = [1, 2]\n  h = x * a + b * c\n  p = dense(h, 2, softmax)"))
    assert found["h"] == "x * a + b * a"


def test_facts_are_those_of_the_numbers():
    graph = load(
        "a = [[0, 1], [1, 0]]\n  b = [0.25, 0.75]\n  c = [2, -3]\n  d = [0, 2]\n  h = x @ a * b * c * d\n  p = dense(h, 2, softmax)"
    ).graph
    assert {n: graph.nodes[n]["facts"] for n in "abcd"} == {
        "a": ("onehot",), "b": ("simplex", "> 0"), "c": ("integer", "bounded"), "d": (">= 0", "integer", "bounded"),
    }  # fmt: skip
    assert Facts().below is None and ONEHOT.below == 2


def test_it_is_a_report_item_and_what_the_output_reads():
    run = load("k = [3, 4]\n  h = x * k\n  p = dense(h, 2, softmax)", report="k2 = sum([1, 2]), k3 = [1, 2] * 2").train()
    assert run.metrics["train"] == {"k2": 3.0, "k3": [2.0, 4.0]}


def test_it_is_in_the_document():
    from mlpc.compiler.render.json import plan_document

    model = load("w = [[1, 0.5], [0, 1]]\n  h = x @ w\n  p = dense(h, 2, softmax)")
    first = json.loads(json.dumps(plan_document(model.plan)))["forward"][0]
    assert (first["target"], first["text"], first["shape"], first["needs"]) == ("w", "[[1, 0.5], [0, 1]]", [2, 2], [])


@pytest.mark.parametrize(
    "text",
    ["x * [[1, 2], [3, 4], [5, 6]]", "x + [[1], [2], [3]]", "where(x > 0, x, [[1, 2], [3, 4], [5, 6]])", "max(x, [[1], [2], [3]])",
     "x == [[1, 2], [3, 4], [5, 6]]", "where([[1], [0], [1]], x, 0)", "same(x, [[1, 2], [3, 4], [5, 6]])", "concat(x, [[1], [2], [3]])"],
)  # fmt: skip
def test_rows_of_a_literal_never_meet_those_of_the_batch(text):
    """Rule 16, although there are as many of them."""
    with pytest.raises(MlpcError) as caught:
        load(f"h = {text}\n  p = dense(h, 2, softmax)")
    assert [d.code for d in caught.value.diagnostics] == ["E0231"]


def test_a_draw_in_the_shape_of_a_literal_is_drawn_in_every_step():
    model = load(f"h = x * bernoulli(0.5, [1, 2])\n  {DENSE}\n  p = softmax(z)")
    drawn = [model.trace(step)["h"] != 0 for step in (1, 2, 3, 4, 5)]
    assert len({d.tobytes() for d in drawn}) == 3
