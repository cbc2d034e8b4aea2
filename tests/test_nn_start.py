"""Where every run starts: weights, batches, noise and gradients."""

import math
from dataclasses import replace

import numpy as np
import pytest
from small_runs import N_TRAIN, D, program_of, refill, small_run, train_epoch

from lossbench.nn.model import initial_weights
from lossbench.nn.train import batches_and_noise


def test_initial_kernels_have_the_glorot_limit_of_a_single_model() -> None:
    """Each kernel is uniform within sqrt(6 / (fan_in + units)), and fills that range."""
    network = small_run(d=784, k=20, hidden=(400,)).architecture
    weights = initial_weights(network, 0)
    shapes = [(784, 400), (400, 20), (400, 20), (20, 400), (400, 784)]
    for (fan_in, units), kernel, bias in zip(shapes, weights[::2], weights[1::2], strict=True):
        limit = math.sqrt(6 / (fan_in + units))
        assert kernel.shape == (fan_in, units)
        assert 0.99 * limit < np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / math.sqrt(3), rel=0.03)
        assert not bias.any()
        assert bias.shape == (units,)


def test_every_layer_has_weights_of_its_own() -> None:
    """Layers of one shape do not start alike: z_mean and z_log_var have different kernels."""
    weights = initial_weights(small_run().architecture, 0)
    assert np.abs(weights[2] - weights[4]).min() > 0


def test_the_same_seed_starts_alike_under_every_loss() -> None:
    """Members of one seed have the same initial weights; another seed changes every kernel."""
    program = program_of(small_run(), 3)
    refill(program, [small_run("blog"), small_run("docs", 4.0), small_run("docs", seed=1)])
    for kernel in program.weights()[::2]:
        np.testing.assert_array_equal(kernel[0], kernel[1])
        assert np.abs(kernel[0] - kernel[2]).max() > 0.1
    for seed in (0, 1):
        np.testing.assert_array_equal(
            initial_weights(small_run().architecture, seed)[0], program.weights()[0][2 * seed]
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


@pytest.mark.parametrize("kind", [pytest.param("bce", marks=pytest.mark.slow), "mse"])
@pytest.mark.parametrize(
    "hidden", [*(pytest.param(h, marks=pytest.mark.slow) for h in ((), (8,))), (8, 5)]
)
def test_every_parameter_gets_a_gradient(kind: str, hidden: tuple[int, ...]) -> None:
    """An epoch of SGD moves every layer of every member, nearly every weight of it."""
    run = small_run(hidden=hidden, reconstruction_loss=kind, learning_rate=0.01)
    images = np.random.default_rng(0).uniform(0.1, 1, (N_TRAIN, D)).astype(np.float32)
    program = program_of(run, 2)
    refill(program, [run, small_run("blog", hidden=hidden, reconstruction_loss=kind, seed=1)])
    before = [weight.copy() for weight in program.weights()]
    train_epoch(program, [run, replace(run, seed=1)], images, 0)
    for old, new in zip(before, program.weights(), strict=True):
        moved = (old != new).reshape(2, -1).mean(axis=1)
        assert moved.min() > 0.4  # a ReLU that is dead from the start moves nothing


def test_parameters_are_as_many_as_the_layers_hold() -> None:
    """The count that decides the width of a stack is that of the model's own weights."""
    for hidden in ((), (8,), (8, 5)):
        run = small_run(hidden=hidden)
        weights = program_of(run, 2).weights()
        assert sum(weight.size for weight in weights) == 2 * run.architecture.n_parameters
