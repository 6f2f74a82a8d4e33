"""JAX: one jitted step, called from Python; the batch is gathered inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .work import BETA1, BETA2, EPSILON, Floats, Ints, Work, data, weights


def start(work: Work) -> tuple[Any, Any]:
    """(the state before the first step, a pure step: (state, rows) -> (state, loss))."""
    x, labels = (jnp.asarray(a) for a in data(work))
    params = [(jnp.asarray(w), jnp.asarray(b)) for w, b in weights(work)]

    def loss_of(params: Any, batch: Any, target: Any) -> Any:
        h = batch
        for w, b in params[:-1]:
            h = jax.nn.relu(h @ w + b)
        w, b = params[-1]
        logs = jax.nn.log_softmax(h @ w + b)
        return -jnp.mean(jnp.take_along_axis(logs, target[:, None], axis=1))

    def step(state: Any, rows: Any) -> tuple[Any, Any]:
        params, means, squares, count = state
        loss, gradients = jax.value_and_grad(loss_of)(params, x[rows], labels[rows])
        count = count + 1
        if work.optimizer == "sgd":
            params = jax.tree.map(lambda p, g: p - work.rate * g, params, gradients)
        else:
            means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, gradients)
            squares = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, gradients)
            c1, c2 = 1 - BETA1**count, 1 - BETA2**count
            params = jax.tree.map(lambda p, m, v: p - work.rate * (m / c1) / (jnp.sqrt(v / c2) + EPSILON), params, means, squares)
        return (params, means, squares, count), loss

    zeros = jax.tree.map(jnp.zeros_like, params)
    return (params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.float32(0)), step


def prepare(work: Work) -> Callable[[Ints], Floats]:
    """Training by a jitted step; compiled here, on a copy of the state."""
    state, pure = start(work)
    step = jax.jit(pure, donate_argnums=0)
    jax.block_until_ready(step(jax.tree.map(jnp.copy, state), jnp.zeros(work.batch, jnp.int32)))

    def epoch(order: Ints) -> Floats:
        nonlocal state
        losses = []
        for rows in order.astype(np.int32):
            state, loss = step(state, rows)
            losses.append(loss)
        return np.asarray(jax.block_until_ready(jnp.stack(losses)))

    return epoch
