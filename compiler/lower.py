"""The graph of the user's values to nodes: functions and blocks unfolded, shapes and facts inferred on the way.

Evaluation is ordinary: an expression in a frame (what names mean here) gives a meaning, most often a node. A fault
inside the text of std is told at the user's call of it. Nothing here knows a function of std by name.
"""

from __future__ import annotations

import math

from msgspec import Struct

from ..dsl.diagnostics import did_you_mean, fault
from ..dsl.syntax import Assign, Call, Expr, Matrix, Name, Param, Prime, Span, State, Statement
from . import evaluate, shapes
from .constants import Number as Num
from .constants import whole
from .definitions import Library, bind
from .initializers import SIGNATURES
from .instances import Declaration, Frame, Initializer, Instance, Meaning, Words, settle_paths
from .ir import Interner, Node
from .schema import Schema

LARGEST_PARAM = 2**36  # numbers in one tensor: half a terabyte of float64; beyond it is a slip of the pen


class Lowering(Struct, eq=False):
    """The state of one lowering: nodes by name, names by node, and what a plan says of them."""

    ir: Interner
    lib: Library
    schema: Schema
    training: bool = True
    values: dict[str, Meaning] = {}
    names: dict[Node, str] = {}
    line: dict[Node, int] = {}
    source: dict[Node, str] = {}
    words: dict[Node, Words] = {}
    params: list[Declaration] = []
    states: list[Declaration] = []
    declared: list[Declaration] = []  # not yet named: the statement goes on
    primes: dict[Node, Node] = {}  # a state -> its value after the step
    several_rows: Span | None = None  # who needs more than one row in every batch
    owner: dict[str, list[Node]] = {}
    spans: dict[str, Span] = {}
    pending: list[tuple[Node, Instance, str]] = []
    used: set[str] = set()  # names given, for membership
    current: str = ""  # the statement at hand
    draws: dict[str, int] = {}
    depth: int = 0
    unfolded: int = 0

    # --- statements of the model -----------------------------------------------------------------

    def inputs(self) -> None:
        """The data values as leaves."""
        for v in self.schema.values:
            node = self.ir.leaf("input", ("N", v.width), v.facts, name=v.name)
            self.values[v.name], self.names[node], self.spans[v.name] = node, v.name, v.span
            self.ir.named.add(node)

    def statement(self, name: str, statement: Statement) -> None:
        """One statement of `model`: a param or a state, a value with the instances that it makes, or what becomes of a state."""
        frame = Frame(self.values, instance=Instance(name, "", None))
        self.current = name
        if isinstance(statement, Prime):
            self.prime(statement, frame)
            self.settle(frame.instance, name, statement.span.line)
            return
        self.spans[name] = statement.span
        if isinstance(statement, (Param, State)):
            self.values[name] = self.declare(statement, frame)
            self.settle(frame.instance, name, statement.span.line)
        elif isinstance(statement, Assign):
            mark = len(self.params)
            self.values[name] = self.named(name, statement.value, frame, statement.span.line)
            self.owner[name] = [p.node for p in self.params[mark:]]

    def named(self, name: str, expr: Expr, frame: Frame, line: int) -> Node:
        """The node of an expression that is given a name; the paths of the instances that it made are settled."""
        node = self.own_line(self.node(expr, frame))
        self.settle(frame.instance, name, line)
        self.give_name(node, name, line)
        self.source.setdefault(node, expr.span.words)
        return node

    def settle(self, root: Instance | None, statement: str, line: int) -> None:
        """Gives what the statement's instances declared and computed its names, once their paths are known."""
        if root is not None:
            settle_paths(root)
        for inner, instance, local in self.pending:
            if local or (instance.owns and instance.path != statement):  # a lone instance's value is the statement's own, or a part of it
                inside = instance.callee != ""  # a statement of the model itself names its values plainly
                self.give_name(inner, f"{instance.path}.{local}" if local and inside else local or instance.path, line)
        self.pending.clear()
        for declared in self.declared:
            self.names[declared.node] = declared.name
        self.declared.clear()

    def own_line(self, node: Node) -> Node:
        """The node, or, of a literal matrix, the same numbers under a name of their own, so that lines need not repeat them."""
        return self.ir.make("alias", node) if node.op == "literal" else node

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

    def declare(self, s: Param | State, frame: Frame) -> Node:
        """A trained tensor or a state, owned by the frame's instance."""
        instance, kind = frame.instance, "param" if isinstance(s, Param) else "state"
        if instance is None:
            raise fault("E0107", s.span, f"a `{kind}` is declared in `model` or in a block, not in a function")
        dims = tuple(self.size(d, frame) for d in s.dims or ())
        if math.prod(dims) > LARGEST_PARAM:
            shown = f"{s.name.id} is {shapes.show(dims)}: {math.prod(dims):,} numbers, {math.prod(dims) * 8 / 1e12:,.1f} TB in float64"
            raise fault("E0234", s.span, shown, "are the dims what you meant?")
        init = self.initializer(s.init, frame)
        node = self.ir.leaf(kind, dims, address=(*instance.address, s.name.id))
        if instance.callee:
            instance.mark()
        line = self.spans.get(instance.statement, s.span).line if s.span.source is not self._user_source(instance) else s.span.line
        made = Declaration(node, s.name.id, instance, init, line)
        (self.params if kind == "param" else self.states).append(made)
        self.declared.append(made)
        if init.name == "values":
            _check_values(init, dims, s)
        return node

    def prime(self, s: Prime, frame: Frame) -> Node:
        """What becomes of a state after the step: computed with the forward pass, put in its place after the update."""
        state = frame.scope.get(s.name.id)
        if not isinstance(state, Node) or state.op != "state":
            raise fault("E0201", s.name.span, f"`{s.name.id}'` says what becomes of a state, and there is no state `{s.name.id}` here",
                        f"declare it:  state {s.name.id} [...] ~ zeros")  # fmt: skip
        if state in self.primes:
            raise fault("E0203", s.name.span, f"`{s.name.id}'` is assigned twice")
        node = self.node(s.value, frame)
        if node.shape != state.shape:
            raise fault(
                "E0231", s.span, f"`{s.name.id}` is {shapes.show(state.shape)}, and after the step it would be {shapes.show(node.shape)}"
            )
        if not node.args or node in self.ir.named:
            node = self.ir.make("alias", node)  # the same numbers under a name of their own
        self.primes[state] = node
        self.ir.named.add(node)
        if frame.instance is not None:
            self.pending.append((node, frame.instance, f"{s.name.id}'"))
        return node

    def next_stream(self) -> str:
        """The name of the next random draw: the statement's, with an ordinal, so that no other statement moves it."""
        name = self.current
        self.draws[name] = self.draws.get(name, 0) + 1
        return f"{name}#{self.draws[name]}"

    def _user_source(self, instance: Instance) -> object:
        return self.spans[instance.statement].source if instance.statement in self.spans else None

    def size(self, e: Expr, frame: Frame) -> int:
        """A dim or a count: a constant that is whole and at least 1."""
        n = whole(self.constant(e, frame))
        if n is None or n < 1:
            shown, value = evaluate.spoken(e, frame), f"{float(self.constant(e, frame)):.12g}"
            found = f"this is {value}" if shown == value else f"`{shown}` is {value}"
            raise fault("E0233", e.span, f"a size is a whole number of at least 1, and {found}", "16, or cols(x), or classes(y)")
        if n > LARGEST_PARAM:
            raise fault("E0234", e.span, f"a size of {float(n):.3g} is more than any memory holds", "is this number what you meant?")
        return n

    def constant(self, e: Expr, frame: Frame) -> Num:
        """The number that an expression comes to before anything runs."""
        node = self.node(e, frame)
        if node.op == "literal":
            raise fault(
                "E0233",
                e.span,
                f"one number is needed here, and `{evaluate.spoken(e, frame)}` is {shapes.show(node.shape)}",
                "use a number",
            )
        if node.value is None:
            text = evaluate.spoken(e, frame)
            raise fault("E0233", e.span, f"a constant is needed here, and `{text}` depends on data, params or the step",
                        f"use a number, or cols({text})" if node.op == "input" else "use a number, cols(x) or classes(y)")  # fmt: skip
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
                raise fault("E0235", e.span, f"after `~` stands an initialiser, and this is `{e.span.text}`",
                        f"constant({e.span.text}), zeros, normal(0, 0.01), glorot_uniform ...")  # fmt: skip
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
        return Initializer(name, tuple(args), e.span.words)

    def literal(self, e: Expr) -> object:
        """A literal matrix of numbers as nested tuples of floats."""
        if isinstance(e, Matrix):
            return tuple(self.literal(i) for i in e.items)
        if isinstance(e, Name):
            raise fault("E0233", e.span, f"`values` takes a literal, and this is `{e.id}`", "values([[0.1, 0.2], [0.3, 0.4]])")
        return float(self.constant(e, Frame({})))

    def node(self, e: Expr, frame: Frame) -> Node:
        """The node of an expression. Raises E0235 where it is a function or a group instead."""
        return evaluate.node(self, e, frame)


def _check_values(init: Initializer, dims: tuple[int, ...], s: Param | State) -> None:
    """The literal of `values` has the shape of the param."""
    shape: list[int] = []
    level: object = init.args[0]
    while isinstance(level, tuple):
        shape.append(len(level))
        if any(isinstance(i, tuple) != isinstance(level[0], tuple) or (isinstance(i, tuple) and len(i) != len(level[0])) for i in level):
            raise fault("E0231", s.init.span, "the rows of this literal differ in length", f"the param is {shapes.show(dims)}")
        level = level[0] if level else None
    if tuple(shape) != dims:
        hint = (
            f"change one of them: param {s.name.id} {shapes.show(tuple(shape))}"
            if shape and 0 not in shape
            else "values([[1, 2], [3, 4]]) is [2, 2]"
        )
        raise fault("E0231", s.init.span, f"{s.name.id} is {shapes.show(dims)} and the literal is {shapes.show(tuple(shape))}", hint)
