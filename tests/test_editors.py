"""Colours for editors: in step with the language, and right on real models."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pygments.token import Comment, Error, Keyword, Name, String, Token

from mlpc.compiler.vocabulary import BUILTINS, RESERVED
from mlpc.editors.__main__ import made
from mlpc.editors.pygments_lexer import MlpLexer
from mlpc.editors.words import words

ROOT = Path(__file__).parents[1]
FILES = [path for folder in ("models", "models/parts", "std", "docs") for path in sorted((ROOT / folder).glob("*.mlp"))]
TEXT = """## doc of f
fn f(x, train = 2) = relu(x)^2  # comment "no string"
update o(w, dw) { state v ~ zeros
  v' = v + dw
  w' = w - v'
}
data {
  x = columns("a # b") |> standardize
  split = random(train = 0.8,
                 test = .2)
}
model {
  param W [cols(x), 3] ~ normal(0, 1e-2)
  model = mean(f(x) @ W, axis = features)
  h = model[:, 1:3] |> softmax
}
loss = mean(h) + l2(h.weights) * step
train { loss = 3 }
"""


@pytest.mark.parametrize("name", ["mlpc.tmLanguage.json", "pygments_lexer.py"])
def test_the_files_are_in_step_with_the_language(name: str) -> None:
    assert (ROOT / "editors" / name).read_text("utf-8") == made()[name], "run: make editors"


def test_the_words_are_those_of_the_language() -> None:
    found = words()
    assert found.items == ("block", "data", "fn", "import", "loss", "model", "report", "train", "update")
    assert found.statements == ("from", "param", "return", "state")
    assert {*BUILTINS, "relu", "dense", "adam"} <= {*found.functions}
    assert {*found.reserved} == {*RESERVED} and "zeros" in found.initializers


# --- Pygments ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_pygments_reads_every_file(path: Path) -> None:
    text = path.read_text("utf-8")
    found = list(MlpLexer().get_tokens(text))
    assert [value for kind, value in found if kind is Error] == []
    assert "".join(value for _, value in found) == text


def pygments_colours() -> list[tuple[str, Any]]:
    return [(value, kind) for kind, value in MlpLexer().get_tokens(TEXT)]


def test_pygments_tells_words_apart_by_place() -> None:
    found = pygments_colours()
    keywords = [value for value, kind in found if kind is Keyword]
    assert keywords == ["fn", "update", "state", "data", "model", "param", "loss", "train"]
    expected = {
        "## doc of f": String.Doc, '# comment "no string"': Comment.Single, '"a # b"': String.Double, "relu": Name.Builtin,
        "f": Name.Function, "standardize": Name.Function, "softmax": Name.Builtin, "normal": Name.Builtin, "features": Name.Constant,
        "weights": Name.Attribute, "step": Name.Builtin.Pseudo, "split": Name.Variable, "test": Name.Attribute, "1e-2": Token.Literal.Number,
    }  # fmt: skip
    assert {value: kind for value, kind in found if value in expected} == expected
    assert [kind for value, kind in found if value == "train"] == [Name.Attribute, Name.Attribute, Keyword]
    assert [kind for value, kind in found if value == "model"] == [Keyword, Name.Variable, Name]
    assert [kind for value, kind in found if value == "loss"] == [Keyword, Name.Variable]


# --- TextMate ------------------------------------------------------------------------------------

GRAMMAR = json.loads((ROOT / "editors" / "mlpc.tmLanguage.json").read_text("utf-8"))


def rules(patterns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The patterns with what they include in its place."""
    return [
        rule
        for pattern in patterns
        for rule in (rules(GRAMMAR["repository"][pattern["include"][1:]]["patterns"]) if "include" in pattern else [pattern])
    ]


def textmate_colours(text: str) -> list[tuple[str, str]]:
    """(text, scope) as an editor finds them: line by line, the earliest match, of these the first; pairs nest."""
    found: list[tuple[str, str]] = []
    stack: list[dict[str, Any]] = [GRAMMAR]
    for line in text.split("\n"):
        at = 0
        while True:
            choices = [(stack[-1]["end"], None)] if "end" in stack[-1] else []
            choices += [(rule.get("match") or rule["begin"], rule) for rule in rules(stack[-1]["patterns"])]
            hits = [(match.start(), i, match) for i, (p, _) in enumerate(choices) if (match := re.compile(p).search(line, at))]
            if not hits:
                break
            _, i, match = min(hits, key=lambda hit: hit[:2])
            rule = choices[i][1]
            assert match.end() > at, (line, match)
            at = match.end()
            if rule is None:
                stack.pop()
            elif "begin" in rule:
                stack.append(rule)
            elif "captures" in rule:
                found += [(match[int(group)], scope["name"]) for group, scope in rule["captures"].items()]
            else:
                found.append((match[0], rule["name"]))
    assert len(stack) == 1
    return found


def test_textmate_tells_words_apart_by_place() -> None:
    found = textmate_colours(TEXT)
    keywords = [value for value, scope in found if scope in {"keyword.control.mlp", "keyword.other.mlp"}]
    assert keywords == ["fn", "update", "state", "data", "model", "param", "loss", "train"]
    expected = {
        "## doc of f": "comment.line.documentation", '# comment "no string"': "comment.line.number-sign", '"a # b"': "string.quoted.double",
        "relu": "support.function", "f": "entity.name.function", "standardize": "entity.name.function", "softmax": "support.function",
        "normal": "support.function", "features": "constant.language", "weights": "variable.other.property", "step": "variable.language",
        "split": "variable.other.assignment", "test": "variable.parameter", "1e-2": "constant.numeric",
    }  # fmt: skip
    assert {value: scope for value, scope in found if value in expected} == {value: f"{scope}.mlp" for value, scope in expected.items()}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_two_agree_on_keywords_strings_and_comments(path: Path) -> None:
    text = path.read_text("utf-8")
    one = [value for kind, value in MlpLexer().get_tokens(text) if kind in Keyword or kind in Comment or kind in String]
    other = [value for value, scope in textmate_colours(text) if re.match(r"keyword\.(control|other)|comment|string", scope)]
    assert one == other
