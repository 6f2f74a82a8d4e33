"""The yardstick: these networks as one who knows NumPy writes them by hand. FROZEN: speed is told as a ratio to this.

float32 throughout, integer labels, one pass for each thing, in place where that is natural, no temporary that a reader would call
a waste; no buffers planned by hand, no tricks with strides. It was reviewed as such; do not make it slower or faster.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .work import BETA1, BETA2, EPSILON, Floats, Ints, Work, data, weights

F = np.float32


def prepare(work: Work) -> Callable[[Ints], Floats]:
    """Training by plain NumPy."""
    x, labels = data(work)
    layers = weights(work)
    rows = np.arange(work.batch)
    rate, beta1, beta2, epsilon = F(work.rate), F(BETA1), F(BETA2), F(EPSILON)
    params = [p for layer in layers for p in layer]
    means = [np.zeros_like(p) for p in params]
    squares = [np.zeros_like(p) for p in params]
    count = 0

    def step(batch: Floats, target: Ints) -> np.float32:
        nonlocal count
        values = [batch]
        for w, b in layers[:-1]:
            z = values[-1] @ w
            z += b
            values.append(np.maximum(z, F(0), out=z))
        w, b = layers[-1]
        z = values[-1] @ w
        z += b
        z -= z.max(axis=1, keepdims=True)
        right = z[rows, target]
        e = np.exp(z, out=z)
        total = e.sum(axis=1, keepdims=True)
        loss = np.mean(np.log(total[:, 0]) - right)
        e /= total
        e[rows, target] -= F(1)
        e /= F(work.batch)

        gradients: list[Floats] = []
        d = e
        for i in range(len(layers) - 1, -1, -1):
            gradients += [d.sum(axis=0), values[i].T @ d]
            if i:
                d = d @ layers[i][0].T
                d *= values[i] > 0
        gradients.reverse()

        count += 1
        if work.optimizer == "sgd":
            for p, g in zip(params, gradients, strict=True):
                g *= rate
                p -= g
        else:
            correction1, correction2 = F(1 - BETA1**count), F(1 - BETA2**count)
            for p, g, m, v in zip(params, gradients, means, squares, strict=True):
                m *= beta1
                m += (F(1) - beta1) * g
                v *= beta2
                g *= g
                g *= F(1) - beta2
                v += g
                root = np.sqrt(v / correction2)
                root += epsilon
                p -= rate / correction1 * m / root
        return loss

    def epoch(order: Ints) -> Floats:
        return np.array([step(x[index], labels[index]) for index in order], np.float32)

    return epoch
