"""From the parser's reductions to the frozen syntax, bottom-up: no tree is walked, nothing recurses."""

from __future__ import annotations

from typing import TypeVar

from lark import Token, Transformer, v_args
from msgspec.structs import replace

from .checks import Item
from .lexing import SOURCE
from .syntax import (
    Arg,
    Assign,
    Binary,
    Call,
    Check,
    Definition,
    Expr,
    From,
    Import,
    Matrix,
    Member,
    Name,
    Number,
    Param,
    Parameter,
    Prime,
    Return,
    Section,
    Slice,
    Span,
    State,
    Statement,
    Subscript,
    Text,
    Unary,
)

_T = TypeVar("_T")
Body = tuple[tuple[Statement, ...], Span]


def span_of(token: Token) -> Span:
    """The visible text of a token, without the newlines that braces and pipes swallow."""
    start, end = token.start_pos or 0, token.end_pos or 0
    match token.type:
        case "LBRACE":
            end = start + 1
        case "RBRACE":
            start = end - 1
        case "PIPE":
            start = end - 2
        case _:
            pass
    return Span(SOURCE.get(), start, end)


def _name(token: Token) -> Name:
    return Name(str(token), span_of(token))


def _text(token: Token) -> Text:
    return Text(token[1:-1], span_of(token))


def _given(items: tuple[_T | None, ...]) -> tuple[_T, ...]:
    return tuple(item for item in items if item is not None)


@v_args(inline=True)
class Builder(Transformer[Token, object]):
    """One method a rule or alias of grammar.lark."""

    # --- the file

    def program(self, *items: Item) -> tuple[Item, ...]:
        return items

    def setting(self, value: Expr) -> Expr:
        return value

    def section(self, keyword: Token, body: Body) -> Section:
        return Section(_name(keyword), body[0], span_of(keyword).to(body[1]))

    def short_fn(self, keyword: Token, name: Token, parameters: tuple[Parameter, ...], value: Expr) -> Definition:
        body = (Return(value, value.span),)
        return self._definition(keyword, name, parameters, body, value.span)

    def definition(self, keyword: Token, name: Token, parameters: tuple[Parameter, ...], body: Body) -> Definition:
        return self._definition(keyword, name, parameters, *body)

    def _definition(
        self, keyword: Token, name: Token, parameters: tuple[Parameter, ...], body: tuple[Statement, ...], end: Span
    ) -> Definition:
        start = span_of(keyword)
        return Definition(str(keyword), _name(name), parameters, body, _doc(start), start.to(end))

    def parameters(self, *parameters: Parameter | None) -> tuple[Parameter, ...]:
        return _given(parameters)

    def parameter(self, name: Token, default: Expr | None) -> Parameter:
        span = span_of(name)
        return Parameter(_name(name), default, span.to(default.span) if default else span)

    def import_file(self, keyword: Token, path: Token) -> Import:
        return Import(_text(path), span_of(keyword).to(span_of(path)))

    def loss(self, keyword: Token, value: Expr) -> Assign:
        return Assign(_name(keyword), value, span_of(keyword).to(value.span))

    def report(self, keyword: Token, *args: Arg) -> tuple[Arg, ...]:
        return args

    # --- statements

    def body(self, opening: Token, *rest: Statement | Token | None) -> Body:
        *statements, closing = rest
        assert isinstance(closing, Token)
        return tuple(s for s in statements if s is not None and not isinstance(s, Token)), span_of(closing)

    def from_file(self, keyword: Token, path: Token) -> From:
        return From(_text(path), span_of(keyword).to(span_of(path)))

    def param(self, keyword: Token, name: Token, dims: tuple[Expr, ...] | None, init: Expr) -> Param:
        return Param(_name(name), dims or (), init, span_of(keyword).to(init.span))

    def state(self, keyword: Token, name: Token, dims: tuple[Expr, ...] | None, init: Expr) -> State:
        return State(_name(name), dims, init, span_of(keyword).to(init.span))

    def assign(self, name: Token, value: Expr) -> Assign:
        return Assign(_name(name), value, span_of(name).to(value.span))

    def prime(self, name: Token, value: Expr) -> Prime:
        span = span_of(name)
        return Prime(Name(name[:-1], Span(span.source, span.start, span.end - 1)), value, span.to(value.span))

    def return_value(self, keyword: Token, value: Expr) -> Return:
        return Return(value, span_of(keyword).to(value.span))

    def check(self, call: Call) -> Check:
        return Check(call, call.span)

    def dims(self, *items: Expr | None) -> tuple[Expr, ...]:
        return _given(items)

    # --- expressions

    def pipe_name(self, value: Expr, _: Token, function: Token) -> Call:
        return Call(_name(function), (Arg(None, value, value.span),), True, value.span.to(span_of(function)))

    def pipe_call(self, value: Expr, _: Token, call: Call) -> Call:
        return Call(call.function, (Arg(None, value, value.span), *call.args), True, value.span.to(call.span))

    def binary(self, left: Expr, op: Token, right: Expr) -> Binary:
        return Binary(str(op), left, right, left.span.to(right.span))

    def negative(self, op: Token, value: Expr) -> Unary:
        return Unary("-", value, span_of(op).to(value.span))

    def slice(self, value: Expr, *rest: Subscript | Token) -> Slice:
        subscripts = tuple(s for s in rest if isinstance(s, Subscript))
        closing = rest[-1]
        assert isinstance(closing, Token)
        return Slice(value, subscripts, value.span.to(span_of(closing)))

    def number(self, token: Token) -> Number:
        return Number(str(token), span_of(token))

    def string(self, token: Token) -> Text:
        return _text(token)

    def name(self, token: Token) -> Name:
        return _name(token)

    def member(self, *tokens: Token) -> Member:
        parts = tuple(_name(t) for t in tokens)
        return Member(parts, parts[0].span.to(parts[-1].span))

    def parenthesised(self, opening: Token, value: Expr, closing: Token) -> Expr:
        return replace(value, span=span_of(opening).to(span_of(closing)))

    def matrix(self, opening: Token, *rest: Expr | Token | None) -> Matrix:
        items = tuple(e for e in rest if e is not None and not isinstance(e, Token))
        closing = rest[-1]
        assert isinstance(closing, Token)
        return Matrix(items, span_of(opening).to(span_of(closing)))

    def call(self, function: Token, *rest: Arg | Token | None) -> Call:
        args = tuple(a for a in rest if isinstance(a, Arg))
        closing = rest[-1]
        assert isinstance(closing, Token)
        return Call(_name(function), args, False, span_of(function).to(span_of(closing)))

    def arg(self, value: Expr) -> Arg:
        return Arg(None, value, value.span)

    def named_arg(self, name: Token, value: Expr) -> Arg:
        return Arg(_name(name), value, span_of(name).to(value.span))

    def index(self, value: Expr) -> Subscript:
        return Subscript(value, None, True, value.span)

    def range(self, start: Expr | None, colon: Token, stop: Expr | None) -> Subscript:
        span = span_of(colon)
        first, last = start.span if start else span, stop.span if stop else span
        return Subscript(start, stop, False, first.to(last))


def _doc(start: Span) -> str:
    """The `##` lines right above a definition, without their marks."""
    lines: list[str] = []
    for line in range(start.line - 1, 0, -1):
        text = start.source.line_text(line).strip()
        if not text.startswith("##"):
            break
        lines.append(text.lstrip("#").strip())
    return "\n".join(reversed(lines))
