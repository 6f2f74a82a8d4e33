"""What a text that parses may still get wrong: statements out of place, sections twice, numbers and depths too large."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec.structs import replace

from .diagnostics import Diagnostic
from .syntax import (
    Arg,
    Assign,
    Call,
    Check,
    Definition,
    Expr,
    From,
    Import,
    Number,
    Param,
    Prime,
    Return,
    Section,
    Span,
    State,
    Statement,
    children,
)

Item = Section | Definition | Import | Assign | tuple[Arg, ...]
DEPTH = 250  # operations inside operations; far below any recursion limit of those who walk the syntax

_WORDING: dict[type[Statement], str] = {
    From: "`from`",
    Param: "`param`",
    State: "`state`",
    Assign: "a value",
    Prime: "the value after the step",
    Return: "`return`",
    Check: "a call that stands alone",
}
_PLACES: dict[str, tuple[type[Statement], ...]] = {
    "data": (From, Assign),
    "model": (Param, State, Assign, Prime, Check),
    "train": (Assign,),
    "fn": (Assign, Return, Check),
    "block": (Param, State, Assign, Prime, Return, Check),
    "update": (State, Assign, Prime, Check),
}


def checked(items: tuple[Item, ...]) -> list[Diagnostic]:
    """Every fault of the items of one file: E0104, E0105, E0107, E0108."""
    found = _twice(items)
    for item in items:
        match item:
            case Section(keyword=keyword, body=body):
                found += _misplaced(keyword.id, body)
            case Definition(kind=kind, body=body):
                found += _misplaced(kind, body)
                found += _after_return(body)
            case tuple():
                found += [_not_reported(arg) for arg in item if arg.name is None and not isinstance(arg.value, Call)]
            case _:
                pass
        for value in _values(item):
            found += checked_value(value)
    return found


def placed(items: tuple[Item, ...]) -> tuple[tuple[Item, ...], frozenset[str]]:
    """The items without the statements of sections and of the report that `checked` tells; and the names that these give."""
    kept: list[Item] = []
    lost: set[str] = set()
    first: set[str] = set()
    for item in items:
        word = item.keyword.id if isinstance(item, Section) else item.name.id if isinstance(item, Assign) else ""
        again = word in first
        first |= {word} - {""}
        match item:
            case Section(body=body):
                sound = () if again else tuple(s for s in body if type(s) in _PLACES[word])
                lost |= {s.name.id for s in body if s not in sound and isinstance(s, (Param, State, Assign))}
                kept += [] if again else [replace(item, body=sound)]
            case tuple():
                kept.append(tuple(arg for arg in item if arg.name is not None or isinstance(arg.value, Call)))
            case _:
                kept += [] if again else [item]
    return tuple(kept), frozenset(lost)


def checked_value(value: Expr) -> list[Diagnostic]:
    """Numbers that overflow float64 (E0105) and a tree that is too deep (E0104), found without recursion."""
    found: list[Diagnostic] = []
    deepest = 0
    stack = [(value, 0)]
    while stack:
        node, depth = stack.pop()
        deepest = max(deepest, depth)
        if isinstance(node, Number) and math.isinf(float(node.text)):
            message = "a number is at most 1.7976931348623157e+308"
            found.append(Diagnostic("E0105", node.span, message, "write a smaller one"))
        stack.extend((child, depth + 1) for child in children(node))
    if deepest > DEPTH:
        message = f"{deepest} operations stand one inside another here; {DEPTH} is the most"
        found.append(Diagnostic("E0104", value.span, message, "give parts of it names of their own"))
    return found


def missing_returns(definitions: tuple[Definition, ...]) -> list[Diagnostic]:
    """Each `fn` and `block` must return something: E0209."""
    return [
        Diagnostic("E0209", d.name.span, f"the {d.kind} `{d.name.id}` returns nothing", "end its body with `return ...`")
        for d in definitions
        if d.kind != "update" and not any(isinstance(s, Return) for s in d.body)
    ]


def _twice(items: tuple[Item, ...]) -> list[Diagnostic]:
    first: dict[str, Span] = {}
    found: list[Diagnostic] = []
    for item in items:
        word = item.keyword if isinstance(item, Section) else item.name if isinstance(item, Assign) else None
        if word is None:
            continue
        before = first.setdefault(word.id, word.span)
        if before is not word.span:
            hint = "add the terms up in one `loss`" if word.id == "loss" else "put the statements of both into one"
            found.append(Diagnostic("E0108", word.span, f"`{word.id}` stands on line {before.line} already", hint))
    return found


def _misplaced(kind: str, body: tuple[Statement, ...]) -> list[Diagnostic]:
    return [
        Diagnostic("E0107", _head(s), f"{_WORDING[type(s)]} has no place in `{kind}`", _where(kind, type(s)))
        for s in body
        if type(s) not in _PLACES[kind]
    ]


def _head(statement: Statement) -> Span:
    """The statement as far as its name."""
    match statement:
        case Param(name=name) | State(name=name) | Prime(name=name) | Assign(name=name):
            return statement.span.to(name.span)
        case _:
            return statement.span


def _where(kind: str, statement: type[Statement]) -> str:
    if kind == "train" and statement is not Assign:
        return "settings are written name = value"
    if kind == "model" and statement is Return:
        return "the value of the model's last line is its output"
    if kind == "fn" and statement in {Param, State, Prime}:
        return "what owns a param or a state is a `block`"
    if kind == "update" and statement is Return:
        return "the new value of the parameter w is written w' = ..."
    places = [place for place, allowed in _PLACES.items() if statement in allowed]
    return f"it belongs in {', '.join(f'`{p}`' for p in places[:-1])}{' or ' if places[1:] else ''}`{places[-1]}`"


def _after_return(body: tuple[Statement, ...]) -> list[Diagnostic]:
    message = "a statement follows this `return`"
    return [Diagnostic("E0107", s.span, message, "`return` is the last statement") for s in body[:-1] if isinstance(s, Return)]


def _not_reported(arg: Arg) -> Diagnostic:
    message = "a report lists calls, or expressions with a name"
    return Diagnostic("E0107", arg.span, message, "write accuracy(p, y), or name = expression")


def _values(item: Item) -> Iterator[Expr]:
    """Every expression of an item that is in no other expression."""
    match item:
        case Section(body=body):
            yield from _body_values(body)
        case Definition(parameters=parameters, body=body):
            yield from (p.default for p in parameters if p.default is not None)
            yield from _body_values(body)
        case Assign(value=value):
            yield value
        case tuple():
            yield from (arg.value for arg in item)
        case Import():
            pass


def _body_values(body: tuple[Statement, ...]) -> Iterator[Expr]:
    for statement in body:
        match statement:
            case Param(dims=dims, init=init) | State(dims=dims, init=init):
                yield from dims or ()
                yield init
            case Assign(value=value) | Prime(value=value) | Return(value=value):
                yield value
            case Check(call=call):
                yield call
            case From():
                pass
