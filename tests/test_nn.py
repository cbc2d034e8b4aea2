"""The trained VAEs, against plain Keras, brute force and the numbers of theory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from lossbench import theory
from lossbench.conventions import ReconstructionLoss, Sizes, convention, elbo, elbo_best_sigma
from lossbench.data import load
from lossbench.experiment import RunSettings, Stack, n_parameters, stacks
from lossbench.nn.layers import initial_weights
from lossbench.nn.model import StackedVAE
from lossbench.nn.program import Program, Shape
from lossbench.nn.train import OutOfTime, Trained, batches_and_noise, train_stack
from lossbench.nn.train import _program as compiled
from lossbench.worker import train

_D, _K, _HIDDEN, _BATCH, _N = 16, 3, (8,), 16, 100  # six steps an epoch and a remnant of four
_Loss = Callable[[Any, Any], Any]


def _settings(loss: str = "docs", beta: float = 1.0, **changes: Any) -> RunSettings:
    """Return a small run on digits; ``changes`` name its other settings."""
    run = RunSettings(
        dataset="digits",
        loss=loss,
        reconstruction_loss="bce",
        beta=beta,
        d=_D,
        k=_K,
        hidden=_HIDDEN,
        noise_std=1.0,
        epochs=2,
        batch_size=_BATCH,
        optimizer="sgd",
        learning_rate=0.0625,
        learning_rate_decay=1.0,
        epsilon=1e-7,
        eval_every=1,
        seed=0,
        a=0.0,
        b=0.0,
        beta_eff=0.0,
        time_limit=600.0,
    )
    run = replace(run, **changes)
    found = convention(loss).coefficients(Sizes(run.d, run.k), beta)
    return replace(run, a=float(found.a), b=float(found.b), beta_eff=float(found.beta_eff))


def _eight(**changes: Any) -> list[RunSettings]:
    """Return eight runs that differ in loss, beta and seed."""
    return [
        _settings(loss, beta, seed=seed, **changes)
        for loss, beta, seed in (
            ("blog", 1.0, 0),
            ("docs", 1.0, 0),
            ("blog", 0.01, 1),
            ("docs", 0.1, 1),
            ("docs", 4.0, 2),
            ("blog", 0.5, 3),
            ("docs", 0.0, 4),
            ("blog", 0.0, 4),
        )
    ]


def _shape(run: RunSettings, width: int, n_train: int = _N, dtype: str = "float32") -> Shape:
    return Shape(
        width=width,
        d=run.d,
        k=run.k,
        hidden=run.hidden,
        reconstruction_loss=run.reconstruction_loss,
        noise_std=run.noise_std,
        batch_size=run.batch_size,
        optimizer=run.optimizer,
        epsilon=run.epsilon,
        n_train=n_train,
        n_test=360,
        n_steps=n_train // run.batch_size,
        dtype=dtype,
    )


def _program(run: RunSettings, width: int, n_train: int = _N) -> Program:
    """Return the program that train_stack would run, so that nothing is compiled twice."""
    return compiled(_shape(run, width, n_train))


def _refill(program: Program, runs: Sequence[RunSettings]) -> None:
    program.refill([run.seed for run in runs], [run.a for run in runs], [run.b for run in runs])


def _train_epoch(
    program: Program, runs: Sequence[RunSettings], images: NDArray[Any], epoch: int
) -> None:
    drawn = [batches_and_noise(run.seed, epoch, len(images), run.batch_size, run.k) for run in runs]
    batches, noise = (np.stack(parts, axis=1) for parts in zip(*drawn, strict=True))
    rates = np.full(len(batches), runs[0].learning_rate)
    program.train(tf.constant(images, program.shape.dtype), batches, noise, rates)


def _trained(
    program: Program, runs: Sequence[RunSettings], images: NDArray[Any]
) -> list[list[NDArray[Any]]]:
    """Return the weights of every member after the runs' epochs."""
    _refill(program, runs)
    for epoch in range(runs[0].epochs):
        _train_epoch(program, runs, images, epoch)
    weights = [weight.copy() for weight in program.weights()]
    return [
        [
            weight[member].reshape(weight.shape[1:] if weight.shape[1] > 1 else -1)
            for weight in weights
        ]
        for member in range(len(runs))
    ]


