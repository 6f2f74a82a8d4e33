"""Calls: definitions unfolded, sections and functions as arguments, functions of groups, and the words that remain of it all."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, fault
from ..dsl.syntax import Arg, Assign, Call, Check, Expr, Member, Name, Param, Prime, Return, State, Statement
from . import builtins, evaluate, shapes
from .definitions import FUNCTION, INITIALIZER, Function, bind, builtin_signature, placed_kinds, signature
from .instances import Applicable, Frame, Group, Instance, Meaning, Words
from .ir import Node
from .vocabulary import BUILTINS

if TYPE_CHECKING:
    from .lower import Lowering

MOST = 20_000  # calls unfolded in one program; a plan has thousands of lines


def call(low: Lowering, e: Call, frame: Frame) -> Meaning:
    """A call of a parameter that is a function, of a definition, or of a function of the language."""
    name = e.function.id
    local = frame.scope.get(name)
    if isinstance(local, Applicable):
        given, named = arguments(low, local, e.args, frame, 0)
        return apply(low, local, given, named, e, frame)
    function = low.lib.find(name, frame.home)
    if function is None:
        if name in BUILTINS:
            bound = bind(e, builtin_signature(name), name)
            summed = over_group(low, name, bound, e, frame)
            return builtins.HANDLERS[name](low, e, bound, frame) if summed is None else summed
        raise MlpcError(low.lib.unknown(e.function, frame.scope))
    bound = bind(e, signature(function), name)
    given = {p: argument(low, function.kinds[p], a, frame) for p, a in bound.items()}
    return distribute(low, function, given, e, frame, bound)


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


def distribute(
    low: Lowering, function: Function, given: dict[str, Meaning], e: Call, frame: Frame, words: Mapping[str, Expr] | None = None
) -> Node:
    """`f(group)` is the sum of `f` of each member."""
    group = next((p for p, m in given.items() if isinstance(m, Group)), None)
    if group is None:
        return unfold(low, function, given, e, frame, words)
    members = given[group]
    assert isinstance(members, Group)
    results = [unfold(low, function, given | {group: m}, e, frame, words) for m in members.members]
    for r in results:  # the user said f(group), and that is the sum: no member has words of its own
        low.words.pop(r, None)
    return total(low, results, e, members)


def total(low: Lowering, results: list[Node], e: Call, group: Group) -> Node:
    """The sum of a function over the members of a group."""
    if not results:
        raise fault("E0235", e.span, f"`{group.text}` is empty here: no statement above has made such a param", "read it in the loss")
    if len({r.shape for r in results}) > 1:
        found = ", ".join(dict.fromkeys(shapes.show(r.shape) for r in results))
        message = f"of a group the results are added up, and here they have different shapes: {found}"
        raise fault("E0231", e.span, message, f"use a function that gives one number, as l2({group.text}) does")
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
            raise fault("E0235", e.span, f"`{e.span.text}` is not a function, and one is needed here", "relu, or leaky_relu(0.1)")
    local = frame.scope.get(name.id)
    function = low.lib.find(name.id, frame.home)
    if isinstance(local, Applicable):
        base = local
    elif function is None and name.id not in BUILTINS:
        raise MlpcError(low.lib.unknown(name, frame.scope))
    else:
        base = Applicable(name.id, function)
    given, named = arguments(low, base, args, frame, 1 + len(base.args))
    return Applicable(base.name, base.function, base.args + tuple(given), {**base.named, **named})


def arguments(low: Lowering, f: Applicable, args: tuple[Arg, ...], frame: Frame, before: int) -> tuple[list[Meaning], dict[str, Meaning]]:
    """The arguments of a function that is a value, by place and by name, `before` of whose places are taken already."""
    told = [(a.name, argument(low, kind, a.value, frame)) for a, kind in placed_kinds(f.name, f.function, args, before)]
    return [m for name, m in told if name is None], {name.id: m for name, m in told if name is not None}


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


def unfold(
    low: Lowering, function: Function, given: dict[str, Meaning], e: Call, frame: Frame, words: Mapping[str, Expr] | None = None
) -> Node:
    """The body of a definition with its parameters bound; defaults may use parameters to their left."""
    d = function.definition
    if d.kind == "update":
        message = f"`{function.name}` is an update, not a function"
        raise fault("E0205", e.function.span, message, f"it stands in `train`: optimizer = {function.name}")
    low.unfolded += 1
    if low.unfolded > MOST:
        message = f"unfolded, the calls of this program are more than {MOST:,}"
        raise fault("E0234", e.span, message, "a function that calls another twice doubles its text: give shared parts names in `model`")
    inner = Frame({}, function.home, None, frame.symbols, words or {}, frame)
    if d.kind == "block":
        if frame.instance is None:
            raise fault("E0107", e.span, f"`{function.name}` is a block, which owns params, and none can be made here",
                        "call it in `model` or in a block, and give its result a name")  # fmt: skip
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
                node = low.own_line(node) if frame.instance is not None else node
                frame.scope[name.id] = node
                if frame.instance is not None and node.args:
                    low.pending.append((node, frame.instance, name.id))
                    low.ir.named.add(node)
            case Param() | State():
                frame.scope[s.name.id] = low.declare(s, frame)
            case Prime(name=name):
                frame.scope[f"{name.id}'"] = low.prime(s, frame)
            case Check(call=demand):
                call(low, demand, frame)
            case Return(value=value):
                return evaluate.node(low, value, frame)
            case _:
                raise fault("E0107", s.span, "this statement has no place here")
    raise AssertionError("a body without return was let through")


@contextmanager
def _told_at(low: Lowering, e: Call, function: Function, frame: Frame) -> Generator[None]:
    """Tells the faults of std's text at the user's call, and from where the user's own was called."""
    try:
        yield
    except MlpcError as error:
        if frame.home != "user":
            raise
        raise MlpcError(*(_moved(d, e, function) for d in error.diagnostics)) from None


def _moved(d: Diagnostic, e: Call, function: Function) -> Diagnostic:
    if d.span is not None and d.span.source.of_std:
        return replace(d, span=e.span, message=f"{d.message}\n(`{function.name}`, {d.span.source.name}:{d.span.line})")
    if d.message.count("\n(") > 3:
        return d
    place = e.span.told_from(d.span) if d.span else f"line {e.span.line}"
    return replace(d, message=f"{d.message}\n(`{function.name}` is called on {place})")


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
