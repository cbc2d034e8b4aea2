"""JAX: ``vmap`` over models, ``scan`` over the steps of an epoch, compiled."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import jax
import numpy as np
from jax import Array, lax, nn, random
from jax import numpy as jnp

from bench.size import BATCH_SIZE, LEARNING_RATE, Size
from lossbench.network import Convolution, Layer

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7
_KEPT, _TINY = 0.99, 1e-3  # of the averages of batch normalisation, and beside its variance

# Of every layer: kernel, bias and, where it is normalised, scale and offset.
Weights = tuple[tuple[Array, ...], ...]
Averages = tuple[tuple[Array, Array], ...]  # mean and variance of what is normalised
State = tuple[Weights, Averages, Weights, Weights, Array]


def initial_state(size: Size, key: Array) -> State:
    """Return Glorot uniform kernels, zero biases, averages, both moments of Adam and the steps."""
    layers = size.network.layers
    weights: list[tuple[Array, ...]] = []
    averages = []
    for own, layer in zip(random.split(key, len(layers)), layers, strict=True):
        *window, fan_in, fan_out = layer.kernel_shape
        limit = math.sqrt(6 / (math.prod(window) * (fan_in + fan_out)))
        kernel = random.uniform(own, layer.kernel_shape, minval=-limit, maxval=limit)
        zeros, ones = jnp.zeros(layer.n_biases), jnp.ones(layer.n_biases)
        weights.append((kernel, zeros, *((ones, zeros) if size.normalises(layer) else ())))
        if size.normalises(layer):
            averages.append((zeros, ones))
    moments = jax.tree.map(jnp.zeros_like, tuple(weights))
    first, second = moments, jax.tree.map(jnp.copy, moments)
    return tuple(weights), tuple(averages), first, second, jnp.zeros((), jnp.int32)


def loss_of(
    size: Size, by_products: bool, weights: Weights, x: Array, noise: Array
) -> tuple[Array, Averages]:
    """Return cross-entropy from logits and KL, summed, mean over the batch; and batch averages.

    Convolutions are computed ``by_products`` of matrices, or by XLA's own operation.
    """
    network = size.network
    of_layers = iter(weights)
    averages = []

    def apply(layer: Layer, x: Array) -> Array:
        kernel, bias, *scaling = next(of_layers)
        made = _product(layer, x, kernel, by_products) + bias
        if scaling:
            mean, variance = made.mean((0, 1, 2)), made.var((0, 1, 2))
            averages.append((mean, variance))
            scale, offset = scaling
            made = scale * (made - mean) * lax.rsqrt(variance + _TINY) + offset
            return nn.leaky_relu(made)
        return nn.relu(made) if layer.activation == "relu" else made

    hidden = x
    for layer in network.encoder:
        hidden = apply(layer, hidden)
    z_mean, z_log_var = apply(network.z_mean, hidden), apply(network.z_log_var, hidden)
    logits = z_mean + jnp.exp(0.5 * z_log_var) * noise
    for layer in network.decoder:
        logits = apply(layer, logits)
    bce = jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits)))
    kl = -0.5 * jnp.sum(1 + z_log_var - z_mean**2 - jnp.exp(z_log_var))
    return (jnp.sum(bce) + kl) / len(x), tuple(averages)


def _product(layer: Layer, x: Array, kernel: Array, by_products: bool) -> Array:
    if not isinstance(layer, Convolution):
        return x.reshape(len(x), layer.fan_in) @ kernel
    images = x.reshape(len(x), *layer.image)
    convolved = _as_products if by_products else _as_convolution
    if layer.crop is None:
        return convolved(images, kernel, layer.stride)
    height, width = (layer.stride * side for side in layer.image[:2])
    larger = jax.ShapeDtypeStruct((len(x), height, width, layer.filters), x.dtype)
    (made,) = jax.linear_transpose(lambda y: convolved(y, kernel, layer.stride), larger)(images)
    return made[:, : layer.crop[0], : layer.crop[1]]


def _as_convolution(images: Array, kernel: Array, stride: int) -> Array:
    return lax.conv_general_dilated(
        images, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _as_products(images: Array, kernel: Array, stride: int) -> Array:
    """Return the same as one matrix product of what each place of the kernel sees.

    On one thread of a CPU XLA takes 0.2 s for a step of keras.io's network so, and 6 s else.
    """
    size = len(kernel)
    made = [-(-side // stride) for side in images.shape[1:3]]
    reach = [stride * (side - 1) + 1 for side in made]
    beyond = [max(0, r + size - 1 - side) for r, side in zip(reach, images.shape[1:3], strict=True)]
    padded = jnp.pad(images, ((0, 0), *((b // 2, b - b // 2) for b in beyond), (0, 0)))
    seen = [
        padded[:, row : row + reach[0] : stride, column : column + reach[1] : stride]
        for row in range(size)
        for column in range(size)
    ]
    return jnp.concatenate(seen, axis=-1) @ kernel.reshape(-1, kernel.shape[-1])


def trained_epoch(
    size: Size, by_products: bool, state: State, order: Array, noise: Array, images: Array
) -> State:
    """Return one model's state after an epoch.

    ``order (steps, batch)`` of image indices, ``noise (steps, batch, k)``.
    """

    def step(state: State, drawn: tuple[Array, Array]) -> tuple[State, None]:
        weights, averages, first, second, n_steps = state
        batch, noise = drawn
        of_weights = jax.grad(partial(loss_of, size, by_products), has_aux=True)
        gradient, of_batch = of_weights(weights, images[batch], noise)
        averages = jax.tree.map(lambda m, b: _KEPT * m + (1 - _KEPT) * b, averages, of_batch)
        n_steps = n_steps + 1
        first = jax.tree.map(lambda m, g: _BETA_1 * m + (1 - _BETA_1) * g, first, gradient)
        second = jax.tree.map(lambda v, g: _BETA_2 * v + (1 - _BETA_2) * g * g, second, gradient)
        rate = LEARNING_RATE * jnp.sqrt(1 - _BETA_2**n_steps) / (1 - _BETA_1**n_steps)
        weights = jax.tree.map(
            lambda w, m, v: w - rate * m / (jnp.sqrt(v) + _EPSILON), weights, first, second
        )
        return (weights, averages, first, second, n_steps), None

    return lax.scan(step, state, (order, noise))[0]


def shuffled_epoch(size: Size, by_products: bool, state: State, key: Array, images: Array) -> State:
    """Return one model's state after an epoch whose order and noise JAX draws from ``key``."""
    for_order, for_noise = random.split(random.fold_in(key, state[-1]))
    order = random.permutation(for_order, size.n_images).reshape(size.n_steps, BATCH_SIZE)
    noise = random.normal(for_noise, (size.n_steps, BATCH_SIZE, size.k))
    return trained_epoch(size, by_products, state, order, noise, images)


@contextmanager
def prepared(
    size: Size, width: int, host_random: bool = False, by_products: bool = False
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs of ``width`` models, and their number.

    Order and noise are drawn by JAX, or outside the compiled epoch by NumPy, which is faster.
    """
    keys = random.split(random.key(0), width)
    state = jax.jit(jax.vmap(lambda key: initial_state(size, key)))(keys)
    images = jnp.asarray(size.images())
    generators = [np.random.default_rng(seed) for seed in range(width)]
    on_host = jax.jit(
        jax.vmap(partial(trained_epoch, size, by_products), in_axes=(0, 0, 0, None)),
        donate_argnums=0,
    )
    on_device = jax.jit(
        jax.vmap(partial(shuffled_epoch, size, by_products), in_axes=(0, 0, None)),
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
