"""The notebook that started it all: every figure that it prints, to its 8 decimals, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlpc.cli.main import main

ROOT = Path(__file__).parents[1]
GOLDEN = json.loads((Path(__file__).parent / "golden" / "notebook.json").read_text("utf-8"))
FIGURES = ["x", "w1", "b1", "w2", "b2", "z1", "A", "z2", "p", "dz2", "dw2", "db2", "dA", "dz1", "dw1", "db1"]


@pytest.fixture(scope="module")
def traced() -> dict:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["trace", str(ROOT / "models" / "notebook.mlp"), "--json"]) == 0
    return json.loads(out.getvalue())


@pytest.mark.parametrize("name", [name for name in FIGURES if name in GOLDEN])
def test_a_figure_to_its_8_decimals(traced: dict, name: str) -> None:
    (found,) = [v["value"] for v in traced["values"] if v["name"] == name]
    np.testing.assert_allclose(np.array(found), np.array(GOLDEN[name]), rtol=0, atol=0.5e-8 + 1e-15)


def test_every_figure_of_the_issue_is_there() -> None:
    assert {"w1", "b1", "w2", "b2", "z1", "A", "z2", "p", "dz2", "dw2", "db2", "dz1", "dw1"} <= {*FIGURES} & {*GOLDEN}


def test_the_loss_is_the_sum_over_four_rows(traced: dict) -> None:
    assert traced["loss"] == pytest.approx(4 * GOLDEN["mean_loss"], abs=4 * 0.5e-8)


def test_y_is_one_hot(traced: dict) -> None:
    (found,) = [v["value"] for v in traced["values"] if v["name"] == "y"]
    assert np.argmax(found, axis=1).tolist() == GOLDEN["y"]


def test_the_gradient_is_the_notebook_s_seven_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(ROOT / "models" / "notebook.mlp"), "--json"]) == 0
    lines = json.loads(capsys.readouterr().out)["gradient"]
    assert [f"{line['target']} = {line['text']}" for line in lines] == [
        "dz2 = p - y",
        "dw2 = Aᵀ @ dz2",
        "db2 = sum(dz2, axis = batch)",
        "dA = dz2 @ w2ᵀ",
        "dz1 = dA * (A > 0)",
        "dw1 = xᵀ @ dz1",
        "db1 = sum(dz1, axis = batch)",
    ]
