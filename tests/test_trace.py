"""`mlpc trace`: the numbers of a step as a page, its gradients beside central differences, and the same in Python."""

from __future__ import annotations

import json
import os
import re
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.ops import TABLE
from mlpc.compiler.render.matrix import matrix
from mlpc.compiler.render.trace import trace_document, trace_page, trace_text
from mlpc.runtime import differences

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "models" / "notebook.mlp"
MODELS = sorted(p.stem for p in (ROOT / "models").glob("*.mlp"))
PINNED = Path(__file__).parent / "pages" / "trace_notebook.txt"
DEVIATION = re.compile(r"\b[0-9]e-[0-9]{2}( \(.*\))?$", re.MULTILINE)  # how near, and which is worst, is for the machine to say
NUMBER = re.compile(r"-?\b[0-9]+\.[0-9]+\b")
SMALL = """data {
  x = [[0.5, -1.2], [0.3, 0.8], [-0.7, 0.4], [1.5, 0.2]]
  y = [0.3, 1, -0.5, 2]
}
model {
  h = dense(x, 3, ACTIVATION)
  p = dense(h, 1)
}
loss = mean(mse(p, y))
train {
  optimizer = sgd(lr = 0.1)
  epochs = 4
  batch = 2
  seed = 3
}
"""


def small(activation: str = "tanh", *overrides: str) -> mlpc.Model:
    return mlpc.loads(SMALL.replace("ACTIVATION", activation), overrides=overrides)


def masked(page: str) -> str:
    return NUMBER.sub(lambda m: "#" * len(m[0]), DEVIATION.sub("<near>", page))


def comparisons(trace) -> dict:
    return {e.name: e.comparison for e in trace.entries if e.comparison is not None}


# --- the page --------------------------------------------------------------------------------------


def test_the_notebook_s_page_is_the_pinned_one() -> None:
    page = f"{mlpc.load(NOTEBOOK).trace(check=True)}\n"
    if os.environ.get("MLPC_PIN"):
        PINNED.write_text(page, "utf-8")
    pinned = PINNED.read_text("utf-8")
    assert masked(page) == masked(pinned)
    found, expected = ([float(n) for n in NUMBER.findall(text)] for text in (page, pinned))
    assert found == pytest.approx(expected, rel=0, abs=2e-8)


def test_each_section_of_the_notebook_fits_a_screen() -> None:
    sections = str(mlpc.load(NOTEBOOK).trace(7, check=True)).split("\n\n")
    assert [s.split()[0] for s in sections] == ["notebook.mlp", "params", "inputs", "forward", "gradient", "update", "7"]
    assert max(len(s.splitlines()) for s in sections) <= 24


@pytest.mark.parametrize("name", MODELS)
def test_every_page_keeps_to_its_width(name: str) -> None:
    found = mlpc.load(ROOT / "models" / f"{name}.mlp").trace(2)
    for width in (72, 100):
        assert max(sum(len(p.text) for p in row) for row in trace_page(found, width=width)) <= width


def test_the_numbers_of_the_page_are_those_of_the_step() -> None:
    found = mlpc.load(NOTEBOOK).trace(3)
    for name in ("x", "w1", "A", "z2", "dz2", "dw2", "dA"):
        shape = found[name].shape
        page = trace_text(found, [name]).split("\n\n")[1]
        rows = [re.findall(r"(?<=  )-?[0-9.]+(?=  |$)", line)[-shape[1] :] for line in page.splitlines()]
        numbers = np.array([[float(n) for n in row] for row in rows if len(row) == shape[1]])
        np.testing.assert_allclose(numbers, found[name], rtol=0, atol=0.51e-8)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([[5.1, 1.4], [7.0, 4.7]], ["5.1  1.4", "7.0  4.7"]),
        ([[0.0, -1.5], [1.0, -0.0]], ["0  -1.5", "1   0"]),
        ([[1.0, 2.0], [30.0, 4.0]], [" 1  2", "30  4"]),
        ([0.1, 1 / 3], ["0.10000000  0.33333333"]),
        (np.array([0.1, 1 / 3], np.float32), ["0.1000000  0.3333333"]),
        ([[1e-12, 0.0]], ["1.0000e-12  0"]),
        ([[4e5, 0.001234567], [1.5, 0.002]], ["400000.0  0.00123457", "     1.5  0.00200000"]),
        ([[0.5], [0.0], [3e-12]], ["  0.5", "  0", "3e-12"]),
        ([[4000.0, 0.0123], [3500.5, 0.5]], ["4000.0000  0.0123", "3500.5000  0.5000"]),
        ([[np.nan, 1.5], [-np.inf, 0.0]], [" NaN  1.5", "-inf  0"]),
        (3.0, ["3"]),
        (np.zeros((0, 3)), ["(no numbers)"]),
        (np.zeros((20, 2)), ["all 0"]),
        (np.arange(20.0).reshape(10, 2), [" 0   1", " 2   3", "... 6 more rows", "16  17", "18  19"]),
        (np.arange(10.0).reshape(5, 2), ["0  1", "2  3", "4  5", "6  7", "8  9"]),
        (np.full((1, 50), 0.25), ["0.25  0.25  0.25  ...  0.25"]),
        (np.ones((2, 2, 1)), ["1", "1", "1", "1"]),
    ],
)
def test_a_matrix(value, expected: list[str]) -> None:
    assert matrix(np.asarray(value), 30, 4) == expected


