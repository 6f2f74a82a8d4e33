"""Lines out of nodes: each named node becomes a line whose steps make it from the registers of other lines."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from .cotangents import as_scalar
from .instances import Words
from .ir import Node
from .notation import Notation
from .ops import TABLE
from .plan import Line, Numbers, Shape, Step, Value
from .simplify import KEEPS, LICENCE, NAMES

STATEMENTS = {rule.__name__: (rule.__doc__ or "").split("\n")[0].rstrip(".") for rule in LICENCE}
Sizes = Mapping[str, int]


def trivial(node: Node) -> bool:
    """Whether a node is written again wherever it is read, for it costs nothing: a view of something named, or a scalar of N."""
    if as_scalar(node) is not None:
        return True
    return (
        TABLE[node.op].kind == "view"
        and node.op != "alias"
        and (not node.args[0].args or node.args[0] in node.ir.named or trivial(node.args[0]))
    )


def shared(needed: Sequence[Node]) -> set[Node]:
    """The nodes that more than one other node reads and that are worth a line of their own."""
    readers: dict[Node, int] = {}
    for node in needed:
        for arg in dict.fromkeys(node.args):
            readers[arg] = readers.get(arg, 0) + 1
    return {n for n, count in readers.items() if count > 1 and n.args and not trivial(n)}


class Registers:
    """Numbers values as they are made and writes lines. `names` are all nodes that are written by name."""

    def __init__(self, names: Mapping[Node, str], words: Mapping[Node, Words], sizes: Sizes, itemsize: int) -> None:
        self.names = names
        self.notation = Notation(names, words)
        self.sizes = sizes
        self.itemsize = itemsize
        self.values: list[Value] = []
        self.of: dict[Node, int] = {}

    def new(self, name: str, role: str, shape: Shape, number: Numbers | None = None) -> int:
        """A fresh register."""
        self.values.append(Value(len(self.values), name, role, shape, number))
        return len(self.values) - 1

    def leaf(self, node: Node) -> int:
        """The register of a leaf, made at its first reading."""
        if node not in self.of:
            if node.op == "const":
                assert node.value is not None
                self.of[node] = self.new("", "const", (), float(node.value))
            elif node.op == "literal":
                self.of[node] = self.new("", "const", node.shape, as_floats(node.attr("value")))
            elif node.op == "symbol":
                self.of[node] = self.new(str(node.attr("name")), "symbol", ())
            else:
                self.of[node] = self.new(self.names[node], node.op, node.shape)
        return self.of[node]

    def inside(self, root: Node) -> list[Node]:
        """The nodes of a line: the root and what it is computed from down to names and leaves, operands first."""
        found: dict[Node, None] = {root: None}
        stack = [root]
        while stack:
            for arg in stack.pop().args:
                if arg.args and arg not in self.names and arg not in found:
                    found[arg] = None
                    stack.append(arg)
        return sorted(found, key=lambda n: n.id)

    def reads(self, root: Node) -> list[Node]:
        """The named nodes and leaves that a line reads."""
        inner = self.inside(root)
        own = set(inner)
        return sorted({a for n in inner for a in n.args if a not in own or a is root}, key=lambda n: n.id)

    def line(self, root: Node, name: str, section: str, *, by: str = "", line: int = 0, source: str = "", role: str = "line") -> Line:
        """The line that makes `root`, with its text, steps and cost; ids and readers are put in by `numbered`."""
        local: dict[Node, int] = {}
        steps: list[Step] = []
        flops = 0
        inner = self.inside(root)
        for node in inner:
            args = tuple(local[a] if a in local else self.of[a] if a.args else self.leaf(a) for a in node.args)
            out = self.new(name if node is root else "", role if node is root else "inner", node.shape)
            attrs = tuple((k, v) for k, v in node.attrs)
            steps.append(Step(node.op, args, out, attrs))
            local[node] = out
            flops += self.flops(node)
        if not root.args:  # a line that only repeats a leaf
            raise AssertionError(f"{name} is a leaf")
        text, needs = self.notation.right_side(root)
        value = local[root]
        self.of[root] = value
        note = self._note(root, inner, section, text, source) if section != "gradient" else ""
        return Line(
            "",
            section,
            name,
            text,
            root.shape,
            value,
            tuple(steps),
            by=by,
            line=line,
            needs=needs,
            flops=flops,
            bytes=self.bytes(root.shape),
            note=note,
        )

    def _note(self, root: Node, inner: Sequence[Node], section: str, text: str, source: str) -> str:
        """The user's words, where what runs is not what they say: a rewrite crossed them."""
        told: list[str] = []
        for node in inner:
            rules = [r for r in node.ir.rewritten.get(node, ()) if NAMES[r] != KEEPS]
            if rules and node.op not in node.ir.origin.get(node, ()):
                told.extend(STATEMENTS[r] for r in rules)
        if not told:
            return ""
        if section == "update":  # whose text speaks of other names: the line as it was before its rewrites
            drafts = {node: draft for node, (_, draft) in root.ir.drafts.items()}
            source = Notation(self.names, {}, drafts).right_side(root)[0]
        note = source or "; ".join(dict.fromkeys(told))
        return "" if note == text else note

    def elements(self, shape: Shape) -> int:
        """The numbers of a value at the plan's batch."""
        return math.prod(self.sizes[d] if isinstance(d, str) else d for d in shape)

    def bytes(self, shape: Shape) -> int:
        """The bytes of a value at the plan's batch."""
        return self.elements(shape) * self.itemsize

    def flops(self, node: Node) -> int:
        """The floating-point operations of a node at the plan's batch."""
        row = TABLE[node.op]
        if row.kind == "matmul":
            return 2 * self.elements(node.shape) * self.elements(node.args[0].shape[-1:])
        if as_scalar(node) is not None:
            return 0
        return row.flops * self.elements(node.args[0].shape if row.kind == "reduce" else node.shape)


def as_floats(value: object) -> Any:
    """The exact numbers of a literal as nested tuples of floats."""
    return tuple(as_floats(v) for v in value) if isinstance(value, tuple) else float(value)  # type: ignore[arg-type]


def numbered(lines: Sequence[Line], letter: str) -> list[Line]:
    """The lines with their ids, f1 f2 ..."""
    return [_with(line, id=f"{letter}{i}") for i, line in enumerate(lines, 1)]


def connected(lines: Sequence[Line]) -> list[Line]:
    """The lines with their readers: a name is what the last line above has made under it, or stands for what none of them makes."""
    readers: dict[str, list[str]] = {}
    sections = {line.id: line.section for line in lines}
    producers: dict[str, str] = {}
    for line in lines:
        for name in line.needs:
            if name in producers:
                readers.setdefault(producers[name], []).append(line.id)
        producers[line.target] = line.id
    finished: list[Line] = []
    for line in lines:
        found = tuple(readers.get(line.id, ()))
        kept = line.section == "forward" and any(sections[r] == "gradient" for r in found)
        same = line.needed_by == found and line.kept == kept
        finished.append(line if same else _with(line, needed_by=found, kept=kept))
    return finished


def free_name(taken: Callable[[str], bool]) -> str:
    """The first of t1, t2, ... that nobody has."""
    n = 1
    while taken(f"t{n}"):
        n += 1
    return f"t{n}"


def _with(line: Line, **changes: object) -> Line:
    return replace(line, **changes)  # type: ignore[arg-type]
