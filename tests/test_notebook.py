"""A notebook, run by a real kernel: `%%mlp`, the plan as it is shown, a derivation, a trace, and what a mistake looks like."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import mlpc
from mlpc.compiler.render.display import derivation_display, plan_display
from mlpc.compiler.render.html import rows_html
from mlpc.compiler.render.page import plain
from mlpc.compiler.render.text import plan_page, plan_text

MODELS = Path(__file__).parents[1] / "models"
GALLERY = sorted(path.stem for path in MODELS.glob("*.mlp"))
CELLS = (
    "%load_ext mlpc",
    "%%mlp net\n" + (MODELS / "notebook.mlp").read_text("utf-8"),
    "net.why('dz2')",
    "net.trace()",
    "print(net.lines[5].text)",
    "net.plan",
    "%%mlp\nmodel {\n  p = sofmax(x)\n}\n",
    "%%mlp 3 nets\nmodel {}",
    "net.diff(net)",
)


def text_of(shown):
    """The text of a page of HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", shown))


@pytest.fixture(scope="module")
def outputs():
    """What each cell shows: its data by MIME type, or what it printed."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(MODELS)}}).execute()
    return [cell.outputs for cell in notebook.cells]


def test_a_cell_is_a_model_and_shows_its_plan(outputs):
    (shown,) = outputs[1]
    expected = mlpc.loads((MODELS / "notebook.mlp").read_text("utf-8"))
    assert (
        text_of(shown.data["text/html"])
        == shown.data["text/plain"]
        == str(expected)
        == plan_text(expected.plan, expected.footprint).rstrip("\n")
    )
    assert shown.data["text/latex"] == plan_display(expected.plan)


def test_a_derivation_a_trace_and_a_difference_are_pages(outputs):
    assert "rows_sum_to_one" in text_of(outputs[2][0].data["text/html"])
    assert outputs[2][0].data["text/latex"].startswith("$$\n\\begin{aligned}\n\\partial z_{2} &=")
    assert "dz2 = p - y" in text_of(outputs[3][0].data["text/html"])
    assert outputs[4][0].text == "p - y\n"
    assert "dz2 = p - y" in text_of(outputs[5][0].data["text/html"])
    assert "the plans are the same" in text_of(outputs[8][0].data["text/html"])


def test_a_mistake_in_a_cell_is_a_diagnosis_and_no_traceback(outputs):
    (error,) = outputs[6]
    told = "\n".join(error.traceback)
    assert "error[E0205]" in told
    assert "softmax" in told
    assert "Traceback" not in told
    assert "%%mlp" in str(outputs[7])
    assert "usage" in str(outputs[7])


@pytest.mark.parametrize("name", GALLERY)
def test_a_page_of_html_is_the_page_of_text(name):
    plan = mlpc.load(MODELS / f"{name}.mlp").plan
    assert text_of(rows_html(plan_page(plan))) == plain(plan_page(plan))
    assert plan._repr_html_() == rows_html(plan_page(plan))


def test_the_equations_of_a_derivation_are_one_aligned_chain():
    model = mlpc.load(MODELS / "notebook.mlp")
    found = model.why("dz2")
    display = derivation_display(found, model.plan)
    assert display.startswith("$$\n\\begin{aligned}\n\\partial z_{2} &=")
    assert display.count("&&") == len(found.steps)
    assert r"p - y && \text{known value; p is f4}" in display
