"""The functions of the language itself, each a small lowering to rows of the op table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from ..dsl.diagnostics import did_you_mean, fault
from ..dsl.syntax import Call, Expr, Name
from . import evaluate, shapes, unfold
from .instances import Frame, Words
from .ir import Node, literal_facts
from .ops import ShapeError
from .schema import DataValue
from .vocabulary import WORDS

if TYPE_CHECKING:
    from .lower import Lowering

Bound = Mapping[str, Expr]
Handler = Callable[["Lowering", Call, Bound, "Frame"], Node]


def _elementwise(op: str, *parameters: str) -> Handler:
    def handler(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
        return evaluate.operation(low, op, e, [(bound[p], low.node(bound[p], frame)) for p in parameters], frame)

    return handler


def _where(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    """A constant condition takes its side; the other isn't built."""
    condition = low.node(bound["condition"], frame)
    if condition.value is not None:
        return low.node(bound["a" if condition.value != 0 else "b"], frame)
    sides = [(bound[p], low.node(bound[p], frame)) for p in ("a", "b")]
    return evaluate.operation(low, "where", e, [(bound["condition"], condition), *sides], frame)


def axis_word(bound: Bound) -> str:
    """The word given as `axis`, or `all`."""
    e = bound.get("axis")
    if e is None:
        return "all"
    if not isinstance(e, Name) or e.id not in WORDS["axis"]:
        hint = did_you_mean(e.id, WORDS["axis"]) if isinstance(e, Name) else "axis = features, or axis = batch"
        raise fault("E0236", e.span, f"an axis is `features` or `batch`, and this is `{e.span.text}`", hint)
    return e.id


def reduced(low: Lowering, op: str, bound: Bound, x: Node, frame: Frame) -> Node:
    """A reduction over everything, over the features (kept with size 1), or over the batch (gone)."""
    word = axis_word(bound)
    rank = len(x.shape)
    if word == "batch" and not shapes.batched(x.shape):
        message = f"`{evaluate.spoken(bound['x'], frame)}` is {shapes.show(x.shape)} and has no rows of the batch"
        raise fault("E0236", bound["axis"].span, message, "leave `axis` out, or write axis = features")
    if word == "features" and not rank:
        message = f"`{evaluate.spoken(bound['x'], frame)}` is one number and has no features"
        raise fault("E0236", bound["axis"].span, message, "a value with a row of numbers is needed")
    if "N" in x.shape[1:]:
        raise evaluate.transposed(bound["x"], x, frame)
    if not rank:
        return x
    axes = {"all": tuple(range(rank)), "features": (rank - 1,), "batch": (0,)}[word]
    return low.ir.make(op, x, axes=axes, keep=word == "features")


