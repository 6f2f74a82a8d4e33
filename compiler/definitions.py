"""The functions that a file can call: the user's, the standard library's, and those of the language itself.

`Library.find` resolves a name as the text at hand sees it: std's own text always means std's. `bind` matches the
arguments of a call with parameters. What kind of thing a parameter takes (a value, a function, an initialiser) follows
from what the body does with it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

import networkx as nx

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault
from ..dsl.parse import parse
from ..dsl.syntax import (
    Assign,
    Call,
    Check,
    Definition,
    Expr,
    Name,
    Param,
    Prime,
    Program,
    Return,
    State,
    Statement,
    children,
    walk,
)  # fmt: skip
from .vocabulary import BUILTINS, RESERVED, WORDS

VALUE, FUNCTION, INITIALIZER = "value", "function", "initializer"


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """A definition with where it lives (`user` or `std`) and the kind of each parameter."""

    definition: Definition
    home: str
    kinds: Mapping[str, str]

    @property
    def name(self) -> str:
        """What it is called by."""
        return self.definition.name.id


@dataclass(frozen=True, slots=True)
class Library:
    """All definitions that a program sees. `notes` say which of std's the user's shadow."""

    user: Mapping[str, Function]
    std: Mapping[str, Function]
    notes: tuple[str, ...] = field(default=())

    def find(self, name: str, home: str = "user") -> Function | None:
        """The definition that `name` means in the user's text or in std's; None for the language's own and the unknown."""
        found = self.user.get(name) if home == "user" else None
        return found or self.std.get(name)

    def names(self, *kinds: str) -> list[str]:
        """All callable names, of some kinds (`fn block update builtin`)."""
        defined = [f.name for f in (*self.user.values(), *self.std.values()) if f.definition.kind in kinds]
        return sorted({*defined, *(BUILTINS if "builtin" in kinds else ())})

    def unknown(self, name: Name, *kinds: str) -> MlpcError:
        """The diagnosis for a function that does not exist."""
        return fault("E0205", name.span, f"there is no function `{name.id}`", did_you_mean(name.id, self.names(*kinds)))


def library(program: Program) -> Library:
    """The library of a program: its own definitions over std's. Raises every fault of the definitions."""
    std = standard()
    user, faults = _collect(program.definitions, "user", std)
    lib = Library(user, std, tuple(f"`{n}` here shadows the standard library's" for n in user if n in std))
    for function in user.values():
        faults.extend(_check_body(function, lib))
    if faults:
        raise MlpcError(*faults)
    return lib


@functools.cache
def standard() -> Mapping[str, Function]:
    """The standard library, parsed once a process."""
    texts = sorted((p for p in files("mlpc.std").iterdir() if p.name.endswith(".mlp")), key=lambda p: p.name)
    definitions = [d for p in texts for d in parse(p.read_text("utf-8"), f"std/{p.name}").definitions]
    return _collect(definitions, "std", {})[0]


def bind(call: Call, parameters: Iterable[tuple[str, bool]], shown: str) -> dict[str, Expr]:
    """The argument of each parameter (name, required) that the call gives; `*name` collects the rest by place.

    Raises E0206 for too many, unknown, doubled and missing arguments. A collected rest is keyed `*name.0`, `*name.1`.
    """
    order = list(parameters)
    names = [n for n, _ in order if not n.startswith("*")]
    rest = next((n for n, _ in order if n.startswith("*")), None)
    signature = f"{shown}({', '.join(n for n, _ in order)})"
    bound: dict[str, Expr] = {}
    extra = 0
    place = 0
    for arg in call.args:
        if arg.name is not None:
            if arg.name.id not in names:
                hint = did_you_mean(arg.name.id, names)
                raise fault("E0206", arg.name.span, f"`{shown}` has no parameter `{arg.name.id}`; it is {signature}", hint)
            if arg.name.id in bound:
                raise fault("E0206", arg.name.span, f"`{arg.name.id}` is given twice")
            bound[arg.name.id] = arg.value
        elif place < len(names):
            if names[place] in bound:
                raise fault("E0206", arg.span, f"`{names[place]}` is given twice, by place and by name; it is {signature}")
            bound[names[place]] = arg.value
            place += 1
        elif rest is not None:
            bound[f"{rest}.{extra}"] = arg.value
            extra += 1
        else:
            raise fault("E0206", arg.span, f"`{shown}` takes at most {len(names)} arguments; it is {signature}")
    missing = [n for n, required in order if required and n not in bound and not n.startswith("*")]
    if missing:
        raise fault("E0206", call.span, f"`{shown}` also needs {' and '.join(f'`{m}`' for m in missing)}; it is {signature}")
    return bound


