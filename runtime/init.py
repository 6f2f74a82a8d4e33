"""The first numbers of the params. Fans follow PyTorch and Keras for matrices [in, out]."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from ..compiler.initializers import SIGNATURES
from ..compiler.plan import Tensor
from ..dsl.diagnostics import fault

Draw = NDArray[np.float64]


class Source(Struct, frozen=True):
    """Where chance comes from: standard normal numbers, and uniform ones in [0, 1)."""

    normal: Callable[[tuple[int, ...]], Draw]
    uniform: Callable[[tuple[int, ...]], Draw]


def draw(params: Sequence[Tensor], seed: int, rng: str = "default") -> Draw:
    """All params, flat and in order of declaration, in float64.

    `rng` default: a generator of its own for every param, from the seed and its name, so that renaming or adding one moves no
    other. `legacy`: NumPy's `RandomState(seed)`, one stream for all in order of declaration; MlpcError E0302 for a seed that it does not take.
    """
    legacy = _legacy(seed) if rng == "legacy" else None
    parts = [_fill(p, legacy or _source(generator(seed, f"param:{p.name}"))) for p in params]
    return np.concatenate([np.empty(0), *(part.ravel() for part in parts)])


def generator(seed: int, purpose: str) -> np.random.Generator:
    """The generator of one purpose: no two purposes share a stream."""
    key = tuple(int(word) for word in np.frombuffer(hashlib.sha256(purpose.encode()).digest(), "<u4"))
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy=seed, spawn_key=key)))


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Inputs and outputs: the two sizes of a matrix [in, out]; the one of a row, twice; 1 for a number."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    return shape[0], shape[1]


def _source(of: np.random.Generator) -> Source:
    return Source(lambda shape: np.asarray(of.standard_normal(shape)), lambda shape: np.asarray(of.random(shape)))


def _legacy(seed: int) -> Source:
    if seed >= 2**32:
        raise fault(
            "E0302", None, f"`rng = legacy` takes a seed below 2^32 = 4294967296, and this is {seed}", "a smaller seed, or rng = default"
        )
    of = np.random.RandomState(seed)
    return Source(lambda shape: np.asarray(of.randn(*shape)), lambda shape: np.asarray(of.rand(*shape)))


def _fill(p: Tensor, source: Source) -> Draw:
    """The param's numbers: arguments by position, those not given by default."""
    defaults = list(SIGNATURES[p.init].values())
    args = [*p.init_args, *defaults[len(p.init_args) :]]
    made = INITIALIZERS[p.init](p.shape, source, *args)
    return np.broadcast_to(np.asarray(made, np.float64), p.shape)


def _normal(shape: tuple[int, ...], source: Source, mean: float, std: float) -> Draw:
    return float(mean) + float(std) * source.normal(shape)


def _uniform(shape: tuple[int, ...], source: Source, low: float, high: float) -> Draw:
    low, high = float(low), float(high)
    return low + (high - low) * source.uniform(shape)


def _scaled(gain: float, distribution: str, mode: str) -> Callable[..., Draw]:
    """Variance gain / fan: He et al. 2015 (gain 2, fan_in), Glorot and Bengio 2010 (gain 1, the mean of both fans)."""

    def fill(shape: tuple[int, ...], source: Source) -> Draw:
        fan_in, fan_out = fans(shape)
        variance = gain / max(fan_in, 1) if mode == "in" else 2 * gain / max(fan_in + fan_out, 1)
        if distribution == "normal":
            return _normal(shape, source, 0.0, math.sqrt(variance))
        bound = math.sqrt(3 * variance)
        return _uniform(shape, source, -bound, bound)

    return fill


def _orthogonal(shape: tuple[int, ...], source: Source) -> Draw:
    """A random matrix whose shorter side's rows or columns are orthonormal (Saxe et al. 2013); a row of numbers has length 1.

    The Q of a normal matrix, with the signs that make R's diagonal positive, so that all directions are equally likely.
    """
    rows, columns = (1, math.prod(shape)) if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
    q, r = np.linalg.qr(source.normal((max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.ascontiguousarray(q if rows >= columns else q.T).reshape(shape)


INITIALIZERS: dict[str, Callable[..., Draw]] = {
    "zeros": lambda shape, source: np.zeros(cast("tuple[int, ...]", shape)),
    "ones": lambda shape, source: np.ones(cast("tuple[int, ...]", shape)),
    "constant": lambda shape, source, value: np.full(cast("tuple[int, ...]", shape), float(cast("float", value))),
    "values": lambda shape, source, value: np.array(cast("ArrayLike", value), np.float64),
    "normal": _normal,
    "uniform": _uniform,
    "glorot_normal": _scaled(1, "normal", "mean"),
    "glorot_uniform": _scaled(1, "uniform", "mean"),
    "he_normal": _scaled(2, "normal", "in"),
    "he_uniform": _scaled(2, "uniform", "in"),
    "lecun_normal": _scaled(1, "normal", "in"),
    "orthogonal": _orthogonal,
}
