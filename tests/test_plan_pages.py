"""The pages that people read, pinned. After a change that is meant: MLPC_PIN=1 pytest tests/test_plan_pages.py, and read the diff."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import mlpc
from mlpc.cli.main import main
from mlpc.cli.terminal import coloured
from mlpc.compiler.render.json import plan_document
from mlpc.compiler.render.page import plain
from mlpc.compiler.render.text import plan_page, plan_text
from mlpc.compiler.shapes import show

from .read_page import read

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
    ("t1", "sqrt(1 - 0.999^step)"),
    ("w", "w - lr / (1 - 0.9^step) * t1 * m / (sqrt(v) + 1e-08 * t1)"),  # the design's numbers first, which its note still says
]


REPEATED = {  # a network, and the lines of its forward that are printed
    "chain": ("h = x |> repeat(100, dense(8, tanh))", 9),
    "two copies": ("h = x |> dense(8) |> repeat(2, deeper)", 9),
    "nested": ("h = x |> dense(8) |> repeat(3, deeper)", 9),
    "too few to be worth it": ("h = x |> repeat(3, dense(8, tanh))", 9),
    "normed, with dropout": ("h = x |> dense(8) |> repeat(4, normed)", 14),
    "after a value of its own": ("h0 = dense(x, 8)\n  h = h0 |> repeat(30, dense(8, tanh))", 8),
    "a product of the copies": ("a = x |> repeat(5, gated)\n  h = a * sum(a, axis = features)", 14),
    "one param in all": ("param W [8, 8] ~ he_normal\n  h = x |> dense(8) |> repeat(6, tied(W))", 10),
}
BLOCKS = """block deeper(x) {
  h = x |> repeat(6, dense(8, tanh))
  return x + dense(h, 8)
}
block normed(x) {
  h = dense(x, 8, relu) |> dropout(0.1)
  return x + layer_norm(h)
}
block gated(x) {
  param A [cols(x), 8] ~ he_normal
  param B [cols(x), 8] ~ he_normal
  return (x @ A) * sigmoid(x @ B)
}
block tied(x, w) {
  param b [8] ~ zeros
  return tanh(x @ w + b)
}
"""


def repeated(body: str) -> mlpc.Model:
    """A classifier of two rows."""
    return mlpc.loads(f"""{BLOCKS}
