"""The graph of the user's values to nodes: functions and blocks unfolded, shapes and facts inferred on the way.

Evaluation is ordinary: an expression in a frame (what names mean here) gives a meaning, most often a node. A fault
inside the text of std is told at the user's call of it. Nothing here knows a function of std by name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from ..dsl.diagnostics import did_you_mean, fault
from ..dsl.syntax import (
    Assign,
    Call,
    Expr,
    Matrix,
    Name,
    Param,
    Span,
    Statement,
)  # fmt: skip
from . import evaluate, shapes
from .constants import Number as Num
from .constants import whole
from .definitions import Library, bind
from .initializers import SIGNATURES
from .instances import Frame, Initializer, Instance, Meaning, ParamDeclaration, Words, settle_paths
from .ir import Interner, Node
from .schema import Schema

LARGEST_PARAM = 2**36  # numbers in one tensor: half a terabyte of float64; beyond it is a slip of the pen


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
    used: set[str] = field(default_factory=set[str])  # names given, for membership
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
        frame = Frame(self.values, instance=Instance(name, "", None))
        self.spans[name] = statement.span
        if isinstance(statement, Param):
            node = self.values[name] = self.param(statement, frame)
            self.names[node] = name
        elif isinstance(statement, Assign):
            mark = len(self.params)
            self.values[name] = self.named(name, statement.value, frame, statement.span.line)
            self.owner[name] = [p.node for p in self.params[mark:]]

    def named(self, name: str, expr: Expr, frame: Frame, line: int) -> Node:
        """The node of an expression that is given a name; the paths of the instances that it made are settled."""
        mark = len(self.params)
        node = self.node(expr, frame)
        if frame.instance is not None:
            settle_paths(frame.instance)
        for inner, instance, local in self.pending:
            path = instance.path + (f".{local}" if local else "")
            self.give_name(inner, path, line)
        self.pending.clear()
        for declared in self.params[mark:]:
            self.names[declared.node] = declared.name
        self.give_name(node, name, line)
        self.source.setdefault(node, " ".join(expr.span.text.split()))
        return node

    def give_name(self, node: Node, name: str, line: int) -> None:
        """Names a computed value; of several names the one with the fewest dots stands, then the first."""
        if not node.args:
            return
        old = self.names.get(node)
        if old is None or name.count(".") < old.count("."):
            base, n = name, 2
            while name in self.used:
                name, n = f"{base}{n}", n + 1
            self.names[node] = name
            self.used.add(name)
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

    def node(self, e: Expr, frame: Frame) -> Node:
        """The node of an expression. Raises E0235 where it is a function or a group instead."""
        return evaluate.node(self, e, frame)


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
