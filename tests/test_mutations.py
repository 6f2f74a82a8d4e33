"""One token of a good model changed: it still works, or it is diagnosed. Nothing else ever comes out."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import pytest

import mlpc
from mlpc.dsl.diagnostics import MlpcError

MODELS = Path(mlpc.__file__ or "").parent / "models"
GALLERY = sorted(MODELS.glob("*.mlp"))
TOKEN = re.compile(r"#[^\n]*|\"[^\"\n]*\"|[A-Za-z_]\w*|[0-9.]+(?:e[+-]?[0-9]+)?|\|>|[<>=!]=|\s+|.")
WORDS = (
    "x", "y", "p", "h", "b1", "w1", "relu", "dense", "sum", "mean", "softmax", "weights", "adam", "step", "pi", "axis", "cols", "classes",
    "onehot", "columns", "concat", "argmax", "transpose", "same", "species", "all", "legacy", "zeros", "random", "split", "lr",
)  # fmt: skip
NUMBERS = ("0", "1", "3", "2.5", "1e300", "1e-300", "100000000", "0.5", "7")
MARKS = ("[", "]", "(", ")", "{", "}", ",", "=", "@", "+", "*", "^", "/", "-", "<", "==", "|>", ":", "'", "~", ".")


def kind(token: str) -> tuple[str, ...]:
    """The tokens that can stand where this one stands without a fault of syntax, more or less."""
    return WORDS if token[0].isalpha() else NUMBERS if token[0].isdigit() else MARKS


def mutated(text: str, draw: random.Random) -> str:
    """The text with one token (never blank, never a comment) deleted, doubled, swapped, renamed by a letter or replaced."""
    tokens = TOKEN.findall(text)
    places = [i for i, t in enumerate(tokens) if t.strip() and not t.startswith("#")]
    deep = [i for i in places if kind(tokens[i]) is not MARKS]  # most changes of marks end in the parser
    i = draw.choice(deep if draw.random() < 0.8 else places)
    match draw.choice(("delete", "double", "swap", "swap", "rename", "rename", "replace", "replace", "replace")):
        case "delete":
            tokens[i] = ""
        case "double":
            tokens[i] = f"{tokens[i]} {tokens[i]}"
        case "swap":
            j = draw.choice([k for k in places if kind(tokens[k]) is kind(tokens[i])])
            tokens[i], tokens[j] = tokens[j], tokens[i]
        case "rename":
            at = draw.randrange(len(tokens[i]) + 1)
            tokens[i] = tokens[i][:at] + draw.choice("abexyz01_") + tokens[i][at + draw.randrange(2) :]
        case _:
            tokens[i] = draw.choice(kind(tokens[i]))
    return "".join(tokens)


def mutate(count: int, seed: int, folder: Path) -> tuple[int, int]:
    """Loads so many mutations; gives how many worked and how many were diagnosed."""
    for part in ("data", "parts"):
        shutil.copytree(MODELS / part, folder / part)
    draw = random.Random(seed)
    works = diagnosed = 0
    for _ in range(count):
        text = mutated(draw.choice(GALLERY).read_text(encoding="utf-8"), draw)
        try:
            mlpc.loads(text, folder)
            works += 1
        except MlpcError as error:
            assert error.status == 1, f"{text}\n{error}"
            assert error.diagnostics, text
            assert "std/" not in (str(error).split("\n")[0]), f"{text}\n{error}"
            diagnosed += 1
        except Exception as error:  # noqa: BLE001  whatever it is, the program that brings it out is what one wants to see
            pytest.fail(f"{text}\n{type(error).__name__}: {error}")
    return works, diagnosed


def test_that_a_changed_token_is_diagnosed_or_works(tmp_path: Path) -> None:
    works, diagnosed = mutate(500, 0, tmp_path)
    assert works > 20, works
    assert diagnosed > 150, diagnosed


def test_that_a_changed_token_of_an_imported_file_is_diagnosed_or_works(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "data", tmp_path / "data")
    shutil.copy(MODELS / "wide_and_deep.mlp", tmp_path)
    (tmp_path / "parts").mkdir()
    part, text = tmp_path / "parts" / "gated.mlp", (MODELS / "parts" / "gated.mlp").read_text("utf-8")
    draw = random.Random(0)
    diagnosed = 0
    for _ in range(150):
        part.write_text(mutated(text, draw), "utf-8")
        try:
            mlpc.load(tmp_path / "wide_and_deep.mlp")
        except MlpcError as error:
            assert error.diagnostics and error.status == 1, error
            diagnosed += 1
    assert 50 < diagnosed < 150, diagnosed


@pytest.mark.campaign
def test_campaign_of_changed_tokens(tmp_path: Path, seed: int) -> None:
    print(mutate(10_000, seed, tmp_path))
