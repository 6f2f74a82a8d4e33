"""A step of a training as a value: every number of it, under the names of the plan's lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from msgspec import Struct

from ..dsl.diagnostics import did_you_mean
from .plan import Plan
from .render.page import Row, Shown

SECTIONS = ("param", "input", "state", "forward", "gradient", "update")
RIGHT, WRONG, UNKNOWN = "right", "wrong", "not judged"


class Numbers(Protocol):
    """What is read of an array; the compiler does not know NumPy."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of its axes."""
        ...

    @property
    def dtype(self) -> Any:
        """`float64` or `float32`, as a string."""
        ...

    def reshape(self, *shape: int) -> Any:
        """The same numbers in another shape."""
        ...

    def min(self) -> Any:
        """The smallest, or NaN."""
        ...

    def max(self) -> Any:
        """The largest, or NaN."""
        ...

    def tolist(self) -> Any:
        """Nested lists, or a number."""
        ...


class Comparison(Struct, frozen=True):
    """A gradient beside central differences of the loss: so many entries of `count`, one at a time.

    `judged` of the `compared` could be judged, the others not for the reason `why`. `largest` is the largest deviation of these, at
    the entry `at` where the plan says `gradient` and the difference is `measured`.
    """

    verdict: str
    count: int
    compared: int
    judged: int
    largest: float
    at: tuple[int, ...]
    gradient: float
    measured: float
    why: str = ""


class Entry(Struct, frozen=True, eq=False):
    """The value of a line, or of what a step starts from. `id`: of the line, else the name.

    What an update line or a state has for every param stands once a param, named by `param`.
    """

    id: str
    name: str
    section: str
    value: Numbers
    param: str = ""
    comparison: Comparison | None = None


class Trace(Shown, Struct, frozen=True, eq=False):
    """Step `step` of a training. Params and states are those before its update; lines are those of a batch of `rows`.

    `loss` is that of the step. `symbols`: step, steps, epoch, epochs as the lines read them. With several `batches` a step the lines
    are those of the last, and the update begins with the means of the gradients, under the plan's name for the gradient of a param.
    `trace["dz2"]` or `trace["g1"]` is an array; of an update line that has one for every param, a dict of them.
    """

    plan: Plan
    step: int
    epoch: int
    loss: float
    rows: int
    batches: int
    symbols: dict[str, int]
    entries: tuple[Entry, ...]

    def __getitem__(self, name: str) -> Any:
        found = [e for e in self.entries if e.name == name] or [e for e in self.entries if e.id == name]
        if not found:
            hint = did_you_mean(name, list(self))
            raise KeyError(f"no value and no line of the trace is called {name}" + (f"; {hint}" if hint else ""))
        first = found[0]
        if not first.param:
            return first.value
        return {e.param: e.value for e in found if (e.section, e.id) == (first.section, first.id)}

    def __contains__(self, name: object) -> bool:
        return any(name in (e.name, e.id) for e in self.entries)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(e.name for e in self.entries))

    def page(self) -> list[Row]:
        """The page of `mlpc trace`."""
        from .render.trace import trace_page

        return trace_page(self)

    def keys(self) -> list[str]:
        """Every name once, in the order of the page: `dict(trace)` has all of them."""
        return list(self)
