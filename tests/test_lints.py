"""Warnings, each with its exact text; the gallery has none."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.dsl.diagnostics import render

ROOT = Path(__file__).parent.parent
CLASSES = """data {
  x = [[5, 1], [7, 4], [6, 6]]
  y = [0, 1, 2] |> onehot
}
model {
  p = dense(x, 3, softmax)
}
loss = mean(cross_entropy(p, y))
train {
  optimizer = sgd(lr = 0.1)
  epochs = 2
}
"""
NUMBERS = CLASSES.replace("|> onehot", "|> standardize").replace("3, softmax", "1").replace("cross_entropy", "mse")
UNUSED = CLASSES.replace("  p =", "  idle = x * 2\n  p =")
IDLE = CLASSES.replace("  p = dense(x", "  param t [1] ~ zeros\n  p = dense(x * (x > t)")
TWICE = CLASSES.replace("cross_entropy(", "cross_entropy_with_logits(")
TEXTS = {
    UNUSED: """\
warning[W0101]: a value that nothing uses model.mlp:6:3
6 | idle = x * 2
| ^^^^
nothing uses `idle`
hint: remove it, or read it in the loss more: mlpc explain W0101""",
    IDLE: """\
warning[W0102]: a param without a gradient model.mlp:6:9
6 | param t [1] ~ zeros
| ^
the loss does not depend on the param `t`: it will not train
more: mlpc explain W0102""",
    TWICE: """\
warning[W0103]: softmax twice model.mlp:8:1
8 | loss = mean(cross_entropy_with_logits(p, y))
| ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
`p` is a softmax already, and goes through another one, which makes it nearly uniform
hint: leave one out; a loss that ends in _with_logits has one of its own
more: mlpc explain W0103""",
    NUMBERS.replace("dense(x, 1)", "dense(x, 1, relu)"): """\
warning[W0104]: an output that is never negative model.mlp:6:3
6 | p = dense(x, 1, relu)
| ^
the output `p` is never below 0, and the target `y` may be; a row that is at 0 has no gradient
hint: leave the activation of the last layer out more: mlpc explain W0104""",
    CLASSES.replace("[7, 4], [6, 6]", "[7, 1], [6, 1]"): """\
warning[W0105]: a constant column model.mlp:2:3
2 | x = [[5, 1], [7, 1], [6, 1]]
| ^
column `x2` of `x` is 1 in every training row
hint: nothing can be learnt from it: leave it out more: mlpc explain W0105""",
    CLASSES.replace("[5, 1]", "[5, 101]"): """\
warning[W0106]: an input that is not scaled model.mlp:2:3
2 | x = [[5, 101], [7, 4], [6, 6]]
| ^
column `x2` of `x` goes from 4 to 101: steps that suit it suit no other
hint: let it go through `|> standardize` more: mlpc explain W0106""",
}


def warned(text: str) -> list[str]:
    """The texts without the blanks that lay them out."""
    return ["\n".join(" ".join(line.split()) for line in render(w).split("\n")) for w in mlpc.loads(text).warnings]


@pytest.mark.parametrize(("text", "expected"), TEXTS.items(), ids=[t[8:13] for t in TEXTS.values()])
def test_a_warning_reads_so(text: str, expected: str) -> None:
    assert warned(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        CLASSES,
        NUMBERS,
        CLASSES.replace("[5, 1]", "[5, 101]").replace("]]", "]] |> standardize"),
        NUMBERS.replace("dense(x, 1)", "dense(x, 4, relu) |> dense(1)"),
        TWICE.replace("3, softmax", "3"),
        CLASSES.replace("[6, 6]]", "[6, 6]] |> standardize").replace("dense(x", "dense(softmax(x)"),
    ],
)
def test_what_is_no_reason_to_warn(text: str) -> None:
    assert warned(text) == []


@pytest.mark.parametrize("model", sorted((ROOT / "models").glob("*.mlp")), ids=lambda p: p.stem)
def test_the_gallery_gives_no_warning(model: Path) -> None:
    assert [w.code for w in mlpc.load(model).warnings] == []


def test_check_strict_says_no_to_a_warning(tmp_path: Path, capsys) -> None:
    path = tmp_path / "m.mlp"
    path.write_text(UNUSED, "utf-8")
    assert main(["check", str(path)]) == 0
    assert main(["check", str(path), "--strict"]) == 1
    assert "warning[W0101]" in capsys.readouterr().err
    path.write_text(CLASSES, "utf-8")
    assert main(["check", str(path), "--strict"]) == 0
