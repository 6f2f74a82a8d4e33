"""The parser's tables, made from the grammar once and shipped as tables.json. Run: python -m mlpc.dsl.tables

They hold for one grammar and one version of Lark, and say which; for others the parser is built from the grammar again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import lark
from lark import Lark
from lark.grammar import Rule
from lark.lexer import TerminalDef

from .build import Builder
from .lexing import Newlines
from .scanning import OneScanner

GRAMMAR = Path(__file__).parent / "grammar.lark"
TABLES = Path(__file__).parent / "tables.json"
SHIFT = 0  # how Lark writes the action down; 1 is a reduction
GIVEN = ("postlex", "transformer", "_plugins")  # options that are objects, and given again


def shipped() -> Lark:
    """The parser of the grammar, by the shipped tables if they are of this grammar and this Lark."""
    grammar = GRAMMAR.read_bytes()
    try:
        found = json.loads(TABLES.read_bytes())
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict) or found.get("made of") != _origin(grammar):
        return build(grammar.decode("utf-8"))
    data, memo = found["data"], dict(enumerate(found["memo"]))
    states = {i: {token: (action, to) for token, action, to in row} for i, row in enumerate(found["states"])}
    data["parser"]["parser"] |= {"tokens": dict(enumerate(found["tokens"])), "states": states}
    # what Lark's own standalone parsers begin with
    return Lark._load_from_dict(  # pyright: ignore[reportPrivateUsage]
        data, memo, postlex=Newlines(), transformer=Builder(), _plugins={"ContextualLexer": OneScanner}
    )


def build(grammar: str) -> Lark:
    """The parser of a grammar, its tables worked out."""
    return Lark(grammar, start=["program", "setting"], parser="lalr", lexer="contextual", postlex=Newlines(), transformer=Builder())


def made(parser: Lark) -> str:
    """What tables.json must say for a parser of the grammar: the same text for the same parser."""
    data, memo = parser.memo_serialize([TerminalDef, Rule])
    data["options"] = {name: value for name, value in data["options"].items() if name not in GIVEN}
    table = data["parser"]["parser"]
    tokens, states = table.pop("tokens"), table.pop("states")
    named = {i: {tokens[token]: (action, to) for token, (action, to) in row.items()} for i, row in states.items()}
    order = _order(named, [state for _, state in sorted(table["start_states"].items())])
    place = {state: i for i, state in enumerate(order)}
    for kind in ("start_states", "end_states"):
        table[kind] = {start: place[state] for start, state in sorted(table[kind].items())}
    words = sorted(set(tokens.values()))
    rows = [
        [[words.index(token), action, place[to] if action == SHIFT else to] for token, (action, to) in sorted(named[state].items())]
        for state in order
    ]
    listed = [memo[i] for i in range(len(memo))]
    entries = {"made of": _origin(GRAMMAR.read_bytes()), "tokens": words, "memo": listed, "states": rows, "data": data}
    return "{\n" + ",\n".join(f'"{name}": {_lines(value)}' for name, value in entries.items()) + "\n}\n"


def _order(named: Mapping[int, Mapping[str, tuple[int, Any]]], starts: list[int]) -> list[int]:
    """The states as they are reached from the starts, token by token: Lark numbers them in the order of a set."""
    order = list(starts)
    for state in order:
        order += [to for _, (action, to) in sorted(named[state].items()) if action == SHIFT and to not in order]
    return order


def _origin(grammar: bytes) -> dict[str, str]:
    return {"grammar": hashlib.sha256(grammar).hexdigest(), "lark": lark.__version__}


def _lines(value: object) -> str:
    """JSON, with an entry of a list on a line."""
    if isinstance(value, list):
        return "[\n" + ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in cast("list[object]", value)) + "\n]"
    return json.dumps(value)


if __name__ == "__main__":
    TABLES.write_text(made(build(GRAMMAR.read_text("utf-8"))), "utf-8")
