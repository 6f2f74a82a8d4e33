"""The straight line that runs, for one batch size: steps with numbers for `N` and `P`, and a place for what stays.

Params, their gradients and the states are flat arrays; the registers of the plan that stand for them are ranges of these.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..compiler.ops import TABLE
from ..compiler.plan import Plan, Shape, Step, Tensor, Value

PARAMS, GRADIENTS, MODEL_STATES, STATES = 0, 1, 2, 3  # which flat array; state k of the update is STATES + k


class Place(Struct, frozen=True):
    """`start:stop` of a flat array."""

    array: int
    start: int
    stop: int

    def meets(self, other: Place) -> bool:
        """Whether the two share a number."""
        return self.array == other.array and self.start < other.stop and other.start < self.stop


class Copy(Struct, frozen=True):
    """`target[...] = source`."""

    source: int
    target: int


class Program(Struct):
    """The straight line, for batches of `rows`.

    `kinds` says when a register is known: "static" (when built: from numbers and N), "scalar" (from the number of the step or
    the epoch too; in float64 like the static ones), "array". `roots`: view -> the register that it looks at in the end. `own`
    are views that must be copies, since what they look at changes. `pieces`: a register of the plan -> those that stand for it
    here, in the order of the flat arrays. `keep` are the registers that are read after a run. `inner`: (operation, operands, ...) of a
    part of an operation that is written out in several -> its register; `turn` is one of its keys, since what is computed again must
    not be what was kept.
    """

    rows: int
    values: dict[int, Value]
    body: list[Step | Copy] = []
    places: dict[int, Place] = {}
    kinds: dict[int, str] = {}
    roots: dict[int, int] = {}
    own: set[int] = set()
    pieces: dict[int, tuple[int, ...]] = {}
    keep: tuple[int, ...] = ()
    inner: dict[tuple[object, ...], int] = {}
    turn: str = ""

    @property
    def calls(self) -> list[Step]:
        """The steps on arrays, which need memory in the arena."""
        return [s for s in self.body if isinstance(s, Step) and self.kinds[s.out] == "array"]

    @property
    def alive(self) -> list[int]:
        """The registers that are read after the last call."""
        return [*self.keep, *(c.source for c in self.body if isinstance(c, Copy))]

    @property
    def elsewhere(self) -> list[int]:
        """The registers with memory of their own."""
        return [*self.places, *sorted(self.own)]

    def append(self, step: Step) -> None:
        """Adds a step; one of several parts as these, each of which is there once."""
        parts = TABLE[step.op].parts
        if parts is not None:
            made = len(self.body)
            parts(self._part, *step.args, self.values[step.args[0]].shape)
            if len(self.body) > made:
                last = self.body.pop()
                assert isinstance(last, Step)
                del self.inner[next(key for key in reversed(self.inner) if self.inner[key] == last.out)]
                step = replace(last, out=step.out)
        self.body.append(step)
        found = {self.kinds[a] for a in step.args}
        self.kinds[step.out] = (
            "array" if "array" in found or TABLE[step.op].kind == "random" else "scalar" if "scalar" in found else "static"
        )
        if TABLE[step.op].kind == "view":
            self.roots[step.out] = self.roots.get(step.args[0], step.args[0])

    def _part(self, op: str, *args: int, **attrs: object) -> int:
        """The register of a part, made at its first mention."""
        key = (self.turn, op, args, *attrs.items())
        if key not in self.inner:
            shape = TABLE[op].shape([self.values[a].shape for a in args], attrs)
            like = self.values[args[0]]
            self.inner[key] = self.fresh(replace(like, name="", role="inner", number=None), shape)
            self.append(Step(op, args, self.inner[key], tuple(attrs.items())))
        return self.inner[key]

    def fresh(self, like: Value, shape: Shape, place: Place | None = None) -> int:
        """A new register of the same role."""
        number = next(reversed(self.values), -1) + 1
        self.values[number] = replace(like, id=number, shape=shape)
        self.kinds[number] = "array"
        if place is not None:
            self.places[number] = place
        return number


def ranges(plan: Plan) -> list[tuple[int, int]]:
    """`start, stop` of each param in the flat arrays."""
    return _spans(plan.params)


def state_ranges(plan: Plan) -> list[tuple[int, int]]:
    """`start, stop` of each state of the model in their flat array."""
    return _spans(plan.model_states)


def _spans(tensors: Sequence[Tensor]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    start = 0
    for p in tensors:
        found.append((start, start + p.count))
        start += p.count
    return found
