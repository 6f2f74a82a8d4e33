"""The five trainings: what is trained, on which numbers, from which weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@dataclass(frozen=True)
class Work:
    """A classifier of relu layers under softmax and cross-entropy: `sizes` from input to classes, minibatches of `batch` rows."""

    name: str
    sizes: tuple[int, ...]
    batch: int
    optimizer: str
    rate: float  # small where the network makes much of a rounding, so that all contenders must still agree after 50 steps
    rows: int
    steps: int  # timed at a time

    @property
    def classes(self) -> int:
        """How many."""
        return self.sizes[-1]


WORKS = {
    w.name: w
    for w in (
        Work("iris", (4, 16, 3), 32, "sgd", 0.05, 128, 400),
        Work("digits", (64, 64, 32, 10), 64, "adam", 0.001, 1280, 200),
        Work("mnist", (784, 256, 128, 10), 128, "adam", 0.001, 12_800, 30),
        Work("wide", (1024, 2048, 2048, 1000), 256, "adam", 0.0001, 2560, 2),
        Work("deep", (64,) * 52, 64, "sgd", 0.001, 1280, 20),
    )
}


def data(work: Work) -> tuple[Floats, Ints]:
    """x [rows, features] and the class of each row, of a random linear teacher."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(work.rows, work.sizes[0])).astype(np.float32)
    labels = np.argmax(x @ rng.normal(size=(work.sizes[0], work.classes)).astype(np.float32), axis=1)
    labels[: work.classes] = np.arange(work.classes)  # every class is there
    return x, labels.astype(np.int64)


def weights(work: Work) -> list[tuple[Floats, Floats]]:
    """(W, b) of each layer, He's initialisation; fresh arrays at every call."""
    rng = np.random.default_rng(11)
    shapes = zip(work.sizes, work.sizes[1:], strict=False)
    return [(rng.normal(0, np.sqrt(2 / k), (k, m)).astype(np.float32), np.zeros(m, np.float32)) for k, m in shapes]


def order(work: Work, steps: int, seed: int) -> Ints:
    """The rows of each step: a shuffle an epoch, whole batches."""
    rng = np.random.default_rng(seed)
    each = work.rows // work.batch
    epochs = [rng.permutation(work.rows)[: each * work.batch].reshape(each, work.batch) for _ in range(-(-steps // each))]
    return np.concatenate(epochs)[:steps]
