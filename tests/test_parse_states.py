"""Every state of the parser has words for what it accepts, and a user reads them: the parse table is walked, and each state reached."""

from __future__ import annotations

import re
from collections import deque

import pytest
from lark.parsers.lalr_analysis import Shift
from lark.parsers.lalr_parser_state import ParserState

from mlpc.dsl.diagnostics import MlpcError
from mlpc.dsl.faults import expected_at, in_words
from mlpc.dsl.parse import parse, parse_expression, parser

STARTS = ("program", "setting")
WRITTEN = {
    "_NL": "\n", "LBRACE": "{", "RBRACE": "}", "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "NAME": "a", "PRIMED": "a'", "NUMBER": "1",
    "STRING": '"s"', "EQUAL": "=", "TILDE": "~", "COMMA": ",", "COLON": ":", "DOT": ".", "PIPE": "|>", "COMPARE": "<", "PLUS": "+",
    "MINUS": "-", "STAR": "*", "SLASH": "/", "AT": "@", "CARET": "^", **{word: word.lower() for word in (
        "DATA", "MODEL", "TRAIN", "FN", "BLOCK", "UPDATE", "IMPORT", "LOSS", "REPORT", "FROM", "PARAM", "STATE", "RETURN")},
}  # fmt: skip
INTERNAL = re.compile(r"\b_?[A-Z]{2,}\b|__|\$|ANON")  # as Lark names terminals
SIGNS = [*"()[]{},.:=~<+-*/@^", "|>", "1", '"s"', "a", "a'", "data", "param", "report", ""]
Stack = tuple[int, ...]
Reached = dict[tuple[int, frozenset[str]], tuple[str, ...]]


def begun(start: str) -> ParserState[int]:
    return parser().parse_interactive("\n", start=start).parser_state


TABLE = begun("program").parse_conf.states  # one for both starts
ENDS = {start: begun(start).parse_conf.end_state for start in STARTS}


def fed(stack: Stack, terminal: str, end: int) -> Stack | None:
    """The stack once the terminal is read; None if it cannot be, which only shows after some reductions."""
    while stack[-1] != end:
        if terminal not in TABLE[stack[-1]]:
            return None
        action, to = TABLE[stack[-1]][terminal]
        if action is Shift:
            return (*stack, to)
        stack = stack[: len(stack) - len(to.expansion)]
        stack = (*stack, TABLE[stack[-1]][to.origin.name][1])
    return stack if terminal == "$END" else None


def reached(start: str) -> Reached:
    """The states that wait for a token, each with what can really come there, and the shortest tokens that lead to it."""
    found: Reached = {}
    seen: set[tuple[Stack, frozenset[str]]] = set()
    waiting: deque[tuple[Stack, tuple[str, ...]]] = deque([(tuple(begun(start).state_stack), ())])
    while waiting:
        stack, tokens = waiting.popleft()
        following = {t: s for t in (*WRITTEN, "$END") if (s := fed(stack, t, ENDS[start])) is not None}
        state = begun(start)
        state.state_stack[:] = stack
        assert expected_at(state) == set(following), tokens
        found.setdefault((stack[-1], frozenset(following)), tokens)
        if (here := (stack[-3:], frozenset(following))) not in seen:
            seen.add(here)
            waiting.extend((s, (*tokens, t)) for t, s in following.items() if t != "$END")
    return found


REACHED = {start: reached(start) for start in STARTS}


def shared(accepted: list[frozenset[str]]) -> list[str]:
    """Words that are none, that name something internal, or that stand for two sets of terminals."""
    whose: dict[str, frozenset[str]] = {}
    return [w for a in accepted if not (w := in_words(a)) or INTERNAL.search(w) or whose.setdefault(w, a) != a]


def test_every_state_of_the_table_has_words_and_no_two_share_them_unless_they_accept_the_same() -> None:
    terminals = {state: frozenset(t for t in actions if t in WRITTEN or t == "$END") for state, actions in TABLE.items()}
    assert {t.name for t in parser().terminals if t.name.strip("_").isalpha() and t.name != "IGNORE"} == set(WRITTEN)
    assert all(name in WRITTEN or name == "$END" or name.islower() or "{" in name or "__" in name for a in TABLE.values() for name in a)
    assert {state for state, accepted in terminals.items() if not accepted} == set(ENDS.values())
    assert len(terminals) > 150
    assert shared([a for state, a in terminals.items() if state not in ENDS.values()]) == []


def test_every_state_that_waits_for_a_token_is_reached_and_what_can_really_come_has_words_of_its_own() -> None:
    shifted = {to for actions in TABLE.values() for name, (action, to) in actions.items() if action is Shift and name in WRITTEN}
    assert {state for found in REACHED.values() for state, _ in found} >= shifted
    assert shared([accepted for found in REACHED.values() for _, accepted in found]) == []


def test_that_shared_and_empty_words_are_found() -> None:
    assert shared([frozenset({"LPAR"}), frozenset({"LPAR"})]) == []
    assert shared([frozenset({"LPAR"}), frozenset({"LPAR", "UNHEARD"})]) == ["`(`"]
    assert shared([frozenset({"UNHEARD"})]) == [""]


# --- what is really said there


def said(start: str, tokens: tuple[str, ...], sign: str) -> list[tuple[str, str]]:
    """Message and hint of each diagnosis at a sign that is written after the tokens."""
    before = " ".join(WRITTEN[t] for t in tokens)
    try:
        if start == "setting":
            parse_expression(f"{before} {sign}")
        else:
            parse(f"{before} {sign}", "t.mlp")
    except MlpcError as error:
        return [(d.message, d.hint) for d in error.diagnostics if d.span and d.span.start in {len(before), len(before) + 1}]
    return []


@pytest.mark.parametrize("start", STARTS)
def test_a_sign_without_meaning_is_answered_in_every_state_with_its_words(start: str) -> None:
    for (_, accepted), tokens in REACHED[start].items():
        assert ("`?` has no meaning in the language", f"needed here: {in_words(accepted)}") in said(start, tokens, "?"), tokens


@pytest.mark.parametrize("start", STARTS)
def test_a_wrong_token_is_answered_with_the_words_of_its_state_or_with_what_was_meant(start: str) -> None:
    plain = meant = 0
    for (_, accepted), tokens in REACHED[start].items():
        for sign in SIGNS:
            for message, hint in said(start, tokens, sign):
                assert not INTERNAL.search(message + hint), (tokens, sign)
                if "; needed: " in message:
                    assert message.endswith(f"; needed: {in_words(accepted)}"), (tokens, sign)
                    plain += 1
                else:
                    meant += 1
    assert plain > 500 and meant > 100
