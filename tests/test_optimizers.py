"""Every optimizer is Keras' own, for each member of a stack, however often it is filled again."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from lossbench.comparison.algebra import ObjectivePair, Side, algebra
from lossbench.loss import likelihood
from lossbench.network import dense
from lossbench.nn.model import initial_weights
from lossbench.nn.program import Program, Shape, optimizer
from lossbench.nn.train import batches_and_noise
from lossbench.optimizer import OPTIMIZERS, Optimizer, OptimizerName

D, K, BATCH, N, RATE = 9, 2, 16, 80, 0.02
NETWORK = dense(D, K, (6,), "sigmoid")
SEEDS, A, B = [0, 1, 2, 3], [1.0, 1.0, 1 / D, 0.0], [1.0, 0.1, 0.5, 0.0]
SHAPE = Shape(
    network=NETWORK,
    likelihood=likelihood("bce"),
    noise_std=1.0,
    batch_size=BATCH,
    optimizer="adam",
    epsilon=1e-7,
    width=len(SEEDS),
    n_steps=N // BATCH,
    n_chunk=N,
    dtype="float64",
)


@pytest.fixture(scope="module")
def images() -> NDArray[np.float64]:
    """Return images of noise, between 0 and 1."""
    return np.random.default_rng(0).uniform(0.05, 0.95, (N, D))


def filled(program: Program) -> Program:
    """Return a program with every member at its start."""
    program.refill(SEEDS, A, B)
    return program


def trained(program: Program, images: NDArray[Any], n_epochs: int) -> list[NDArray[Any]]:
    """Return the weights of a stack after some epochs."""
    for epoch in range(n_epochs):
        drawn = [batches_and_noise(seed, epoch, N, BATCH, K) for seed in SEEDS]
        batches, noise = (np.stack(parts, axis=1) for parts in zip(*drawn, strict=True))
        program.train(tf.constant(images), batches, noise, np.full(len(batches), RATE))
    return [weight.copy() for weight in program.weights()]


def fitted(
    optimizer: keras.optimizers.Optimizer, member: int, images: NDArray[Any], n_epochs: int
) -> Sequence[NDArray[Any]]:
    """Return the weights of one VAE as anybody would write it, and train it with ``fit``."""

    def dense(units: int, activation: str | None = None) -> keras.layers.Layer:
        return keras.layers.Dense(units, activation, dtype="float64")

    layers = [dense(6, "relu"), dense(K), dense(K), dense(6, "relu"), dense(D, "sigmoid")]
    x, noise = keras.Input((D,), dtype="float64"), keras.Input((K,), dtype="float64")
    hidden = layers[0](x)
    z_mean, z_log_var = layers[1](hidden), layers[2](hidden)
    decoded = layers[4](layers[3](z_mean + ops.exp(z_log_var / 2) * noise))
    model = keras.Model([x, noise], ops.concatenate([decoded, z_mean, z_log_var], axis=-1))
    start = initial_weights(NETWORK, SEEDS[member])
    for layer, kernel, bias in zip(layers, start[::2], start[1::2], strict=True):
        layer.set_weights([kernel, bias.reshape(-1)])

    def loss(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        decoded, z_mean, z_log_var = ops.split(y, [D, D + K], axis=-1)
        error = -ops.sum(x * ops.log(decoded) + (1 - x) * ops.log(1 - decoded), axis=-1)
        kl = -0.5 * ops.sum(1 + z_log_var - z_mean**2 - ops.exp(z_log_var), axis=-1)
        return A[member] * error + B[member] * kl

    model.compile(optimizer, loss)
    for epoch in range(n_epochs):
        order, noise = batches_and_noise(SEEDS[member], epoch, N, BATCH, K)
        x, noise = images[order.ravel()], noise.reshape(-1, K).astype(np.float64)
        model.fit([x, noise], x, batch_size=BATCH, shuffle=False, verbose=0)
    return [weight for layer in layers for weight in layer.get_weights()]


def assert_alike(stack: Sequence[NDArray[Any]], member: int, alone: Sequence[NDArray[Any]]) -> None:
    """Hold a member's weights against those of one model; Keras' moments are of float32."""
    for weight, expected in zip(stack, alone, strict=True):
        np.testing.assert_allclose(weight[member].reshape(expected.shape), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_member_is_trained_as_keras_trains_it_alone(
    name: str, images: NDArray[np.float64]
) -> None:
    """After fifteen steps its weights are those of ``fit``, one that no objective moves too."""
    stack = trained(filled(Program(replace(SHAPE, optimizer=name))), images, n_epochs=3)
    for member in range(SHAPE.width):
        keras_own = optimizer(name, RATE, SHAPE.epsilon)
        assert_alike(stack, member, fitted(keras_own, member, images, n_epochs=3))


@pytest.mark.slow
def test_adamw_shrinks_weights_that_no_gradient_moves(images: NDArray[np.float64]) -> None:
    """Each step takes the learning rate times 0.004 of them; Adam leaves them as they were."""
    start = initial_weights(NETWORK, SEEDS[-1])
    for name, factor in (("adam", 1.0), ("adamw", (1 - RATE * 0.004) ** SHAPE.n_steps)):
        weights = trained(filled(Program(replace(SHAPE, optimizer=name))), images, n_epochs=1)
        for weight, before in zip(weights, start, strict=True):
            left = weight[-1].reshape(before.shape)
            np.testing.assert_allclose(left, factor * before.astype(np.float64), rtol=1e-9)


@pytest.mark.slow
def test_a_refilled_program_starts_where_keras_starts(
    images: NDArray[np.float64], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with an optimizer whose state does not start at 0, as that of Adagrad."""
    monkeypatch.setitem(OPTIMIZERS, "adagrad", Optimizer("Adagrad"))
    program = Program(replace(SHAPE, optimizer="adagrad"))
    first = trained(filled(program), images, n_epochs=1)
    again = trained(filled(program), images, n_epochs=1)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    keras_own = optimizer("adagrad", RATE, SHAPE.epsilon)
    assert_alike(again, 0, fitted(keras_own, 0, images, n_epochs=1))


def test_adamw_is_said_to_feel_no_factor_on_the_objective() -> None:
    """Its own decay is no part of the objective, so it is not counted among what feels one."""
    blog, docs = (
        Side("blog", 1 / 32, 1 / 64, 1 / 64, 1.0, float("nan"), "adamw"),
        Side("docs", 1.0, 1.0, 1.0, 1.0, float("nan"), "adamw"),
    )
    assert algebra([ObjectivePair(blog, docs)]) == (
        "The same objective up to a factor of 64: blog at beta 0.03125 is docs at beta 1, divided "
        "by 64. AdamW does not feel the factor (but for epsilon); SGD, a weight penalty and "
        "gradient clipping do."
    )


def test_the_table_of_optimizers_is_the_setting_and_keras_own() -> None:
    """Every name that a run may have is in it, under Keras' own title."""
    assert set(get_args(OptimizerName)) == set(OPTIMIZERS)
    for name, known in OPTIMIZERS.items():
        made = optimizer(name, 0.1, 1e-3)
        assert type(made).__name__ == known.title
        assert hasattr(made, "epsilon") == known.has_epsilon
        assert bool(made.weight_decay) == known.decays