data {{
  x = [[0, 1, 0, 1], [1, 2, 3, 4]]
  y = [0, 1] |> onehot
}}
model {{
  {body}
  p = dense(h, classes(y), softmax)
}}
loss = mean(cross_entropy(p, y)) + 1e-4 * l2(weights)
train {{
  optimizer = adam(lr = 0.01)
  epochs = 1
}}
""")


def same_lines(plan: Any, page: str) -> None:
    """Asserts that the page says every line of the plan, in order."""
    found = read(page)
    for section in ("forward", "gradient", "update"):
        wanted = [(x.id, x.target, x.text, show(x.shape) if section != "update" else "") for x in getattr(plan, section)]
        assert [(x.id, x.target, x.text, x.shape) for x in found.get(section, [])] == wanted


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
    text = " ".join(plan_text(model.plan, every=True).split())
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
    assert plan.update[-1].note == "w - lr * (m / (1 - 0.9^step)) / (sqrt(v / (1 - 0.999^step)) + 1e-08)"
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


@pytest.mark.parametrize("name", MODELS)
def test_a_page_read_back_is_the_plan(name):
    model = load(name)
    for plan in (model.plan, model.prediction):
        for width in (72, 80, 100):
            for every in (False, True):
                page = plain(plan_page(plan, every=every, width=width))
                same_lines(plan, page)
                assert " again " not in page or not every


@pytest.mark.parametrize("name", [*REPEATED])
def test_folded_lines_are_recovered_from_the_page(name):
    body, printed = REPEATED[name]
    plan = repeated(body).plan
    page = plan_text(plan)
    same_lines(plan, page)
    assert len(re.findall(r"^ f\d+ ", page, re.MULTILINE)) == printed, page


def test_penguins_prints_one_residual_of_three():
    page = plan_text(load("penguins").plan)
    assert (
        """ f2-f8 again   deep.residual1   deep.dense1      t1-t2
 f9-f15        deep.residual2   deep.residual1   t3-t4
 f16-f21       deep.residual3   deep.residual2   t5-t6
 f22 deep """
        in page
    )
    assert (
        """ g9-g17 again   deep.residual3   deep             deep.residual2   t5-t6
 g18-g26        deep.residual2   deep.residual2   deep.residual1   t3-t4
 g27-g35        deep.residual1   deep.residual1   deep.dense1      t1-t2
 g36 """
        in page
    )


def test_a_copy_that_differs_is_printed():
    """In its text, a number of one line; its shape; its steps where the text is the same; and whether it is kept."""
    plan = repeated("h = x |> dense(8) |> repeat(6, residual(8, act = tanh))").plan
    at = next(i for i, line in enumerate(plan.forward) if line.target == "h.residual4.dense1")
    line = plan.forward[at]
    others = (
        replace(line, text=line.text.replace("tanh", "sin")),
        replace(line, shape=("N", 9)),
        replace(line, steps=(replace(line.steps[0], op="sin"), *line.steps[1:])),
        replace(line, kept=not line.kept),
        replace(line, note="said"),
    )
    assert f" {line.id}" not in plan_text(plan)
    for other in others:
        changed = replace(plan, forward=(*plan.forward[:at], other, *plan.forward[at + 1 :]))
        assert f" {line.id} " in plan_text(changed)
        same_lines(changed, plan_text(changed))


def test_hand_written_layers_are_not_folded():
    layers = "\n  ".join(f"h{i} = dense({f'h{i - 1}' if i else 'x'}, 8, tanh)" for i in range(12))
    assert "again" not in plan_text(repeated(f"{layers}\n  h = tanh(h11)").plan)


@pytest.mark.parametrize("name", MODELS)
def test_columns_stay_apart(name):
    """Under `shape` stands a shape or nothing, and a blank before it."""
    for section in plan_text(load(name).plan, every=True).split("\n\n")[1:3]:
        first, *rows = section.split("\n")
        column = first.index("shape")
        for row in rows:
            assert row.startswith("      # ") or re.fullmatch(r"  \[[^]]*\]\s*|", row[column - 2 : column + 9].rstrip() or ""), row


@pytest.mark.parametrize("name", MODELS)
def test_colour_adds_escapes_and_nothing_else(name, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    rows = plan_page(load(name).plan)
    shown = coloured(rows)
    assert "\x1b[1m" in shown and "\x1b[2m" in shown and "\x1b[32m" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == plain(rows)


@pytest.mark.parametrize(
    ("environment", "terminal", "expected"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": ""}, True, False),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"CLICOLOR_FORCE": "0"}, False, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_when_there_is_colour(environment, terminal, expected, monkeypatch, capsys):
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert main(["plan", str(ROOT / "models" / "notebook.mlp")]) == 0
    assert ("\x1b[" in capsys.readouterr().out) == expected


def test_a_narrow_terminal_gets_a_narrow_page(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["plan", str(ROOT / "models" / "autoencoder.mlp")]) == 0
    page = capsys.readouterr().out
    assert 72 < max(map(len, page.split("\n"))) <= 80
    same_lines(load("autoencoder").plan, page)


def test_all_prints_every_line(capsys):
    plan = load("penguins").plan
    for options, printed in (([], 16), (["--all"], 29)):
        assert main(["plan", str(ROOT / "models" / "penguins.mlp"), *options]) == 0
        page = capsys.readouterr().out
        assert len(re.findall(r"^ f\d+ ", page, re.MULTILINE)) == printed
        same_lines(plan, page)


def test_comments_are_no_part_of_what_the_page_says(tmp_path, capsys):
    text = (ROOT / "models" / "iris.mlp").read_text("utf-8").replace("data/iris.csv", "iris.csv")
    text = (
        text.replace("loss = mean(", "loss = mean(  # of what\n  ")
        .replace("adam(", "adam(  # not sgd\n")
        .replace("0.0001", "0.0001 # slow\n")
    )
    commented = tmp_path / "iris.mlp"
    commented.write_text(text, "utf-8")
    (tmp_path / "iris.csv").write_bytes((ROOT / "models" / "data" / "iris.csv").read_bytes())
    assert main(["plan", str(commented), "--defaults"]) == 0
    page = capsys.readouterr().out
    assert [word for word in ("of what", "not sgd", "slow") if word in page] == []
    assert "   loss = mean( cross_entropy(p, y)) + 1e-4 * l2(weights)\n" in page


@pytest.mark.parametrize("model", MODELS)
def test_a_name_that_nobody_gave_is_that_of_one_line(model):
    """An optimizer's t1 stood beside the model's, and --why said that it was the model's."""
    plan = load(model).plan
    names = [line.target for line in plan.lines if line.unnamed and not line.again]
    assert len(names) == len(set(names))
    assert not {*names} & {v.name for v in plan.values if v.role in {"input", "param", "state"}}
