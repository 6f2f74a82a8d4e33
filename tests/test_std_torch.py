"""Std beside PyTorch: values and gradients of a compiled step, weights of 200 steps of each optimizer, rates of each schedule.

The figures are pinned in tests/figures, made by benchmarks/torch_figures.py; where torch is wrong or silent they are mpmath's, and
the case's `exact` says so. Everything here goes through `mlpc.loads`: the text, the compiler, the plan and the kernel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mlpc

FIGURES = Path(__file__).parent / "figures"
TOLERANCE = 1e-12  # times max(1, |expected|), each number by itself

MODEL = """
data {{
  x = {x}
  c = {c}
  {more}
}}
model {{
  param shift [{width}] ~ zeros
  z = x + {share}shift
  v = {call}
}}
loss = sum(c * v)
train {{
  optimizer = sgd(lr = 1)
  steps     = 2
  batch     = all
}}
"""


def figures(name) -> Any:
    return json.loads((FIGURES / f"torch_{name}.json").read_text("utf-8"))


def cases(name) -> list[Any]:
    return [pytest.param(case, id=f"{i}-{case['call']}") for i, case in enumerate(figures(name)["cases"])]


def traced(call, z, c, step=1, share="", **more) -> dict[str, Any]:
    """Every number of a step, by name, of sum(c * call) with the inputs given; z is the data plus a param that starts as 0."""
    text = MODEL.format(x=z, c=c, width=len(z[0]), call=call, share=share, more="\n  ".join(f"{k} = {v}" for k, v in more.items()))
    return {e.name: np.asarray(e.value) for e in mlpc.loads(text).trace(step).entries if e.section != "update"}


def cotangents(rows):
    return [[(1.0, -0.5, 2.0)[i % 3]] for i in range(rows)]


def agree(expected, actual):
    expected, actual = np.asarray(expected, float), np.asarray(actual, float)
    assert actual.shape == expected.shape
    off = np.abs(actual - expected) / np.maximum(1, np.abs(expected))
    worst = np.unravel_index(np.argmax(np.where(np.isnan(off), np.inf, off)), off.shape)
    assert off[worst] <= TOLERANCE, f"at {worst}: expected {expected[worst]!r}, actual {actual[worst]!r}, off by {off[worst]:.1e}"


@pytest.mark.parametrize("case", cases("activations"))
def test_activation(case):
    z = figures("activations")[case["at"]]
    found = traced(case["call"], z, cotangents(len(z)))
    agree(case["value"], found.get("v", found["z"]))  # identity(z) is z itself
    agree(case["gradient"], found["dz"])


@pytest.mark.parametrize("case", cases("losses"))
def test_loss(case):
    more: dict[str, Any] = {"y": case["y"]} | ({"w": case["w"]} if "w" in case else {})
    found = traced(case["call"], case["z"], cotangents(len(case["z"])), **more)
    agree(case["value"], found["v"])
    agree(case["gradient"], found["dz"])


LABELLED = [c for c in figures("losses")["cases"] if "cross_entropy" in c["call"] and all(sorted(row) == [0, 0, 1] for row in c["y"])]


@pytest.mark.parametrize("case", LABELLED, ids=lambda c: c["call"])
def test_loss_of_labels(case):
    """The same with the fact that y is one-hot, which licenses other gradients."""
    labels = [row.index(1) for row in case["y"]]
    more: dict[str, Any] = {"y": f"{labels} |> onehot"} | ({"w": case["w"]} if "w" in case else {})
    found = traced(case["call"], case["z"], cotangents(len(case["z"])), **more)
    agree(case["value"], found["v"])
    agree(case["gradient"], found["dz"])


@pytest.mark.parametrize("case", cases("layers"))
def test_layer(case):
    data = figures("layers")
    for step, expected in enumerate(case["steps"], 1):
        tiny = [[1e-30]] * len(data["z"])  # the gain and the bias move by the second step; z does not
        found = traced(case["call"], data["z"], data["c"], step, share="tiny * ", tiny=tiny)
        agree(expected["value"], found["v"])
        for name, gradient in expected["gradients"].items():
            agree(gradient, found[f"d({name})" if "." in name else f"d{name}"])


TRAINING = """
data {{
  g = {gradients}
}}
model {{
  param w [{width}, 1] ~ values({start})
  p = g @ w
}}
loss = sum(p)
train {{
  optimizer = {call}
  steps     = 200
  batch     = 1
  shuffle   = off
}}
"""


@pytest.mark.parametrize("case", cases("optimizers"))
def test_optimizer(case):
    """The gradient of sum(g @ w) is the row of g, one a step."""
    data = figures("optimizers")
    start = [[w] for w in data["start"]]
    model = mlpc.loads(TRAINING.format(gradients=data["gradients"], width=len(start), start=start, call=case["call"]))
    for step, expected in case["weights"].items():
        if step != "200":
            found = model.trace(int(step) + 1)["w"]
        else:
            found = model.train().params["w"]
        expected = np.asarray(expected)
        assert np.abs(found.ravel() - expected).max() <= TOLERANCE * max(1, np.abs(expected).max()), f"step {step}"


@pytest.mark.parametrize("case", cases("schedules"))
def test_schedule(case):
    """By gradient descent on w with a gradient of 1, whose every step is the rate."""
    rows = case["steps_an_epoch"]
    text = TRAINING.format(gradients=[[1]] * rows, width=1, start=[[0]], call=f"sgd(lr = {case['call']})")
    model = mlpc.loads(text, overrides=[f"train.steps={case['steps']}"])
    found = [model.trace(n)["lr"].item() for n in range(1, case["steps"] + 1)]
    agree(case["rates"], found)
