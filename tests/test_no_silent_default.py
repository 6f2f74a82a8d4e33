"""Nothing is silently ignored: every key, argument, word, option that a table of the code knows, misspelled by one letter, is an error.

The tables are those of the code itself, so that a new setting is tried without a word here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mlpc
from mlpc.cli.main import main, parser
from mlpc.compiler import initializers, settings, stopping, vocabulary
from mlpc.compiler.library import standard
from mlpc.dsl.diagnostics import Diagnostic, MlpcError, _one_slip
from mlpc.dsl.slips import ITEMS, STATEMENTS
from mlpc.runtime import pipes, selection, split

MODELS = Path(mlpc.__file__ or "").parent / "models"
IRIS = str(MODELS / "iris.mlp")
MODEL = {
    "data": "data {\n  x = [[1, 2], [3, 4], [5, 7], [2, 1]]\n  y = [0, 1, 0, 1] |> onehot\n}",
    "model": "model {\n  p = dense(x, 2, softmax)\n}",
    "loss": "loss = mean(cross_entropy(p, y))",
    "train": "train {\n  optimizer = sgd(lr = 0.1)\n  steps = 1\n}",
    "report": "report accuracy(p, y)",
}


def slips(word: str, *known: str) -> Iterator[str]:
    """The word with a letter dropped, doubled, replaced, and swapped with its neighbour, unless that is a word too."""
    i = len(word) // 2
    before, at, after = word[:i], word[i], word[i + 1 :]
    found = (before + after, before + 2 * at + after, before + "q" + after, before[:-1] + at + before[-1:] + after)
    yield from (w for w in dict.fromkeys(found) if w.strip("-") and not w[0].isdigit() and w not in (word, *known))


def text(**sections: str) -> str:
    return "\n\n".join({**MODEL, **sections}.values()) + "\n"


def train(*lines: str) -> str:
    return text(train="train {\n  " + "\n  ".join(("optimizer = sgd(lr = 0.1)", "steps = 1", *lines)) + "\n}")


def data(*lines: str) -> str:
    return text(data="data {\n  " + "\n  ".join(lines) + "\n  y = [0, 1, 0, 1] |> onehot\n}")


def model(line: str) -> str:
    return text(model=f"model {{\n  {line}\n  p = dense(x, 2, softmax)\n}}")


X = "x = [[1, 2], [3, 4], [5, 7], [2, 1]]"
Case = tuple[str, str]  # a word, and a text that holds it as <word>
WORDS = {key: value for key, value in settings.DEFAULTS.items() if value.isalpha()}
CASES: dict[str, list[Case]] = {
    "a section": [(word, text().replace(f"{word} ", f"<{word}> ", 1)) for word in ITEMS if f"\n{word} " in f"\n{text()}"],
    "a definition": [(word, text() + f"<{word}> f(x) = x\n") for word in ITEMS if word in {"fn", "block", "update"}],
    "an import": [(word, f'<{word}> "a.mlp"\n' + text()) for word in ITEMS if word == "import"],
    "a statement": [
        ("from", data('<from> "a.csv"', X)), ("param", model("<param> w [2] ~ zeros")), ("state", model("<state> s [2] ~ zeros\n  s' = s")),
        ("return", text() + "block f(x) {\n  <return> x\n}\n"),
    ],
    "a setting": [(key, train(f"<{key}> = {settings.DEFAULTS.get(key, '1')}")) for key in settings.KEYS],
    "a word of a setting": [(value, train(f"{key} = <{value}>")) for key, value in WORDS.items()] + [("all", train("batch = <all>"))],
    "what keep and early_stop watch": [
        case
        for key, (_, function, example) in stopping.FORMS.items()
        for case in [
            (function, train(f"{key} = {example.replace(function, f'<{function}>', 1)}")),
            *([("patience", train(f"{key} = {example.replace('patience', '<patience>')}"))] if "patience" in example else []),
            *((word, train(f"{key} = {example.replace(word, f'<{word}>')}")) for word in ("val", "loss") if "." + word in example),
        ]
    ],
    "an optimizer": [(name, train().replace("sgd(lr = 0.1)", f"<{name}>(0.1)")) for name, f in standard().items() if f.definition.kind == "update"],
    "a number of an optimizer": [
        (p.name.id, train().replace("sgd(lr = 0.1)", f"{name}(<{p.name.id}> = 0.1)"))
        for name, f in standard().items() if f.definition.kind == "update" for p in f.definition.parameters[2:]
    ],
    "an initialiser": [(name, model(f"param w [2] ~ <{name}>")) for name in initializers.SIGNATURES],
    "an argument of an initialiser": [
        (argument, model(f"param w [2] ~ {name}(<{argument}> = 1)")) for name, signature in initializers.SIGNATURES.items() for argument in signature
    ],
    "a function of std": [
        (name, model(f"q = <{name}>(x)")) for name, f in standard().items() if f.definition.kind != "update"
    ],
    "an argument of a function of std": [
        (p.name.id, model(f"q = {name}(<{p.name.id}> = 1)"))
        for name, f in standard().items() if f.definition.kind != "update" for p in f.definition.parameters
    ],
    "a function of the language": [(name, model(f"q = <{name}>(x)")) for name in vocabulary.BUILTINS],
    "an argument of a function of the language": [
        (argument, model(f"q = {name}(<{argument}> = x)"))
        for name, signature in vocabulary.BUILTINS.items() for argument in signature if not argument.startswith("*")
    ],
    "an axis": [(word, model(f"q = sum(x, axis = <{word}>)")) for word in vocabulary.WORDS["axis"]],
    "a fact": [(word, model(f"expect(x, <{word}>)")) for word in vocabulary.WORDS["*facts"]],
    "a pipe": [(name, data(f"{X} |> <{name}>")) for name in pipes.PIPES],
    "an argument of a pipe": [
        (argument, data(f"{X} |> {name}(<{argument}> = 1)")) for name, pipe in pipes.PIPES.items() for argument in pipe.parameters
    ],
    "a word of a pipe": [
        (word, data(f"{X} |> {name}(<{word}>)")) for name, pipe in pipes.PIPES.items() for words in pipe.words.values() for word in words
    ],
    "a split": [(name, data(X, f"split = <{name}>(train = 0.5, test = 0.5)")) for name in split.KINDS],
    "a share of a split": [(name, data(X, f"split = random(<{name}> = 1)")) for name in split.NAMES],
    "the word split": [("split", data(X, "<split> = random(train = 0.5, test = 0.5)"))],
    "columns of a file": [
        (name, text(data=f'data {{\n  from "data/iris.csv"\n  x = <{name}>{arguments}\n  y = species |> onehot\n}}'))
        for name, arguments in (*((kind, "") for kind in selection.KINDS), ("columns", '("*")'))
    ],
}  # fmt: skip


def said(source: str) -> list[Diagnostic]:
    """What is wrong with a text; [] if nothing."""
    try:
        mlpc.loads(source, MODELS)
    except MlpcError as error:
        assert error.status == 1
        return list(error.diagnostics)
    return []


def suggests(word: str, slip: str, text: str) -> bool:
    """Whether a hint has the word, or another that the slip is as near to."""
    other = re.search(r"did you mean `(.+?)`", text)
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None or (other is not None and _one_slip(slip, other[1]))


@pytest.mark.parametrize("kind", CASES)
def test_a_misspelled_word_is_an_error_that_names_it(kind: str) -> None:
    known = {word for word, _ in CASES[kind]}
    assert known
    for word, source in CASES[kind]:
        assert f"<{word}>" in source
        for slip in slips(word, *known):
            found = said(source.replace(f"<{word}>", slip, 1))
            assert found, f"`{slip}` for `{word}` was taken without a word"
            if len(slip) > 1:
                assert any(suggests(word, slip, d.hint) for d in found), (word, slip, found)


def test_every_table_of_words_is_tried() -> None:
    tried = {word for cases in CASES.values() for word, _ in cases}
    signatures = {a for s in (*vocabulary.BUILTINS.values(), *initializers.SIGNATURES.values()) for a in s if not a.startswith("*")}
    assert {*ITEMS, *STATEMENTS, *settings.KEYS, *vocabulary.BUILTINS, *initializers.SIGNATURES, *pipes.PIPES, *split.KINDS} <= tried
    assert {*standard(), *signatures, *selection.KINDS, *split.NAMES, *(w for words in vocabulary.WORDS.values() for w in words)} <= tried
    assert {word for key, (nothing, *_) in stopping.FORMS.items() for word in (key, nothing)} <= tried
    assert sum(len([*slips(word)]) for cases in CASES.values() for word, _ in cases) > 1000


# --- the command line


def refused(*argv: str) -> str:
    """What a command says on stderr that must fail by its arguments."""
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        assert main(argv) in {1, 2}, argv
    return err.getvalue()


@pytest.mark.parametrize("key", [*settings.KEYS, *(f"optimizer.{p}" for p in ("lr", "beta1", "beta2", "eps"))])
def test_a_misspelled_path_of_set_is_an_error_that_names_it(key: str) -> None:
    value = settings.DEFAULTS.get(key, "1")
    parts = key.split(".")
    for i, part in enumerate(parts):
        for slip in slips(part):
            path = ".".join([*parts[:i], slip, *parts[i + 1 :]])
            assert suggests(part, slip, refused("plan", IRIS, "--set", f"train.{path}={value}").partition("hint:")[2]), path
    for slip in slips("train"):
        assert "--set train.epochs=5" in refused("plan", IRIS, "--set", f"{slip}.{key}={value}")


def test_a_path_of_set_needs_a_value() -> None:
    for path in ("train.epochs", "train", "epochs=5", "train.optimizer.lr.x=1", "train.seed.x=1", "=", ""):
        assert "error[E0301]" in refused("plan", IRIS, "--set", path), path


def commands() -> dict[str, argparse.ArgumentParser]:
    (choices,) = [a.choices for a in parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(choices)


def test_a_misspelled_command_is_an_error_that_names_it() -> None:
    names = commands()
    for name in names:
        for slip in slips(name, *names):
            assert suggests(name, slip, refused(slip).partition("hint:")[2]), slip


@pytest.mark.parametrize("command", ["", *commands()])
def test_a_misspelled_or_shortened_option_is_an_error_that_names_it(command: str) -> None:
    chosen = commands()[command] if command else parser()
    assert not chosen.allow_abbrev
    options = [o for a in chosen._actions for o in a.option_strings if o.startswith("--")]
    assert options
    for option in options:
        for slip in (*slips(option, *options), *(option[:n] for n in range(4, len(option)) if option[:n] not in options)):
            for written in (slip, f"{slip}=1"):
                if slip.startswith("--") and len(slip) > 3:
                    hint = refused(*([command] if command else []), written).partition("hint:")[2]
                    near = any(_one_slip(slip, o) for o in options)
                    assert not near or any(_one_slip(slip, o) and o in hint for o in options), (slip, hint)


# --- mlpc plan --defaults


def defaults(*argv: str, source: str, folder: Path) -> dict[str, tuple[str, str]]:
    """setting -> (value, where it comes from), as `mlpc plan --defaults` prints them and as its JSON has them."""
    file = folder / "m.mlp"
    file.write_text(source, "utf-8")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        assert main(["plan", str(file), "--json", *argv]) == 0
        told = {s["name"]: (s["value"], s["from"]) for s in json.loads(out.getvalue())["settings"]}
        out.seek(out.truncate(0))
        assert main(["plan", str(file), "--defaults", *argv]) == 0
    lines = out.getvalue().partition("\nsettings\n")[2].splitlines()
    assert [re.split(r"  +", line.strip()) for line in lines] == [[name, value, where] for name, (value, where) in told.items()]
    return told


def test_defaults_lists_every_key_with_its_value_and_where_it_comes_from(tmp_path: Path) -> None:
    found = defaults(source=train(), folder=tmp_path)
    assert {key for key in found if "." not in key} == set(settings.KEYS)
    for key, value in settings.DEFAULTS.items():
        assert found[key] == (value, "default")
    assert found["optimizer"] == ("sgd(lr = 0.1)", "line 13") and found["optimizer.lr"] == ("0.1", "line 13")
    assert found["steps"] == ("1", "line 14") and found["epochs"] == ("1", "1 steps of 4 rows, of 4")


@pytest.mark.parametrize("key", settings.DEFAULTS)
def test_what_the_file_or_the_command_line_says_is_told_as_theirs(key: str, tmp_path: Path) -> None:
    value = settings.DEFAULTS[key]
    assert defaults(source=train(f"{key} = {value}"), folder=tmp_path)[key] == (value, "line 15")
    assert defaults("--set", f"train.{key}={value}", source=train(), folder=tmp_path)[key] == (value, "command line")


@pytest.mark.parametrize("name", [name for name, f in standard().items() if f.definition.kind == "update"])
def test_every_number_of_an_optimizer_is_told(name: str, tmp_path: Path) -> None:
    found = defaults("--set", "train.optimizer.lr=0.2", source=train().replace("sgd(lr = 0.1)", f"{name}(0.1)"), folder=tmp_path)
    parameters = standard()[name].definition.parameters[2:]
    assert [key for key in found if key.startswith("optimizer.")] == [f"optimizer.{p.name.id}" for p in parameters]
    for p in parameters:
        value, where = found[f"optimizer.{p.name.id}"]
        if p.name.id == "lr":
            assert (value, where) == ("0.2", "command line")
        else:
            assert p.default is not None and value == p.default.span.text and where.startswith("default, std/optimizers.mlp:")
