"""The intermediate representation, whole:

    node  ::=  Node(op, args, shape, attrs)      one application of one row of `ops.TABLE`
    leaf  ::=  const value | literal value | symbol name | input name | param key | state name

Nodes never change and are interned: within one `Interner`, the same operation on the same arguments is the
same object, so identity is equality and a common subexpression is one node. Arguments are made before
the nodes that read them, so the order of `id` is a topological order. `Interner.make` applies the rules of `simplify`
as it builds, innermost first: one pass is the fixpoint. Names, places and origins live in side tables.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import NoReturn

from msgspec import Struct

from .facts import NOTHING, Facts
from .ops import TABLE
from .plan import Attrs, Shape

Number = Fraction | float
Rule = Callable[["Node"], "Node | None"]
Rules = Mapping[str, Iterable[Rule]]  # by the operation that is made, in the order tried


class Node(Struct, frozen=True, eq=False):
    """One operation. Compare with `is`; the arithmetic operators build further nodes."""

    op: str
    args: tuple[Node, ...]
    shape: Shape
    attrs: Attrs
    facts: Facts
    id: int
    ir: Interner

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "ir")
        return f"Node({', '.join(shown)})"

    def __add__(self, other: Node | Number | int) -> Node:
        return self.ir.make("add", self, other)

    def __sub__(self, other: Node | Number | int) -> Node:
        return self.ir.make("sub", self, other)

    def __rsub__(self, other: Number | int) -> Node:
        return self.ir.make("sub", other, self)

    def __radd__(self, other: Number | int) -> Node:
        return self.ir.make("add", other, self)

    def __mul__(self, other: Node | Number | int) -> Node:
        return self.ir.make("mul", self, other)

    def __rmul__(self, other: Number | int) -> Node:
        return self.ir.make("mul", other, self)

    def __truediv__(self, other: Node | Number | int) -> Node:
        return self.ir.make("div", self, other)

    def __rtruediv__(self, other: Number | int) -> Node:
        return self.ir.make("div", other, self)

    def __pow__(self, other: Node | Number | int) -> Node:
        return self.ir.make("pow", self, other)

    def __matmul__(self, other: Node) -> Node:
        return self.ir.make("matmul", self, other)

    def __neg__(self) -> Node:
        return self.ir.make("neg", self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a node has no truth value: compare nodes with `is`")

    @property
    def T(self) -> Node:
        """The transpose of a matrix."""
        return self.ir.make("transpose", self)

    @property
    def value(self) -> Number | None:
        """The number of a const, else None."""
        return self.attrs[0][1] if self.op == "const" else None  # type: ignore[return-value]

    def attr(self, name: str) -> object:
        """The attribute `name`."""
        return dict(self.attrs)[name]


def typed(value: object) -> object:
    """A key under which 1, 1.0 and True differ, and 0.0 and -0.0, and NaN equals itself."""
    if isinstance(value, float):
        return ("float", value.hex())
    if isinstance(value, tuple):
        return tuple(typed(v) for v in value)
    return (type(value).__name__, value)


class Interner:
    """Makes the nodes of one compilation.

    `rules` maps an op to the rewrites tried when one is made. `rewritten` says which rules made a node, `crossed` which nodes
    a rule read through (their value may no longer be what a reader goes through), `origin` in which functions
    of the user's a node arose, outermost only; `fired` is the log of (rule, node it spoke of). `drafts` are what rules found
    written where they made something new, and `barred` the mechanisms of the sweep that are held back (see `derivation`).
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = {op: tuple(chain) for op, chain in rules.items()}
        self.nodes: list[Node] = []
        self.rewritten: dict[Node, tuple[str, ...]] = {}
        self.crossed: dict[Node, str] = {}
        self.origin: dict[Node, tuple[str, ...]] = {}
        self.named: set[Node] = set()  # asked for membership only; the user's named values, which tidying rules leave alone
        self.fired: list[tuple[str, Node]] = []
        self.drafts: dict[Node, tuple[str, Node]] = {}
        self.barred: frozenset[str] = frozenset()
        self.context: tuple[str, ...] = ()
        self._memo: dict[object, tuple[Node, tuple[tuple[str, Node], ...]]] = {}

    def const(self, value: Number | int) -> Node:
        """The number itself. Finite ones are exact (`Fraction`), except -0.0 and what only a float holds (pi)."""
        return self.leaf("const", (), None, value=Fraction(value) if isinstance(value, int) else value)

    def leaf(self, op: str, shape: Shape, facts: Facts | None = NOTHING, **attrs: object) -> Node:
        """A node without arguments; without facts, a number, whose facts are its own."""
        key = (op, tuple((k, typed(v)) for k, v in attrs.items()))
        found = self._memo.get(key)
        if found is None:
            known = constant_facts(attrs["value"]) if facts is None else facts  # type: ignore[arg-type]
            found = self._memo[key] = (self._new(op, (), shape, tuple(attrs.items()), known), ())
        return found[0]

    @contextmanager
    def under(self, rules: Rules, barred: Iterable[str] = (), *, known: bool = True) -> Generator[None]:
        """Makes nodes by other rules for a while, and leaves no trace in the tables.

        `barred`: mechanisms of the sweep that are held back. Unless `known`, what was made before is made anew instead of found.
        """
        tables = ("rules", "barred", "_memo", "rewritten", "crossed", "origin", "named", "fired", "drafts")
        before = {name: getattr(self, name) for name in tables}
        for name in tables[2:]:
            setattr(self, name, before[name].copy())
        self.rules = {op: tuple(chain) for op, chain in rules.items()}
        self.barred = frozenset(barred)
        if not known:
            self._memo = {}
        try:
            yield
        finally:
            for name, table in before.items():
                setattr(self, name, table)

    def make(self, op: str, *operands: Node | Number | int, **attrs: object) -> Node:
        """The node `op(*operands, **attrs)`, simplified. Raises `ops.ShapeError` where the shapes do not fit."""
        args = tuple(a if isinstance(a, Node) else self.const(a) for a in operands)
        key = (op, args, tuple((k, typed(v)) for k, v in attrs.items())) if attrs else (op, args)
        found = self._memo.get(key)
        if found is not None:
            self.fired.extend(found[1])
            return found[0]
        mark = len(self.fired)
        node = self._simplified(op, args, tuple(attrs.items()))
        self._memo[key] = (node, tuple(self.fired[mark:]))
        return node

    def _simplified(self, op: str, args: tuple[Node, ...], attrs: Attrs) -> Node:
        row = TABLE[op]
        shape = row.shape([a.shape for a in args], dict(attrs))
        draft = Node(op, args, shape, attrs, NOTHING, -1, self)
        fresh = len(self.nodes)
        for rule in self.rules.get(op, ()):
            made = rule(draft)
            if made is not None:
                self._record(rule.__name__, draft, made, fresh)
                return made
        return self._new(op, args, shape, attrs, row.facts(args, shape, dict(attrs)))

    def _new(self, op: str, args: tuple[Node, ...], shape: Shape, attrs: Attrs, facts: Facts) -> Node:
        node = Node(op, args, shape, attrs, facts, len(self.nodes), self)
        self.nodes.append(node)
        if self.context:
            self.origin[node] = self.context
        return node

    def _record(self, rule: str, draft: Node, made: Node, fresh: int) -> None:
        """Notes that `made` stands for `draft`, and which nodes the rule read through."""
        if made.id >= fresh and made.args:
            self.drafts.setdefault(made, (rule, draft))
        through = _between(draft, made)
        origins = [o for n in through for o in self.origin.get(n, ())]
        if through:
            for node in through:
                self.crossed.setdefault(node, rule)
            for node in (made, *made.args) if made.op == "neg" else (made,):  # a minus may go again, and what it stood before be the value
                if node.args and node.id >= fresh:
                    self.rewritten[node] = tuple(dict.fromkeys((*self.rewritten.get(node, ()), rule)))
                    self.origin[node] = tuple(dict.fromkeys((*origins, *self.origin.get(node, ()), *self.context)))
        self.fired.append((rule, draft.args[0]))


