"""The importance-weighted bound, against the true likelihood and brute force."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from small_runs import K, eight_runs, shape_of, sigmoid, small_run

from lossbench.nn.train import _program as compiled
from lossbench.nn.train import train_stack
from lossbench.settings import RunSettings


def _true_log_likelihood(run: RunSettings, images: NDArray[np.float64]) -> float:
    """Return the mean log p(x) of a linear VAE's decoder: x ~ N(bias, W W' + I/2)."""
    program = compiled(replace(shape_of(run, 1), n_chunk=len(images)), None)
    weights = [np.asarray(w, np.float64) for w in program.weights()]
    kernel, bias = weights[-2][0], weights[-1][0, 0]
    covariance = kernel.T @ kernel + np.eye(run.d) / 2
    centred = images - bias
    mahalanobis = (centred @ np.linalg.inv(covariance) * centred).sum(axis=1)
    log_det = np.linalg.slogdet(covariance)[1]
    return float(-0.5 * (mahalanobis.mean() + log_det + run.d * math.log(2 * math.pi)))


@pytest.mark.slow
@pytest.mark.parametrize("noise_std", [1.0, 0.5])
def test_the_importance_weighted_bound_closes_on_the_likelihood(
    images: NDArray[np.float32], noise_std: float
) -> None:
    """Of a linear model, whose log p(x) is known: ELBO < IWAE < log p(x), and nearer with S."""
    changes = {"hidden": (), "reconstruction_loss": "mse", "k": 2, "noise_std": noise_std}
    changes |= {"optimizer": "adam", "learning_rate": 0.02, "epochs": 20, "batch_size": 50}
    bounds = []
    for n_samples in (1, 10, 1000):
        run = small_run("docs", 1.0, iwae_samples=n_samples, **changes)
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
    runs = [replace(run, iwae_samples=40) for run in eight_runs(noise_std=0.7)]
    results = train_stack(runs, 8, images, images)
    program = compiled(replace(shape_of(runs[0], 8), n_chunk=len(images)), None)
    noise = np.concatenate(  # as importance.py draws it, in two calls of 32
        [
            generator.standard_normal((32, len(images), K), dtype=np.float32)
            for generator in [np.random.default_rng([0x1AE, 0])] * 2
        ]
    )[:40]
    z_mean, z_log_var = (np.asarray(t) for t in program.model.encode(_stacked(images, 8)))
    scales = 0.7 * np.exp(0.5 * z_log_var)
    drawn = [z_mean + scales * eps for eps in noise]
    decoded = [np.asarray(program.model.decode(tf.constant(z))) for z in drawn]
    for member, result in enumerate(results):
        scale = scales[member]
        weights = []
        for eps, every_z, logits in zip(noise, drawn, decoded, strict=True):
            z = every_z[member]
            p = sigmoid(logits[member].astype(np.float64))
            log_x = (images * np.log(p) + (1 - images) * np.log(1 - p)).sum(axis=1)
            log_z = -0.5 * (z**2 + math.log(2 * math.pi)).sum(axis=1)
            log_q = (-0.5 * (eps**2 + math.log(2 * math.pi)) - np.log(scale)).sum(axis=1)
            weights.append(log_x + log_z - log_q)
        log_mean = np.logaddexp.reduce(np.array(weights, np.float64), axis=0) - math.log(40)
        assert result.metrics["iwae"] == pytest.approx(log_mean.mean(), abs=1e-4)


def _stacked(images: NDArray[np.float32], width: int) -> tf.Tensor:
    return tf.constant(np.broadcast_to(images, (width, *images.shape)))
