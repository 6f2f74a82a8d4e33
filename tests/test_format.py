"""The one layout: where it is known, it comes back from any other; it is a fixed point; it changes neither meaning nor comments."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.format import formatted
from mlpc.dsl.layout import WIDTH, Piece, pieces_of
from mlpc.dsl.parse import parse
from mlpc.dsl.syntax import Source, Span

ROOT = Path(__file__).parents[1]
MODELS = {name: (ROOT / "models" / f"{name}.mlp").read_text("utf-8") for name in ("notebook", "iris", "xor", "penguins")}
SHIPPED = [path for folder in ("models", "models/parts", "std") for path in sorted((ROOT / folder).glob("*.mlp"))]
OTHER = """import "blocks.mlp"

## Momentum, with a doc of two lines:
## and the second.
update momentum(w, dw, lr = 0.01) {  # beside a brace
  state v ~ zeros
  v' = 0.9 * v + dw
  # between two equations
  w' = w - lr * v'
}

data {
  x = [[1, -2.5, .5],  # a row
       # and one more
       [-x^-1, 2 * -3, 4e-5]] |> clip(-1, 1)
  y = [1, 2, 3,
       4]
}

model {
  param W [cols(x), 3] ~ normal(0, 0.1)
  state m1 [3] ~ zeros

  same(x, y)
  h = x[:, 1:3] @ W[:-1, 0]
  p = (h >= 0) * -h - -h / (1 + exp(-h))^2
  # the last
}  # all

loss = mean(p)

