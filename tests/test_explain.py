"""Every code has a page; its bad example gives this code and its good example compiles."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import mlpc
from mlpc.cli.explain import PAGES, page
from mlpc.cli.main import main
from mlpc.dsl.diagnostics import TITLES, MlpcError

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
        if model.compilation.warnings:
            return sorted({w.code for w in model.compilation.warnings})
        model.train(max_memory=memory)
    except MlpcError as error:
        return sorted({d.code for d in error.diagnostics})
    return []


@pytest.mark.parametrize("code", TITLES)
def test_a_page_says_what_and_why_and_its_examples_are_what_they_say(code: str, tmp_path: Path, capsys) -> None:
    text = page(code)
    assert text.startswith(f"# {code}: {TITLES[code]}\n\n")
    assert max(map(len, text.split("\n"))) <= 132
    examples: dict[str, tuple[str, str]] = {m[1]: (m[2], m[3]) for m in FENCE.finditer(text)}
    assert list(examples)[-2:] == ["Bad", "Good"]
    (tmp_path / "model").mkdir()
    for name, (kind, content) in examples.items():
        if kind == "csv":
            (tmp_path / "model" / name).write_text(content, "utf-8")
    kind, bad = examples["Bad"]
    if kind == "console":
        assert main(bad.split()[2:]) == 1
        assert f"error[{code}]" in capsys.readouterr().err
        return
    memory = "2GB" if code == "E0501" else "80%"
    assert codes(bad if kind == "mlp whole" else completed(bad), tmp_path / "model", memory) == [code]
    kind, good = examples["Good"]
    assert codes(good if kind == "mlp whole" else completed(good), tmp_path / "model", memory) == []


def test_no_page_is_left_over() -> None:
    assert sorted(p.name for p in PAGES.iterdir()) == sorted(f"{code}.md" for code in TITLES)


@pytest.mark.parametrize("asked", ["E0231", "e0231"])
def test_explain_prints_the_page(asked: str, capsys) -> None:
    assert main(["explain", asked]) == 0
    assert capsys.readouterr().out == page("E0231")


def test_an_unknown_code_is_answered_with_the_near_ones(capsys) -> None:
    assert main(["explain", "E0213"]) == 1
    assert "did you mean `E0231`?" in capsys.readouterr().err
