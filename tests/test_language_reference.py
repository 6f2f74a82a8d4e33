"""docs/language.md: every example runs, every diagnosis is the one printed, every list is complete.

An example is a ```mlp block: a file from which whole sections may be missing, which `regenerate.completed` adds below it. A
```mlp wrong block is followed by the ```text of its diagnosis. A comment that is a shape, `h = dense(x, 3)  # [N, 3]`, is
compared with the plan, as is `# params: h.W, h.b`. The tables of std stand between markers. `python docs/regenerate.py` rewrites diagnoses and tables.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import mlpc
from mlpc.compiler import initializers, settings, vocabulary
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.format import formatted
from mlpc.runtime import pipes

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("regenerate", ROOT / "docs" / "regenerate.py")
assert spec is not None and spec.loader is not None
regenerate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(regenerate)

TEXT = (ROOT / "docs" / "language.md").read_text("utf-8")
EXAMPLES: list[str] = regenerate.EXAMPLE.findall(TEXT)
WRONG: list[tuple[str, str]] = [(m[1], m[2]) for m in regenerate.WRONG.findall(TEXT)]
SHAPE = re.compile(r"^  (\w+) += .*# (\[[^\]]*\])$", re.MULTILINE)


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def code_in_table(text: str, column: int) -> list[str]:
    """The cells of a column, without backticks, of the tables in a text, heads aside."""
    rows = [re.split(r"(?<!\\)\|", line)[1:] for line in text.split("\n") if line.startswith("| `")]
    return [row[column].strip(" `") for row in rows]


def called(cells: list[str]) -> set[str]:
    """The words of cells like "sum(x)` `mean(x)", without what they are called with."""
    return {word.split("(")[0] for cell in cells for word in cell.split("` `")}


def test_that_every_block_is_of_a_known_kind() -> None:
    heads = re.findall(r"^```(\w.*)$", TEXT, re.MULTILINE)
    assert heads.count("mlp") == len(EXAMPLES) >= 20
    assert heads.count("mlp wrong") == heads.count("text") == len(WRONG) >= 20
    assert set(heads) == {"mlp", "mlp wrong", "text"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.strip().split("\n")[-2 if "\n" in e.strip() else -1].strip()[:40])
def test_an_example_runs(example: str) -> None:
    model = mlpc.loads(regenerate.completed(example), ROOT / "models")
    shapes = {line.target: "[" + ", ".join(map(str, line.shape)) + "]" for line in model.plan.forward}
    written = dict(SHAPE.findall(example))
    assert {name: shapes[name] for name in written} == written
    for names in re.findall(r"^# params: (.*)$", example, re.MULTILINE):
        assert names == ", ".join(p.name for p in model.plan.params)
    assert formatted(example, "example") == example, "mlpc fmt lays it out otherwise"
    model.train()


@pytest.mark.parametrize(("example", "diagnosis"), WRONG, ids=[d.split(":")[0] + d.split("\n")[2][7:40] for _, d in WRONG])
def test_a_wrong_example_is_answered_so(example: str, diagnosis: str) -> None:
    with pytest.raises(MlpcError):
        mlpc.loads(regenerate.completed(example), ROOT / "models")
    assert regenerate.diagnosed(example) == diagnosis, "run: python docs/regenerate.py"


def test_the_tables_are_those_of_std() -> None:
    names = [m[1] for m in regenerate.TABLE.findall(TEXT)]
    assert sorted(names) == sorted(p.stem for p in (ROOT / "std").glob("*.mlp"))
    assert regenerate.TABLE.sub(lambda m: m[1] + regenerate.std_table(m[2]) + m[3], TEXT) == TEXT, "run: python docs/regenerate.py"


def test_the_train_table_names_every_key_with_its_default() -> None:
    table = section("train")
    written = dict(zip(code_in_table(table, 0), code_in_table(table, 1), strict=True))
    assert written == {key: settings.DEFAULTS.get(key, "") for key in settings.KEYS}


def test_the_lists_of_words_are_complete() -> None:
    functions = called(code_in_table(section("Functions of the language"), 0))
    assert functions | called(code_in_table(section("Reductions"), 0)) == set(vocabulary.BUILTINS)
    assert called(code_in_table(section("Params and initialisers"), 0)) == set(initializers.SIGNATURES)
    assert called(code_in_table(section("data"), 0)) == set(pipes.PIPES)
    reserved = re.search(r"^(.*) cannot be assigned", section("Text and names"), re.MULTILINE)
    assert reserved and set(re.findall(r"`(\w+)`", reserved[1])) == set(vocabulary.RESERVED)
    assert set(code_in_table(section("Facts"), 0)) == set(vocabulary.WORDS["*facts"])