train {}
"""
CANONICAL = {**MODELS, "other": OTHER}


def meaning(value: object) -> object:
    """The syntax as plain tuples, without places."""
    if isinstance(value, (Span, Source)):
        return None
    if isinstance(value, tuple):
        return tuple(meaning(v) for v in value)
    if isinstance(value, Struct):
        return type(value).__name__, *(meaning(getattr(value, name)) for name in value.__struct_fields__)
    return value


def comments(text: str) -> list[str]:
    return [p.text for p in pieces_of(text) if p.kind == "comment"]


def judge(text: str) -> str:
    """The canonical text of a program; it is a fixed point, and says the same."""
    found = formatted(text, "x.mlp")
    assert formatted(found, "x.mlp") == found
    assert meaning(parse(found, "x.mlp")) == meaning(parse(text, "x.mlp"))
    assert comments(found) == comments(text)
    assert not any(line != line.rstrip() for line in found.split("\n"))
    return found


@pytest.mark.parametrize("name", CANONICAL)
def test_the_models_are_in_canonical_layout(name: str) -> None:
    assert judge(CANONICAL[name]) == CANONICAL[name]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_every_file_that_is_shipped_keeps_its_meaning(path: Path) -> None:
    judge(path.read_text("utf-8"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fn f(x)=x", "fn f(x) = x\n"),
        ("\n\n\n# a\n\n\n\n# b\nfn f( x , k=2 , ) = ( x^2+- 1 )@x . weights\n\n", "# a\n\n# b\nfn f(x, k = 2) = (x^2 + -1) @ x.weights\n"),
        ("model{h=x[ : ,1 : 3]}", "model {\n  h = x[:, 1:3]\n}\n"),
        ("model {\n\n  h = 1\n\n\n  p = 2\n\n}", "model {\n  h = 1\n\n  p = 2\n}\n"),
        ("train { seed = 1 # a\n epochs = 2 # b\n}", "train {\n  seed   = 1  # a\n  epochs = 2  # b\n}\n"),
        ("model {\n h = 1\n long = 2\n}", "model {\n  h    = 1\n  long = 2\n}\n"),
        ("model {\n h = 1\n longer = 2\n}", "model {\n  h = 1\n  longer = 2\n}\n"),
        ("model {\n param w[2,1]~zeros\n param b~ones\n}", "model {\n  param w [2, 1] ~ zeros\n  param b ~ ones\n}\n"),
        ("fn f(x) {\n p = return_ (x)\n return(p)\n}", "fn f(x) {\n  p = return_(x)\n  return (p)\n}\n"),
        ("train {}\nmodel {}\n# c\ndata {}\n", "train {}\n\nmodel {}\n\n# c\ndata {}\n"),
        ("fn f(x) = x\n## d\nfn g(x) {\nreturn x }# e", "fn f(x) = x\n\n## d\nfn g(x) {\n  return x\n}  # e\n"),
        ("model {\n p = x # a\n\n # b\n |> f\n   |> g\n}", "model {\n  p = x  # a\n    # b\n    |> f |> g\n}\n"),
        ("report f(x # a\n, # b\n y # c\n)", "report f(x,  # a\n         # b\n         y  # c\n        )\n"),
        ("data {\n x = [1,\n\n2 ,3\n, 4]}", "data {\n  x = [1,\n       2, 3,\n       4]\n}\n"),
        ("data {\r\n x = [1]\r\n}\r\n", "data {\n  x = [1]\n}\n"),
    ],
)
def test_small(text: str, expected: str) -> None:
    assert judge(text) == expected


def test_a_long_line_breaks_inside_brackets_at_commas() -> None:
    names = [f"name{i:04d}" for i in range(40)]
    found = judge(f"model {{ h = f(g({', '.join(names)}), k = [{', '.join(names)}]) }}")
    assert max(len(line) for line in found.split("\n")) <= WIDTH
    assert found.split("\n")[1].startswith("  h = f(g(name0000, ") and "\n          name" in found and "\n        k = [name0000" in found


def test_a_long_chain_breaks_before_its_pipes() -> None:
    found = judge("model { h = x " + " ".join(f"|> layer_number_{i}(width = {i}, act = relu)" for i in range(9)) + "}")
    assert max(len(line) for line in found.split("\n")) <= WIDTH
    assert all(line.startswith("    |> ") for line in found.split("\n")[2:-2])


def test_what_cannot_break_stays_long() -> None:
    assert len(judge(f"loss = {' + '.join(['x'] * 90)}").split("\n")) == 2


def test_a_faulty_text_is_refused_with_all_its_faults() -> None:
    with pytest.raises(MlpcError) as caught:
        formatted("model { h = }\nloss = 1 +", "bad.mlp")
    assert len(caught.value.diagnostics) == 2 and "bad.mlp:1" in str(caught.value)


def test_the_time_grows_with_the_text() -> None:
    judge(f"data {{ x = [{', '.join(['[1, 2]'] * 3000)}] }}")


# --- random texts --------------------------------------------------------------------------------


def places(pieces: list[Piece]) -> list[tuple[bool, bool]]:
    """For every piece: it stands inside brackets; a newline before it would be a row of a matrix."""
    found: list[tuple[bool, bool]] = []
    stack: list[bool] = []
    before = Piece("sign", "", 0)
    for piece in pieces:
        near_comma = before.text == "," or piece.text == ","
        found.append((bool(stack), bool(stack) and stack[-1] and near_comma))
        if piece.text in {"(", "["}:
            stack.append(piece.text == "[" and (before.kind == "sign" and before.text not in {")", "]"}))
        elif piece.text in {")", "]"}:
            stack.pop()
        before = before if piece.kind == "comment" else piece
    return found


def glued(left: str, right: str) -> bool:
    """The two would be read as one."""
    return (left[-1:].isalnum() or left[-1:] in "_'.") and (right[:1].isalnum() or right[:1] in "_.")


def other_layout(text: str, rng: random.Random) -> str:
    """The same program in a layout that must lead back to the canonical one."""
    blanks = ["", " ", "  ", "\t", "      "]
    pieces = pieces_of(text)
    made, before = "", Piece("sign", "", 0)
    for piece, (inside, row) in zip(pieces, places(pieces), strict=True):
        comment = before.kind == "comment" or piece.kind == "comment"
        newlines = piece.newlines
        if not comment and ("}" in (piece.text, before.text) or before.text == "{") and before.text != "}":
            newlines = rng.randint(0, 2)
        elif inside and not row and not comment:
            newlines = rng.choice([0, 0, 0, 1, 2])
        elif piece.text == "|>" and not inside and not comment:
            newlines = rng.choice([0, 0, 1])
        elif newlines > 1 or (newlines and made == ""):
            newlines = rng.randint(2, 4)
        blank = rng.choice(blanks) or (" " if newlines == 0 and glued(made, piece.text) else "")
        made += (rng.choice(blanks) if newlines else "") + "".join("\n" + rng.choice(blanks) for _ in range(newlines)) + blank
        made += piece.text
        before = piece
    return made + "\n" * rng.randint(0, 3)


def with_comments(text: str, rng: random.Random) -> str:
    """Comments wherever a line may end, and breaks of rows anywhere."""
    pieces = pieces_of(text)
    made, before = "", Piece("sign", "", 0)
    for i, (piece, (inside, _)) in enumerate(zip(pieces, places(pieces), strict=True)):
        newline = inside or piece.newlines > 0 or piece.text == "|>" or before.text == "{" or before.kind == "comment"
        if newline and rng.random() < 0.2:
            made += "".join("\n" * rng.randint(0, 2) + f" #{'#' * rng.randint(0, 1)} {i}.{k}\n" for k in range(rng.randint(1, 2)))
        else:
            made += "\n" * piece.newlines if piece.newlines else "\n" if inside and rng.random() < 0.05 else " "
        made += piece.text
        before = piece
    return made


def mutated(text: str, rng: random.Random) -> str:
    """One piece left out, doubled, or replaced by another's text."""
    pieces = pieces_of(text)
    i, other = rng.randrange(len(pieces)), rng.choice(pieces).text
    words = [("\n" * p.newlines or " ") + p.text for p in pieces]
    words[i] = rng.choice(["", words[i] * 2, f" {other}", f"{words[i]} {other}", "\n", words[i].strip()])
    return "".join(words)


