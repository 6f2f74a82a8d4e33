"""`mlpc plan --why`: every step of every derivation, read back from its text, is the number that the line is."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.derivation import HOW
from mlpc.compiler.derive import derive
from mlpc.compiler.library import library
from mlpc.compiler.registers import STATEMENTS
from mlpc.compiler.render.derivation import derivation_text
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.parse import parse_expression

from .plan_text import DEFINITIONS, any_of, plain, transposed, value

MODELS = Path(__file__).parents[1] / "models"
GALLERY = sorted(path.stem for path in MODELS.glob("*.mlp"))
PAGES = Path(__file__).parent / "pages"


def computed(text, scope, draws, functions):
    """What a text comes to; a draw is the one that was drawn, and `functions` are the user's own."""
    for drawn, name in draws.items():
        text = text.replace(drawn, name)
    keys = {name: f"v{i}" for i, name in enumerate(scope)}
    text = re.sub(any_of(keys), lambda found: keys[found[0]], plain(text))
    return value(parse_expression(transposed(text)), {keys[name]: x for name, x in scope.items()} | {DEFINITIONS: functions})


def traced(model):
    """The numbers of the second step: where it starts, by name, and what each line makes, by id (for every param, of the first)."""
    found = model.trace(2)
    first = model.plan.params[0].name
    start, made = {}, {}
    for e in found.entries:
        if e.param in {"", first}:
            before = e.section in {"param", "input", "state"}
            (start if before else made)[e.name if before else e.id] = np.asarray(e.value)
    return start, made, found.symbols | {"N": found.rows}


@pytest.mark.parametrize("name", GALLERY)
def test_every_step_of_every_line_is_the_number_that_the_line_is(name):
    model = mlpc.load(MODELS / f"{name}.mlp", ["train.precision=float64"])
    plan, found = derive(model.program, model.dataset.schema)
    start, made, symbols = traced(model)
    draws = {line.text: line.target for line in plan.lines if line.text.startswith("bernoulli(")}
    scope = {k: np.asarray(float(v)) for k, v in symbols.items()} | start
    first, functions = plan.params[0], library(model.program).user
    for line in plan.lines:
        if line.section == "update" and plan.update_w is not None and plan.update_dw is not None:
            w, dw = (plan.values[r].name for r in (plan.update_w, plan.update_dw))
            if line.id == "u1":
                gradient = next(x for x in plan.gradient if x.value == first.gradient)
                scope |= {w: start[first.name], dw: made[gradient.id]}
        derivation = found[line.id]
        assert derivation.steps[-1].text == line.text
        texts = [step.text for step in derivation.steps]
        assert len(set(texts)) >= len(texts) - 1, texts  # only words that stand in the end come again
        for step in derivation.steps:
            assert step.rule in {*HOW, *STATEMENTS}
            if line.whole or line.text in draws:  # of all params together, or by chance
                continue
            result = np.broadcast_to(computed(step.text, scope, draws, functions), made[line.id].shape)
            scale = max(1e-300, float(np.abs(made[line.id]).max(initial=0)))
            assert float(np.abs(result - made[line.id]).max(initial=0)) <= 1e-12 * scale, (line.id, step.rule, step.text)
        scope[line.target] = made[line.id]


@pytest.mark.parametrize(
    ("model", "name"), [("notebook", "dz2"), ("notebook", "loss"), ("penguins", "dyhat"), ("iris", "u5"), ("spiral", "d(h.dense2.z)")]
)
def test_pages(model, name):
    page = PAGES / f"why_{model}_{re.sub(r'[^a-z0-9]+', '_', name).strip('_')}.txt"
    shown = derivation_text(mlpc.load(MODELS / f"{model}.mlp").why(name))
    if os.environ.get("MLPC_PIN"):
        page.write_text(shown, "utf-8")
    assert shown == page.read_text("utf-8")


def test_a_param_has_no_line_and_its_gradient_is_named():
    with pytest.raises(MlpcError, match="its gradient has one: --why dw1"):
        mlpc.load(MODELS / "notebook.mlp").why("w1")


def test_a_slip_of_a_name_is_told(capsys):
    assert main(["plan", str(MODELS / "notebook.mlp"), "--why", "dz3"]) == 1
    assert "did you mean `dz" in capsys.readouterr().err
