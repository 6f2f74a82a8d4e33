"""Units of metrics: a report item sees a transformed target, and what predicts it, in the target's units before its pipes.

The loss always sees the transformed values; nothing else of a plan is touched. What runs stands in the evaluation plan as lines
of their own: `yhat.raw = 812.7 * yhat + 4169.7`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from ..dsl.diagnostics import fault
from ..dsl.syntax import Arg
from .instances import Meaning
from .ir import Node
from .lower import Lowering
from .schema import DataValue, Undo
from .uses import Uses


def in_own_units(low: Lowering, graph: Uses, name: str, item: Arg, output: str | None) -> Mapping[str, Meaning]:
    """What names mean in a report item. E0235 where several values may predict its target."""
    transformed = {v.name: v for v in low.schema.values if v.undo}
    read = dict.fromkeys(u for u, edge in graph.into(name) if not edge["size_only"])
    values = [u for u in read if graph.nodes[u]["kind"] == "value"]
    targets = [transformed[u] for u in read if u in transformed]
    if not targets:  # the output by itself: with one target as wide, its units are known
        targets = [v for v in transformed.values() if output in read and _shape(low, v.name) == _shape(low, output)]
    if len(targets) != 1:
        return low.values
    target = targets[0]
    like = [v for v in values if _shape(low, v) == _shape(low, target.name)]
    predicting = [v for v in like if v == output] or like
    if len(predicting) > 1:
        shown = " and ".join(f"`{v}`" for v in predicting)
        raise fault("E0235", item.span, f"{shown} are both as wide as `{target.name}`: which of them predicts it, and so is in its units, is not clear",
                    "compute the prediction in the model, and read that value alone")  # fmt: skip
    if values and not predicting:
        return low.values
    return {**low.values, **{v: _raw(low, v, target, item.span.line) for v in (target.name, *predicting)}}


def _shape(low: Lowering, name: str | None) -> object:
    node = low.values.get(name or "")
    return node.shape if isinstance(node, Node) else None


def _raw(low: Lowering, name: str, target: DataValue, line: int) -> Node:
    """A value in the target's own units, column by column where they differ."""
    node = low.values[name]
    assert isinstance(node, Node)
    if len(set(target.undo)) == 1:
        raw = _undone(node, target.undo[0])
    else:
        last = len(node.shape) - 1
        columns = [low.ir.make("slice", node, axis=last, start=i, stop=i + 1) for i in range(target.width)]
        raw = low.ir.make("concat", *(_undone(column, undo) for column, undo in zip(columns, target.undo, strict=True)))
    low.give_name(raw, f"{name}.raw", line)
    return raw


def _undone(node: Node, undo: Undo) -> Node:
    for op, number in undo:
        if op == "exp":
            node = node.ir.make("exp", node)
        elif op == "mul":
            node = Fraction(number) * node
        else:
            node = node + Fraction(number)
    return node
