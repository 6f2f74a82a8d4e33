"""Every code has a page, whose bad example gives this code and whose good example compiles; every function of std is explained."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

import mlpc
from mlpc.cli.main import main
from mlpc.compiler.library import standard
from mlpc.compiler.ops import TABLE
from mlpc.compiler.render.curve import curve
from mlpc.compiler.vocabulary import BUILTINS
from mlpc.dsl.diagnostics import TITLES, MlpcError
from mlpc.pages.derivation import names as derivation_words
from mlpc.pages.functions import derive
from mlpc.pages.rewrites import STATEMENTS
from mlpc.pages.words import CODES, code_text
from mlpc.runtime import team
from mlpc.runtime.lock import locked

FENCE = re.compile(r"^## ([^\n]+)\n\n```(mlp whole|mlp|csv|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECTIONS = {
    "data": "data {\n  x = [[5.1, 1.4], [7.0, 4.7], [6.3, 6.0], [4.9, 1.5]]\n  y = [0, 1, 2, 0] |> onehot\n}",
    "model": "model {\n  p = dense(x, classes(y), softmax)\n}",
    "loss": "loss = mean(cross_entropy(p, y))",
    "train": "train {\n  optimizer = sgd(lr = 0.1)\n  epochs = 2\n}",
}


def completed(example: str) -> str:
    """What an example leaves out of a file is that of a small classifier."""
    rest = [text for word, text in SECTIONS.items() if not re.search(rf"^{word}\b", example, re.MULTILINE)]
    characters = re.sub(r"<U\+([0-9A-F]{4})>", lambda m: chr(int(m[1], 16)), example)
    return "\n\n".join([characters, *rest]) + "\n"


def codes(text: str, folder: Path, memory: str) -> list[str]:
    """The codes of all that is wrong with a model, found by loading it, or else by training it."""
    try:
        model = mlpc.loads(text, folder)
        if model.warnings:
            return sorted({w.code for w in model.warnings})
        model.train(max_memory=memory)
    except MlpcError as error:
        return sorted({d.code for d in error.diagnostics})
    return []


@pytest.mark.parametrize("code", TITLES)
def test_a_page_says_what_and_why_and_its_examples_are_what_they_say(code: str, tmp_path: Path, capsys, monkeypatch) -> None:
    text = code_text(code)
    assert text.startswith(f"# {code}: {TITLES[code]}\n\n")
    assert max(map(len, text.split("\n"))) <= 132
    examples: dict[str, tuple[str, str]] = {m[1]: (m[2], m[3]) for m in FENCE.finditer(text)}
    assert list(examples)[-2:] == ["Bad", "Good"]
    if code == "E0504":
        monkeypatch.setitem(sys.modules, "scipy", None)
        monkeypatch.setitem(sys.modules, "scipy.special", None)
    (tmp_path / "model").mkdir()
    for name, (_, content) in examples.items():
        if name not in {"Bad", "Good"}:
            (tmp_path / "model" / name).write_text(content, "utf-8")
    kind, bad = examples["Bad"]
    if code == "E0511":  # a run to predict by
        (tmp_path / "models").symlink_to(Path("models").resolve())
        monkeypatch.chdir(tmp_path)
        Path("runs/diabetes-1").mkdir(parents=True)
        mlpc.load("models/diabetes.mlp", ["train.epochs=1"]).train().save("runs/diabetes-1/weights.safetensors")
    if code == "E0512":  # a system on which no process can be started

        def refuse() -> int:
            raise BlockingIOError(11, "Resource temporarily unavailable")

        monkeypatch.setattr(os, "fork", refuse)
        monkeypatch.setattr(team, "_cores", lambda: 2)
        (tmp_path / "models").symlink_to(Path("models").resolve())
        monkeypatch.chdir(tmp_path)
    if code in {"E0507", "E0508"}:  # a run to go on with
        (tmp_path / "models").symlink_to(Path("models").resolve())
        monkeypatch.chdir(tmp_path)
        assert main(["run", "models/iris.mlp", "--set", "train.epochs=1"]) == 0
    if kind == "console":
        with locked(Path("runs/iris-1")) if code == "E0508" else nullcontext():  # where another trains
            assert main(bad.split()[2:]) == 1
        assert f"error[{code}]" in capsys.readouterr().err
        return
    memory = "2GB" if code == "E0501" else "80%"
    assert codes(bad if kind == "mlp whole" else completed(bad), tmp_path / "model", memory) == [code]
    kind, good = examples["Good"]
    assert codes(good if kind == "mlp whole" else completed(good), tmp_path / "model", memory) == []


def test_no_page_is_left_over() -> None:
    assert sorted(p.name for p in CODES.iterdir()) == sorted(f"{code}.md" for code in TITLES)


@pytest.mark.parametrize("asked", ["E0231", "e0231"])
def test_explain_prints_the_page(asked: str, capsys) -> None:
    assert main(["explain", asked]) == 0
    assert capsys.readouterr().out == code_text("E0231")


def test_an_unknown_code_is_answered_with_the_near_ones(capsys) -> None:
    assert main(["explain", "E0213"]) == 1
    assert "did you mean `E0231`?" in capsys.readouterr().err


GELU = """fn gelu                                                       std/activations.mlp:26

