"""Measure every member of a stack: the metrics of its run."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossbench import theory
from lossbench.loss import Objective, bits_per_dim
from lossbench.nn.importance import ImportanceWeighting
from lossbench.nn.program import EVALUATION_SAMPLES, Chunk, Program, Sums
from lossbench.settings import RunSettings

_EVALUATION_SEED = 0x105E
Metrics = dict[str, float | int | bool]


def chunks(program: Program, images: NDArray[Any]) -> Iterator[Chunk]:
    """Yield ``images (n, d)`` as ``measured`` takes them, with the noise of every evaluation."""
    return program.chunks(images, _evaluation_noise(len(images), program.shape.network.k))


@functools.lru_cache(maxsize=4)
def _evaluation_noise(n_images: int, k: int) -> NDArray[np.float32]:
    generator = np.random.default_rng([_EVALUATION_SEED, n_images, k])
    return generator.standard_normal((n_images, EVALUATION_SAMPLES, k), dtype=np.float32)


def measured(
    runs: Sequence[RunSettings],
    program: Program,
    split: Iterable[Chunk],
    n_images: int,
    kl_weights: NDArray[np.floating[Any]],
    bounds: NDArray[np.floating[Any]],
    n_samples: int,
) -> list[Metrics]:
    """Return the metrics of every run on ``n_images`` images, each with so many noise samples.

    ``kl_weights`` holds the factor w on b that each run's objective has by now, ``bounds`` its
    floor or capacity.
    """
    missing = program.shape.width - len(runs)
    floors = np.pad(bounds, (0, missing), mode="edge") if runs[0].is_bounded else None
    sums = program.evaluate(split, n_samples, floors)
    found = [
        _metrics(run, sums, member, n_images, (float(kl_weights[member]), float(bounds[member])))
        for member, run in enumerate(runs)
    ]
    if (learned := program.model.learned) is not None:
        for metrics, number in zip(found, learned.numbers(), strict=False):
            metrics[learned.name] = float(number)
    return found


def iwae(runs: Sequence[RunSettings], program: Program, images: NDArray[Any]) -> list[float]:
    """Return the importance-weighted bound of every run, under the likelihood of its ELBO."""
    log_means = _weighting(program).log_mean_weights(images, runs[0].iwae_samples)
    return [
        run.likelihood.elbo(-float(log_mean), 0.0, run.d)
        for run, log_mean in zip(runs, log_means[: len(runs)], strict=True)
    ]


@functools.lru_cache(maxsize=8)
def _weighting(program: Program) -> ImportanceWeighting:
    return ImportanceWeighting(program)


def _metrics(
    run: RunSettings, sums: Sums, member: int, n_images: int, at_this_step: tuple[float, float]
) -> Metrics:
    """Return the metrics of one member from its sums over ``n_images``.

    ``at_this_step`` are w and the bound of its objective. F is that of the means over all images,
    in closed form.
    """
    kl_weight, bound = at_this_step
    reconstruction = float(sums.reconstruction[member]) / n_images
    kl = float(sums.kl_sampled[member]) / n_images
    z_mean = sums.z_mean[member] / n_images
    signal = sums.z_mean_squared[member] / n_images - z_mean**2
    noise = sums.variance[member] / n_images
    active_units = int(np.sum(theory.is_active(signal, noise)))
    trained = run.likelihood
    elbo = trained.elbo(reconstruction, kl, run.d)
    written_kl = float(sums.kl[member]) / n_images
    if sums.of_form is not None:
        written_kl = float(run.kl_form.of_means(sums.of_form[member] / n_images, bound, np))
    found: Metrics = {
        "elbo": elbo,
        "reconstruction": reconstruction,
        "kl": kl,
        "bits_per_dim": bits_per_dim(elbo, run.d),
        "elbo_best_sigma": trained.elbo_best_sigma(reconstruction, kl, run.d),
        "active_units": active_units,
        "collapsed": active_units == 0,
    }
    if not run.function:
        objective = Objective(run.a, run.b * kl_weight)
        found["objective"] = objective.value(reconstruction, written_kl)
    return found
