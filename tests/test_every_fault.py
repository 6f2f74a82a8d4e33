"""A statement out of place, or data at fault, hides nothing else that can be found, and nothing that only follows from it is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import mlpc
from mlpc.dsl.diagnostics import MlpcError

MODELS = Path(mlpc.__file__ or "").parent / "models"
TEXT = """data {
  x = [[5.1, 1.4], [7.0, 4.7], [6.3, 6.0], [4.9, 1.5]]
  y = [0, 1, 2, 0] |> onehot
DATA}
model {
MODEL  h = dense(x, 4, relu)
  param w [5, 3] ~ zeros
  z = h @ w
  p = dense(concat(h, z), 3, softmax)
}
loss = mean(cross_entropy(p, y))
train {
  optimizer = sgd(lr = 0.1)
  epochs = 2
TRAIN}
REST
"""
SHAPES = "`@` needs [N, k] @ [k, m], and 4 is not 5"


def said(text: str) -> list[tuple[str, str]]:
    with pytest.raises(MlpcError) as caught:
        mlpc.loads(text, MODELS)
    return [(d.code, d.span.source.line_text(d.span.line).strip() if d.span else "") for d in caught.value.diagnostics]


def told(data: str = "", model: str = "", train: str = "", rest: str = "") -> set[tuple[str, str]]:
    found = said(TEXT.replace("DATA", data).replace("MODEL", model).replace("TRAIN", train).replace("REST", rest))
    assert len(set(found)) == len(found)
    assert ("E0231", "z = h @ w") in found
    return {*found} - {("E0231", "z = h @ w")}


@pytest.mark.parametrize(
    ("where", "line", "code"),
    [
        ("data", "param u [2] ~ zeros", "E0107"),
        ("data", 'q = "text"', "E0235"),
        ("data", '[[1, "a"]]', "E0103"),
        ("data", 'q = [[1, "a"], [2, 3], [1, 1], [1, 1]]', "E0233"),
        ("data", "q = [[1, 2], [3]]", "E0409"),
        ("data", "q = x |> impute(4) |> standardise", "E0205"),
        ("model", 'q = "text"', "E0235"),
        ("model", 'from "data/iris.csv"', "E0107"),
        ("model", "return x", "E0107"),
        ("model", "q = [[1, 2], [3]]", "E0231"),
        ("train", "param u [2] ~ zeros", "E0107"),
        ("train", 'seed = "1"', "E0302"),
        ("rest", "report p", "E0107"),
        ("rest", "train {\n}", "E0108"),
    ],
)
def test_a_fault_of_one_statement_hides_no_other(where: str, line: str, code: str) -> None:
    if code == "E0103":
        found = said(TEXT.replace("DATA", f"  {line}\n").replace("MODEL", "").replace("TRAIN", "").replace("REST", ""))
        assert found == [(code, line)]  # what a text with a fault of syntax says otherwise is a guess
    else:
        indented = line if where == "rest" else f"  {line}\n"
        assert told(**{where: indented}) == {(code, line.split("\n")[0])}


def test_a_report_out_of_place_does_not_hide_the_unknown_name_beside_it() -> None:
    line = "report acuracy(p, y), p"
    assert told(rest=line) == {("E0107", line), ("E0205", line)}


def test_faults_of_all_stages_are_told_at_once_and_no_more() -> None:
    found = told('  q = "text"\n  param u [2] ~ zeros\n', "  v = q + u + nosuch\n", "  sed = 3\n", "report acuracy(p, q), p, u = q")
    report = "report acuracy(p, q), p, u = q"
    assert found == {
        ("E0235", 'q = "text"'), ("E0107", "param u [2] ~ zeros"), ("E0201", "v = q + u + nosuch"), ("E0301", "sed = 3"),
        ("E0107", report), ("E0205", report),
    }  # fmt: skip


def test_what_follows_from_a_value_that_is_left_out_is_not_told() -> None:
    """Which columns `numeric` are, and the rows of a file, would be others: then nothing more is looked for."""
    file = 'data {\n  from "data/iris.csv"\n  t = "a"\n  x = numeric\n  y = species |> onehot\n}\n'
    rest = TEXT.partition("model {")[2].replace("MODEL", "").replace("TRAIN", "").replace("REST", "")
    assert said(f"{file}model {{{rest}") == [("E0235", 't = "a"')]
    assert said(f"{file.replace('iris.csv', 'irsi.csv')}model {{{rest}") == [("E0401", 'from "data/irsi.csv"'), ("E0235", 't = "a"')]
