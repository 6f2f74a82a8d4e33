"""One pattern for the terminals of all states of the parser, where Lark's contextual lexer compiles one for each state that is met.

What the one pattern finds is what a state's own would find, if the state accepts it: both try the terminals in the same order, and what
the state does not accept would only be left out. Where it does not, as for a name that is a keyword elsewhere, the state's own pattern is made after
all. So the tokens and the faults are Lark's; tests/test_scanning.py compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from typing import Any, cast

from lark.common import LexerConf
from lark.lexer import AbstractBasicLexer, BasicLexer, ContextualLexer, Scanner


class OneScanner(ContextualLexer):
    """A contextual lexer of a grammar in which no pattern matches a whole word in quotes; `Lark(_plugins={"ContextualLexer": OneScanner})`."""

    def __init__(self, conf: LexerConf, states: Mapping[int, Collection[str]], always_accept: Collection[str] = ()) -> None:
        everything = copy(conf)
        everything.skip_validation = True
        self.root_lexer = root = BasicLexer(everything)
        one = Scanner(root.terminals, conf.g_regex_flags, conf.re_module, conf.use_bytes)
        always = frozenset({*conf.ignore, *always_accept})
        self.lexers = cast("dict[int, AbstractBasicLexer]", _Lexers(everything, one, states, always))


class _Lexers(dict[int, "_Lexer"]):
    """The lexer of each state, made when the parser is in it first."""

    def __init__(self, conf: LexerConf, one: Scanner, states: Mapping[int, Collection[str]], always: frozenset[str]) -> None:
        super().__init__()
        self.conf, self.one, self.states, self.always = conf, one, states, always
        self.alike: dict[frozenset[str], _Lexer] = {}

    def __missing__(self, state: int) -> _Lexer:
        accepted = self.always.union(self.states[state])
        if accepted not in self.alike:
            conf = copy(self.conf)
            conf.terminals = [conf.terminals_by_name[name] for name in accepted if name in conf.terminals_by_name]
            self.alike[accepted] = _Lexer(conf, self.one, accepted)
        self[state] = found = self.alike[accepted]
        return found


class _Lexer(BasicLexer):
    """Of the states that accept the same."""

    def __init__(self, conf: LexerConf, one: Scanner, accepted: frozenset[str]) -> None:
        super().__init__(conf)
        self.one, self.accepted, self.callback = one, accepted, {}

    def match(self, text: Any, pos: int) -> tuple[str, str] | None:
        """The text at a place, and its terminal; None if it is none that is accepted."""
        found = self.one.match(text, pos)
        return found if found is not None and found[1] in self.accepted else super().match(text, pos)