def _between(draft: Node, made: Node) -> list[Node]:
    """The nodes below `draft` that `made` no longer reads: those down to what both share. Rules match at most five deep."""
    kept: set[Node] = set()
    level = [made]
    for _ in range(4):
        kept.update(level)
        level = [a for n in level for a in n.args]
    kept.update(level)
    found: dict[Node, None] = {}
    level = list(draft.args)
    for _ in range(5):
        level = [n for n in level if n not in kept and n not in found and n.args]
        found.update(dict.fromkeys(level))
        level = [a for n in level for a in n.args]
    return list(found)


def constant_facts(value: Number | int) -> Facts:
    """The facts of a number."""
    whole = not math.isinf(value) and not math.isnan(value) and value == int(value)
    return Facts(nonnegative=value >= 0, positive=value > 0, integer=whole, bounded=True)


def literal_facts(rows: Sequence[Sequence[Number]]) -> Facts:
    """The facts of a literal matrix, whose numbers are all in the text."""
    each = [constant_facts(n) for row in rows for n in row]
    sums = {sum(row) if all(isinstance(n, Fraction) for n in row) else None for row in rows}
    total = sums.pop() if len(sums) == 1 else None
    nonnegative, integer = all(f.nonnegative for f in each), all(f.integer for f in each)
    row_sum = total if isinstance(total, Fraction) else None
    below = 1 + int(max(n for row in rows for n in row)) if nonnegative and integer else None
    return Facts(nonnegative, all(f.positive for f in each), integer, True, below is not None and row_sum == 1, row_sum, below)


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """Everything that the roots are computed from, themselves included, in topological order."""
    seen: set[int] = set()
    stack = list(roots)
    found: list[Node] = []
    while stack:
        node = stack.pop()
        if node.id not in seen:
            seen.add(node.id)
            found.append(node)
            stack.extend(node.args)
    return sorted(found, key=lambda n: n.id)
