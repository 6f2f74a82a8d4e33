"""What the number of the step alone gives, a learning rate or a correction, found for many steps at once.

NumPy takes as long for one number as for a hundred, and an optimizer has ten such operations a step. Bits are those of one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..compiler.ops import TABLE
from ..compiler.plan import Step, Value
from .program import Program

Array = NDArray[Any]
STEPS = 64  # found at once
WORD = 8  # bytes of a float64


def of_the_step(program: Program) -> list[Step]:
    """The operations whose operands are numbers, symbols and what other such operations make."""
    found: list[Step] = []
    known = {v.id for v in program.values.values() if v.role in ("const", "symbol")}
    for step in program.body:
        if (
            isinstance(step, Step)
            and TABLE[step.op].kind == "elementwise"
            and known.issuperset(step.args)
            and not program.values[step.out].shape
        ):
            known.add(step.out)
            found += [step] if program.kinds[step.out] == "scalar" else []
    return found


def size(count: int, itemsize: int) -> int:
    """The bytes that so many numbers of a step take, in float64 and in a precision of `itemsize`, of all steps that are known and of the one that runs."""
    return (STEPS + 1) * _row(count, itemsize)


class Ahead:
    """Called at the beginning of a step: `wide` and `narrow`, register -> its number in float64 and in `dtype`, are then those of the step.

    `numbers`: register -> what the operations read, in float64, there when the first step runs; `symbols` are those that change.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        numbers: Mapping[int, Array],
        values: Mapping[int, Value],
        symbols: Mapping[str, Array],
        dtype: np.dtype[Any],
    ) -> None:
        self._steps, self._numbers, self._dtype = steps, numbers, dtype
        made = {s.out for s in steps}
        self._read = list(dict.fromkeys(a for s in steps for a in s.args if a not in made))
        self._step = symbols["step"]
        names = {values[a].name for a in self._read if values[a].role == "symbol"}  # asked for membership only
        self._others = [cell for name, cell in symbols.items() if name in names and name != "step"]
        self._seen: list[float] = []
        self._rows: dict[float, Array] = {}
        self._table = np.empty((STEPS, _row(len(steps), dtype.itemsize)), np.uint8)
        self._now = np.empty(self._table.shape[1:], np.uint8)
        wide, narrow = self._halves(self._now)
        self.wide = {s.out: wide[i, ...] for i, s in enumerate(steps)}
        self.narrow = {s.out: narrow[i, ...] for i, s in enumerate(steps)}
        self._number = self._step.item

    def __call__(self) -> None:
        """Looks the numbers of the step up, and finds those of the next steps where it has not."""
        row = self._rows.get(self._number())
        if row is None or (self._others and self._seen != [cell.item() for cell in self._others]):
            row = self._found()
        self._now[...] = row

    def _found(self) -> Array:
        """Fills the table from the step on that runs; its row."""
        self._seen = [cell.item() for cell in self._others]
        steps = self._step.item() + np.arange(STEPS)
        known = {r: steps if (a := self._numbers[r]) is self._step else np.full(STEPS, a) for r in self._read}
        wide, narrow = self._halves(self._table)
        for i, step in enumerate(self._steps):
            known[step.out] = np.empty(STEPS)
            on_a_number(step)(*(known[a] for a in step.args), out=known[step.out], **dict(step.attrs))
            wide[:, i] = known[step.out]
        narrow[...] = wide
        self._rows = dict(zip(steps.tolist(), self._table, strict=True))
        return self._rows[steps.item(0)]

    def _halves(self, rows: Array) -> tuple[Array, Array]:
        """The numbers in float64 and in the precision, of bytes that end in them."""
        count = len(self._steps)
        wide = rows[..., : WORD * count].view(np.float64)
        return wide, rows[..., WORD * count : (WORD + self._dtype.itemsize) * count].view(self._dtype)


def on_a_number(step: Step) -> Callable[..., Array]:
    """What is called to do the operation with single numbers."""
    row, number = TABLE[step.op], np.ones(())
    calls = row.bound.calls(*(number for _ in step.args), out=number, **dict(step.attrs)) if row.bound is not None else None
    return calls[0][0] if calls else cast("Callable[..., Array]", row.numpy)


def _row(count: int, itemsize: int) -> int:
    """Bytes of the numbers of a step; whole words, so that each row begins at one."""
    return -(-count * (WORD + itemsize) // WORD) * WORD