TEXTS = st.sampled_from(sorted(CANONICAL))
RANDOM = st.randoms(use_true_random=False)


@settings(max_examples=60)
@given(TEXTS, RANDOM)
def test_any_layout_leads_back_to_the_canonical_one(name: str, rng: random.Random) -> None:
    assert formatted(other_layout(CANONICAL[name], rng), "x.mlp") == CANONICAL[name]


@settings(max_examples=60)
@given(TEXTS, RANDOM)
def test_comments_anywhere_are_kept(name: str, rng: random.Random) -> None:
    judge(with_comments(CANONICAL[name], rng))


@settings(max_examples=100)
@given(TEXTS, RANDOM)
def test_a_mutated_program_is_laid_out_or_refused(name: str, rng: random.Random) -> None:
    text = mutated(CANONICAL[name], rng)
    try:
        parse(text, "x.mlp")
    except MlpcError:
        with pytest.raises(MlpcError):
            formatted(text, "x.mlp")
        return
    judge(text)


def value(rng: random.Random, depth: int) -> str:
    """A random expression with long names, calls, matrices and breaks of rows."""
    name = rng.choice(["x", "value", "a_rather_long_name_for_a_value"])
    if depth == 0 or rng.random() < 0.2:
        return rng.choice([name, "1e-4", "-2.5", f"{name}.weights"])
    inner = [value(rng, depth - 1) for _ in range(rng.randint(1, 5))]
    comma = f",{rng.choice(['', ' ', chr(10), ' # c' + chr(10)])}"
    return rng.choice(
        [
            f"f({comma.join(inner)})", f"[{comma.join(inner)}]", f"g(k = {', '.join(inner)})", f"({inner[0]})", f"{inner[0]} + {inner[-1]}",
            f"h[{', '.join(inner)}]", f"({inner[0]} |> f({', '.join(inner)}))",
        ]
    )  # fmt: skip


@settings(max_examples=150)
@given(RANDOM)
def test_random_expressions_are_wrapped_once_and_for_all(rng: random.Random) -> None:
    statements = [f"v{'v' * rng.randint(0, 5)} = {value(rng, rng.randint(0, 4))}{' |> f' * rng.randint(0, 2)}" for _ in range(3)]
    judge("model {\n" + "\n".join(statements) + "\n}\n")