def signature(function: Function) -> list[tuple[str, bool]]:
    """The parameters of a definition for `bind`."""
    return [(p.name.id, p.default is None) for p in function.definition.parameters]


def builtin_signature(name: str) -> list[tuple[str, bool]]:
    """The parameters of a function of the language for `bind`."""
    return [(p, default is None) for p, default in BUILTINS[name].items()]


def argument_kinds(call: Call, lib: Library, home: str, local_functions: Iterable[str] = ()) -> list[tuple[Expr, str]]:
    """Each argument of a call with what it stands for: `value`, `function`, `initializer` or `word`."""
    name = call.function.id
    function = None if name in local_functions else lib.find(name, home)
    if function is not None:
        return [(e, function.kinds[p]) for p, e in bind(call, signature(function), name).items()]
    if name in BUILTINS and name not in local_functions:
        bound = bind(call, builtin_signature(name), name)
        return [(e, "word" if p.split(".")[0] in WORDS else VALUE) for p, e in bound.items()]
    return [(a.value, VALUE) for a in call.args]


def expressions(statement: Statement) -> tuple[Expr, ...]:
    """The expressions of a statement in a body."""
    match statement:
        case Assign(value=e) | Prime(value=e) | Return(value=e):
            return (e,)
        case Check(call=e):
            return (e,)
        case Param(dims=dims) | State(dims=dims):
            return tuple(dims or ())
        case _:
            return ()


def value_names(expr: Expr, lib: Library, home: str = "user", local_functions: Iterable[str] = ()) -> Iterator[Name]:
    """The names that stand for values in an expression, from the left: not functions, words or argument names."""
    match expr:
        case Name():
            yield expr
        case Call():
            for value, kind in argument_kinds(expr, lib, home, local_functions):
                if kind == VALUE:
                    yield from value_names(value, lib, home, local_functions)
                elif kind == FUNCTION and isinstance(value, Call):
                    for arg in value.args:
                        yield from value_names(arg.value, lib, home, local_functions)
        case _:
            for child in children(expr):
                yield from value_names(child, lib, home, local_functions)


def _collect(definitions: Iterable[Definition], home: str, std: Mapping[str, Function]) -> tuple[dict[str, Function], list[Diagnostic]]:
    """Functions by name, kinds of parameters found by going round until nothing changes; circles are faults."""
    faults: list[Diagnostic] = []
    by_name: dict[str, Definition] = {}
    for d in definitions:
        if d.name.id in BUILTINS:
            faults.append(Diagnostic("E0207", d.name.span, f"`{d.name.id}` is a function of the language itself", "choose another name"))
        elif d.name.id in by_name:
            first = by_name[d.name.id].name.span
            faults.append(Diagnostic("E0203", d.name.span, f"`{d.name.id}` is already defined on line {first.line}"))
        else:
            by_name[d.name.id] = d
    calls = nx.DiGraph()
    for name, d in by_name.items():
        calls.add_node(name)
        calls.add_edges_from((name, c.function.id) for c in _calls(d) if c.function.id in by_name)
    for circle in sorted(nx.simple_cycles(calls), key=lambda c: min(by_name[n].span.start for n in c)):
        start = min(range(len(circle)), key=lambda i: by_name[circle[i]].span.start)
        path = circle[start:] + circle[:start]
        round_trip = " -> ".join(f"`{n}`" for n in (*path, path[0]))
        faults.append(Diagnostic("E0208", by_name[path[0]].name.span, f"{round_trip}: a definition cannot use itself"))
    if faults:
        return {}, faults
    kinds = {name: {p.name.id: VALUE for p in d.parameters} for name, d in by_name.items()}
    known = {name: dict(f.kinds) for name, f in std.items()} | kinds
    order = [n for n in reversed(list(nx.topological_sort(calls))) if n in by_name]  # callees first
    for name in order:
        _infer_kinds(by_name[name], kinds[name], known)
    return {name: Function(by_name[name], home, kinds[name]) for name in by_name}, faults


