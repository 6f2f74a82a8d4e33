"""Calls: definitions unfolded, sections and functions as arguments, functions of groups, and the words that remain of it all."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Arg, Assign, Call, Check, Expr, Member, Name, Param, Return, Statement
from . import builtins, evaluate
from .definitions import FUNCTION, INITIALIZER, Function, bind, builtin_signature, signature
from .instances import Applicable, Frame, Group, Instance, Meaning, Words
from .ir import Node
from .vocabulary import BUILTINS

if TYPE_CHECKING:
    from .lower import Lowering


def call(low: Lowering, e: Call, frame: Frame) -> Meaning:
    """A call of a parameter that is a function, of a definition, or of a function of the language."""
    name = e.function.id
    local = frame.scope.get(name)
    if isinstance(local, Applicable):
        given = [evaluate.expr(low, a.value, frame) for a in e.args if a.name is None]
        return apply(low, local, given, {a.name.id: evaluate.expr(low, a.value, frame) for a in e.args if a.name}, e, frame)
    function = low.lib.find(name, frame.home)
    if function is None:
        if name in BUILTINS:
            bound = bind(e, builtin_signature(name), name)
            return over_group(low, name, bound, e, frame) or builtins.HANDLERS[name](low, e, bound, frame)
        raise low.lib.unknown(e.function, "fn", "block", "builtin")
    bound = bind(e, signature(function), name)
    given = {p: argument(low, function.kinds[p], a, frame) for p, a in bound.items()}
    return distribute(low, function, given, e, frame)


def over_group(low: Lowering, name: str, bound: Mapping[str, Expr], e: Call, frame: Frame) -> Node | None:
    """A function of the language on a group is the sum of it over the members."""
    first = next(iter(bound.values()), None)
    is_group = isinstance(first, Member) or (isinstance(first, Name) and first.id in {"weights", "params"})
    meaning = evaluate.expr(low, first, frame) if is_group and first is not None else None
    if not isinstance(meaning, Group):
        return None
    inner = "_group_member"
    substituted = dict(bound) | {next(iter(bound)): Name(inner, e.span)}
    results = []
    for member in meaning.members:
        results.append(builtins.HANDLERS[name](low, e, substituted, replace(frame, scope=frame.scope | {inner: member})))
    return total(low, results, e, meaning)


def distribute(low: Lowering, function: Function, given: dict[str, Meaning], e: Call, frame: Frame) -> Node:
    """`f(group)` is the sum of `f` of each member."""
    group = next((p for p, m in given.items() if isinstance(m, Group)), None)
    if group is None:
        return unfold(low, function, given, e, frame)
    members = given[group]
    assert isinstance(members, Group)
    results = [unfold(low, function, given | {group: m}, e, frame) for m in members.members]
    for r in results:  # the user said f(group), and that is the sum: no member has words of its own
        low.words.pop(r, None)
    return total(low, results, e, members)


def total(low: Lowering, results: list[Node], e: Call, group: Group) -> Node:
    """The sum of a function over the members of a group."""
    if not results:
        raise fault("E0235", e.span, f"`{group.text}` is empty here: the model has no such param yet")
    total = results[0]
    for r in results[1:]:
        total = total + r
    return total


def argument(low: Lowering, kind: str, e: Expr, frame: Frame) -> Meaning:
    """What an argument means to a parameter of that kind."""
    if kind == FUNCTION:
        return applicable(low, e, frame)
    if kind == INITIALIZER:
        return low.initializer(e, frame)
    return evaluate.expr(low, e, frame)


def applicable(low: Lowering, e: Expr, frame: Frame) -> Applicable:
    """A function where one is wanted: `f`, or `f(a, b = 1)`, whose arguments are evaluated here, once."""
    match e:
        case Name():
            name, args = e, ()
        case Call(function=name, args=args):
            pass
        case _:
            raise fault("E0235", e.span, "a function is wanted here", "relu, or leaky_relu(0.1)")
    local = frame.scope.get(name.id)
    function = low.lib.find(name.id, frame.home)
    if isinstance(local, Applicable):
        base = local
    elif function is None and name.id not in BUILTINS:
        raise low.lib.unknown(name, "fn", "block", "builtin")
    else:
        base = Applicable(name.id, function)
    given = tuple(evaluate.expr(low, a.value, frame) for a in args if a.name is None)
    named = {a.name.id: evaluate.expr(low, a.value, frame) for a in args if a.name}
    return Applicable(base.name, base.function, base.args + given, {**base.named, **named})


def apply(low: Lowering, f: Applicable, given: list[Meaning], named: dict[str, Meaning], e: Call, frame: Frame) -> Meaning:
    """`f` applied to what is given, the arguments of its section after it."""
    args = [*given, *f.args]
    every = {**f.named, **named}
    holes = {f"_{i}": m for i, m in enumerate(args)} | {f"_{k}": m for k, m in every.items()}
    written = tuple(
        replace(a, value=Name(k, e.span), name=None) for k, a in zip((f"_{i}" for i in range(len(args))), _blank(e, len(args)), strict=True)
    )
    keyed = tuple(replace(_blank(e, 1)[0], name=Name(k, e.span), value=Name(f"_{k}", e.span)) for k in every)
    call = Call(Name(f.name, e.function.span), written + keyed, e.piped, e.span)
    if f.function is None:
        bound = bind(call, builtin_signature(f.name), f.name)
        return builtins.HANDLERS[f.name](low, call, bound, replace(frame, scope={**frame.scope, **holes}))
    bound = bind(call, signature(f.function), f.name)
    return distribute(low, f.function, {p: holes[b.id] for p, b in bound.items() if isinstance(b, Name)}, call, frame)


def unfold(low: Lowering, function: Function, given: dict[str, Meaning], e: Call, frame: Frame) -> Node:
    """The body of a definition with its parameters bound; defaults may use parameters to their left."""
    d = function.definition
    if d.kind == "update":
        raise fault("E0205", e.function.span, f"`{function.name}` is an update; it stands only in  optimizer = {function.name}(...)")
    inner = Frame({}, function.home, None, frame.symbols)
    if d.kind == "block":
        if frame.instance is None:
            raise fault(
                "E0107", e.span, f"`{function.name}` is a block, which owns weights: call it in `model` or in a block, not in a function"
            )
        inner.instance = Instance(frame.instance.statement, d.name.id, frame.instance)
        frame.instance.children.append(inner.instance)
    with _told_at(low, e, function, frame), _context(low, d.name.id if d.kind == "fn" else None):
        for p in d.parameters:
            if p.name.id in given:
                inner.scope[p.name.id] = given[p.name.id]
            elif p.default is not None:
                inner.scope[p.name.id] = argument(low, function.kinds[p.name.id], p.default, inner)
        result = body(low, d.body, inner)
    if d.kind == "fn":
        _remember_words(low, result, function, given)
    elif inner.instance is not None and result.args:
        low.pending.append((result, inner.instance, ""))
    return result


def body(low: Lowering, statements: tuple[Statement, ...], frame: Frame) -> Node:
    """The value that a body returns."""
    for s in statements:
        match s:
            case Assign(name=name, value=value):
                node = evaluate.node(low, value, frame)
                frame.scope[name.id] = node
                if frame.instance is not None and node.args:
                    low.pending.append((node, frame.instance, name.id))
                    low.ir.named.add(node)
            case Param():
                frame.scope[s.name.id] = low.param(s, frame)
            case Check(call=demand):
                call(low, demand, frame)
            case Return(value=value):
                return evaluate.node(low, value, frame)
            case _:
                raise fault("E0107", s.span, "this statement has no place here")
    raise AssertionError("a body without return was let through")


@contextmanager
def _told_at(low: Lowering, e: Call, function: Function, frame: Frame) -> Generator[None]:
    """Tells the faults of std's text at the user's call."""
    try:
        yield
    except MlpcError as error:
        if function.home != "std" or frame.home != "user":
            raise
        raise MlpcError(*(_moved(low, d, e, function) for d in error.diagnostics)) from None


def _moved(low: Lowering, d: Diagnostic, e: Call, function: Function) -> Diagnostic:
    if d.span is None or not d.span.source.name.startswith("std/"):
        return d
    return replace(d, span=e.span, message=f"{d.message}\n(`{function.name}`, {d.span.source.name}:{d.span.line})")


@contextmanager
def _context(low: Lowering, name: str | None) -> Generator[None]:
    """Nodes made here arose in the function `name`, unless one around it is named already."""
    before = low.ir.context
    if name is not None and not before:
        low.ir.context = (name,)
    yield
    low.ir.context = before


def _remember_words(low: Lowering, node: Node, function: Function, given: Mapping[str, Meaning]) -> None:
    nodes = tuple(m for m in given.values() if isinstance(m, Node))
    if node.args and node not in nodes:
        places = {p.name.id: p for p in function.definition.parameters}
        low.words[node] = Words(function.name, tuple((p, given[p]) for p in places if p in given), nodes, tuple(places))


def _blank(e: Call, count: int) -> tuple[Arg, ...]:
    return tuple(Arg(None, Name("_", e.span), e.span) for _ in range(count))
