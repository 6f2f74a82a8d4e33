"""The definitions of a program and of the standard library, with what is wrong in them told before anything calls them."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib.resources import files

from msgspec.structs import replace

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean
from ..dsl.lexing import read_source
from ..dsl.parse import parse_definition
from ..dsl.syntax import Assign, Call, Definition, Expr, Name, Param, Prime, Program, Return, Source, State, walk
from .definitions import (
    FUNCTION,
    INITIALIZER,
    VALUE,
    Function,
    Library,
    applied_faults,
    builtin_kind,
    expressions,
    taken,
    value_names,
)
from .imports import files_of, import_faults
from .vocabulary import BUILTINS, RESERVED

ARTICLES = {"fn": "a fn", "block": "a block", "update": "an update"}
HEAD = re.compile(r"^(?P<kind>fn|block|update) +(?P<name>[A-Za-z_][A-Za-z0-9_]*)", re.MULTILINE)  # of a definition, in std


def library(program: Program) -> Library:
    """The library of a program: its own definitions over std's. Raises every fault of the definitions."""
    lib, faults = collect(program)
    if faults:
        raise MlpcError(*faults)
    return lib


def collect(program: Program) -> tuple[Library, list[Diagnostic]]:
    """The library of a program and the faults of its definitions; those that have one are its `broken`."""
    std = standard()
    told = list(import_faults(program))
    user, faults, broken = _collect([d for file in files_of(program) for d in file.definitions], "user", std)
    notes = tuple(f"`{n}` {_home(f, program)} shadows the standard library's" for n, f in user.items() if n in std)
    lib = Library(user, std, notes, unread=bool(told))
    _spread(broken, user)
    for name, function in user.items():
        found = list(_check_body(function, lib)) if name not in broken else []
        faults.extend(found)
        broken |= {name} if found else set()
    _spread(broken, user)
    return replace(lib, broken=frozenset(broken)), told + faults


def _home(function: Function, program: Program) -> str:
    source = function.definition.span.source
    return "here" if source is program.source else f"in {source.name}"


def _spread(broken: set[str], user: Mapping[str, Function]) -> None:
    """What calls what is broken cannot be judged, and so is broken too."""
    reached = True
    while reached:
        reached = {n for n, f in user.items() if n not in broken and any(c.id in broken for c in _called(f.definition))}
        broken |= reached


@functools.cache
def standard() -> Mapping[str, Function]:
    """The standard library by name. Its files are searched for heads of definitions; what follows a head is parsed when it is asked for."""
    found: dict[str, Function] = {}
    for path in sorted((p for p in files("mlpc.std").iterdir() if p.name.endswith(".mlp")), key=lambda p: p.name):
        source = read_source(path.read_bytes(), f"std/{path.name}")
        heads = list(HEAD.finditer(source.text))
        for head, end in zip(heads, [*(h.start() for h in heads[1:]), len(source.text)], strict=True):
            read = functools.partial(_read, source, head.start(), end, found)
            found[head["name"]] = Function(head["name"], head["kind"], "std", read)
    return found


def _read(source: Source, start: int, end: int, std: Mapping[str, Function]) -> tuple[Definition, Mapping[str, str]]:
    """A definition of std with the kinds of its parameters, for which those that it calls are read too."""
    d = parse_definition(source, start, end)
    kinds = {p.name.id: VALUE for p in d.parameters}
    _infer_kinds(d, kinds, lambda name: std[name].kinds if name in std else None)
    return d, kinds


def _collect(
    definitions: Sequence[Definition], home: str, std: Mapping[str, Function]
) -> tuple[dict[str, Function], list[Diagnostic], set[str]]:
    """Functions by name with the kinds of their parameters, the faults, and the names of those that cannot be used."""
    faults: list[Diagnostic] = []
    by_name: dict[str, Definition] = {}
    for d in definitions:
        problems = list(_name_faults(d, by_name))
        faults.extend(problems)
        if not problems:
            by_name[d.name.id] = d
    calls = {name: [c.id for c in _called(d) if c.id in by_name] for name, d in by_name.items()}
    circular: set[str] = set()
    unusable = {d.name.id for d in definitions if d.name.id not in by_name or by_name[d.name.id] is not d}
    order = {name: i for i, name in enumerate(by_name)}
    for circle in sorted(_circles(calls), key=lambda c: min(order[n] for n in c)):
        start = min(range(len(circle)), key=lambda i: order[circle[i]])
        path = circle[start:] + circle[:start]
        round_trip = " calls ".join(f"`{n}`" for n in (*path, path[0]))
        hint = "there is no recursion: write the steps one after another, each with a name"
        faults.append(Diagnostic("E0208", by_name[path[0]].name.span, round_trip, hint))
        circular |= set(circle)
    kinds = {name: {p.name.id: VALUE for p in d.parameters} for name, d in by_name.items()}

    def known(name: str) -> Mapping[str, str] | None:
        return kinds[name] if name in kinds else std[name].kinds if name in std else None

    sound = {name: [c for c in called if c not in circular] for name, called in calls.items() if name not in circular}
    for name in TopologicalSorter(sound).static_order():  # callees first
        _infer_kinds(by_name[name], kinds[name], known)
    made = {n: Function(n, d.kind, home, functools.partial(_given, d, kinds[n])) for n, d in by_name.items()}
    return made, faults, circular | unusable


