"""What a plan costs a step: arithmetic, and memory as the runtime lays it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Footprint:
    """At a batch of `rows`: floating-point operations, bytes kept for the gradient, peak of intermediate values, the same without reuse."""

    rows: int
    flops: int
    kept: int
    peak: int
    unshared: int
