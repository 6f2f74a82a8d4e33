"""The text of a kernel's function: one call a line, under names of its own making only.

f0, f1, ... are functions and v0, v1, ... are what they take.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..compiler.ops import Op
from ..compiler.plan import Attrs

Array = NDArray[Any]


class Source:
    """The text of the function as it grows, with the objects that its names stand for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, object] = {"__builtins__": {}}
        self._functions: dict[Any, str] = {}
        self._values: dict[int, str] = {}

    def step(self, row: Op, args: Sequence[Array], out: Array, attrs: Attrs, independent: bool) -> None:
        """The lines of an operation: the calls that it is bound to, or one of its kernel."""
        bound = row.bound if row.bound is not None and (row.bound.independent or not independent) else None
        calls = bound.calls(*args, out=out, **dict(attrs)) if bound is not None else None
        if calls is None:
            self.call(cast("Callable[..., Array]", row.numpy), args, out, attrs)
        for function, given in calls or ():
            self.call(function, given, None)

    def call(self, function: Callable[..., Any], args: Iterable[object], out: Array | None, attrs: Attrs = ()) -> None:
        """One line: `function(*args, out=out, **attrs)`; a copy as an assignment, which NumPy does in less time."""
        if function is np.copyto:
            target, source = (self._value(a) for a in args)
            self.lines.append(f"    {target}[...] = {source}")
            return
        operands = [self._value(a) for a in args]
        if out is not None:
            operands.append(self._value(out) if positional(function) else f"out={self._value(out)}")
        operands += [f"{name}={self._value(value)}" for name, value in attrs]
        if function not in self._functions:
            self._functions[function] = f"f{len(self._functions)}"
            self.names[self._functions[function]] = function
        self.lines.append(f"    {self._functions[function]}({', '.join(operands)})")

    @property
    def text(self) -> str:
        """The function's."""
        return "\n".join(["def run():", *(self.lines or ["    pass"])]) + "\n"

    def _value(self, value: object) -> str:
        if id(value) not in self._values:  # `names` keeps the object, so its id stays its own
            self._values[id(value)] = f"v{len(self._values)}"
            self.names[self._values[id(value)]] = value
        return self._values[id(value)]


@cache
def positional(function: Callable[..., Any]) -> bool:
    """Whether a ufunc takes `out` by position, which is quicker, without a warning."""
    if not isinstance(function, np.ufunc):
        return False
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("error")
        try:
            function(*[np.ones((1, 1))] * function.nin, np.ones((1, 1)))
        except DeprecationWarning:
            return False
    return True
