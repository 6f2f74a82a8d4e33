"""Which value is computed from which, as compiling needs it: names in the order written, and every place where one reads another.

It is a directed multigraph, and questions about graphs are networkx's to answer. But to import networkx takes as long as all else that a first
run does before it trains, and a program whose values stand in order asks nothing that a walk along its edges does not tell. So
networkx is given the graph where there is a circle to be found, and where a user asks for `Model.graph`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import networkx as nx

Attributes = dict[str, Any]
Edge = tuple[str, str, Attributes]


class Uses:
    """The nodes by name, each with its attributes, and the edges u -> v in the order added."""

    def __init__(self) -> None:
        self.nodes: dict[str, Attributes] = {}
        self.edges: list[Edge] = []
        self._into: dict[str, list[Edge]] = {}
        self._from: dict[str, list[Edge]] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.nodes

    def add_node(self, name: str, **attributes: object) -> None:
        """A new node."""
        self.nodes[name], self._into[name], self._from[name] = attributes, [], []

    def add_edge(self, u: str, v: str, **attributes: object) -> None:
        """One more edge from a node to a node."""
        edge = (u, v, attributes)
        self.edges.append(edge)
        self._into[v].append(edge)
        self._from[u].append(edge)

    def into(self, name: str) -> Iterator[tuple[str, Attributes]]:
        """What a node reads, once for each place."""
        return ((u, attributes) for u, _, attributes in self._into[name])

    def out_of(self, name: str) -> Iterator[tuple[str, Attributes]]:
        """What reads a node, once for each place."""
        return ((v, attributes) for _, v, attributes in self._from[name])

    def behind(self, names: Iterable[str]) -> set[str]:
        """These nodes, and all that they are computed from."""
        found: set[str] = set()
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [u for u, _ in self.into(name)]
        return found

    def copy(self) -> Uses:
        """Another graph with the same nodes and edges, whose attributes can be changed."""
        found = Uses()
        for name, attributes in self.nodes.items():
            found.add_node(name, **attributes)
        for u, v, attributes in self.edges:
            found.add_edge(u, v, **attributes)
        return found

    def networkx(self) -> nx.MultiDiGraph[str]:
        """The same for networkx, made anew."""
        import networkx as nx

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        for name, attributes in self.nodes.items():
            graph.add_node(name, **attributes)
        for u, v, attributes in self.edges:
            graph.add_edge(u, v, **attributes)
        return graph