@pytest.fixture(scope="module")
def images() -> NDArray[np.float32]:
    """Return the first hundred digits at 4x4 pixels."""
    return load("digits", _D).train[:_N]


# The seed question's losses, as Keras computes them.


def _blog(kind: ReconstructionLoss, d: int, k: int, beta: float) -> _Loss:
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


def _docs(kind: ReconstructionLoss, d: int, k: int, beta: float) -> _Loss:
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
    kind: ReconstructionLoss, loss: str, d: int, k: int, beta: float
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
    weights = initial_weights(_shapes(run), run.seed)
    for layer, kernel, bias in zip(layers, weights[::2], weights[1::2], strict=True):
        layer.set_weights([kernel, bias])
    model.compile(
        keras.optimizers.SGD(run.learning_rate),
        _LITERAL[run.loss](run.reconstruction_loss, run.d, run.k, run.beta),
    )
    return model, layers


def _shapes(run: RunSettings) -> tuple[tuple[int, int], ...]:
    return StackedVAE(run.d, run.k, run.hidden, run.reconstruction_loss).shapes


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_a_member_of_a_stack_is_the_model_that_keras_fits(
    kind: ReconstructionLoss, images: NDArray[np.float32]
) -> None:
    """After two epochs of SGD its weights are those of Dense layers, a literal loss and fit."""
    runs = _eight(reconstruction_loss=kind)
    members = _trained(_program(runs[0], 8), runs, images)
    for run, weights in list(zip(runs, members, strict=True))[:4]:
        model, layers = _plain_keras(run)
        for epoch in range(run.epochs):
            order, noise = batches_and_noise(run.seed, epoch, len(images), run.batch_size, run.k)
            x, noise = images[order.ravel()], noise.reshape(-1, run.k)
            model.fit([x, noise], x, batch_size=run.batch_size, shuffle=False, verbose=0)
        fitted = [weight for layer in layers for weight in layer.get_weights()]
        initial = initial_weights(_shapes(run), run.seed)
        for found, expected, before in zip(weights, fitted, initial, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
            assert np.abs(expected - before).max() > 1e-4


@pytest.mark.parametrize(
    "optimizer",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("adam", "rmsprop")), "sgd"],
)
def test_a_stack_of_eight_is_eight_stacks_of_one(
    optimizer: str, images: NDArray[np.float32]
) -> None:
    """Members trained together and alone have the same weights, whatever came before them."""
    runs = _eight(optimizer=optimizer, learning_rate=0.01)
    together = _trained(_program(runs[0], 8), runs, images)
    one = _program(runs[0], 1)
    for run, expected in zip(runs, together, strict=True):
        (alone,) = _trained(one, [run], images)
        for found, weight in zip(alone, expected, strict=True):
            np.testing.assert_allclose(found, weight, atol=1e-5)


def test_a_refilled_program_forgets_what_it_trained(images: NDArray[np.float32]) -> None:
    """Weights, moments and counters start afresh: the same stack gives the same bytes."""
    runs = _eight(optimizer="adam")
    program = _program(runs[0], 8)
    first = _trained(program, runs, images)
    _trained(program, list(reversed(runs)), images)
    again = _trained(program, runs, images)
    for before, after in zip(first, again, strict=True):
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_shape_is_compiled_once(images: NDArray[np.float32]) -> None:
    """Other coefficients, seeds and learning rates run the program that is there."""
    program = _program(_settings(), 8)
    for learning_rate in (0.01, 0.02):
        _trained(program, _eight(learning_rate=learning_rate), images)
        _trained(program, _eight(learning_rate=learning_rate)[::-1], images)
    assert program._steps.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_in_float64_the_blog_at_d_times_the_rate_follows_the_documentation(
    kind: ReconstructionLoss,
) -> None:
    """Step by step, blog(beta) at d*lr is docs(beta*d/k) at lr, and at equal beta it is not."""
    d, k, beta, rate = 25, 3, 0.3, 2.0**-10
    images = np.random.default_rng(0).uniform(0.05, 0.95, (_BATCH, d))
    shared = {"d": d, "k": k, "reconstruction_loss": kind}
    blog = _settings("blog", beta, learning_rate=d * rate, **shared)
    docs = _settings("docs", beta * d / k, learning_rate=rate, **shared)
    naive = _settings("docs", beta, learning_rate=rate, **shared)
    programs = [Program(_shape(run, 1, _BATCH, "float64")) for run in (blog, docs, naive)]
    for program, run in zip(programs, (blog, docs, naive), strict=True):
        _refill(program, [run])
    for step in range(10):
        for program, run in zip(programs, (blog, docs, naive), strict=True):
            _train_epoch(program, [run], images, step)
        weights = [program.weights() for program in programs]
        for one, other in zip(weights[0], weights[1], strict=True):
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-13)
        assert max(
            np.abs(one - other).max() for one, other in zip(weights[0], weights[2], strict=True)
        ) > 1e-5 * (step + 1)


