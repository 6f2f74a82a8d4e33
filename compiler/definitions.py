"""The functions that a file can call: the user's, the standard library's, and those of the language itself.

`Library.find` resolves a name as the text at hand sees it: std's own text always means std's. `bind` matches the
arguments of a call with parameters. What kind of thing a parameter takes (a value, a function, an initialiser) follows
from what the body does with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault
from ..dsl.syntax import (
    Arg,
    Assign,
    Call,
    Check,
    Definition,
    Expr,
    Name,
    Param,
    Prime,
    Return,
    State,
    Statement,
    children,
)  # fmt: skip
from .vocabulary import BUILTINS, FUNCTIONS, RESERVED, WORDS

VALUE, FUNCTION, INITIALIZER = "value", "function", "initializer"


class Function(Struct, frozen=True, eq=False, dict=True):
    """What a file can call: a name, its kind (`fn block update`) and where it lives (`user` or `std`); `read` gives the rest, once."""

    name: str
    kind: str
    home: str
    read: Callable[[], tuple[Definition, Mapping[str, str]]]

    def __repr__(self) -> str:
        return f"Function(name={self.name!r}, kind={self.kind!r}, home={self.home!r})"

    @property
    def definition(self) -> Definition:
        """The text of it, as syntax."""
        return self._read[0]

    @property
    def kinds(self) -> Mapping[str, str]:
        """The kind of each parameter."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[Definition, Mapping[str, str]]:
        return self.read()


class Library(Struct, frozen=True):
    """All definitions that a program sees. `notes` say which of std's the user's shadow; `broken` are those at fault.

    `unread`: not all that is imported could be read, and a name that is not known may stand there.
    """

    user: Mapping[str, Function]
    std: Mapping[str, Function]
    notes: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()
    unread: bool = False

    def find(self, name: str, home: str = "user") -> Function | None:
        """The definition that `name` means in the user's text or in std's; None for the language's own and the unknown."""
        found = self.user.get(name) if home == "user" else None
        return found or self.std.get(name)

    def names(self, *kinds: str) -> list[str]:
        """All callable names, of some kinds (`fn block update builtin`)."""
        defined = [f.name for f in (*self.user.values(), *self.std.values()) if f.kind in kinds]
        return sorted({*defined, *(BUILTINS if "builtin" in kinds else ())})

    def unknown(self, name: Name, values: Iterable[str] = ()) -> Diagnostic:
        """The diagnosis for a function that does not exist; `values` are the names that stand for values there."""
        if name.id in values:
            return Diagnostic(
                "E0205", name.span, f"`{name.id}` is a value, not a function", "write `*` to multiply, or call a function of it"
            )
        near = did_you_mean(name.id, self.names("fn", "block", "builtin"))
        return Diagnostic("E0205", name.span, f"there is no function `{name.id}`", near or f"define it: fn {name.id}(x) = ...")


def bind(call: Call, parameters: Iterable[tuple[str, bool]], shown: str) -> dict[str, Expr]:
    """The argument of each parameter (name, required) that the call gives; `*name` collects the rest by place.

    Raises E0206 for too many, unknown, doubled and missing arguments. A collected rest is keyed `*name.0`, `*name.1`.
    """
    order = list(parameters)
    names = [n for n, _ in order if not n.startswith("*")]
    rest = next((n for n, _ in order if n.startswith("*")), None)
    signature = f"{shown}({', '.join(n for n, _ in order)})"
    bound: dict[str, Expr] = {}
    by_name: set[str] = set()
    extra = 0
    place = 0
    for arg in call.args:
        if arg.name is not None:
            if arg.name.id not in names:
                hint = did_you_mean(arg.name.id, names)
                raise fault("E0206", arg.name.span, f"`{shown}` has no parameter `{arg.name.id}`; it is {signature}", hint)
            if arg.name.id in bound:
                how = "by name" if arg.name.id in by_name else "by place and by name"
                raise fault("E0206", arg.name.span, f"`{arg.name.id}` is given twice, {how}; it is {signature}", "leave one of them out")
            by_name.add(arg.name.id)
            bound[arg.name.id] = arg.value
        elif place < len(names):
            if names[place] in bound:
                raise fault(
                    "E0206", arg.span, f"`{names[place]}` is given twice, by place and by name; it is {signature}", "leave one of them out"
                )
            bound[names[place]] = arg.value
            place += 1
        elif rest is not None:
            bound[f"{rest}.{extra}"] = arg.value
            extra += 1
        else:
            most = f"at most {len(names)} argument{'' if len(names) == 1 else 's'}" if names else "no argument"
            hint = "what stands before `|>` is the first argument" if call.piped else "leave this one out"
            raise fault("E0206", arg.span, f"`{shown}` takes {most}; it is {signature}", hint)
    missing = [n for n, required in order if required and n not in bound and not n.startswith("*")]
    if missing:
        text = " and ".join(f"`{m}`" for m in missing)
        raise fault("E0206", call.span, f"`{shown}` {'also ' if bound else ''}needs {text}; it is {signature}", f"add {text}")
    return bound


def signature(function: Function) -> list[tuple[str, bool]]:
    """The parameters of a definition for `bind`."""
    return [(p.name.id, p.default is None) for p in function.definition.parameters]


def builtin_signature(name: str) -> list[tuple[str, bool]]:
    """The parameters of a function of the language for `bind`."""
    return [(p, default is None) for p, default in BUILTINS[name].items()]


