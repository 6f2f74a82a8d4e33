"""The graph of the user's values to nodes: functions and blocks unfolded, shapes and facts inferred on the way.

Evaluation is ordinary: an expression in a frame (what names mean here) gives a meaning, most often a node. A fault
inside the text of std is told at the user's call of it. Nothing here knows a function of std by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ..dsl.diagnostics import Diagnostic, MlpcError, did_you_mean, fault
from ..dsl.syntax import (
    Assign, Binary, Call, Check, Expr, Matrix, Member, Name, Number, Param, Return, Slice, Span, Statement, Text, Unary,
)  # fmt: skip
from . import builtins, shapes
from .constants import Number as Num
from .constants import exact, whole
from .definitions import BUILTINS, FUNCTION, INITIALIZER, Function, Library, bind, builtin_signature, signature
from .initializers import SIGNATURES
from .instances import Applicable, Group, Initializer, Instance, Meaning, ParamDeclaration, Words, settle_paths
from .ir import Interner, Node
from .ops import ShapeError
from .schema import Schema

BINARY = {"+": "add", "-": "sub", "*": "mul", "/": "div", "^": "pow", "<": "lt", "<=": "le", ">": "gt", ">=": "ge", "==": "eq", "!=": "ne"}
LARGEST_PARAM = 2**36  # numbers in one tensor: half a terabyte of float64; beyond it is a slip of the pen
DEEPEST = 1500  # levels of unfolding
SYMBOLS = ("step", "epoch")


@dataclass(slots=True, eq=False)
class Frame:
    """What names mean at a place: `scope` by name, whose text it is, and the instance that owns what is declared here."""

    scope: dict[str, Meaning]
    home: str = "user"
    instance: Instance | None = None
    symbols: Mapping[str, Node] = field(default_factory=dict[str, Node])


@dataclass(slots=True, eq=False)
class Lowering:
    """The state of one lowering: nodes by name, names by node, and what a plan says of them."""

    ir: Interner
    lib: Library
    schema: Schema
    training: bool = True
    values: dict[str, Meaning] = field(default_factory=dict[str, Meaning])
    names: dict[Node, str] = field(default_factory=dict[Node, str])
    line: dict[Node, int] = field(default_factory=dict[Node, int])
    source: dict[Node, str] = field(default_factory=dict[Node, str])
    words: dict[Node, Words] = field(default_factory=dict[Node, Words])
    params: list[ParamDeclaration] = field(default_factory=list[ParamDeclaration])
    owner: dict[str, list[Node]] = field(default_factory=dict[str, "list[Node]"])
    spans: dict[str, Span] = field(default_factory=dict[str, Span])
    pending: list[tuple[Node, Instance, str]] = field(default_factory=list["tuple[Node, Instance, str]"])
    depth: int = 0

    # --- statements of the model -----------------------------------------------------------------

    def inputs(self) -> None:
        """The data values as leaves."""
        for v in self.schema.values:
            node = self.ir.leaf("input", ("N", v.width), v.facts, name=v.name)
            self.values[v.name], self.names[node], self.spans[v.name] = node, v.name, v.span
            self.ir.named.add(node)

    def statement(self, name: str, statement: Statement) -> None:
        """One statement of `model`: a param, or a value with the instances that it makes."""
        root = Instance(name, "", None)
        frame = Frame(dict(self.values), instance=root)
        self.spans[name] = statement.span
        if isinstance(statement, Param):
            self.values[name] = self.param(statement, frame)
        elif isinstance(statement, Assign):
            mark = len(self.params)
            self.values[name] = self.named(name, statement.value, frame, statement.span.line)
            self.owner[name] = [p.node for p in self.params[mark:]]

    def named(self, name: str, expr: Expr, frame: Frame, line: int) -> Node:
        """The node of an expression that is given a name; the paths of the instances that it made are settled."""
        root = frame.instance
        node = self.node(expr, frame)
        if root is not None:
            settle_paths(root)
        for inner, instance, local in self.pending:
            path = instance.path + (f".{local}" if local else "")
            self.give_name(inner, path, line)
        self.pending.clear()
        for declared in self.params:
            self.names.setdefault(declared.node, declared.name)
        self.give_name(node, name, line)
        self.source.setdefault(node, " ".join(expr.span.text.split()))
        return node

    def give_name(self, node: Node, name: str, line: int) -> None:
        """Names a computed value; of several names the one with the fewest dots stands, then the first."""
        if not node.args:
            return
        taken = set(self.names.values())
        old = self.names.get(node)
        if old is None or name.count(".") < old.count("."):
            base, n = name, 2
            while name in taken:
                name, n = f"{base}{n}", n + 1
            self.names[node] = name
            self.line.setdefault(node, line)
        self.ir.named.add(node)

    def param(self, s: Param, frame: Frame) -> Node:
        """A trained tensor, owned by the frame's instance."""
        instance = frame.instance
        if instance is None:
            raise fault("E0107", s.span, "a `param` is declared in `model` or in a block, not in a function")
        dims = tuple(self.size(d, frame) for d in s.dims)
        if math.prod(dims) > LARGEST_PARAM:
            shown = shapes.show(dims)
            raise fault("E0234", s.span, f"{s.name.id} is {shown}: {math.prod(dims):,} numbers, {math.prod(dims) * 8 / 1e12:,.1f} TB in float64",
                        "are the dims what you meant?")  # fmt: skip
        init = self.initializer(s.init, frame)
        node = self.ir.leaf("param", dims, address=(*instance.address, s.name.id))
        if instance.parent is not None or instance.callee:
            instance.mark()
        line = self.spans.get(instance.statement, s.span).line if s.span.source is not self._user_source(instance) else s.span.line
        self.params.append(ParamDeclaration(node, s.name.id, instance, init, line))
        if init.name == "values":
            _check_values(init, dims, s)
        return node

    def _user_source(self, instance: Instance) -> object:
        return self.spans[instance.statement].source if instance.statement in self.spans else None

    def size(self, e: Expr, frame: Frame) -> int:
        """A dim or a count: a constant that is whole and at least 1."""
        n = whole(self.constant(e, frame))
        if n is None or n < 1:
            raise fault("E0233", e.span, f"a size is a whole number of at least 1, and `{e.span.text}` is {self.constant(e, frame)}")
        return n

    def constant(self, e: Expr, frame: Frame) -> Num:
        """The number that an expression comes to before anything runs."""
        node = self.node(e, frame)
        if node.value is None:
            raise fault("E0233", e.span, f"a constant is needed here, and `{e.span.text}` depends on data, params or the step",
                        "use numbers, cols(x) or classes(y)")  # fmt: skip
        return node.value

    def initializer(self, e: Expr, frame: Frame) -> Initializer:
        """What stands after `~`: an initialiser's name, or a call with constants."""
        match e:
            case Name(id=name) if isinstance(found := frame.scope.get(name), Initializer):
                return found
            case Name(id=name):
                call = Call(e, (), False, e.span)
            case Call(function=Name(id=name)):
                call = e
            case _:
                raise fault("E0235", e.span, "after `~` stands an initialiser", "zeros, normal(0, 0.01), glorot_uniform ...")
        if name not in SIGNATURES:
            raise fault("E0205", call.function.span, f"there is no initialiser `{name}`", did_you_mean(name, SIGNATURES))
        sig = SIGNATURES[name]
        bound = bind(call, [(k, default is None) for k, default in sig.items()], name)
        args: list[object] = []
        for key, default in sig.items():
            given = bound.get(key)
            if name == "values" and given is not None:
                args.append(self.literal(given))
            else:
                args.append(float(self.constant(given, frame)) if given is not None else default)
        return Initializer(name, tuple(args), " ".join(e.span.text.split()))

    def literal(self, e: Expr) -> object:
        """A literal matrix of numbers as nested tuples of floats."""
        if isinstance(e, Matrix):
            return tuple(self.literal(i) for i in e.items)
        return float(self.constant(e, Frame({})))

    # --- expressions -----------------------------------------------------------------------------

    def node(self, e: Expr, frame: Frame) -> Node:
        """The node of an expression. Raises E0235 where it is a function or a group instead."""
        meaning = self.expr(e, frame)
        if isinstance(meaning, Node):
            return meaning
        if isinstance(meaning, Group):
            raise fault("E0235", e.span, f"`{meaning.text}` is a group of {len(meaning.members)} params, and one value is needed",
                        f"give it to a function: l2({meaning.text}) is the sum of l2 of each")  # fmt: skip
        raise fault("E0235", e.span, f"`{e.span.text}` is a function, and a value is needed")

    def expr(self, e: Expr, frame: Frame) -> Meaning:
        """What an expression means in a frame."""
        if self.depth >= DEEPEST:
            raise fault("E0104", e.span, f"unfolded, this is more than {DEEPEST} levels deep", "give the parts names of their own")
        self.depth += 1
        try:
            return self._expr(e, frame)
        finally:
            self.depth -= 1

    def _expr(self, e: Expr, frame: Frame) -> Meaning:
        match e:
            case Number(text=text):
                return self.ir.const(exact(text))
            case Name():
                return self.name(e, frame)
            case Unary(value=value):
                return self.operation("neg", e, [(value, self.node(value, frame))])
            case Binary(op="@", left=left, right=right):
                return self.product(e, (left, self.node(left, frame)), (right, self.node(right, frame)))
            case Binary(op=op, left=left, right=right):
                return self.operation(BINARY[op], e, [(left, self.node(left, frame)), (right, self.node(right, frame))])
            case Call():
                return self.call(e, frame)
            case Slice():
                return builtins.columns_slice(self, e, frame)
            case Member(parts=parts):
                return self.member(e, parts, frame)
            case Matrix():
                raise fault("E0235", e.span, "a literal matrix stands in `data`, or in  param w [..] ~ values([[..]])")
            case Text():
                raise fault("E0235", e.span, "a text stands only in `from`, `import` and `columns(...)`")

    def name(self, e: Name, frame: Frame) -> Meaning:
        """What a bare name means."""
        if e.id in frame.scope:
            return frame.scope[e.id]
        if e.id in frame.symbols:
            return frame.symbols[e.id]
        if e.id == "pi":
            return self.ir.const(math.pi)
        if e.id == "training":
            return self.ir.const(int(self.training))
        if e.id in {"weights", "params"} and not frame.symbols:
            least = 2 if e.id == "weights" else 0
            return Group(tuple(p.node for p in self.params if len(p.node.shape) >= least), e.id)
        if e.id in {*SYMBOLS, "steps", "epochs"}:
            raise fault("E0201", e.span, f"`{e.id}` has a value only in the numbers of `train` and in an `update`")
        if self.lib.find(e.id, frame.home) or e.id in BUILTINS:
            raise fault("E0235", e.span, f"`{e.id}` is a function, and a value is needed", f"call it: {e.id}(...)")
        raise fault("E0201", e.span, f"there is no value `{e.id}` here", did_you_mean(e.id, frame.scope))

    def member(self, e: Member, parts: tuple[Name, ...], frame: Frame) -> Meaning:
        """`deep.weights`: the params of one statement."""
        owner, last = parts[0].id, parts[-1].id
        if len(parts) == 2 and last in {"weights", "params"} and owner in self.owner:
            least = 2 if last == "weights" else 0
            return Group(tuple(n for n in self.owner[owner] if len(n.shape) >= least), f"{owner}.{last}")
        raise fault("E0201", e.span, f"`{e.span.text}` is not a value here", "a statement's params are  name.weights  and  name.params")

    def operation(self, op: str, e: Expr, operands: list[tuple[Expr, Node]], **attrs: object) -> Node:
        """An elementwise operation on operands with their text, for the diagnosis if they do not fit."""
        for text, n in operands:
            if "N" in n.shape[1:]:
                raise fault("E0231", text.span, f"`{text.span.text}` is {shapes.show(n.shape)}: a transposed batch stands only left of `@`",
                            "transpose(a) @ b")  # fmt: skip
        try:
            return self.ir.make(op, *(n for _, n in operands), **attrs)
        except ShapeError as error:
            raise self.misfit(e, operands, error) from None

    def product(self, e: Expr, left: tuple[Expr, Node], right: tuple[Expr, Node]) -> Node:
        """`a @ b`; a vector on the left is a row for the length of the product."""
        a, b = left[1], right[1]
        try:
            if len(a.shape) == 1 and len(b.shape) == 2 and a.shape[0] == b.shape[0]:
                row = self.ir.make("reshape", a, shape=(1, *a.shape))
                return self.ir.make("reshape", self.ir.make("matmul", row, b), shape=(b.shape[1],))
            return self.ir.make("matmul", a, b)
        except ShapeError as error:
            raise self.misfit(e, [left, right], error) from None

    def misfit(self, e: Expr, operands: list[tuple[Expr, Node]], error: ShapeError) -> MlpcError:
        """The diagnosis of operands whose shapes do not fit, naming each with its shape and line."""
        told = [f"{_short(text.span.text)} is {shapes.show(n.shape)}{self._where(text)}" for text, n in operands]
        hint = ""
        text, n = operands[-1]
        first = operands[0][1].shape
        if isinstance(text, Name) and n.op == "param" and text.id in self.spans and len(operands) == 2 and first:
            wanted = (first[-1], n.shape[1]) if len(n.shape) == 2 and isinstance(e, Binary) and e.op == "@" else first[-1:]
            hint = f"change line {self.spans[text.id].line} to  param {text.id} {shapes.show(wanted)}"
        return fault("E0231", e.span, f"{' and '.join(told)}; {error}", hint)

    def _where(self, e: Expr) -> str:
        return f" (line {self.spans[e.id].line})" if isinstance(e, Name) and e.id in self.spans else ""

    # --- calls -----------------------------------------------------------------------------------

    def call(self, e: Call, frame: Frame) -> Meaning:
        """A call of a parameter that is a function, of a definition, or of a function of the language."""
        name = e.function.id
        local = frame.scope.get(name)
        if isinstance(local, Applicable):
            given = [self.expr(a.value, frame) for a in e.args if a.name is None]
            return self.apply(local, given, {a.name.id: self.expr(a.value, frame) for a in e.args if a.name}, e, frame)
        function = self.lib.find(name, frame.home)
        if function is None:
            if name in BUILTINS:
                bound = bind(e, builtin_signature(name), name)
                return self.over_group(name, bound, e, frame) or builtins.HANDLERS[name](self, e, bound, frame)
            raise self.lib.unknown(e.function, "fn", "block", "builtin")
        bound = bind(e, signature(function), name)
        given = {p: self.argument(function.kinds[p], a, frame) for p, a in bound.items()}
        return self.distribute(function, given, e, frame)

    def over_group(self, name: str, bound: Mapping[str, Expr], e: Call, frame: Frame) -> Node | None:
        """A function of the language on a group is the sum of it over the members."""
        first = next(iter(bound.values()), None)
        is_group = isinstance(first, Member) or (isinstance(first, Name) and first.id in {"weights", "params"})
        meaning = self.expr(first, frame) if is_group and first is not None else None
        if not isinstance(meaning, Group):
            return None
        inner = "_group_member"
        substituted = dict(bound) | {next(iter(bound)): Name(inner, e.span)}
        results = []
        for member in meaning.members:
            results.append(builtins.HANDLERS[name](self, e, substituted, replace(frame, scope=frame.scope | {inner: member})))
        return self.total(results, e, meaning)

    def distribute(self, function: Function, given: dict[str, Meaning], e: Call, frame: Frame) -> Node:
        """`f(group)` is the sum of `f` of each member."""
        group = next((p for p, m in given.items() if isinstance(m, Group)), None)
        if group is None:
            return self.unfold(function, given, e, frame)
        members = given[group]
        assert isinstance(members, Group)
        results = [self.unfold(function, given | {group: m}, e, frame) for m in members.members]
        for r in results:  # the user said f(group), and that is the sum: no member has words of its own
            self.words.pop(r, None)
        return self.total(results, e, members)

    def total(self, results: list[Node], e: Call, group: Group) -> Node:
        """The sum of a function over the members of a group."""
        if not results:
            raise fault("E0235", e.span, f"`{group.text}` is empty here: the model has no such param yet")
        total = results[0]
        for r in results[1:]:
            total = total + r
        return total

    def argument(self, kind: str, e: Expr, frame: Frame) -> Meaning:
        """What an argument means to a parameter of that kind."""
        if kind == FUNCTION:
            return self.applicable(e, frame)
        if kind == INITIALIZER:
            return self.initializer(e, frame)
        return self.expr(e, frame)

    def applicable(self, e: Expr, frame: Frame) -> Applicable:
        """A function where one is wanted: `f`, or `f(a, b = 1)`, whose arguments are evaluated here, once."""
        match e:
            case Name():
                name, args = e, ()
            case Call(function=name, args=args):
                pass
            case _:
                raise fault("E0235", e.span, "a function is wanted here", "relu, or leaky_relu(0.1)")
        local = frame.scope.get(name.id)
        function = self.lib.find(name.id, frame.home)
        if isinstance(local, Applicable):
            base = local
        elif function is None and name.id not in BUILTINS:
            raise self.lib.unknown(name, "fn", "block", "builtin")
        else:
            base = Applicable(name.id, function)
        given = tuple(self.expr(a.value, frame) for a in args if a.name is None)
        named = {a.name.id: self.expr(a.value, frame) for a in args if a.name}
        return Applicable(base.name, base.function, base.args + given, {**base.named, **named})

    def apply(self, f: Applicable, given: list[Meaning], named: dict[str, Meaning], e: Call, frame: Frame) -> Meaning:
        """`f` applied to what is given, the arguments of its section after it."""
        args = [*given, *f.args]
        every = {**f.named, **named}
        holes = {f"_{i}": m for i, m in enumerate(args)} | {f"_{k}": m for k, m in every.items()}
        written = tuple(replace(a, value=Name(k, e.span), name=None) for k, a in zip((f"_{i}" for i in range(len(args))), _blank(e, len(args)), strict=True))
        keyed = tuple(replace(_blank(e, 1)[0], name=Name(k, e.span), value=Name(f"_{k}", e.span)) for k in every)
        call = Call(Name(f.name, e.function.span), written + keyed, e.piped, e.span)
        if f.function is None:
            bound = bind(call, builtin_signature(f.name), f.name)
            return builtins.HANDLERS[f.name](self, call, bound, replace(frame, scope={**frame.scope, **holes}))
        bound = bind(call, signature(f.function), f.name)
        return self.distribute(f.function, {p: holes[b.id] for p, b in bound.items() if isinstance(b, Name)}, call, frame)

    def unfold(self, function: Function, given: dict[str, Meaning], e: Call, frame: Frame) -> Node:
        """The body of a definition with its parameters bound; defaults may use parameters to their left."""
        d = function.definition
        if d.kind == "update":
            raise fault("E0205", e.function.span, f"`{function.name}` is an update; it stands only in  optimizer = {function.name}(...)")
        inner = Frame({}, function.home, None, frame.symbols)
        if d.kind == "block":
            if frame.instance is None:
                raise fault("E0107", e.span, f"`{function.name}` is a block, which owns weights: call it in `model` or in a block, not in a function")
            inner.instance = Instance(frame.instance.statement, d.name.id, frame.instance)
            frame.instance.children.append(inner.instance)
        with self._told_at(e, function, frame), self._context(d.name.id if d.kind == "fn" else None):
            for p in d.parameters:
                if p.name.id in given:
                    inner.scope[p.name.id] = given[p.name.id]
                elif p.default is not None:
                    inner.scope[p.name.id] = self.argument(function.kinds[p.name.id], p.default, inner)
            result = self.body(d.body, inner)
        if d.kind == "fn":
            self._remember_words(result, function, given)
        elif inner.instance is not None and result.args:
            self.pending.append((result, inner.instance, ""))
        return result

    def body(self, statements: tuple[Statement, ...], frame: Frame) -> Node:
        """The value that a body returns."""
        for s in statements:
            match s:
                case Assign(name=name, value=value):
                    node = self.node(value, frame)
                    frame.scope[name.id] = node
                    if frame.instance is not None and node.args:
                        self.pending.append((node, frame.instance, name.id))
                        self.ir.named.add(node)
                case Param():
                    frame.scope[s.name.id] = self.param(s, frame)
                case Check(call=call):
                    self.call(call, frame)
                case Return(value=value):
                    return self.node(value, frame)
                case _:
                    raise fault("E0107", s.span, "this statement has no place here")
        raise AssertionError("a body without return was let through")

    @contextmanager
    def _told_at(self, e: Call, function: Function, frame: Frame) -> Iterator[None]:
        """Tells the faults of std's text at the user's call."""
        try:
            yield
        except MlpcError as error:
            if function.home != "std" or frame.home != "user":
                raise
            raise MlpcError(*(self._moved(d, e, function) for d in error.diagnostics)) from None

    def _moved(self, d: Diagnostic, e: Call, function: Function) -> Diagnostic:
        if d.span is None or not d.span.source.name.startswith("std/"):
            return d
        return replace(d, span=e.span, message=f"{d.message}\n(`{function.name}`, {d.span.source.name}:{d.span.line})")

    @contextmanager
    def _context(self, name: str | None) -> Iterator[None]:
        """Nodes made here arose in the function `name`, unless one around it is named already."""
        before = self.ir.context
        if name is not None and not before:
            self.ir.context = (name,)
        yield
        self.ir.context = before

    def _remember_words(self, node: Node, function: Function, given: Mapping[str, Meaning]) -> None:
        nodes = tuple(m for m in given.values() if isinstance(m, Node))
        if node.args and node not in nodes:
            places = {p.name.id: p for p in function.definition.parameters}
            self.words[node] = Words(function.name, tuple((p, given[p]) for p in places if p in given), nodes, tuple(places))


def _blank(e: Call, count: int) -> tuple[builtins.Arg, ...]:
    return tuple(builtins.Arg(None, Name("_", e.span), e.span) for _ in range(count))


def _check_values(init: Initializer, dims: tuple[int, ...], s: Param) -> None:
    """The literal of `values` has the shape of the param."""
    shape: list[int] = []
    level: object = init.args[0]
    while isinstance(level, tuple):
        shape.append(len(level))
        if any(isinstance(i, tuple) != isinstance(level[0], tuple) or (isinstance(i, tuple) and len(i) != len(level[0])) for i in level):
            raise fault("E0231", s.init.span, "the rows of this literal differ in length")
        level = level[0] if level else None
    if tuple(shape) != dims:
        raise fault("E0231", s.init.span, f"{s.name.id} is {shapes.show(dims)} and the literal is {shapes.show(tuple(shape))}")


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 40 else flat[:37] + "..."
