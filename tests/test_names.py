"""A hint that names what was meant: slips of one letter, and whole models with one misspelled name."""

from __future__ import annotations

import random
import re
import string
from pathlib import Path

import pytest

import mlpc
from mlpc.dsl.diagnostics import MlpcError, nearest

MODELS = Path(mlpc.__file__ or "").parent / "models"
TOKEN = re.compile(r"#[^\n]*|\"[^\"\n]*\"|[A-Za-z_][A-Za-z0-9_]*|[0-9.]+(?:e[+-]?[0-9]+)?|\s+|.")
LETTERS = string.ascii_lowercase


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("rl", ["dw", "lr", "w"], "lr"),
        ("E0213", ["E0203", "E0231", "E0233"], "E0231"),
        ("sotfmax", ["log_softmax", "softmax", "softsign"], "softmax"),
        ("rel", ["relu", "relu6"], "relu"),
        ("Relu", ["elu", "relu"], "relu"),
        ("q", ["A", "p", "y"], None),
        ("qqqq", ["relu"], None),
    ],
)
def test_nearest(word: str, known: list[str], meant: str | None) -> None:
    assert nearest(word, known) == meant


def slipped(name: str, draw: random.Random) -> str:
    """One letter of the name dropped, added, replaced, or swapped with its neighbour; never the name itself."""
    while True:
        i = draw.randrange(len(name))
        match draw.choice(("delete", "insert", "replace", "swap")):
            case "delete":
                found = name[:i] + name[i + 1 :]
            case "insert":
                found = name[:i] + draw.choice(LETTERS) + name[i:]
            case "replace":
                found = name[:i] + draw.choice(LETTERS) + name[i + 1 :]
            case _:
                found = name[:i] + name[i + 1 : i + 2] + name[i] + name[i + 2 :]
        if found and found != name and not found[0].isdigit():
            return found


def named(name: str, text: str) -> bool:
    return re.search(rf"\b{name}\b", text) is not None


def misspell(count: int, seed: int) -> tuple[int, list[tuple[str, str, str, str]]]:
    """(how many were faults, those whose hint does not have the right name: file, name, as written, what was said).

    One place of a name of three letters or more is misspelled; where the model still compiles, as after a new name for a
    value that nothing else reads, there is nothing to tell. Where the place is the name's definition, its uses are at
    fault, and what was meant is the word that stands in the definition.
    """
    draw = random.Random(seed)
    gallery = [(p.name, TOKEN.findall(p.read_text("utf-8"))) for p in sorted(MODELS.glob("*.mlp"))]
    faults = 0
    missed: list[tuple[str, str, str, str]] = []
    while faults < count:
        file, tokens = draw.choice(gallery)
        i = draw.choice([i for i, t in enumerate(tokens) if t.isidentifier() and len(t) > 2])
        wrong = slipped(tokens[i], draw)
        try:
            mlpc.loads("".join([*tokens[:i], wrong, *tokens[i + 1 :]]), MODELS)
        except MlpcError as error:
            faults += 1
            told = any(named(tokens[i], d.hint) or (named(tokens[i], d.message) and named(wrong, d.hint)) for d in error.diagnostics)
            if not told:
                missed.append((file, tokens[i], wrong, str(error)))
    return faults, missed


def test_that_of_100_misspelled_names_95_are_told() -> None:
    faults, missed = misspell(300, 0)
    assert len(missed) <= 0.05 * faults, "\n".join(f"{file}: {name} -> {wrong}\n{said}" for file, name, wrong, said in missed)


@pytest.mark.campaign
def test_campaign_of_misspelled_names(seed: int) -> None:
    faults, missed = misspell(3_000, seed)
    print(f"{len(missed)} of {faults} missed: {[(name, wrong) for _, name, wrong, _ in missed]}")
    assert len(missed) <= 0.05 * faults
