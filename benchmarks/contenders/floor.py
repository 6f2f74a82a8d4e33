"""What cannot be avoided: the bare matrix products of a step by the same BLAS, and the bare passes of the optimizer over the weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .work import Floats, Ints, Work, weights


def prepare(work: Work) -> Callable[[Ints], Floats]:
    """The products of both passes into buffers that are there, and the optimizer's reads and writes as in-place additions."""
    layers = weights(work)
    values = [np.full((work.batch, k), 0.5, np.float32) for k in work.sizes]
    products = [np.empty_like(w) for w, _ in layers]
    size = sum(w.size + b.size for w, b in layers)
    flat = [np.zeros(size, np.float32) for _ in range(2 if work.optimizer == "sgd" else 4)]

    def epoch(order: Ints) -> Floats:
        for _ in range(len(order)):
            for i, (w, _) in enumerate(layers):
                np.matmul(values[i], w, out=values[i + 1])
            for i in range(len(layers) - 1, -1, -1):
                np.matmul(values[i].T, values[i + 1], out=products[i])
                if i:
                    np.matmul(values[i + 1], layers[i][0].T, out=values[i])
            for a in flat[1:]:
                np.add(flat[0], a, out=a)
            for v in values:
                v.fill(0.5)  # so that the numbers stay small
        return np.empty(0, np.float32)

    return epoch
