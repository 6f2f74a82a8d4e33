"""Nodes to the text of the language, with as many parentheses as its precedences need and no more.

A node with a name is written by it; other nodes are written out. A call of the user's (or std's) keeps its words as
long as what runs is what they say: no rewrite crossed them and every part is theirs alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from . import shapes
from .instances import Applicable, Group, Initializer, Meaning, Words
from .ir import Node, Number
from .ops import ATOM, COMPARISON, POWER, TABLE, UNARY
from .simplify import KEEPS, NAMES

CALLED = {"max_over": "max", "min_over": "min"}
Written = tuple[str, int]
MOST_NUMBERS, SHOWN = 12, 3  # a literal of more is elided after so many


def number(value: Number) -> str:
    """A number as written: `0.1`, `2`, `1e-08`, `π`."""
    if value == math.pi:
        return "π"
    as_float = float(value)
    if as_float.is_integer() and abs(as_float) < 1e16 and (as_float or math.copysign(1, as_float) > 0):
        return str(int(as_float))
    return repr(as_float)


def literal(value: tuple[Number | tuple[Number, ...], ...]) -> str:
    """`[1, 2, 3]`, `[[1, 2], [3, 4]]`; of a long one its sizes and how it begins: `literal([20, 30], 1, 2, 3, "...")`."""
    rows = [v if isinstance(v, tuple) else (v,) for v in value]
    nested = isinstance(value[0], tuple)
    if len(rows) * len(rows[0]) <= MOST_NUMBERS:
        written = [", ".join(number(n) for n in row) for row in rows]
        return f"[{', '.join(f'[{row}]' if nested else row for row in written)}]"
    first = rows[0] if nested else [row[0] for row in rows]
    sizes = (len(rows), len(rows[0])) if nested else (len(rows),)
    return f'literal({shapes.show(sizes)}, {", ".join(number(n) for n in first[:SHOWN])}, "...")'


class Notation:
    """Writes nodes by `names` and `words`. `needs` collects the names written since the last `start`.

    `drafts` are nodes to be written as something else than they are: as they were before a rewrite.
    """

    def __init__(self, names: Mapping[Node, str], words: Mapping[Node, Words], drafts: Mapping[Node, Node] = MappingProxyType({})) -> None:
        self.names = names
        self.words = words
        self.drafts = drafts
        self.needs: dict[str, None] = {}
        self.rows = "rows" if "N" in names.values() else "N"  # a user may have a value N

    def right_side(self, root: Node) -> tuple[str, tuple[str, ...]]:
        """The text of a node in full, its own name aside, and the names in that text."""
        self.needs = {}
        text = self._full(root)[0]
        return text, tuple(self.needs)

    def _write(self, node: Node) -> Written:
        name = self.names.get(node)
        if name is not None:
            self.needs.setdefault(name)
            return name, ATOM
        return self._full(node)

    def _at(self, node: Node, least: int) -> str:
        text, precedence = self._write(node)
        return text if precedence >= least else f"({text})"

    def _full(self, node: Node) -> Written:
        words = self.words.get(node)
        if words is not None and self._stand(node, words):
            return self._call_words(words), ATOM
        node = self.drafts.get(node, node)
        row = TABLE[node.op]
        args = node.args
        if node.op == "const":
            text = number(node.value)  # type: ignore[arg-type]
            return text, UNARY if text.startswith("-") else ATOM
        if node.op == "symbol":
            name = str(node.attr("name"))
            return (self.rows if name == "N" else name), ATOM
        if node.op == "literal":
            return literal(node.attr("value")), ATOM  # type: ignore[arg-type]
        if not args:
            return self.names[node], ATOM
        if node.op == "neg":
            return f"-{self._at(args[0], UNARY)}", UNARY
        if node.op == "pow":
            return f"{self._at(args[0], ATOM)}^{self._at(args[1], UNARY)}", POWER
        if row.symbol:
            left = row.precedence + (row.precedence == COMPARISON)
            return f"{self._at(args[0], left)} {row.symbol} {self._at(args[1], row.precedence + 1)}", row.precedence
        if node.op == "transpose":
            return f"{self._at(args[0], ATOM)}ᵀ", ATOM
        if node.op == "alias":
            return self._write(args[0])
        if node.op == "slice":
            return f"{self._at(args[0], ATOM)}[{_subscripts(node)}]", ATOM
        parts = [self._write(a)[0] for a in args] + _attributes(node)
        return f"{CALLED.get(node.op, node.op)}({', '.join(parts)})", ATOM

    def _stand(self, root: Node, words: Words) -> bool:
        """Whether what runs between the node and the arguments of the call is what the call says."""
        arguments = set(words.nodes)
        reached: set[Node] = set()
        stack = [root]
        while stack:
            node = stack.pop()
            if node is not root:
                if node in arguments:
                    reached.add(node)
                    continue
                if node in self.names:
                    return False
            if node.op == "literal" and len(node.attrs) > 1:  # numbers counted in the data, which no words say
                return False
            rules = node.ir.rewritten.get(node, ())
            if node.op != words.function and any(NAMES[r] != KEEPS for r in rules):
                return False
            stack.extend(node.args)
        return any(n.op != "const" for n in reached) and all(n in reached or n.op == "const" for n in words.nodes)

    def _call_words(self, words: Words) -> str:
        written: list[str] = []
        order = iter(words.names)
        in_place = True
        for parameter, meaning in words.args:
            in_place = in_place and next(order, None) == parameter
            text = self._meaning(meaning)
            written.append(text if in_place and parameter != "axis" else f"{parameter} = {text}")
        return f"{words.function}({', '.join(written)})"

    def _meaning(self, meaning: Meaning | str) -> str:
        match meaning:
            case str():
                return meaning
            case Node():
                return self._write(meaning)[0]
            case Applicable(name=name, args=args, named=named):
                inner = [self._meaning(a) for a in args] + [f"{k} = {self._meaning(v)}" for k, v in named.items()]
                return f"{name}({', '.join(inner)})" if inner else name
            case Initializer(text=text) | Group(text=text):
                return text


def _subscripts(node: Node) -> str:
    axis, start, stop = node.attr("axis"), node.attr("start"), node.attr("stop")
    return ", ".join(f"{start}:{stop}" if i == axis else ":" for i in range(len(node.shape)))


def _attributes(node: Node) -> list[str]:
    attrs = dict(node.attrs)
    if "axes" in attrs:
        rank, axes = len(node.args[0].shape), attrs["axes"]
        if axes == tuple(range(rank)) and not attrs["keep"]:
            return []
        if axes == (rank - 1,) and attrs["keep"]:
            return ["axis = features"]
        if axes == (0,) and not attrs["keep"]:
            return ["axis = batch" if shapes.batched(node.args[0].shape) else "axis = 0"]
        word = "batch" if axes == (0,) and shapes.batched(node.args[0].shape) else shapes.show(axes)  # type: ignore[arg-type]
        return [f"axis = {word}", f"keep = {int(bool(attrs['keep']))}"]
    if "shape" in attrs:
        return [shapes.show(attrs["shape"])]  # type: ignore[arg-type]
    if node.op == "pad":
        return [str(attrs["start"]), str(attrs["size"])] + ([f"axis = {attrs['axis']}"] if attrs["axis"] != len(node.shape) - 1 else [])
    return [str(v) for name, v in attrs.items() if name != "stream"]