Gaussian error linear unit (Hendrycks and Gimpel 2016): x times the probability that a standard normal is below x.

  fn gelu(x) = x * (1 + erf(x / sqrt(2))) / 2

as it runs
  t1 = x / 1.4142135623730951
  t2 = 1 + erf(t1)
  h  = x * t2 / 2

derivative, as derived
  dx = 0.39894228040143265 * x * exp(-t1^2) + 0.5 * t2
"""


def test_explain_shows_the_text_and_the_derivative_of_a_function(capsys) -> None:
    assert main(["explain", "gelu"]) == 0
    printed = re.sub(r"(std/\w+\.mlp):\d+", r"\1:26", capsys.readouterr().out)
    assert printed[: len(GELU)] == GELU
    assert printed.count("⠤") > 5
    assert max(map(len, printed[len(GELU) :].split("\n"))) <= 72


WORDS = [*dict.fromkeys([*standard(), *BUILTINS, *STATEMENTS, *derivation_words(), *TABLE])]


@pytest.mark.parametrize("name", WORDS)
def test_explain_knows_every_name(name: str, capsys) -> None:
    assert main(["explain", *name.split()]) == 0
    printed = capsys.readouterr().out
    assert len(printed) > 20
    function = standard().get(name)
    if function is not None:
        assert function.definition.doc in printed
        assert function.definition.span.text.split("\n")[0] in printed
    assert (f"# rewrite {name}\n\n{STATEMENTS.get(name)}\n" in printed) == (name in STATEMENTS)
    assert (f"# operation {name}\n" in printed) == (name in TABLE)
    assert (f"# derivation: {name}\n" in printed) == (name in derivation_words())


def test_explain_without_a_word_lists_every_word(capsys) -> None:
    assert main(["explain"]) == 0
    printed = capsys.readouterr().out
    assert main(["explain", "--list"]) == 0
    assert capsys.readouterr().out == printed
    assert max(map(len, printed.split("\n"))) <= 100
    assert [line for line in printed.split("\n") if re.match(r"\w", line)][:-1] == [
        "codes",
        "functions",
        "rewrites",
        "derivation",
        "operations",
    ]
    listed = re.split(r"[·:\s]{2,}|\n", printed)
    assert [w for w in [*TITLES, *WORDS] if w not in listed] == []
    assert main(["explain", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["derivation"]) == (1, {"": derivation_words()})


@pytest.mark.parametrize(
    ("asked", "heads"),
    [
        (["@"], ["# operation matmul"]), (["-"], ["# operation neg", "# operation sub"]), (["ᵀ"], ["# operation transpose"]),
        (["chain_rule"], ["# derivation: chain rule"]), (["Broadcast", "over", "batch"], ["# derivation: broadcast over batch"]),
    ],
)  # fmt: skip
def test_a_word_is_found_as_a_plan_writes_it(asked: list[str], heads: list[str], capsys) -> None:
    assert main(["explain", *asked]) == 0
    assert re.findall(r"^# .*", capsys.readouterr().out, re.MULTILINE) == heads


def test_a_derivative_is_the_slope_of_the_values() -> None:
    pictured: list[str] = []
    for name in [*standard(), *BUILTINS]:
        found = derive(name, standard().get(name))
        if found is None or not found.x:
            continue
        pictured.append(name)
        x, v, d = found.x, found.value, found.derivative
        for i in range(1, len(x) - 1):
            left, right = (v[i] - v[i - 1]) / (x[i] - x[i - 1]), (v[i + 1] - v[i]) / (x[i + 1] - x[i])
            if math.isfinite(left) and math.isfinite(right) and name not in {"floor", "sign"}:
                spread = abs(left - right) + 0.1 * max(1.0, abs(d[i]))
                assert min(left, right) - spread <= d[i] <= max(left, right) + spread, (name, x[i])
    assert {"relu", "gelu", "sigmoid", "mish", "hard_swish", "exp", "log", "sqrt", "erf", "identity"} <= set(pictured)
    assert not {"softmax", "l2", "dense", "mse", "adam"} & set(pictured)


def test_a_function_of_a_row_is_derived_without_a_picture() -> None:
    softmax = derive("softmax", standard()["softmax"])
    assert softmax is not None
    assert (softmax.gradient, softmax.x) == ((("dz", "h * (dh - sum(dh * h, axis = features))"),), ())
    assert derive("mse", standard()["mse"]) is None
    assert derive("dense", standard()["dense"]) is None


def test_explain_as_json(capsys) -> None:
    assert main(["explain", "softplus", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["format"], found["word"], [p["page_kind"] for p in found["pages"]]) == (
        1,
        "softplus",
        ["function", "rewrite", "operation"],
    )
    function, rewrite, operation = found["pages"]
    assert (function["kind"], function["gradient"]) == ("fn", [{"target": "dx", "text": "sigmoid(x)"}])
    assert len(function["curve"]["x"]) == len(function["curve"]["value"]) == len(function["curve"]["derivative"]) == 121
    assert (rewrite["licence"], rewrite["numbers"]["v without it"]) == ("stabilises", [0.0, 0.6931471805599453, "Infinity"])
    assert operation["derivative"] == {"dx": "dh * sigmoid(x)"}


def test_the_picture_of_a_line() -> None:
    actual = curve([0.0, 1.0, 2.0], [0.0, 1.0, 2.0], [math.nan] * 3)
    assert len(actual) == 14
    assert actual[0] == "        2 │" + " " * 59 + "⢸"
    assert actual[11].startswith("        0 │")
    assert (len(actual[13]), actual[13].split()) == (71, ["0", "1", "2"])
    assert curve([0.0], [math.nan], [1.0]) == []


@pytest.mark.parametrize(
    ("asked", "near"),
    [("gleu", "gelu"), ("sotfmax", "softmax"), ("rows_sum_to_on", "rows_sum_to_one"), ("matmull", "matmul"), ("chainrule", "chain rule")],
)
def test_an_unknown_name_is_answered_with_the_near_one(asked: str, near: str, capsys) -> None:
    assert main(["explain", asked]) == 1
    assert f"hint: did you mean `{near}`?" in capsys.readouterr().err


# --- definitions of a file -----------------------------------------------------------------------


def explained(capsys, *words: str) -> tuple[int, str]:
    status = main(["explain", *words])
    found = capsys.readouterr()
    return status, found.out + found.err


def test_the_names_that_a_file_defines_and_imports_have_pages(tmp_path: Path, capsys) -> None:
    models = Path(__file__).parents[1] / "models"
    status, printed = explained(capsys, "gated", "--in", str(models / "wide_and_deep.mlp"))
    assert status == 0
    assert printed.startswith(
        "block gated" + " " * 56 + "parts/gated.mlp:4\n\nA gated linear unit (Dauphin et al. 2017).\n\n  block gated(x, width) {\n"
    )
    status, printed = explained(capsys, "mish", "--in", str(models / "penguins.mlp"))
    first, second = printed.split("\n\nfn mish")  # the file's, and the one of std that it shadows
    assert "penguins.mlp:2" in first and "std/activations.mlp" in second
    assert "  dx = x * (1 - t1^2) * sigmoid(x) + t1\n" in first and "⠤" in first
    assert explained(capsys, "--in", str(models / "penguins.mlp"))[1].split("\n").count("  penguins.mlp: mish · huber · residual") == 1


def test_a_function_of_a_file_may_call_what_lies_beneath_the_data_root(tmp_path: Path, capsys) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "shared.mlp").write_text("fn twice(x) = 2 * x\n", "utf-8")
    model = tmp_path / "model" / "m.mlp"
    model.write_text('import "../shared.mlp"\nfn bend(x) = twice(x)^2\nmodel { nothing = here }\n', "utf-8")
    assert "E0501" not in explained(capsys, "bend", "--in", str(model))[1]
    assert explained(capsys, "bend", "--in", str(model))[0] == 1
    status, printed = explained(capsys, "bend", "--in", str(model), "--data-root", str(tmp_path))
    assert status == 0 and "dx = 8 * x" in printed.replace("4 * (2 * x)", "8 * x")
    assert explained(capsys, "twice", "--in", str(model), "--data-root", str(tmp_path))[1].startswith("fn twice")
    status, printed = explained(capsys, "bend", "--data-root", str(tmp_path))
    assert status == 2 and "there is no file" in printed


def test_a_name_that_may_be_one_of_a_file_is_asked_for_there(capsys) -> None:
    status, printed = explained(capsys, "gated")
    assert status == 1 and "a name of a file has a page with  mlpc explain gated --in FILE" in printed
    assert "--in FILE" not in explained(capsys, "E9999")[1]
