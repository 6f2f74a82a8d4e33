"""Shape rules: from the shapes of the operands to the shape of the result, or a `ShapeError` that says what does not fit.

A size fits itself or 1, aligned from the right; the symbol "N" (the rows of the batch) fits only itself
or 1, never a number that happens to be equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from .plan import Dim, Shape


class ShapeError(Exception):
    """The operands' shapes do not fit. The text says what was needed; the caller knows the place and the names."""


def show(shape: Shape) -> str:
    """`[N, 3]`."""
    return "[" + ", ".join(str(d) for d in shape) + "]"


def batched(shape: Shape) -> bool:
    """Whether a value has a row for each row of data."""
    return bool(shape) and shape[0] == "N"


def broadcast(shapes: Sequence[Shape], attrs: Mapping[str, object] | None = None) -> Shape:
    """The common shape of elementwise operands."""
    result: Shape = ()
    for shape in shapes:
        result = _pair(result, shape)
    return result


def _pair(a: Shape, b: Shape) -> Shape:
    if a == b or not b:
        return a
    if not a:
        return b
    width = max(len(a), len(b))
    left = (1,) * (width - len(a)) + a
    right = (1,) * (width - len(b)) + b
    return tuple(_fit(x, y, a, b) for x, y in zip(left, right, strict=True))


def _fit(x: Dim, y: Dim, a: Shape, b: Shape) -> Dim:
    if x == y or y == 1:
        return x
    if x == 1:
        return y
    why = "; N, the rows of a batch, fits only N" if "N" in (x, y) else ""
    raise ShapeError(f"sizes align from the right, and {x} is not {y}{why}")


def matmul(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """[.., k] @ [k, m] is [.., m]; the right side has two axes."""
    a, b = shapes
    if not a or len(b) != 2:
        raise ShapeError("`@` needs [N, k] @ [k, m]" + (", and the left side is a number" if not a else ", with two axes on the right"))
    if "N" in (a[-1], b[0]) and a[-1] != b[0]:
        raise ShapeError("`@` needs [N, k] @ [k, m], and the right side has a row for each row of the batch")
    if a[-1] != b[0]:
        raise ShapeError(f"`@` needs [N, k] @ [k, m], and {a[-1]} is not {b[0]}")
    return (*a[:-1], b[1])


def gather(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """The rows of [k, m] at indices [.., 1] are [.., m]."""
    w, index = shapes
    if len(w) != 2 or not isinstance(w[0], int) or not index or index[-1] != 1:
        raise ShapeError(f"gather needs [k, m] and indices [N, 1], and these are {show(w)} and {show(index)}")
    return (*index[:-1], w[1])


def scatter_add(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """Rows [.., m] added up by their indices [.., 1] are [size, m]."""
    x, index = shapes
    if len(x) < 2 or index != (*x[:-1], 1):
        raise ShapeError(f"scatter_add needs rows [N, m] and an index for each, [N, 1], and these are {show(x)} and {show(index)}")
    return (cast("int", attrs["size"]), x[-1])


def transpose(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """[n, k] becomes [k, n]."""
    if len(shapes[0]) != 2:
        raise ShapeError("transpose needs two axes")
    return shapes[0][::-1]


def reduce(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """`axes` are reduced: kept with size 1 if `keep`, else gone."""
    axes, keep = cast("tuple[int, ...]", attrs["axes"]), attrs["keep"]
    if any(a >= len(shapes[0]) for a in axes):
        raise ShapeError(f"{show(shapes[0])} has no such axis")
    if keep:
        return tuple(1 if i in axes else d for i, d in enumerate(shapes[0]))
    return tuple(d for i, d in enumerate(shapes[0]) if i not in axes)


def rows(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """The shape of the operand, of which every row is an argument by itself."""
    if not shapes[0]:
        raise ShapeError("a row of values is needed, and this is one number")
    return shapes[0]


def argmax(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """One index a row: [N, k] becomes [N, 1]."""
    return (*rows(shapes, attrs)[:-1], 1)


def concat(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """Side by side along the last axis."""
    first = shapes[0]
    total = 0
    for shape in shapes:
        if not shape or shape[:-1] != first[:-1]:
            raise ShapeError("concat stands values side by side, and these have different rows")
        if not isinstance(shape[-1], int):
            raise ShapeError("concat stands values side by side along their last axis, and that is N here")
        total += shape[-1]
    return (*first[:-1], total)


def slice_columns(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """`start:stop` of one axis, resolved: 0 <= start < stop <= size."""
    axis, start, stop = (cast("int", attrs[k]) for k in ("axis", "start", "stop"))
    return tuple(stop - start if i == axis else d for i, d in enumerate(shapes[0]))


def pad(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """The operand put at `start` into zeros of `size` along one axis."""
    axis, size = cast("int", attrs["axis"]), cast("int", attrs["size"])
    return tuple(size if i == axis else d for i, d in enumerate(shapes[0]))


def given(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """The shape that the attribute states."""
    return cast("Shape", attrs["shape"])


def widen(shapes: Sequence[Shape], attrs: Mapping[str, object]) -> Shape:
    """Indices [N, 1] become rows [N, k] of zeros with a one."""
    if not shapes[0] or shapes[0][-1] != 1:
        raise ShapeError(f"onehot needs one index a row, [N, 1], and the value is {show(shapes[0])}")
    return (*shapes[0][:-1], cast("int", attrs["size"]))
