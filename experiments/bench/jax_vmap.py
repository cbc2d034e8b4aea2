"""JAX: ``vmap`` over models, ``scan`` over the steps of an epoch, compiled."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import jax
import numpy as np
from jax import Array, lax, nn, random
from jax import numpy as jnp

from bench.size import BATCH_SIZE, LEARNING_RATE, Size

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7

Weights = dict[str, tuple[Array, Array]]
State = tuple[Weights, Weights, Weights, Array]


def initial_state(size: Size, key: Array) -> State:
    """Return Glorot uniform kernels, zero biases, both moments of Adam and the steps taken."""
    shapes = {
        "encoder": (size.d, size.hidden),
        "z_mean": (size.hidden, size.k),
        "z_log_var": (size.hidden, size.k),
        "decoder": (size.k, size.hidden),
        "output": (size.hidden, size.d),
    }
    weights = {}
    for own, (name, shape) in zip(random.split(key, len(shapes)), shapes.items(), strict=True):
        limit = math.sqrt(6 / sum(shape))
        kernel = random.uniform(own, shape, minval=-limit, maxval=limit)
        weights[name] = (kernel, jnp.zeros(shape[1]))
    zeros = jax.tree.map(jnp.zeros_like, weights)
    return weights, zeros, jax.tree.map(jnp.copy, zeros), jnp.zeros((), jnp.int32)


def loss_of(weights: Weights, x: Array, noise: Array) -> Array:
    """Return cross-entropy from logits and KL, summed, mean over the batch."""

    def dense(name: str, inputs: Array) -> Array:
        kernel, bias = weights[name]
        return inputs @ kernel + bias

    hidden = nn.relu(dense("encoder", x))
    z_mean, z_log_var = dense("z_mean", hidden), dense("z_log_var", hidden)
    z = z_mean + jnp.exp(0.5 * z_log_var) * noise
    logits = dense("output", nn.relu(dense("decoder", z)))
    bce = jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    kl = -0.5 * jnp.sum(1 + z_log_var - z_mean**2 - jnp.exp(z_log_var), axis=-1)
    return jnp.mean(jnp.sum(bce, axis=-1) + kl)


def trained_epoch(state: State, order: Array, noise: Array, images: Array) -> State:
    """Return one model's state after an epoch.

    ``order (steps, batch)`` of image indices, ``noise (steps, batch, k)``.
    """

    def step(state: State, drawn: tuple[Array, Array]) -> tuple[State, None]:
        weights, first, second, n_steps = state
        batch, noise = drawn
        gradient = jax.grad(loss_of)(weights, images[batch], noise)
        n_steps = n_steps + 1
        first = jax.tree.map(lambda m, g: _BETA_1 * m + (1 - _BETA_1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: _BETA_2 * v + (1 - _BETA_2) * g * g, second, gradient)
        rate = LEARNING_RATE * jnp.sqrt(1 - _BETA_2**n_steps) / (1 - _BETA_1**n_steps)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + _EPSILON), weights, first, second
        )
        return (weights, first, second, n_steps), None

    return lax.scan(step, state, (order, noise))[0]


def shuffled_epoch(size: Size, state: State, key: Array, images: Array) -> State:
    """Return one model's state after an epoch whose order and noise JAX draws from ``key``."""
    for_order, for_noise = random.split(random.fold_in(key, state[-1]))
    order = random.permutation(for_order, size.n_images).reshape(size.n_steps, BATCH_SIZE)
    noise = random.normal(for_noise, (size.n_steps, BATCH_SIZE, size.k))
    return trained_epoch(state, order, noise, images)


@contextmanager
def prepared(
    size: Size, width: int, host_random: bool = False
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs of ``width`` models, and their number.

    Order and noise are drawn by JAX, or outside the compiled epoch by NumPy, which is faster.
    """
    keys = random.split(random.key(0), width)
    state = jax.jit(jax.vmap(lambda key: initial_state(size, key)))(keys)
    images = jnp.asarray(size.images())
    generators = [np.random.default_rng(seed) for seed in range(width)]
    on_host = jax.jit(jax.vmap(trained_epoch, in_axes=(0, 0, 0, None)), donate_argnums=0)
    on_device = jax.jit(
        jax.vmap(lambda *drawn: shuffled_epoch(size, *drawn), in_axes=(0, 0, None)),
        donate_argnums=0,
    )

    def host_epoch(state: State) -> State:
        shape = (size.n_steps, BATCH_SIZE)
        order = [g.permutation(size.n_images).astype(np.int32) for g in generators]
        noise = [g.standard_normal((*shape, size.k), dtype=np.float32) for g in generators]
        return on_host(state, np.stack(order).reshape(width, *shape), np.stack(noise), images)

    def train(n_epochs: int) -> None:
        nonlocal state
        for _ in range(n_epochs):
            state = host_epoch(state) if host_random else on_device(state, keys, images)
        jax.block_until_ready(state)

    yield train, width
