"""What a plan costs a step: arithmetic, and memory as the runtime lays it out."""

from __future__ import annotations

from dataclasses import dataclass

PIECE = 131072  # numbers: larger ones cost no call more, and what lies between is soon out of the caches anyway
MOST_PIECES = 64  # a larger model gets larger pieces, not a longer program


@dataclass(frozen=True, slots=True)
class Footprint:
    """At a batch of `rows`: floating-point operations, bytes kept for the gradient, peak of intermediate values, the same without reuse."""

    rows: int
    flops: int
    kept: int
    peak: int
    unshared: int


def piece(total: int) -> int:
    """How many of so many numbers the update takes at once."""
    return max(PIECE, -(-total // MOST_PIECES))
