"""What an expression can mean beside a node, and how the values of blocks get their names."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from ..dsl.syntax import Expr
from .definitions import Function
from .ir import Node


class Applicable(Struct, frozen=True, eq=False):
    """A function as a value: a definition or one of the language's own (`builtin`), with arguments already given.

    Applied to v it is `f(v, *args, **named)`.
    """

    name: str
    function: Function | None
    args: tuple[Meaning, ...] = ()
    named: Mapping[str, Meaning] = {}


class Initializer(Struct, frozen=True, eq=False):
    """An initialiser with its arguments: numbers, or nested tuples for `values`."""

    name: str
    args: tuple[object, ...]
    text: str


class Group(Struct, frozen=True, eq=False):
    """Several params (`weights`): `f(group)` is the sum of `f` of each."""

    members: tuple[Node, ...]
    text: str


Meaning = Node | Applicable | Initializer | Group


class Instance(Struct, eq=False):
    """One application of a block. Its path is known when its statement is done: only instances that own a param count."""

    statement: str
    callee: str
    parent: Instance | None
    children: list[Instance] = []
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


class Frame(Struct, eq=False):
    """What names mean at a place: `scope` by name, whose text it is, and the instance that owns what is declared here.

    `given` and `caller` are the arguments that it was called with, in the caller's words, for diagnoses.
    """

    scope: dict[str, Meaning]
    home: str = "user"
    instance: Instance | None = None
    symbols: Mapping[str, Node] = {}
    given: Mapping[str, Expr] = {}
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


class Words(Struct, frozen=True, eq=False):
    """The user's words for a node: a call, and the nodes that its text names."""

    function: str
    args: tuple[tuple[str, Meaning | str], ...]
    nodes: tuple[Node, ...]
    names: tuple[str, ...] = ()


class Declaration(Struct, frozen=True, eq=False):
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
