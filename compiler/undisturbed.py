"""What long computations on plans ask of Python: room to recurse, and no garbage collection."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def undisturbed(frames: int = 20_000) -> Generator[None]:
    """Room for expressions as deep as `evaluate.DEEPEST` allows (Python frames cost no C stack), and no garbage collection.

    Compiling keeps nearly all that it makes, and so does a kernel; walks of the collector over it would make its time grow faster than the plan.
    """
    before, collecting = sys.getrecursionlimit(), gc.isenabled()
    sys.setrecursionlimit(max(before, frames))
    gc.disable()
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
        if collecting:
            gc.enable()
