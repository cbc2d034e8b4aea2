"""A member of a stack is the model that plain Keras trains."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray
from small_runs import (
    BATCH,
    eight_runs,
    program_of,
    refill,
    shape_of,
    small_run,
    train_epoch,
    trained_weights,
)

from lossbench.loss import Sizes, convention
from lossbench.nn.model import initial_weights
from lossbench.nn.program import Program
from lossbench.nn.train import batches_and_noise
from lossbench.settings import RunSettings

_Loss = Callable[[Any, Any], Any]


def _blog(kind: str, d: int, k: int, beta: float) -> _Loss:
    """Return the blog's loss, one value per sample; predictions are x, z_mean and z_log_var."""

    def loss(x, predicted):  # type: ignore[no-untyped-def]
        decoded, z_mean, z_log_var = ops.split(predicted, [d, d + k], axis=-1)
        if kind == "bce":
            xent_loss = keras.losses.binary_crossentropy(x, decoded)
        else:
            xent_loss = keras.losses.mean_squared_error(x, decoded)
        kl_loss = -0.5 * ops.mean(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)
        return xent_loss + beta * kl_loss

    return loss


def _docs(kind: str, d: int, k: int, beta: float) -> _Loss:
    """Return the documentation's loss, the mean over the batch."""

    def loss(x, predicted):  # type: ignore[no-untyped-def]
        decoded, z_mean, z_log_var = ops.split(predicted, [d, d + k], axis=-1)
        if kind == "bce":
            reconstruction_loss = keras.losses.binary_crossentropy(x, decoded)
        else:
            reconstruction_loss = keras.losses.mean_squared_error(x, decoded)
        reconstruction_loss *= d
        kl_loss = 1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var)
        kl_loss = ops.sum(kl_loss, axis=-1)
        kl_loss *= -0.5
        return ops.mean(reconstruction_loss + beta * kl_loss)

    return loss


_LITERAL = {"blog": _blog, "docs": _docs}


@pytest.mark.parametrize("kind", ["bce", "mse"])
@pytest.mark.parametrize("loss", ["blog", "docs"])
@pytest.mark.parametrize(("d", "k", "beta"), [(784, 2, 1.0), (16, 8, 0.3), (5, 5, 4.0)])
def test_the_algebra_is_the_loss_that_keras_computes(
    kind: str, loss: str, d: int, k: int, beta: float
) -> None:
    """On random tensors a*R + b*K is the literal loss, to float precision."""
    generator = np.random.default_rng([d, k])
    x, decoded = generator.uniform(0.01, 0.99, (2, 9, d))
    z_mean, z_log_var = generator.normal(size=(2, 9, k))
    literal = _LITERAL[loss](kind, d, k, beta)(x, np.hstack([decoded, z_mean, z_log_var]))
    assert literal.shape == ((9,) if loss == "blog" else ())
    error = (
        -x * np.log(decoded) - (1 - x) * np.log(1 - decoded)
        if kind == "bce"
        else (x - decoded) ** 2
    )
    reconstruction = error.sum(axis=1).mean()
    kl = 0.5 * (np.exp(z_log_var) + z_mean**2 - 1 - z_log_var).sum(axis=1).mean()
    found = convention(loss).coefficients(Sizes(d, k), beta)
    assert float(found.a) * reconstruction + float(found.b) * kl == pytest.approx(
        float(np.mean(literal)), rel=1e-6
    )