# Members and their neighbours.


def _as_bytes(result: Trained) -> list[object]:
    arrays = (result.latent_means, result.reconstructions, result.originals)
    return [result.metrics, result.history, *(array.tobytes() for array in arrays)]


@pytest.fixture(scope="module")
def split() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the digits at 4x4 pixels, training and test."""
    data = load("digits", _D)
    return data.train, data.test


def test_a_member_that_turns_non_finite_disturbs_no_other(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """It is recorded as nan; every byte of the others is as with a healthy neighbour."""
    runs = _eight(optimizer="adam", batch_size=128)
    broken = [replace(run, b=1e38) if number == 3 else run for number, run in enumerate(runs)]
    healthy = train_stack(runs, 8, *split)
    outcomes = train(Stack(runs=tuple(broken), width=8), *split)
    assert [outcome.status for outcome in outcomes] == ["ok"] * 3 + ["nan"] + ["ok"] * 4
    for number, (result, outcome) in enumerate(zip(healthy, outcomes, strict=True)):
        if number != 3:
            assert outcome.metrics == result.metrics
            assert outcome.history == result.history
            for name in ("latent_means", "reconstructions"):
                assert outcome.arrays[name].tobytes() == getattr(result, name).tobytes()


def test_a_remnant_has_the_bytes_of_a_full_stack(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """A run alone in a padded stack, or beside others, in any place, leaves the same bytes."""
    runs = _eight(optimizer="adam", batch_size=128)
    full = [_as_bytes(result) for result in train_stack(runs, 8, *split)]
    for chosen in ([5], [2, 6, 1], [7, 6, 5, 4, 3, 2, 1, 0]):
        remnant = train_stack([runs[number] for number in chosen], 8, *split)
        assert [_as_bytes(result) for result in remnant] == [full[number] for number in chosen]


def test_the_epochs_of_a_call_do_not_matter(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """One epoch a call, several, and a last call with fewer leave the same run."""
    changes = {"optimizer": "adam", "batch_size": 128, "epochs": 5, "learning_rate_decay": 0.1}
    runs = {every: _settings(eval_every=every, **changes) for every in (1, 4, 5)}
    results = {every: train_stack([run], 8, *split)[0] for every, run in runs.items()}
    for every in (4, 5):
        for one, other in zip(results[1].weights, results[every].weights, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
        for epoch, bound in zip(
            *(results[every].history[c] for c in ("epoch", "elbo")), strict=True
        ):
            assert bound == pytest.approx(results[1].history["elbo"][epoch - 1], rel=1e-6)
    assert results[4].history["epoch"] == [4, 5]


def test_a_stack_as_wide_as_on_a_gpu_trains_the_same_runs(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """But for rounding: what stands beside a run does not matter, however many there are."""
    runs = _eight(optimizer="adam", batch_size=128)
    narrow, wide = (train_stack(runs, width, *split) for width in (8, 64))
    for one, other in zip(narrow, wide, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-5, abs=1e-6)


def test_a_stack_past_its_time_is_given_up(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """The worker reports a timeout for every run, and how far the stack came."""
    run = _settings(batch_size=128, time_limit=1e-9)
    with pytest.raises(OutOfTime, match="epoch 1 of 2"):
        train_stack([run], 8, *split)
    (outcome,) = train(Stack(runs=(run,), width=8), *split)
    assert (outcome.status, outcome.metrics) == ("timeout", {})


# Where every run starts.


def test_initial_kernels_have_the_glorot_limit_of_a_single_model() -> None:
    """Each kernel is uniform within sqrt(6 / (fan_in + units)), and fills that range."""
    shapes = _shapes(_settings(d=784, k=20, hidden=(400,)))
    weights = initial_weights(shapes, 0)
    for (fan_in, units), kernel, bias in zip(shapes, weights[::2], weights[1::2], strict=True):
        limit = math.sqrt(6 / (fan_in + units))
        assert kernel.shape == (fan_in, units)
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
        assert not bias.any()
        assert bias.shape == (units,)


def test_every_layer_has_weights_of_its_own() -> None:
    """Layers of one shape do not start alike: z_mean and z_log_var have different kernels."""
    weights = initial_weights(_shapes(_settings()), 0)
    assert np.abs(weights[2] - weights[4]).min() > 0


def test_the_same_seed_starts_alike_under_every_loss() -> None:
    """Members of one seed have the same initial weights; another seed changes every kernel."""
    program = _program(_settings(), 3)
    _refill(program, [_settings("blog"), _settings("docs", 4.0), _settings("docs", seed=1)])
    for kernel in program.weights()[::2]:
        np.testing.assert_array_equal(kernel[0], kernel[1])
        assert np.abs(kernel[0] - kernel[2]).max() > 0.1
    for seed in (0, 1):
        np.testing.assert_array_equal(
            initial_weights(_shapes(_settings()), seed)[0], program.weights()[0][2 * seed]
        )


def test_batches_and_noise_belong_to_a_seed_and_an_epoch() -> None:
    """Another seed or epoch changes both; the same ones give the same bytes."""
    batches, noise = batches_and_noise(0, 0, 100, 16, 3)
    again = batches_and_noise(0, 0, 100, 16, 3)
    np.testing.assert_array_equal(batches, again[0])
    np.testing.assert_array_equal(noise, again[1])
    for seed, epoch in ((1, 0), (0, 1)):
        other = batches_and_noise(seed, epoch, 100, 16, 3)
        assert (batches != other[0]).any()
        assert (noise != other[1]).all()


def test_an_epoch_sees_every_image_once_but_for_the_remnant() -> None:
    """100 images in batches of 16 are six steps of distinct images; four are left out."""
    batches, noise = batches_and_noise(0, 0, 100, 16, 3)
    assert batches.shape == (6, 16)
    assert noise.shape == (6, 16, 3)
    assert len(set(batches.ravel())) == 96
    left_out = {
        image
        for epoch in range(50)
        for image in set(range(100)) - set(batches_and_noise(0, epoch, 100, 16, 3)[0].ravel())
    }
    assert len(left_out) > 80


def test_the_noise_is_standard_normal() -> None:
    """Mean 0 and variance 1 over 60,000 draws."""
    noise = batches_and_noise(0, 0, 20_000, 100, 3)[1].astype(float)
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.var() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", ["bce", "mse"])
@pytest.mark.parametrize("hidden", [(), (8,), (8, 5)])
def test_every_parameter_gets_a_gradient(kind: ReconstructionLoss, hidden: tuple[int, ...]) -> None:
    """An epoch of SGD moves every layer of every member, nearly every weight of it."""
    run = _settings(hidden=hidden, reconstruction_loss=kind, learning_rate=0.01)
    images = np.random.default_rng(0).uniform(0.1, 1, (_N, _D)).astype(np.float32)
    program = _program(run, 2)
    _refill(program, [run, _settings("blog", hidden=hidden, reconstruction_loss=kind, seed=1)])
    before = [weight.copy() for weight in program.weights()]
    _train_epoch(program, [run, replace(run, seed=1)], images, 0)
    for old, new in zip(before, program.weights(), strict=True):
        moved = (old != new).reshape(2, -1).mean(axis=1)
        assert moved.min() > 0.4  # a ReLU that is dead from the start moves nothing


def test_parameters_are_as_many_as_the_layers_hold() -> None:
    """The count that decides the width of a stack is that of the model's own weights."""
    for hidden in ((), (8,), (8, 5)):
        run = _settings(hidden=hidden)
        weights = _program(run, 2).weights()
        assert sum(weight.size for weight in weights) == 2 * n_parameters(run)


