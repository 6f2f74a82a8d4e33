"""What there is to colour, each word from the one place that defines it."""

from __future__ import annotations

from importlib.resources import files

from msgspec import Struct

from ..compiler.initializers import SIGNATURES
from ..compiler.vocabulary import BUILTINS, RESERVED, WORDS
from ..dsl.parse import parse, parser

PUNCTUATION = ("(", ")", "[", "]", ",", ":", ".")


class Words(Struct, frozen=True):
    """The language's words in sets of one colour, sorted, and the regular expressions of its terminals."""

    items: tuple[str, ...]  # keywords that begin something outside braces
    statements: tuple[str, ...]  # keywords that begin a statement in braces
    functions: tuple[str, ...]  # of the language and of std
    initializers: tuple[str, ...]
    reserved: tuple[str, ...]
    choices: tuple[tuple[str, tuple[str, ...]], ...]  # a parameter that takes words, and these
    name: str
    number: str
    string: str
    operator: str


def words() -> Words:
    """As grammar.lark, `compiler.vocabulary`, `compiler.initializers` and `std/` have them now."""
    patterns = {t.name: t.pattern.to_regexp().replace("\n", "\\n") for t in parser().terminals}
    signs = [patterns[t.name] for t in parser().terminals if t.pattern.type == "str" and t.pattern.value not in PUNCTUATION]
    return Words(
        items=_keywords("", patterns),
        statements=_keywords("data {", patterns),
        functions=tuple(sorted({*BUILTINS, *_standard()})),
        initializers=tuple(sorted(SIGNATURES)),
        reserved=tuple(sorted(RESERVED)),
        choices=tuple((key, tuple(sorted(WORDS[key]))) for key in sorted(WORDS) if not key.startswith("*")),
        name=patterns["NAME"],
        number=patterns["NUMBER"],
        string=patterns["STRING"],
        operator="|".join([r"\|>", patterns["COMPARE"], *signs]),
    )


def _keywords(text: str, patterns: dict[str, str]) -> tuple[str, ...]:
    """Those that the parser takes after `text`."""
    state = parser().parse_interactive(text, start="program")
    state.exhaust_lexer()
    found = (patterns.get(name, "") for name in state.choices())
    return tuple(sorted(p.removesuffix(r"\b") for p in found if p.endswith(r"\b")))


def _standard() -> list[str]:
    """The names that std defines."""
    texts = sorted((p for p in files("mlpc.std").iterdir() if p.name.endswith(".mlp")), key=lambda p: p.name)
    return [d.name.id for p in texts for d in parse(p.read_text("utf-8"), f"std/{p.name}").definitions]
