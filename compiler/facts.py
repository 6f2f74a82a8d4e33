"""What is known of a value before any number is computed, and licenses algebra.

Facts come from data pipes (which verify them on every row read) and from operations, never from
looking at numbers. `>= 0` does not follow into `> 0`: exp, sigmoid and softmax underflow.
"""

from __future__ import annotations

from fractions import Fraction

from msgspec import Struct


class Facts(Struct, frozen=True):
    """`row_sum` is the exact sum along the last axis of every row, when it is known; `below`: each number is one of 0, 1, ... below - 1."""

    nonnegative: bool = False
    positive: bool = False
    integer: bool = False
    bounded: bool = False
    onehot: bool = False
    row_sum: Fraction | None = None
    below: int | None = None

    @property
    def simplex(self) -> bool:
        """Every row is a distribution: nonnegative, and sums to 1."""
        return self.nonnegative and self.row_sum == 1

    def names(self) -> tuple[str, ...]:
        """The facts in the user's words, strongest first."""
        words = (
            ("onehot", self.onehot),
            ("simplex", self.simplex and not self.onehot),
            ("> 0", self.positive),
            (">= 0", self.nonnegative and not self.positive and not self.simplex),
            ("integer", self.integer and not self.onehot),
            ("bounded", self.bounded and not self.simplex),
        )
        return tuple(word for word, holds in words if holds)


NOTHING = Facts()
ONEHOT = Facts(nonnegative=True, integer=True, bounded=True, onehot=True, row_sum=Fraction(1), below=2)
SIMPLEX = Facts(nonnegative=True, bounded=True, row_sum=Fraction(1))
ZERO_ONE = Facts(nonnegative=True, integer=True, bounded=True, below=2)


def counted(below: int) -> Facts:
    """Whole numbers from 0 to below - 1, such as positions among so many."""
    return Facts(nonnegative=True, integer=True, bounded=True, below=below)