def _sum(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    return reduced(low, "sum", bound, low.node(bound["x"], frame), frame)


def _mean(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    x = low.node(bound["x"], frame)
    total = reduced(low, "sum", bound, x, frame)
    word = axis_word(bound)
    sizes = {"all": x.shape, "features": x.shape[-1:], "batch": x.shape[:1]}[word]
    count: Node = low.ir.const(1)
    for size in sizes:
        if isinstance(size, int):
            count = count * size
    if "N" in sizes:
        count = count * low.ir.leaf("symbol", (), name="N")
    mean = total / count
    if mean.args and mean is not x:
        low.words.setdefault(mean, Words("mean", (("x", x),) + ((("axis", word),) if word != "all" else ()), (x,), ("x", "axis")))
    return mean


def _extreme(name: str) -> Handler:
    def handler(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
        if "b" in bound:
            if "axis" in bound:
                raise fault(
                    "E0206", e.span, f"`{name}` of two values is elementwise and takes no axis", "leave out the axis, or the second value"
                )
            return evaluate.operation(low, name, e, [(bound[p], low.node(bound[p], frame)) for p in ("x", "b")], frame)
        return reduced(low, f"{name}_over", bound, low.node(bound["x"], frame), frame)

    return handler


def _concat(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    parts = [(a, low.node(a, frame)) for a in bound.values()]
    if not parts:
        raise fault("E0206", e.span, "`concat` needs at least one value", "concat(a, b)")
    if len(parts) == 1:
        return parts[0][1]
    return evaluate.operation(low, "concat", e, parts, frame)


def _rowwise(op: str) -> Handler:
    def handler(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
        text, x = bound["x"], low.node(bound["x"], frame)
        try:
            return low.ir.make(op, x)
        except ShapeError as error:
            raise evaluate.misfit(low, e, [(text, x)], error, frame) from None

    return handler


def _onehot(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    return evaluate.operation(
        low, "onehot", e, [(bound["index"], low.node(bound["index"], frame))], frame, size=low.size(bound["size"], frame)
    )


def _cols(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    x = low.node(bound["x"], frame)
    if not x.shape or not isinstance(x.shape[-1], int):
        raise fault("E0236", bound["x"].span, f"`{evaluate.spoken(bound['x'], frame)}` is {shapes.show(x.shape)} and has no columns",
                    "a value with a row of numbers is needed")  # fmt: skip
    return low.ir.const(x.shape[-1])


def _rows(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    x = low.node(bound["x"], frame)
    if len(x.shape) < 2:
        raise fault("E0236", bound["x"].span, f"`{evaluate.spoken(bound['x'], frame)}` is {shapes.show(x.shape)} and has no rows",
                    "a matrix or a batched value is needed")  # fmt: skip
    first = x.shape[0]
    return low.ir.const(first) if isinstance(first, int) else low.ir.leaf("symbol", (), name="N")


def _classes(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    found = _data_value(low, bound["y"], frame)
    if found is None or not found.classes:
        shown = evaluate.spoken(bound["y"], frame)
        message, hint = f"`{shown}` has no classes", "classes(y) counts the labels of a value made by `|> onehot` or `|> index`"
        if found is not None and found.width > 1 and found.facts.below is not None:
            message = f"`{shown}` holds the labels of {found.width} columns, and those of one have a count"
            hint = f"make a value of each column:  {found.labels[0]} = column |> index"
        raise fault("E0235", bound["y"].span, message, hint)
    return low.ir.const(len(found.classes))


def _counts(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    """The training rows of each class, [k]."""
    found, shown = _data_value(low, bound["y"], frame), evaluate.spoken(bound["y"], frame)
    if found is None or not found.counts:
        hint = "one column has them, by `|> onehot` or `|> index`, or of 0 and 1 as it is"
        raise fault("E0235", bound["y"].span, f"`{shown}` has no classes to count", hint)
    if len(found.counts) < 2 or 0 in found.counts:
        there = next(i for i, count in enumerate(found.counts) if count)
        label = found.classes[there] if found.classes else there
        message = f"every training row of `{shown}` is of one class, `{label}`: there are no others to count"
        raise fault(
            "E0235", bound["y"].span, message, "`split = stratified(...)` gives every split its share of each class, if the data has others"
        )
    numbers = tuple(Fraction(count) for count in found.counts)
    return low.ir.leaf("literal", (len(numbers),), literal_facts((numbers,)), value=numbers, counted=found.name)


def _data_value(low: Lowering, e: Expr, frame: Frame) -> DataValue | None:
    """The data value that an expression is, if it is one."""
    x = low.node(e, frame)
    return next((v for v in low.schema.values if x.op == "input" and x.attr("name") == v.name), None)


def _same(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    """Demands that both have the same shape; [N, 1] does not stand for [N, k] here."""
    a, b = (low.node(bound[p], frame) for p in ("a", "b"))
    if a.shape != b.shape:
        names = [evaluate.spoken(bound[p], frame) for p in ("a", "b")]
        message = f"{names[0]} is {shapes.show(a.shape)} and {names[1]} is {shapes.show(b.shape)}; they must have the same shape"
        raise fault("E0231", e.span, message, _alike(names, a, b))
    return a


def _alike(names: list[str], a: Node, b: Node) -> str:
    """How two values come to the same shape: labels one-hot, or another width."""
    if a.shape[:-1] != b.shape[:-1] or not a.shape:
        return "both need a row for each row of data" if "N" in (*a.shape, *b.shape) else "give both the same shape"
    if b.op == "input" and b.shape[-1] == 1:
        return f"if `{names[1]}` is a column of labels:  {names[1]} = ... |> onehot; if it is a number a row, make {names[0]} 1 wide"
    return f"make {names[0]} {b.shape[-1]} wide" + (f", as classes({names[1]}) says" if b.facts.onehot else "")


def _repeat(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    """k applications of f, one after the other, each a fresh instance."""
    x = low.node(bound["x"], frame)
    f = unfold.applicable(low, bound["f"], frame)
    for _ in range(low.size(bound["k"], frame)):
        made = unfold.apply(low, f, [x], {}, e, frame)
        assert isinstance(made, Node)
        x = made
    return x


def _bernoulli(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    """0/1 shaped like x, 1 with probability q. Every evaluation of a call is a draw of its own; a sure outcome is no draw."""
    q, x = low.node(bound["q"], frame), low.node(bound["x"], frame)
    if q.shape:
        raise fault("E0235", bound["q"].span, f"a probability is one number, and this is {shapes.show(q.shape)}")
    if q.value is not None and not 0 <= q.value <= 1:
        raise fault("E0235", bound["q"].span, f"a probability lies between 0 and 1, and this is {float(q.value)!r}")
    if q.value is not None and q.value in {0, 1}:
        return low.ir.make("broadcast", q, shape=x.shape)
    return low.ir.make("bernoulli", q, x, stream=low.next_stream())


def _expect(low: Lowering, e: Call, bound: Bound, frame: Frame) -> Node:
    """Demands facts of a value."""
    x = low.node(bound["x"], frame)
    for key, word in bound.items():
        if key == "x":
            continue
        name = word.id if isinstance(word, Name) else ""
        if name not in WORDS["*facts"]:
            raise fault("E0206", word.span, f"`{word.span.text}` is not a fact", did_you_mean(name, WORDS["*facts"]))
        if name == "several_rows":
            low.several_rows = low.several_rows or low.spans.get(low.current, e.span)
        elif not getattr(x.facts, name):
            message = f"`{evaluate.spoken(bound['x'], frame)}` must be {FACTS[name]}, and that is not known of it"
            hint = HINTS["column"] if name == "simplex" and x.shape[-1:] == (1,) else HINTS[name]
            raise fault("E0238", e.span, message, hint)
    return x


FACTS = {"simplex": "a distribution in every row (>= 0, summing to 1)", "onehot": "one-hot", "integer": "whole", "bounded": "bounded"}
HINTS = {
    "simplex": "softmax(...) of it is one; if each column is a probability by itself, use binary_cross_entropy",
    "column": "one column is one probability: use binary_cross_entropy",
    "onehot": "y = ... |> onehot makes such a value of labels",
    "integer": "floor(...) makes whole numbers",
    "bounded": "sigmoid(...) and tanh(...) are bounded; `|> clip(low, high)` bounds data",
}


HANDLERS: dict[str, Handler] = {
    **{name: _elementwise(name, "x") for name in ("exp", "log", "abs", "sign", "floor", "sqrt", "tanh", "sin", "cos", "erf")},
    "where": _where,
    "concat": _concat,
    "transpose": _rowwise("transpose"),
    "argmax": _rowwise("argmax"),
    "rank": _rowwise("rank"),
    "onehot": _onehot,
    "cols": _cols,
    "rows": _rows,
    "classes": _classes,
    "counts": _counts,
    "same": _same,
    "expect": _expect,
    "repeat": _repeat,
    "bernoulli": _bernoulli,
    "sum": _sum,
    "mean": _mean,
    "max": _extreme("max"),
    "min": _extreme("min"),
}
