"""The pages that people read, pinned. After a change that is meant: MLPC_PIN=1 pytest tests/test_plan_pages.py, and read the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import mlpc
from mlpc.compiler.render.json import plan_document
from mlpc.compiler.render.text import plan_text

ROOT = Path(__file__).parent.parent
MODELS = sorted(p.stem for p in (ROOT / "models").glob("*.mlp"))
PAGES = Path(__file__).parent / "pages"

# Seven lines, as DESIGN.md shows them.
NOTEBOOK = [
    ("dz2", "p - y", "softmax and cross_entropy, y one-hot"),
    ("dw2", "Aᵀ @ dz2", "matmul, right factor"),
    ("db2", "sum(dz2, axis = batch)", "broadcast over batch"),
    ("dA", "dz2 @ w2ᵀ", "matmul, left factor"),
    ("dz1", "dA * (A > 0)", "relu"),
    ("dw1", "xᵀ @ dz1", "matmul, right factor"),
    ("db1", "sum(dz1, axis = batch)", "broadcast over batch"),
]
IRIS = [
    ("d(p.z)", "(p - y) / N"),
    ("d(p.W)", "hᵀ @ d(p.z) + 0.0002 * p.W"),
    ("d(p.b)", "sum(d(p.z), axis = batch)"),
    ("dh", "d(p.z) @ p.Wᵀ"),
    ("d(h.z)", "dh * (h > 0)"),
    ("d(h.W)", "xᵀ @ d(h.z) + 0.0002 * h.W"),
    ("d(h.b)", "sum(d(h.z), axis = batch)"),
]
ADAM = [
    ("lr", "0.0001 + 0.0199 * (1 + cos(π * (step - 1) / 1599)) / 2"),
    ("m", "0.9 * m + 0.1 * dw"),
    ("v", "0.999 * v + 0.001 * dw^2"),
    ("w", "w - lr * (m / (1 - 0.9^step)) / (sqrt(v / (1 - 0.999^step)) + 1e-08)"),
]


def load(name: str) -> mlpc.Model:
    return mlpc.load(ROOT / "models" / f"{name}.mlp")


@pytest.mark.parametrize("name", MODELS)
def test_the_page_is_the_pinned_one(name):
    model = load(name)
    page = plan_text(model.plan, model.footprint)
    assert max(map(len, page.split("\n"))) <= 100
    pinned = PAGES / f"{name}.txt"
    if os.environ.get("MLPC_PIN"):
        pinned.write_text(page, "utf-8")
    assert page == pinned.read_text("utf-8")


@pytest.mark.parametrize("name", MODELS)
def test_json_lists_the_same_lines_as_the_text(name):
    model = load(name)
    document = plan_document(model.plan, model.footprint)
    text = " ".join(plan_text(model.plan).split())
    at = 0
    for section in ("forward", "gradient", "update"):
        for line in document[section]:
            found = text.find(f" {line['id']} {line['target']} = {line['text']}", at)
            assert found >= at, line
            at = found
    assert json.loads(json.dumps(document)) == document


def test_the_notebook_has_seven_gradient_lines():
    assert [(g.target, g.text, g.by) for g in load("notebook").plan.gradient] == NOTEBOOK


def test_the_mean_divides_by_n():
    text = (ROOT / "models" / "notebook.mlp").read_text("utf-8").replace("sum(cross_entropy", "mean(cross_entropy")
    gradient = mlpc.loads(text).plan.gradient
    assert (gradient[0].target, gradient[0].text) == ("dz2", "(p - y) / N")
    assert [(g.target, g.text) for g in gradient[1:]] == [g[:2] for g in NOTEBOOK[1:]]


def test_soft_targets_are_never_p_minus_y():
    text = (ROOT / "models" / "notebook.mlp").read_text("utf-8")
    soft = text.replace("[0, 1, 2, 0] |> onehot", "[[0.5, 0.5, 0], [0, 1, 0], [0.2, 0, 0.6], [1, 0, 1]]")
    assert mlpc.loads(soft).plan.gradient[0].text == "p * sum(y, axis = features) - y"


def test_iris_is_the_page_of_the_design():
    plan = load("iris").plan
    assert [(g.target, g.text) for g in plan.gradient] == IRIS
    assert [(u.target, u.text) for u in plan.update] == ADAM
    assert [(f.target, f.text, f.kept) for f in plan.forward] == [
        ("h.z", "x @ h.W + h.b", False),
        ("h", "relu(h.z)", True),
        ("p.z", "h @ p.W + p.b", False),
        ("p", "softmax(p.z)", True),
        ("loss", "-sum(y * log_softmax(p.z)) / N + 0.0001 * (sum(h.W^2) + sum(p.W^2))", False),
    ]


def test_the_same_source_gives_the_same_bytes():
    pages = [plan_text(load("iris").plan, load("iris").footprint) for _ in range(2)]
    assert pages[0].encode() == pages[1].encode()
