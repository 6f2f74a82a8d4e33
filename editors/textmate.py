"""A TextMate grammar, which VS Code, Sublime Text, JetBrains' editors and GitHub read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .words import Words

START = r"(?:^|(?<=\{))\s*"  # where a statement begins


def grammar(words: Words) -> str:
    """The grammar as JSON, scopes under `source.mlp`."""
    call = r"(?=\s*\()"
    repository: dict[str, list[dict[str, Any]]] = {
        "comments": [_match("comment.line.documentation", "##.*$"), _match("comment.line.number-sign", "#.*$")],
        "items": [_captures(rf"^\s*({_any(words.items)})\b", "keyword.control")],
        "braces": [_nested(r"\{", r"\}", "comments", "statements", "expression")],
        "statements": [
            _captures(rf"{START}({_any(words.statements)})\b", "keyword.other"),
            _captures(rf"{START}({words.name}'?)\s*(=)(?!=)", "variable.other.assignment", "keyword.operator"),
        ],
        "brackets": [
            _nested(r"\(", r"\)", "comments", "choices", "arguments", "expression"),
            _nested(r"\[", r"\]", "comments", "expression"),
        ],
        "choices": [
            _captures(rf"\b({key})\s*(=)\s*({_any(found)})\b", "variable.parameter", "keyword.operator", "constant.language")
            for key, found in words.choices
        ],
        "arguments": [_captures(rf"\b({words.name})\s*(=)(?!=)", "variable.parameter", "keyword.operator")],
        "expression": [
            {"include": "#brackets"},
            _match("string.quoted.double", words.string),
            _match("constant.numeric", rf"(?<![A-Za-z0-9_]){words.number}"),
            _captures(rf"(\|>)\s*({_any(words.functions)})\b", "keyword.operator", "support.function"),
            _captures(rf"(\|>)\s*({words.name})", "keyword.operator", "entity.name.function"),
            _captures(rf"(~)\s*({_any(words.initializers)})\b", "keyword.operator", "support.function"),
            _captures(rf"(\.)\s*({words.name})", "punctuation.accessor", "variable.other.property"),
            _match("support.function", rf"\b(?:{_any(words.functions)})\b{call}"),
            _match("entity.name.function", rf"\b{words.name}{call}"),
            _match("variable.language", rf"\b(?:{_any(words.reserved)})\b(?!')"),
            _match("variable.other", rf"\b{words.name}'?"),
            _match("keyword.operator", words.operator),
            _match("punctuation.separator", "[,:]"),
        ],
    }
    document = {
        "comment": "made by python -m mlpc.editors",
        "name": "mlpc",
        "scopeName": "source.mlp",
        "fileTypes": ["mlp"],
        "patterns": [{"include": f"#{name}"} for name in ("comments", "items", "braces", "expression")],
        "repository": {name: {"patterns": patterns} for name, patterns in repository.items()},
    }
    return json.dumps(document, indent=1) + "\n"


def _any(found: Iterable[str]) -> str:
    return "|".join(found)


def _match(scope: str, pattern: str) -> dict[str, Any]:
    return {"name": f"{scope}.mlp", "match": pattern}


def _captures(pattern: str, *scopes: str) -> dict[str, Any]:
    """The scopes of the groups, in order."""
    return {"match": pattern, "captures": {str(i): {"name": f"{scope}.mlp"} for i, scope in enumerate(scopes, 1)}}


def _nested(begin: str, end: str, *inside: str) -> dict[str, Any]:
    return {"begin": begin, "end": end, "patterns": [{"include": f"#{name}"} for name in inside]}