def _plain_keras(run: RunSettings) -> tuple[keras.Model, list[keras.layers.Layer]]:
    """Return one VAE as anybody would write it, with this run's initial weights."""
    encoder = [keras.layers.Dense(units, activation="relu") for units in run.hidden]
    heads = [keras.layers.Dense(run.k), keras.layers.Dense(run.k)]
    decoder = [keras.layers.Dense(units, activation="relu") for units in reversed(run.hidden)]
    output = keras.layers.Dense(run.d, activation="sigmoid")
    x, noise = keras.Input((run.d,)), keras.Input((run.k,))
    hidden = x
    for layer in encoder:
        hidden = layer(hidden)
    z_mean, z_log_var = heads[0](hidden), heads[1](hidden)
    decoded = z_mean + ops.exp(z_log_var / 2) * noise
    for layer in [*decoder, output]:
        decoded = layer(decoded)
    model = keras.Model([x, noise], ops.concatenate([decoded, z_mean, z_log_var], axis=-1))
    layers = [*encoder, *heads, *decoder, output]
    weights = initial_weights(run.architecture, run.seed)
    for layer, kernel, bias in zip(layers, weights[::2], weights[1::2], strict=True):
        layer.set_weights([kernel, bias])
    model.compile(
        keras.optimizers.SGD(run.learning_rate),
        _LITERAL[run.loss](run.reconstruction_loss, run.d, run.k, run.beta),
    )
    return model, layers


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_a_member_of_a_stack_is_the_model_that_keras_fits(
    kind: str, images: NDArray[np.float32]
) -> None:
    """After two epochs of SGD its weights are those of Dense layers, a literal loss and fit."""
    runs = eight_runs(reconstruction_loss=kind)
    members = trained_weights(program_of(runs[0], 8), runs, images)
    for run, weights in list(zip(runs, members, strict=True))[:4]:
        model, layers = _plain_keras(run)
        for epoch in range(run.epochs):
            order, noise = batches_and_noise(run.seed, epoch, len(images), run.batch_size, run.k)
            x, noise = images[order.ravel()], noise.reshape(-1, run.k)
            model.fit([x, noise], x, batch_size=run.batch_size, shuffle=False, verbose=0)
        fitted = [weight for layer in layers for weight in layer.get_weights()]
        initial = initial_weights(run.architecture, run.seed)
        for found, expected, before in zip(weights, fitted, initial, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert np.abs(expected - before).max() > 1e-4


@pytest.mark.parametrize(
    "optimizer",
    ["adam", *(pytest.param(name, marks=pytest.mark.slow) for name in ("rmsprop", "sgd"))],
)
def test_a_stack_of_eight_is_eight_stacks_of_one(
    optimizer: str, images: NDArray[np.float32]
) -> None:
    """Members trained together and alone have the same weights, whatever came before them."""
    runs = eight_runs(optimizer=optimizer, learning_rate=0.01)
    together = trained_weights(program_of(runs[0], 8), runs, images)
    one = program_of(runs[0], 1)
    for run, expected in zip(runs, together, strict=True):
        (alone,) = trained_weights(one, [run], images)
        for found, weight in zip(alone, expected, strict=True):
            np.testing.assert_allclose(found, weight, atol=1e-5)


def test_a_refilled_program_forgets_what_it_trained(images: NDArray[np.float32]) -> None:
    """Weights, moments and counters start afresh: the same stack gives the same bytes."""
    runs = eight_runs(optimizer="adam")
    program = program_of(runs[0], 8)
    first = trained_weights(program, runs, images)
    trained_weights(program, list(reversed(runs)), images)
    again = trained_weights(program, runs, images)
    for before, after in zip(first, again, strict=True):
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_shape_is_compiled_once(images: NDArray[np.float32]) -> None:
    """Other coefficients, seeds and learning rates run the program that is there."""
    program = program_of(small_run(optimizer="adam"), 8)
    for learning_rate in (0.01, 0.02):
        runs = eight_runs(optimizer="adam", learning_rate=learning_rate)
        trained_weights(program, runs, images)
        trained_weights(program, runs[::-1], images)
    assert program._steps.experimental_get_tracing_count() == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_in_float64_the_blog_at_d_times_the_rate_follows_the_documentation(
    kind: str,
) -> None:
    """Step by step, blog(beta) at d*lr is docs(beta*d/k) at lr, and at equal beta it is not."""
    d, k, beta, rate = 25, 3, 0.3, 2.0**-10
    images = np.random.default_rng(0).uniform(0.05, 0.95, (BATCH, d))
    shared = {"d": d, "k": k, "reconstruction_loss": kind}
    blog = small_run("blog", beta, learning_rate=d * rate, **shared)
    docs = small_run("docs", beta * d / k, learning_rate=rate, **shared)
    naive = small_run("docs", beta, learning_rate=rate, **shared)
    programs = [Program(shape_of(run, 1, BATCH, "float64")) for run in (blog, docs, naive)]
    for program, run in zip(programs, (blog, docs, naive), strict=True):
        refill(program, [run])
    for step in range(10):
        for program, run in zip(programs, (blog, docs, naive), strict=True):
            train_epoch(program, [run], images, step)
        weights = [program.weights() for program in programs]
        for one, other in zip(weights[0], weights[1], strict=True):
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)
        assert max(
            np.abs(one - other).max() for one, other in zip(weights[0], weights[2], strict=True)
        ) > 1e-5 * (step + 1)