def _circles(calls: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Definitions that call each other in a circle. networkx, which takes long to import, is asked where there is one."""
    try:
        TopologicalSorter(calls).prepare()
    except CycleError:
        import networkx as nx

        graph = nx.DiGraph()
        for name, called in calls.items():
            graph.add_node(name)
            graph.add_edges_from((name, c) for c in called)
        return list(nx.simple_cycles(graph))
    return []


def _given(d: Definition, kinds: Mapping[str, str]) -> tuple[Definition, Mapping[str, str]]:
    return d, kinds


def _name_faults(d: Definition, by_name: Mapping[str, Definition]) -> Iterator[Diagnostic]:
    """The faults of a definition's name and of those of its parameters."""
    hint = "choose another name"
    if d.name.id in BUILTINS:
        yield Diagnostic("E0207", d.name.span, f"`{d.name.id}` is a function of the language itself", hint)
    elif d.name.id in by_name:
        first = by_name[d.name.id].name.span
        yield Diagnostic("E0203", d.name.span, f"`{d.name.id}` is already defined on {first.told_from(d.name.span)}", hint)
    elif d.name.id in RESERVED:
        yield from taken(d.name, ())
    seen: list[str] = []
    for p in d.parameters:
        if p.name.id in seen:
            yield Diagnostic("E0203", p.name.span, f"`{d.name.id}` has two parameters `{p.name.id}`", hint)
        elif p.name.id in RESERVED:
            yield from taken(p.name, ())
        seen.append(p.name.id)


def _infer_kinds(d: Definition, kinds: dict[str, str], known: Callable[[str], Mapping[str, str] | None]) -> None:
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
                callee = known(call.function.id) or {p: builtin_kind(call.function.id, p) for p in BUILTINS.get(call.function.id, {})}
                for name, arg in zip(callee, (a for a in call.args if a.name is None), strict=False):
                    if isinstance(arg.value, Name) and arg.value.id in kinds and callee[name] in {FUNCTION, INITIALIZER}:
                        kinds[arg.value.id] = callee[name]
                for arg in call.args:
                    kind = callee.get(arg.name.id) if arg.name is not None else None
                    if isinstance(arg.value, Name) and arg.value.id in kinds and kind in {FUNCTION, INITIALIZER}:
                        kinds[arg.value.id] = kind


def _called(d: Definition) -> Iterator[Name]:
    """The names that a body calls: not its parameters."""
    own = {p.name.id for p in d.parameters}
    for statement in d.body:
        for expr in expressions(statement):
            yield from (e.function for e in walk(expr) if isinstance(e, Call) and e.function.id not in own)


def _check_body(function: Function, lib: Library) -> Iterator[Diagnostic]:
    """The faults of a definition that show before it is called: unknown, doubled, early names, and no `return`."""
    d = function.definition
    later = {s.name.id: s.name.span for s in d.body if isinstance(s, (Assign, Param, State))}
    left: set[str] = set()
    for p in d.parameters:
        if p.default is not None and function.kinds[p.name.id] == VALUE:
            yield from _check_names(p.default, function, lib, left | set(RESERVED), {}, "a default sees only the parameters to its left")
        left.add(p.name.id)
    known = left | set(RESERVED)
    for s in d.body:
        for expr in expressions(s):
            yield from _check_names(expr, function, lib, known, later, f"{ARTICLES[d.kind]} sees only its parameters and what it assigns")
        if isinstance(s, (Assign, Param, State)):
            yield from taken(s.name, known)
            known.add(s.name.id)
        elif isinstance(s, Prime):
            known.add(f"{s.name.id}'")
    if d.kind != "update" and not any(isinstance(s, Return) for s in d.body):
        yield Diagnostic("E0209", d.name.span, f"`{d.name.id}` returns nothing", "end it with `return <expression>`")
    if d.kind == "update":
        yield from _check_update(d)
    elif d.kind == "block":
        yield from _check_states(d, None)


def _check_names(
    expr: Expr, function: Function, lib: Library, known: set[str], later: Mapping[str, object], sees: str
) -> Iterator[Diagnostic]:
    """The faults of the names in an expression of a body."""
    d = function.definition
    functions = [p for p, kind in function.kinds.items() if kind == FUNCTION]
    faults = list(applied_faults(expr, lib, function.home, functions, known))
    if d.kind != "block":
        for call in (e for e in walk(expr) if isinstance(e, Call) and e.function.id not in functions):
            callee = lib.find(call.function.id, function.home)
            if callee is not None and callee.kind == "block":
                message = f"`{call.function.id}` is a block, which owns params, and `{d.name.id}` is {ARTICLES[d.kind]}, which owns none"
                faults.append(Diagnostic("E0107", call.function.span, message, f"make it  block {d.name.id}(...) {{ ... return ... }}"))
    yield from faults
    try:
        names = list(value_names(expr, lib, function.home, functions))
    except MlpcError:  # arguments that do not fit: told already
        return
    for name in names:
        kind = function.kinds.get(name.id, VALUE)
        if kind != VALUE:
            what = "a function" if kind == FUNCTION else "an initialiser"
            hint = f"call it: {name.id}(...)" if kind == FUNCTION else f"it stands only after `~`: param w [..] ~ {name.id}"
            yield Diagnostic("E0235", name.span, f"`{name.id}` is {what} in `{d.name.id}`, and a value is needed", hint)
        elif name.id in known:
            continue
        elif name.id in later:
            span = later[name.id]
            line = getattr(span, "line", 0)
            own = line == name.span.line
            told = (
                f"`{name.id}` has no value yet on the right of its own line"
                if own
                else f"`{name.id}` is assigned on line {line}, below this use"
            )
            yield Diagnostic("E0202", name.span, told, "give the new value a name of its own" if own else "move that line up")
        else:
            shown = [k for k in known if k not in RESERVED] or known
            hint = did_you_mean(name.id, shown, RESERVED)
            if not hint.startswith("did"):
                hint = f"pass it as an argument: fn {d.name.id}(..., {name.id})" if d.kind == "fn" else hint
            yield Diagnostic("E0201", name.span, f"there is no `{name.id}` in `{d.name.id}`; {sees}", hint)


def _check_update(d: Definition) -> Iterator[Diagnostic]:
    """An update takes the parameter and its gradient, and says what becomes of it."""
    if len(d.parameters) < 2:
        message = f"update `{d.name.id}` needs the parameter and its gradient first"
        yield Diagnostic("E0206", d.name.span, message, f"update {d.name.id}(w, dw, ...)")
        return
    w = d.parameters[0].name.id
    if not any(isinstance(s, Prime) and s.name.id == w for s in d.body):
        yield Diagnostic("E0209", d.name.span, f"update `{d.name.id}` never says what `{w}` becomes", f"add a line  {w}' = ...")
    yield from _check_states(d, w)


def _check_states(d: Definition, w: str | None) -> Iterator[Diagnostic]:
    """Every state changes, once, below its declaration; `w` is what an update changes beside its states."""
    states = [s.name for s in d.body if isinstance(s, State)]
    primes = [s.name for s in d.body if isinstance(s, Prime)]
    for state in states:
        if not any(p.id == state.id for p in primes):
            yield Diagnostic("E0209", state.span, f"state `{state.id}` never changes", f"add a line  {state.id}' = ...")
    for i, prime in enumerate(primes):
        if prime.id != w and not any(s.id == prime.id and s.span.start < prime.span.start for s in states):
            what = f"of a state or of `{w}`, and `{prime.id}` is neither" if w else f"of a state, and `{prime.id}` is none"
            message = f"`{prime.id}'` says what becomes {what}"
            yield Diagnostic("E0201", prime.span, message, f"{prime.id} = ... for a value of this step, or  state {prime.id} ~ zeros")
        elif any(p.id == prime.id for p in primes[:i]):
            yield Diagnostic("E0203", prime.span, f"`{prime.id}'` is assigned twice", "keep one of them")
