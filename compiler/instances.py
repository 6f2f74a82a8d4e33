"""What an expression can mean beside a node, and how the values of blocks get their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..dsl.syntax import Expr
from .definitions import Function
from .ir import Node


@dataclass(frozen=True, slots=True, eq=False)
class Applicable:
    """A function as a value: a definition or one of the language's own (`builtin`), with arguments already given.

    Applied to v it is `f(v, *args, **named)`.
    """

    name: str
    function: Function | None
    args: tuple[Meaning, ...] = ()
    named: Mapping[str, Meaning] = field(default_factory=dict[str, "Meaning"])


@dataclass(frozen=True, slots=True, eq=False)
class Initializer:
    """An initialiser with its arguments: numbers, or nested tuples for `values`."""

    name: str
    args: tuple[object, ...]
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Several params (`weights`): `f(group)` is the sum of `f` of each."""

    members: tuple[Node, ...]
    text: str


Meaning = Node | Applicable | Initializer | Group


@dataclass(slots=True, eq=False)
class Instance:
    """One application of a block. Its path is known when its statement is done: only instances that own a param count."""

    statement: str
    callee: str
    parent: Instance | None
    children: list[Instance] = field(default_factory=list["Instance"])
    owns: bool = False
    path: str = ""

    def mark(self) -> None:
        """Says that this instance, and so every one around it, owns a param or state."""
        here: Instance | None = self
        while here is not None:
            here.owns, here = True, here.parent

    @property
    def address(self) -> tuple[str, ...]:
        """Where it stands in evaluation, unique and the same for every compilation mode."""
        if self.parent is None:
            return (self.statement,)
        return (*self.parent.address, f"{self.callee}#{self.parent.children.index(self)}")


@dataclass(slots=True, eq=False)
class Frame:
    """What names mean at a place: `scope` by name, whose text it is, and the instance that owns what is declared here.

    `given` and `caller` are the arguments that it was called with, in the caller's words, for diagnoses.
    """

    scope: dict[str, Meaning]
    home: str = "user"
    instance: Instance | None = None
    symbols: Mapping[str, Node] = field(default_factory=dict[str, Node])
    given: Mapping[str, Expr] = field(default_factory=dict[str, "Expr"])
    caller: Frame | None = None


def settle_paths(root: Instance) -> None:
    """Gives every instance of a statement its path: the statement's name for a single one, else callee and ordinal.

    `root` is the statement itself, an instance without a callee.
    """
    root.path = root.statement
    owning = [c for c in root.children if c.owns]
    if len(owning) == 1:
        owning[0].path = root.path
        _settle_children(owning[0])
        return
    _settle_children(root)


def _settle_children(parent: Instance) -> None:
    counts: dict[str, int] = {}
    for child in parent.children:
        if child.owns:
            counts[child.callee] = counts.get(child.callee, 0) + 1
            child.path = f"{parent.path}.{child.callee}{counts[child.callee]}"
        else:
            child.path = parent.path
        _settle_children(child)


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """The user's words for a node: a call, and the nodes that its text names."""

    function: str
    args: tuple[tuple[str, Meaning | str], ...]
    nodes: tuple[Node, ...]
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """A tensor as declared, a `param` or a `state`: its node, its initialiser, and its line in the user's file."""

    node: Node
    local: str
    instance: Instance
    init: Initializer
    line: int

    @property
    def name(self) -> str:
        """`w1`, `h.W`, `deep.dense1.W`."""
        return self.local if self.instance.callee == "" else f"{self.instance.path}.{self.local}"