def _infer_kinds(d: Definition, kinds: dict[str, str], known: Mapping[str, Mapping[str, str]]) -> None:
    """A parameter is a function where the body applies it or passes it as one; an initialiser where it stands after `~`."""
    for statement in d.body:
        if isinstance(statement, (Param, State)):
            for e in walk(statement.init):
                if isinstance(e, Name) and e.id in kinds:
                    kinds[e.id] = INITIALIZER
        for expr in expressions(statement):
            for call in (e for e in walk(expr) if isinstance(e, Call)):
                if call.function.id in kinds:
                    kinds[call.function.id] = FUNCTION
                callee = known.get(call.function.id, {})
                for name, arg in zip(callee, (a for a in call.args if a.name is None), strict=False):
                    if isinstance(arg.value, Name) and arg.value.id in kinds and callee[name] != VALUE:
                        kinds[arg.value.id] = callee[name]
                for arg in call.args:
                    if arg.name is not None and isinstance(arg.value, Name) and arg.value.id in kinds:
                        kinds[arg.value.id] = callee.get(arg.name.id, VALUE)


def _calls(d: Definition) -> Iterator[Call]:
    """The calls of a body, and functions passed by name as calls of them (enough for circles)."""
    for statement in d.body:
        for expr in expressions(statement):
            yield from (e for e in walk(expr) if isinstance(e, Call))


def _check_body(function: Function, lib: Library) -> Iterator[Diagnostic]:
    """The faults of a definition that show before it is called: unknown, doubled, early names, and no `return`."""
    d = function.definition
    known = {p.name.id for p in d.parameters} | set(RESERVED)
    functions = [p for p, kind in function.kinds.items() if kind == FUNCTION]
    later = {s.name.id: s.name.span for s in d.body if isinstance(s, (Assign, Param, State))}
    for statement in d.body:
        for expr in expressions(statement):
            try:
                used = list(value_names(expr, lib, function.home, functions))
                for call in (e for e in walk(expr) if isinstance(e, Call)):
                    if call.function.id not in functions and call.function.id not in BUILTINS and not lib.find(call.function.id):
                        raise lib.unknown(call.function, "fn", "block", "builtin")
            except MlpcError as error:
                yield from error.diagnostics
                continue
            for name in used:
                if name.id in later and name.id not in known:
                    yield Diagnostic("E0202", name.span, f"`{name.id}` is assigned on line {later[name.id].line}, below")
                elif name.id not in known:
                    yield Diagnostic("E0201", name.span, f"there is no `{name.id}` in this {d.kind}; it sees only its parameters and locals",
                                     did_you_mean(name.id, [k for k in known if k not in RESERVED] or known))  # fmt: skip
        if isinstance(statement, (Assign, Param, State)):
            yield from taken(statement.name, known)
            known.add(statement.name.id)
        elif isinstance(statement, Prime):
            known.add(f"{statement.name.id}'")
    if d.kind != "update" and not any(isinstance(s, Return) for s in d.body):
        yield Diagnostic("E0209", d.name.span, f"`{d.name.id}` returns nothing", "end it with `return <expression>`")
    if d.kind == "update" and not any(isinstance(s, Prime) and s.name.id == d.parameters[0].name.id for s in d.body if d.parameters):
        yield Diagnostic("E0209", d.name.span, f"update `{d.name.id}` never says what the parameter becomes", "add a line  w' = ...")


def taken(name: Name, known: Iterable[str]) -> Iterator[Diagnostic]:
    """The fault of assigning a name that is reserved or assigned already, if it is one."""
    if name.id in RESERVED:
        yield Diagnostic("E0207", name.span, f"`{name.id}` has a meaning of its own and cannot be assigned", "choose another name")
    elif name.id in known:
        yield Diagnostic("E0203", name.span, f"`{name.id}` has a value already; each name is assigned once", "choose another name")
