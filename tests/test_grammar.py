"""The grammar is small and unambiguous. Lark resolves a shift/reduce conflict silently, so its log is read."""

import logging

import pytest
from lark import Lark
from lark.exceptions import GrammarError
from lark.utils import logger

from mlpc.dsl import parse as parsing
from mlpc.dsl.lexing import Newlines

GRAMMAR = (parsing.Path(parsing.__file__).parent / "grammar.lark").read_text(encoding="utf-8")


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
