"""From bytes to a `Source`, and which newlines count."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from lark import Token

from .syntax import Source

_NEWLINES = re.compile("\r\n|[\r\x85\u2028\u2029]")


def read_source(text: str | bytes, name: str, path: Path | None = None) -> Source:
    """The text with `\\n` as its only newline."""
    decoded = text if isinstance(text, str) else text.decode("utf-8")
    return Source(name, _NEWLINES.sub("\n", decoded), path)


class Newlines:
    """Lark's postlex: a newline inside ( ) or [ ] ends nothing, so the parser never sees it."""

    always_accept = ("_NL",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens without the newlines inside brackets."""
        depth = 0
        for token in stream:
            if token.type in {"LPAR", "LSQB"}:
                depth += 1
            elif token.type in {"RPAR", "RSQB"}:
                depth -= 1
            if token.type != "_NL" or depth <= 0:
                yield token