# What is measured.


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-x))


def _brute_force(
    run: RunSettings, weights: Sequence[NDArray[Any]], images: NDArray[np.float32]
) -> dict[str, float]:
    """Return a run's metrics on ``images``, written out in numpy and float64."""
    w = [weight.astype(np.float64) for weight in weights]
    x = images.astype(np.float64)
    hidden = x
    for _ in run.hidden:
        hidden = np.maximum(hidden @ w.pop(0) + w.pop(0), 0)
    mean, log_var = hidden @ w[0] + w[1], hidden @ w[2] + w[3]
    std = np.exp(log_var / 2) * run.noise_std
    noise = np.random.default_rng([0x105E, len(x), run.k]).standard_normal(
        (len(x), 8, run.k), dtype=np.float32
    )
    reconstructions = []
    for draw in range(8):
        decoded = mean + std * noise[:, draw]
        for layer in range(4, len(w) - 2, 2):
            decoded = np.maximum(decoded @ w[layer] + w[layer + 1], 0)
        decoded = decoded @ w[-2] + w[-1]
        if run.hidden or run.reconstruction_loss == "bce":
            decoded = _sigmoid(decoded)
        if run.reconstruction_loss == "bce":
            error = -x * np.log(decoded) - (1 - x) * np.log(1 - decoded)
        else:
            error = (x - decoded) ** 2
        reconstructions.append(error.sum(axis=1).mean())
    reconstruction = float(np.mean(reconstructions))
    sampled_kl = (0.5 * (std**2 + mean**2 - 1) - np.log(std)).sum(axis=1).mean()
    written_kl = (0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)).sum(axis=1).mean()
    active_units = int((mean.var(axis=0) > 0.02 * (std**2).mean(axis=0)).sum())
    return {
        "reconstruction": reconstruction,
        "kl": sampled_kl,
        "elbo": elbo(reconstruction, sampled_kl, run.d, run.reconstruction_loss),
        "elbo_best_sigma": elbo_best_sigma(
            reconstruction, sampled_kl, run.d, run.reconstruction_loss
        ),
        "objective": run.a * reconstruction + run.b * written_kl,
        "active_units": active_units,
        "collapsed": active_units == 0,
    }


