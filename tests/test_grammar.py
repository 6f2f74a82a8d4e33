"""The grammar is small and unambiguous. Lark resolves a shift/reduce conflict silently, so its log is read."""

import json
import logging
from pathlib import Path

import lark
import pytest
from lark import Lark
from lark.exceptions import GrammarError
from lark.utils import logger

from mlpc.dsl import parse as parsing
from mlpc.dsl import tables
from mlpc.dsl.lexing import Newlines

GRAMMAR = tables.GRAMMAR.read_text(encoding="utf-8")
SHIPPED = tables.TABLES.read_text(encoding="utf-8")


def conflicts(grammar: str, caplog: pytest.LogCaptureFixture) -> list[str]:
    """What Lark's analysis says in its debug log; the logger is put back as it was."""
    level = logger.level
    logger.addHandler(caplog.handler)
    logger.setLevel(logging.DEBUG)
    try:
        Lark(grammar, start=["program", "setting"], parser="lalr", lexer="contextual", postlex=Newlines(), debug=True)
    except GrammarError as error:
        return [str(error)]
    finally:
        logger.setLevel(level)
        logger.removeHandler(caplog.handler)
    return [r.getMessage() for r in caplog.records if "onflict" in r.getMessage()]


def test_no_conflict(caplog: pytest.LogCaptureFixture) -> None:
    assert conflicts(GRAMMAR, caplog) == []


@pytest.mark.parametrize(
    ("rule", "ambiguous", "kind"),
    [
        ("?power: postfix\n", "?power: postfix\n      | power CARET power\n", "Shift/Reduce"),  # x^y^z either way
        ("?item: section", "other: DATA body\n?item: section | other", "Reduce/Reduce"),  # a section or another
    ],
)
def test_that_an_ambiguous_grammar_is_caught(rule: str, ambiguous: str, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    assert rule in GRAMMAR
    found = conflicts(GRAMMAR.replace(rule, ambiguous), caplog)
    assert found
    assert kind in found[0]


def test_small() -> None:
    rules = {rule.origin.name for rule in parsing.parser().rules}
    written = {name for name in rules if not name.startswith("_")}
    assert len(written) < 60, sorted(written)


def test_one_parser_a_process() -> None:
    assert parsing.parser() is parsing.parser()
    assert parsing.parser().options.cache is False


@pytest.mark.skipif(json.loads(SHIPPED)["made of"]["lark"] != lark.__version__, reason="the tables are of another Lark, and not used")
def test_the_shipped_tables_are_those_of_the_grammar() -> None:
    assert tables.made(tables.build(GRAMMAR)) == SHIPPED, "make tables"
    assert parsing.parser().source_path == "<deserialized>", "and the parser is made by them"
    assert tables.made(parsing.parser()) == SHIPPED, "all of them"


OTHERS = {
    "missing": None,
    "cut short": SHIPPED[:1000],
    "no text": b"\xff\x00",
    "a list": "[]",
    "of another grammar": SHIPPED.replace(json.loads(SHIPPED)["made of"]["grammar"], "0" * 64),
    "of another Lark": SHIPPED.replace(f'"lark": "{json.loads(SHIPPED)["made of"]["lark"]}"', '"lark": "0.0.0"'),
}


@pytest.mark.parametrize("text", OTHERS.values(), ids=OTHERS.keys())
def test_without_tables_of_this_grammar_and_this_lark_they_are_worked_out(
    text: str | bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "TABLES", tmp_path / "tables.json")
    if text is not None:
        tables.TABLES.write_bytes(text if isinstance(text, bytes) else text.encode())
    made = tables.shipped()
    assert made.source_path != "<deserialized>"
    assert tables.made(made) == tables.made(parsing.parser())
