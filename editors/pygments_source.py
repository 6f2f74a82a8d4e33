"""The text of `pygments_lexer.py`: a lexer that needs Pygments and nothing of mlpc's when it runs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from .words import Words

TEXT = '''"""Pygments lexer for `.mlp`, made by `python -m mlpc.editors`: change that, not this file."""

# pyright: reportIncompatibleVariableOverride=false
from __future__ import annotations

from pygments.lexer import RegexLexer, bygroups, include, words
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Whitespace

ITEMS = [
@items@
]  # fmt: skip
STATEMENTS = [
@statements@
]  # fmt: skip
FUNCTIONS = [
@functions@
]  # fmt: skip
INITIALIZERS = [
@initializers@
]  # fmt: skip
RESERVED = [
@reserved@
]  # fmt: skip

NAME = r"@name@"
START = r"((?:^|(?<=\\{))[ \\t]*)"  # where a statement begins


class MlpLexer(RegexLexer):
    """Models of mlpc."""

    name = "mlpc"
    aliases = ["mlp", "mlpc"]
    filenames = ["*.mlp"]

    tokens = {
        "root": [
            (words(ITEMS, prefix=r"^([ \\t]*)", suffix=r"\\b"), bygroups(Whitespace, Keyword)),
            (r"\\{", Punctuation, "braces"),
            include("expression"),
        ],
        "braces": [
            (words(STATEMENTS, prefix=START, suffix=r"\\b"), bygroups(Whitespace, Keyword)),
            (rf"{START}({NAME}'?)([ \\t]*)(=)(?!=)", bygroups(Whitespace, Name.Variable, Whitespace, Operator)),
            (r"\\}", Punctuation, "#pop"),
            include("expression"),
        ],
        "parentheses": [
@choices@
            (rf"({NAME})(\\s*)(=)(?!=)", bygroups(Name.Attribute, Whitespace, Operator)),
            (r"\\)", Punctuation, "#pop"),
            include("expression"),
        ],
        "squares": [
            (r"\\]", Punctuation, "#pop"),
            include("expression"),
        ],
        "expression": [
            (r"\\n+", Whitespace),  # apart from blanks: what begins a line is known by its begin
            (r"[ \\t]+", Whitespace),
            (r"##.*", String.Doc),
            (r"#.*", Comment.Single),
            (r'@string@', String.Double),
            (r"@number@", Number),
            (words(FUNCTIONS, prefix=r"(\\|>)(\\s*)", suffix=r"\\b"), bygroups(Operator, Whitespace, Name.Builtin)),
            (rf"(\\|>)(\\s*)({NAME})", bygroups(Operator, Whitespace, Name.Function)),
            (words(INITIALIZERS, prefix=r"(~)(\\s*)", suffix=r"\\b"), bygroups(Operator, Whitespace, Name.Builtin)),
            (rf"(\\.)(\\s*)({NAME})", bygroups(Punctuation, Whitespace, Name.Attribute)),
            (words(FUNCTIONS, suffix=r"\\b(?=\\s*\\()"), Name.Builtin),
            (rf"{NAME}(?=\\s*\\()", Name.Function),
            (words(RESERVED, suffix=r"\\b(?!')"), Name.Builtin.Pseudo),
            (rf"{NAME}'?", Name),
            (r"@operator@", Operator),
            (r"\\(", Punctuation, "parentheses"),
            (r"\\[", Punctuation, "squares"),
            (r"[,:]", Punctuation),
        ],
    }
'''
CHOICE = '            (r"({key})(\\s*)(=)(\\s*)({found})\\b", bygroups(Name.Attribute, Whitespace, Operator, Whitespace, Name.Constant)),'


def lexer(words: Words) -> str:
    """The module's text."""
    lists = {
        "items": words.items, "statements": words.statements, "functions": words.functions, "initializers": words.initializers,
        "reserved": words.reserved,
    }  # fmt: skip
    text = TEXT
    for name, found in lists.items():
        text = text.replace(f"@{name}@", _wrapped(found))
    choices = "\n".join(CHOICE.format(key=key, found="|".join(found)) for key, found in words.choices)
    patterns = {"name": words.name, "string": words.string, "number": words.number, "operator": words.operator, "choices": choices}
    for name, pattern in patterns.items():
        text = text.replace(f"@{name}@", pattern)
    return text


def _wrapped(found: Iterable[str]) -> str:
    quoted = ", ".join(f'"{word}"' for word in found) + ","
    return textwrap.fill(quoted, 120, initial_indent="    ", subsequent_indent="    ")
