"""JAX: all steps in one jitted scan, so that Python is entered once an epoch."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from .jax_step import start
from .work import Floats, Ints, Work


def prepare(work: Work) -> Callable[[Ints], Floats]:
    """Training by a jitted scan; compiled for the number of steps at its first call with that number."""
    state, step = start(work)
    scan = jax.jit(lambda state, order: jax.lax.scan(step, state, order), donate_argnums=0)
    jax.block_until_ready(scan(jax.tree.map(jnp.copy, state), jnp.zeros((work.steps, work.batch), jnp.int32)))

    def epoch(order: Ints) -> Floats:
        nonlocal state
        state, losses = scan(state, order.astype(np.int32))
        return np.asarray(jax.block_until_ready(losses))

    return epoch