def builtin_kind(name: str, parameter: str) -> str:
    """What a parameter of a function of the language takes."""
    base = parameter.split(".")[0]
    return FUNCTION if base in FUNCTIONS.get(name, ()) else "word" if base in WORDS else VALUE


def argument_kinds(call: Call, lib: Library, home: str, local_functions: Iterable[str] = ()) -> list[tuple[Expr, str]]:
    """Each argument of a call with what it stands for: `value`, `function`, `initializer` or `word`."""
    name = call.function.id
    function = None if name in local_functions else lib.find(name, home)
    if function is not None:
        return [(e, function.kinds[p]) for p, e in bind(call, signature(function), name).items()]
    if name in BUILTINS and name not in local_functions:
        bound = bind(call, builtin_signature(name), name)
        return [(e, builtin_kind(name, p)) for p, e in bound.items()]
    return [(a.value, VALUE) for a in call.args]


def section_kinds(section: Call, lib: Library, home: str) -> list[tuple[Arg, str]]:
    """Each argument of a section `f(a, b = 1)`, which stands after the one that f will be applied to, with what it stands for."""
    return placed_kinds(section.function.id, lib.find(section.function.id, home), section.args, 1)


def placed_kinds(name: str, function: Function | None, args: Iterable[Arg], before: int) -> list[tuple[Arg, str]]:
    """Each argument with the kind of its parameter, `before` of whose places are taken already."""
    kinds = dict(function.kinds) if function else {p: builtin_kind(name, p) for p in BUILTINS.get(name, {})}
    places = iter(list(kinds.values())[before:])
    return [(a, kinds.get(a.name.id, VALUE) if a.name else next(places, VALUE)) for a in args]


def applied_faults(
    expr: Expr, lib: Library, home: str = "user", local: Iterable[str] = (), values: Iterable[str] = ()
) -> Iterator[Diagnostic]:
    """The faults of the calls in an expression: no such function, arguments that do not fit, no function where one is wanted.

    `local` are the parameters that are functions, `values` the names that stand for values.
    """
    if not isinstance(expr, Call) or expr.function.id in local:
        for child in children(expr):
            yield from applied_faults(child, lib, home, local, values)
        return
    problem = _not_callable(expr.function, lib, home, values)
    if problem:
        yield problem
    function = lib.find(expr.function.id, home)
    try:
        bound = {} if problem else bind(expr, signature(function) if function else builtin_signature(expr.function.id), expr.function.id)
    except MlpcError as error:
        yield from error.diagnostics
        bound = {}
    builtin = expr.function.id
    kinds = {id(e): (p, function.kinds[p] if function else builtin_kind(builtin, p)) for p, e in bound.items()}
    for arg in expr.args:
        parameter, kind = kinds.get(id(arg.value), ("", VALUE))
        if kind in {VALUE, "word"}:
            yield from applied_faults(arg.value, lib, home, local, values)
            continue
        word = arg.value if isinstance(arg.value, Name) else arg.value.function if isinstance(arg.value, Call) else None
        given = arg.value.args if isinstance(arg.value, Call) else ()
        text = arg.value.span.words
        if kind == FUNCTION and word is None:
            message = f"`{parameter}` of `{expr.function.id}` is a function, and this is `{text}`"
            yield Diagnostic("E0235", arg.value.span, message, f"{parameter} = relu, or {parameter} = leaky_relu(0.1)")
        elif kind == FUNCTION and word is not None and word.id not in local:
            if word.id in values and lib.find(word.id, home) is None and word.id not in BUILTINS:
                message = f"`{parameter}` of `{expr.function.id}` is a function, and `{word.id}` is a value"
                hint = (
                    "what stands before `|>` is the first argument"
                    if expr.piped
                    else f"the arguments are {shown_signature(expr.function.id, function)}"
                )
                yield Diagnostic("E0235", word.span, message, hint)
            elif wrong := _not_callable(word, lib, home, values):
                yield wrong
        for inner in given if kind == FUNCTION else ():
            yield from applied_faults(inner.value, lib, home, local, values)


def _not_callable(name: Name, lib: Library, home: str, values: Iterable[str]) -> Diagnostic | None:
    """The fault of a name as a function, if it has one."""
    function = lib.find(name.id, home)
    if function is None and name.id not in BUILTINS:
        return lib.unknown(name, values)
    if function is not None and function.kind == "update":
        return Diagnostic("E0205", name.span, f"`{name.id}` is an update, not a function", f"it stands in `train`: optimizer = {name.id}")
    return None


def shown_signature(name: str, function: Function | None) -> str:
    """`dense(x, width, act, init)`."""
    return f"{name}({', '.join(p for p, _ in (signature(function) if function else builtin_signature(name)))})"


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
                    for inner, inner_kind in section_kinds(value, lib, home):
                        if inner_kind == VALUE:
                            yield from value_names(inner.value, lib, home, local_functions)
        case _:
            for child in children(expr):
                yield from value_names(child, lib, home, local_functions)


def taken(name: Name, known: Iterable[str]) -> Iterator[Diagnostic]:
    """The fault of assigning a name that is reserved or assigned already, if it is one."""
    if name.id in RESERVED:
        yield Diagnostic("E0207", name.span, f"`{name.id}` has a meaning of its own and cannot be assigned", "choose another name")
    elif name.id in known:
        yield Diagnostic("E0203", name.span, f"`{name.id}` has a value already; each name is assigned once", "choose another name")
