"""The graph of the user's values, as networkx has it."""

from __future__ import annotations

import random

import networkx as nx
import pytest

import mlpc
from mlpc.compiler.uses import Uses

TEXT = """data {
  x = [[1, 2], [3, 4], [5, 7]]
  y = [0, 1, 1] |> onehot
  spare = [1, 2, 3]
}
model {
  param w [2, 2] ~ glorot_uniform
  h = x @ w
  q = h * h + classes(y)
  idle = h + 1
  p = softmax(q)
}
loss = mean(cross_entropy(p, y)) + 0.1 * sum(p * p)
train {
  optimizer = sgd
  epochs = 1
}
report accuracy(p, y)
"""


def test_nodes_carry_shape_facts_and_place():
    graph = mlpc.loads(TEXT).graph
    assert isinstance(graph, nx.MultiDiGraph)
    assert list(graph.nodes) == ["x", "y", "spare", "w", "h", "q", "idle", "p", "loss", "accuracy"]
    assert [graph.nodes[n]["kind"] for n in ("x", "w", "h", "loss", "accuracy")] == ["data", "param", "value", "loss", "report"]
    assert graph.nodes["h"]["shape"] == ("N", 2)
    assert graph.nodes["y"]["facts"] == ("onehot",)
    assert graph.nodes["p"]["facts"] == ("simplex",)
    assert graph.nodes["loss"]["shape"] == ()
    assert (graph.nodes["q"]["span"].line, graph.nodes["q"]["span"].text) == (9, "q")


def test_an_edge_for_each_place_with_its_position():
    graph = mlpc.loads(TEXT).graph
    assert [(u, v, d["position"]) for u, v, d in graph.in_edges("q", data=True)] == [("h", "q", 0), ("h", "q", 1), ("y", "q", 2)]
    assert graph.number_of_edges("p", "loss") == 3
    assert graph.number_of_edges("h", "idle") == 1


def test_networkx_answers():
    graph = mlpc.loads(TEXT).graph
    assert nx.is_directed_acyclic_graph(graph)
    assert nx.ancestors(graph, "p") == {"x", "y", "w", "h", "q"}
    assert nx.has_path(graph, "w", "loss")


def test_what_nothing_uses_is_told():
    messages = [w.message for w in mlpc.loads(TEXT).compilation.warnings]
    assert messages == ["nothing uses `spare`", "nothing uses `idle`"]


def test_two_names_of_one_value_are_two_nodes():
    graph = mlpc.loads(TEXT.replace("  idle = h + 1", "  g = h\n  r = g")).graph
    assert list(graph.successors("h")) == ["q", "g"]
    assert list(graph.successors("g")) == ["r"]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_behind_a_value_is_what_networkx_says(seed) -> None:
    rng = random.Random(seed)
    uses = Uses()
    for name in "abcdefgh":
        uses.add_node(name, kind="value")
    for position in range(rng.randrange(16)):  # in circles too, and twice
        uses.add_edge(rng.choice("abcdefgh"), rng.choice("abcdefgh"), position=position)
    graph = uses.networkx()
    assert [(u, v, d["position"]) for u, v, d in uses.edges] == sorted(graph.edges(data="position"), key=lambda edge: edge[2])
    for name in "abcdefgh":
        assert uses.behind([name]) == nx.ancestors(graph, name) | {name}
        assert [*uses.into(name)] == [(u, d) for u, _, d in sorted(graph.in_edges(name, data=True), key=lambda edge: edge[2]["position"])]
        assert [*uses.out_of(name)] == [
            (v, d) for _, v, d in sorted(graph.out_edges(name, data=True), key=lambda edge: edge[2]["position"])
        ]
    copied = uses.copy()
    copied.nodes["a"]["kind"] = "data"
    assert (uses.nodes["a"]["kind"], copied.edges) == ("value", uses.edges)
