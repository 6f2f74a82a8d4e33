"""The one scanner gives what Lark's contextual lexer gives: the same tokens, and where it ends in a fault the same fault."""

from __future__ import annotations

import json
import random
from pathlib import Path

import lark
import pytest
from lark import Lark, UnexpectedInput
from lark.lexer import PatternStr

from mlpc.dsl import tables
from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.lexing import SOURCE
from mlpc.dsl.scanning import OneScanner
from mlpc.dsl.syntax import Source

ROOT = Path(__file__).parents[1]
TEXTS = sorted([*ROOT.glob("models/**/*.mlp"), *ROOT.glob("std/*.mlp"), *ROOT.glob("tests/bad/**/*.mlp")])
WORDS = [
    "data", "model", "train", "fn", "block", "update", "import", "loss", "report", "from", "param", "state", "return", "database", "a", "w'",
    "data'", "_", "1", "1.5e3", ".5", "1.", '"s"', '"', "#c", "\n", "\n  |> ", "\n}", "{\n", "{", "}", "(", ")", "[", "]", ",", ".", ":", "=",
    "==", "<=", "<", "!", "~", "+", "-", "*", "**", "/", "@", "^", "|>", "|", " ", "\t", "\\", "$",
]  # fmt: skip

pytestmark = pytest.mark.skipif(
    json.loads(tables.TABLES.read_text("utf-8"))["made of"]["lark"] != lark.__version__, reason="of another Lark, with which it is not used"
)


@pytest.fixture(scope="module")
def parsers() -> tuple[Lark, Lark]:
    return tables.shipped(), tables.build(tables.GRAMMAR.read_text("utf-8"))


def read(parser: Lark, text: str, start: str) -> list[object]:
    """Each token with its place, and what was wrong at the end."""
    token = SOURCE.set(Source("t.mlp", text))
    reading = parser.parse_interactive(text, start)
    found: list[object] = []
    try:
        for piece in reading.lexer_thread.lex(reading.parser_state):
            found.append((piece.type, piece.value, piece.start_pos, piece.end_pos, piece.line, piece.column, piece.end_line))
            reading.feed_token(piece)
    except UnexpectedInput as error:
        lists = [frozenset(getattr(error, name, None) or ()) for name in ("allowed", "expected", "accepts")]
        found.append((type(error), error.pos_in_stream, getattr(error, "token", None), lists, str(error).splitlines()[0]))
    except MlpcError as error:
        found.append(str(error))
    finally:
        SOURCE.reset(token)
    return found


def test_it_is_the_one_that_reads(parsers) -> None:
    assert isinstance(parsers[0].parser.lexer.lexer, OneScanner)
    assert not isinstance(parsers[1].parser.lexer.lexer, OneScanner)


def test_no_pattern_matches_a_word_in_quotes(parsers) -> None:
    """Lark would give such a word the name of the word where the pattern finds it, which the one scanner does not."""
    quoted = {t.name for t in parsers[1].terminals if isinstance(t.pattern, PatternStr)}
    root = parsers[1].parser.lexer.lexer.root_lexer
    assert root.scanner.allowed_types >= quoted
    assert root.callback == {}


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_of_files(parsers, path) -> None:
    text = path.read_bytes().decode("utf-8", "replace") + "\n"
    one, lark_s = (read(parser, text, "program") for parser in parsers)
    assert one == lark_s


def test_of_random_texts(parsers) -> None:
    rng = random.Random(0)
    whole = [path.read_text("utf-8") for path in TEXTS if "bad" not in path.parts]
    for i in range(3000):
        if i % 2:
            text = " ".join(rng.choices(WORDS, k=rng.randrange(1, 12))) + "\n"
        else:  # a text that goes on as another, or with a word that has no place there
            text = rng.choice(whole)
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(WORDS) + text[at + rng.randrange(3) :]
        start = rng.choice(["program", "program", "setting"])
        one, lark_s = (read(parser, text, start) for parser in parsers)
        assert one == lark_s, text