@pytest.mark.parametrize(
    ("kind", "hidden", "noise_std"),
    [("bce", (8,), 1.0), ("mse", (8, 5), 0.5), ("mse", (), 1.0), ("bce", (), 0.5)],
)
def test_metrics_are_those_of_a_brute_force_evaluation(
    kind: ReconstructionLoss,
    hidden: tuple[int, ...],
    noise_std: float,
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """R, K of the sampled distribution, ELBO, objective and active units, on both splits."""
    training, test = split
    changes = {
        "reconstruction_loss": kind,
        "hidden": hidden,
        "noise_std": noise_std,
        "batch_size": 128,
        "optimizer": "adam",
        "learning_rate": 0.03125,
        "learning_rate_decay": 0.25,
        "epochs": 3,
    }
    runs = [_settings("docs", 0.1, **changes), _settings("docs", 4.0, seed=1, **changes)]
    results = train_stack(runs, 2, training, test)
    program = _program(runs[0], 2, n_train=len(training))
    _refill(program, runs)
    for epoch, learning_rate in enumerate((0.03125, 0.015625, 0.0078125)):
        at_this_rate = [replace(run, learning_rate=learning_rate) for run in runs]
        _train_epoch(program, at_this_rate, training, epoch)
    for member, (run, result) in enumerate(zip(runs, results, strict=True)):
        weights = [weight[member] for weight in program.weights()]
        on_test = _brute_force(run, weights, test)
        on_train = _brute_force(run, weights, training)
        for name, expected in on_test.items():
            assert result.metrics[name] == pytest.approx(expected, rel=2e-5, abs=1e-5), name
        for name in ("elbo", "reconstruction", "kl"):
            assert result.metrics[f"train_{name}"] == pytest.approx(
                on_train[name], rel=2e-5, abs=1e-5
            )
        assert result.history["epoch"] == [1, 2, 3]
        assert result.history["kl"][-1] == pytest.approx(on_test["kl"], rel=2e-5, abs=1e-5)
        assert {name: len(column) for name, column in result.history.items()} == dict.fromkeys(
            ("epoch", "elbo", "reconstruction", "kl", "active_units", "objective"), 3
        )


def test_figures_get_latent_means_and_their_decoded_images(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """The arrays are z_mean of the first test images and the decoder's answer to it."""
    run = _settings(batch_size=128)
    (result,) = train_stack([run], 1, *split)
    (weights,) = _trained(_program(run, 1, n_train=len(split[0])), [run], split[0])
    hidden = np.maximum(split[1] @ weights[0] + weights[1], 0)
    means = hidden @ weights[2] + weights[3]
    np.testing.assert_allclose(result.latent_means, means, atol=1e-5)
    decoded = np.maximum(means[:8] @ weights[6] + weights[7], 0) @ weights[8] + weights[9]
    np.testing.assert_allclose(result.reconstructions, _sigmoid(decoded), atol=1e-5)
    np.testing.assert_array_equal(result.originals, split[1][:8])


def test_every_run_decodes_the_same_draws_of_the_prior(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Eight images from z ~ N(0, I), the same z whatever the seed, through the run's weights."""
    runs = [_settings(seed=seed) for seed in (0, 1)]
    results = train_stack(runs, 2, *split)
    z = np.random.default_rng(0x9817).standard_normal((8, runs[0].k))
    for result in results:
        hidden = np.maximum(z @ result.weights[-4] + result.weights[-3].ravel(), 0)
        decoded = hidden @ result.weights[-2] + result.weights[-1].ravel()
        np.testing.assert_allclose(result.prior_images, _sigmoid(decoded), atol=1e-5)
    assert not np.array_equal(results[0].prior_images, results[1].prior_images)


# Numbers to reach.


def _mean(results: Sequence[Trained], metric: str) -> float:
    return float(np.mean([result.metrics[metric] for result in results]))


@pytest.mark.slow
def test_the_seed_question_has_the_known_answer_on_digits() -> None:
    """At k = 2 the documentation's loss uses both latents, the blog's collapses at beta 1."""
    data = load("digits", 64)
    changes = {"d": 64, "k": 2, "hidden": (64,), "epochs": 200, "batch_size": 128}
    changes |= {"optimizer": "adam", "learning_rate": 1e-3, "eval_every": 50}
    cases = [("docs", 1.0), ("blog", 1.0), ("blog", 0.01)]
    runs = [
        _settings(loss, beta, seed=seed, **changes) for loss, beta in cases for seed in range(3)
    ]
    results: dict[RunSettings, Trained] = {}
    for stack in stacks(runs):
        trained = train_stack(stack.runs, stack.width, data.train, data.test)
        results |= zip(stack.runs, trained, strict=True)
    docs, blog, weak = (
        [result for run, result in results.items() if (run.loss, run.beta) == case]
        for case in cases
    )
    assert _mean(docs, "kl") == pytest.approx(2.0, abs=0.3)
    assert _mean(docs, "elbo") == pytest.approx(-25.0, abs=0.4)
    assert [result.metrics["active_units"] for result in docs] == [2, 2, 2]
    assert _mean(blog, "kl") < 0.01
    assert _mean(blog, "elbo") == pytest.approx(-27.2, abs=0.2)
    assert all(result.metrics["collapsed"] for result in blog)
    assert _mean(weak, "elbo") == pytest.approx(-25.4, abs=0.4)


@pytest.mark.slow
def test_a_linear_vae_reaches_the_closed_form() -> None:
    """Trained to convergence on digits: objective and R to 2%, K to 2% or 0.05 nats, units."""
    data = load("digits", 64)
    changes = {"d": 64, "k": 16, "hidden": (), "reconstruction_loss": "mse", "epochs": 1000}
    changes |= {"optimizer": "adam", "learning_rate": 5e-3, "learning_rate_decay": 0.02}
    changes |= {"batch_size": 64, "eval_every": 1000}
    runs = [
        _settings("docs", beta, **changes) for beta in (0.05, 0.1, 0.25, 0.4, 0.65, 0.95, 1, 1.2)
    ]
    thresholds = theory.thresholds(theory.moments(data.train), "mse")
    n_clear = 0
    for run, result in zip(runs, train_stack(runs, 8, data.train, data.test), strict=True):
        optimum = theory.linear_optimum(thresholds, run.beta_eff, run.k)
        reconstruction, kl = (result.metrics[f"train_{name}"] for name in ("reconstruction", "kl"))
        objective = reconstruction + run.beta_eff * kl
        assert objective == pytest.approx(optimum.objective(run.beta_eff), rel=0.02)
        assert reconstruction == pytest.approx(optimum.reconstruction, rel=0.02)
        assert kl == pytest.approx(optimum.kl, rel=0.02, abs=0.05)
        if np.abs(thresholds / run.beta_eff - 1).min() > 0.1:
            n_clear += 1
            assert result.metrics["active_units"] == optimum.active_units
    assert n_clear >= 3


def _true_log_likelihood(run: RunSettings, images: NDArray[np.float64]) -> float:
    """Return the mean log p(x) of a linear VAE's decoder: x ~ N(bias, W W' + I/2)."""
    program = compiled(replace(_shape(run, 1), n_test=len(images)))
    weights = [np.asarray(w, np.float64) for w in program.weights()]
    kernel, bias = weights[-2][0], weights[-1][0, 0]
    covariance = kernel.T @ kernel + np.eye(run.d) / 2
    centred = images - bias
    mahalanobis = (centred @ np.linalg.inv(covariance) * centred).sum(axis=1)
    log_det = np.linalg.slogdet(covariance)[1]
    return float(-0.5 * (mahalanobis.mean() + log_det + run.d * math.log(2 * math.pi)))


@pytest.mark.parametrize("noise_std", [1.0, 0.5])
def test_the_importance_weighted_bound_closes_on_the_likelihood(
    images: NDArray[np.float32], noise_std: float
) -> None:
    """Of a linear model, whose log p(x) is known: ELBO < IWAE < log p(x), and nearer with S."""
    changes = {"hidden": (), "reconstruction_loss": "mse", "k": 2, "noise_std": noise_std}
    changes |= {"optimizer": "adam", "learning_rate": 0.02, "epochs": 20, "batch_size": 50}
    bounds = []
    for n_samples in (1, 10, 1000):
        run = _settings("docs", 1.0, iwae_samples=n_samples, **changes)
        (result,) = train_stack([run], 1, images, images)
        bounds.append(result.metrics["iwae"])
    truth = _true_log_likelihood(run, images.astype(np.float64))
    elbo_gap = truth - result.metrics["elbo"]
    gaps = [truth - bound for bound in bounds]
    assert gaps[0] == pytest.approx(elbo_gap, abs=0.1)  # one sample is the ELBO
    assert gaps[0] > gaps[1] > gaps[2] > -0.01
    assert gaps[2] < min(0.05, gaps[0] / 10)


def test_the_bound_is_a_brute_force_mean_of_weights(images: NDArray[np.float32]) -> None:
    """By the definition, log 1/S sum p(x|z) p(z) / q(z|x), for every member of a stack."""
    runs = [replace(run, iwae_samples=40) for run in _eight(noise_std=0.7)]
    results = train_stack(runs, 8, images, images)
    program = compiled(replace(_shape(runs[0], 8), n_test=len(images)))
    noise = np.concatenate(  # as importance.py draws it, in two calls of 32
        [
            generator.standard_normal((32, len(images), _K), dtype=np.float32)
            for generator in [np.random.default_rng([0x1AE, 0])] * 2
        ]
    )[:40]
    z_mean, z_log_var = (np.asarray(t) for t in program.model.encode(_stacked(images, 8)))
    for member, result in enumerate(results):
        scale = 0.7 * np.exp(0.5 * z_log_var[member])
        weights = []
        for eps in noise:
            z = z_mean[member] + scale * eps
            logits = np.asarray(program.model.decode(tf.constant(np.stack([z] * 8))))[member]
            p = _sigmoid(logits.astype(np.float64))
            log_x = (images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=1)
            log_z = -0.5 * (z**2 + math.log(2 * math.pi)).sum(axis=1)
            log_q = (-0.5 * (eps**2 + math.log(2 * math.pi)) - np.log(scale)).sum(axis=1)
            weights.append(log_x + log_z - log_q)
        log_mean = np.logaddexp.reduce(np.array(weights, np.float64), axis=0) - math.log(40)
        assert result.metrics["iwae"] == pytest.approx(log_mean.mean(), abs=1e-4)


def _stacked(images: NDArray[np.float32], width: int) -> tf.Tensor:
    return tf.constant(np.broadcast_to(images, (width, *images.shape)))