def test_what_is_not_finite_stands_out(capsys) -> None:
    assert main(["trace", str(NOTEBOOK), "--set", "train.optimizer.lr=1e300", "--step", "2"]) == 0
    out = capsys.readouterr().out
    assert "   ! not finite, and first in  f3  z2\n" in out
    assert "! all NaN" in out and "the loss is nan here" in out
    roles = {p.role for row in trace_page(small(r"tanh", "train.optimizer.lr=1e300").trace(3)) for p in row if "NaN" in p.text}
    assert roles == {"wrong"}


# --- beside central differences --------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_gradients_agree_on_the_gallery(name: str) -> None:
    found = mlpc.load(ROOT / "models" / f"{name}.mlp").trace(2, check=True)
    made = comparisons(found)
    assert {c.verdict for c in made.values()} <= {"right", "not judged"}
    rest = [e.name for e in found.entries if e.section == "gradient" and e.comparison is None]
    assert all(re.fullmatch(r"t[0-9]+", name) for name in rest)
    near = 1e-6 if found.plan.precision == "float32" else 1e-8
    assert max(c.largest for c in made.values() if c.judged) < near
    assert all(1 <= c.compared <= min(c.count, 64) for c in made.values())


def test_the_differences_are_those_of_the_loss() -> None:
    """By hand: the loss of the notebook at w2[1, 2] +- h, and with A[3, 0] +- h."""
    found = mlpc.load(NOTEBOOK).trace(5, check=True)
    x, y, w1, b1, w2, b2 = (found[name] for name in ("x", "y", "w1", "b1", "w2", "b2"))

    def loss(a, w2) -> float:
        z = a @ w2 + b2
        return float(-(y * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum())

    a = np.maximum(x @ w1 + b1, 0)
    move = np.zeros((4, 3))
    move[1, 2] = 1e-5
    assert (loss(a, w2 + move) - loss(a, w2 - move)) / 2e-5 == pytest.approx(found["dw2"][1, 2], abs=1e-9)
    move = np.zeros((4, 4))
    move[3, 0] = 1e-5
    assert (loss(a + move, w2) - loss(a - move, w2)) / 2e-5 == pytest.approx(found["dA"][3, 0], abs=1e-9)
    assert {(c.verdict, c.judged == c.count, c.largest < 1e-9) for c in comparisons(found).values()} == {("right", True, True)}


def test_a_planted_wrong_gradient_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    right = cast("Any", TABLE["tanh"].vjp)
    monkeypatch.setitem(TABLE, "tanh", replace(TABLE["tanh"], vjp=lambda g, out, x: (right(g, out, x)[0] * Fraction(3, 2),)))
    found = small().trace(check=True)
    made = comparisons(found)
    assert {name for name, c in made.items() if c.verdict == "wrong"} == {"d(h.z)", "d(h.W)", "d(h.b)"}
    wrong = made["d(h.W)"]
    assert wrong.gradient == found["d(h.W)"][wrong.at] == pytest.approx(1.5 * wrong.measured)
    assert wrong.largest == pytest.approx(abs(wrong.measured) / 2)
    page = " ".join(str(found).split())
    assert "! central differences DIFFER by " in page
    assert "! wrong (mlpc check says more): d(h.z)" in page and "d(h.W)" in page.split("says more): ")[1]


def test_a_kink_is_not_told() -> None:
    text = SMALL.replace("ACTIVATION", "relu").replace("h = dense(x, 3, relu)", "param a [2] ~ values([0, 0.5])\n  h = relu(a) * x")
    made = comparisons(mlpc.loads(text, overrides=["train.batch=all"]).trace(check=True))["da"]
    assert (made.verdict, made.judged, made.compared) == ("right", 1, 2)
    assert made.why == "a comparison turns out otherwise however near: a kink or a jump"


@pytest.mark.parametrize("body", ["h = dropout(tanh(z), 0.5)", "h = batch_norm(z)"])
def test_draws_and_states_are_those_of_the_step(body: str) -> None:
    text = SMALL.replace("h = dense(x, 3, ACTIVATION)", f"z = dense(x, 3)\n  {body}")
    made = mlpc.loads(text, overrides=["train.batch=4"])
    found = made.trace(3, check=True)
    assert {c.verdict for c in comparisons(found).values()} == {"right"}
    assert max(c.largest for c in comparisons(found).values()) < 1e-6
    plain = made.trace(3)  # comparing moves nothing
    assert [np.asarray(e.value).tolist() for e in plain.entries] == [np.asarray(e.value).tolist() for e in found.entries]
    assert comparisons(plain) == {}


def test_what_a_comparison_costs_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    made = mlpc.load(ROOT / "models" / "iris.mlp")
    sampled = comparisons(made.trace(check=["dh"]))
    assert [(c.compared, c.count) for c in sampled.values()] == [(64, 256)]
    assert "in 64 of 256 entries" in trace_text(made.trace(check=True), ["dh"])
    monkeypatch.setattr(differences, "BUDGET", 1)
    assert {c.compared for c in comparisons(made.trace(check=True)).values()} == {1}


# --- on the command line and in Python -------------------------------------------------------------


def test_options(capsys) -> None:
    assert main(["trace", str(NOTEBOOK), "--values", "dz2", "g2", "--rows", "2", "--no-check"]) == 0
    out = capsys.readouterr().out
    assert "... 2 more rows" in out and " g1  dz2 = p - y" in out and " g2  dw2 = Aᵀ @ dz2" in out
    assert "dA" not in out and "central differences" not in out
    assert main(["trace", str(NOTEBOOK), "--rows", "0"]) == 2
    assert main(["trace", str(ROOT / "models" / "iris.mlp"), "--values", "x", "--rows", "all"]) == 0
    assert "more rows" not in capsys.readouterr().out


def test_the_document(capsys) -> None:
    assert main(["trace", str(NOTEBOOK), "--json", "--step", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {*found} == {"format", "title", "step", "epoch", "loss", "rows", "batches", "precision", "symbols", "values"}
    assert found["symbols"] == {"step": 2, "steps": 100, "epoch": 2, "epochs": 100}
    for value in found["values"]:
        keys = {"id", "name", "section", "shape", "dtype", "value"}
        keys |= {"differences"} if value["section"] == "gradient" else {"param"} if value["section"] == "update" else set()
        assert {*value} == keys
        assert np.array(value["value"]).shape == tuple(value["shape"])
    (dz2,) = (v["differences"] for v in found["values"] if v["name"] == "dz2")
    assert (dz2["verdict"], dz2["compared"], dz2["judged"], dz2["why"]) == ("right", 12, 12, "")
    assert trace_document(small().trace(), ["p"])["values"][0]["name"] == "p"


def test_a_trace_by_name() -> None:
    found = mlpc.load(NOTEBOOK).trace()
    np.testing.assert_array_equal(found["dz2"], found["p"] - found["y"])
    np.testing.assert_array_equal(found["g1"], found["dz2"])
    assert [*found["u1"]] == ["w1", "b1", "w2", "b2"]
    np.testing.assert_array_equal(found["u1"]["w1"], found["w1"] - 0.1 * found["dw1"])
    assert "z1" in found and "f1" in found and "z3" not in found
    assert [*dict(found)] == [*found] == found.keys()
    with pytest.raises(KeyError, match="no value and no line of the trace is called z11; did you mean `z1`"):
        found["z11"]
