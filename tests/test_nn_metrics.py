"""What is measured of a run, against brute force."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_runs import program_of, refill, sigmoid, small_run, train_epoch, trained_weights

from lossbench.columns import HISTORY_COLUMNS, METRIC_COLUMNS
from lossbench.loss import likelihood
from lossbench.nn.train import train_stack
from lossbench.settings import RunSettings

# Of stacks of two, which share what is compiled.
OF_TWO = {"batch_size": 128, "optimizer": "adam", "learning_rate": 0.03125}


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
            decoded = sigmoid(decoded)
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
        "elbo": likelihood(run.reconstruction_loss).elbo(reconstruction, sampled_kl, run.d),
        "elbo_best_sigma": likelihood(run.reconstruction_loss).elbo_best_sigma(
            reconstruction, sampled_kl, run.d
        ),
        "objective": run.a * reconstruction + run.b * written_kl,
        "active_units": active_units,
        "collapsed": active_units == 0,
    }


def test_what_is_measured_is_what_the_tables_have(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Every metric has its column and every column its metric, in every epoch and at the end."""
    run = small_run("docs", 1.0, **OF_TWO, epochs=1, hidden=(), iwae_samples=2)
    (result,) = train_stack([run], 2, *split)
    found = set(result.metrics)
    for learned in (
        {"reconstruction_loss": "gaussian", "sigma": "learned"},
        {"reconstruction_loss": "negative_binomial", "dispersion": "learned"},
    ):
        (other,) = train_stack([replace(run, iwae_samples=0, **learned)], 1, *split)
        found |= set(other.metrics)
    assert found == set(METRIC_COLUMNS)
    assert set(HISTORY_COLUMNS) - set(result.history) <= {"kl_weight"}  # where a schedule runs
    assert set(result.history) <= set(HISTORY_COLUMNS)


@pytest.mark.parametrize(
    ("kind", "hidden", "noise_std"),
    [
        ("bce", (8,), 1.0),
        pytest.param("mse", (8, 5), 0.5, marks=pytest.mark.slow),
        pytest.param("mse", (), 1.0, marks=pytest.mark.slow),
        pytest.param("bce", (), 0.5, marks=pytest.mark.slow),
    ],
)
def test_metrics_are_those_of_a_brute_force_evaluation(
    kind: str,
    hidden: tuple[int, ...],
    noise_std: float,
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """R, K of the sampled distribution, ELBO, objective and active units, on both splits."""
    training, test = split
    changes = OF_TWO | {
        "reconstruction_loss": kind,
        "hidden": hidden,
        "noise_std": noise_std,
        "learning_rate_decay": 0.25,
        "epochs": 3,
    }
    runs = [small_run("docs", 0.1, **changes), small_run("docs", 4.0, seed=1, **changes)]
    results = train_stack(runs, 2, training, test)
    program = program_of(runs[0], 2, n_train=len(training))
    refill(program, runs)
    for epoch, learning_rate in enumerate((0.03125, 0.015625, 0.0078125)):
        at_this_rate = [replace(run, learning_rate=learning_rate) for run in runs]
        train_epoch(program, at_this_rate, training, epoch)
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
    runs = [small_run(seed=seed, **OF_TWO) for seed in (0, 1)]
    result, _ = train_stack(runs, 2, *split)
    weights, _ = trained_weights(program_of(runs[0], 2, n_train=len(split[0])), runs, split[0])
    hidden = np.maximum(split[1] @ weights[0] + weights[1], 0)
    means = hidden @ weights[2] + weights[3]
    np.testing.assert_allclose(result.arrays["latent_means"], means, atol=1e-5)
    decoded = np.maximum(means[:8] @ weights[6] + weights[7], 0) @ weights[8] + weights[9]
    np.testing.assert_allclose(result.arrays["reconstructions"], sigmoid(decoded), atol=1e-5)
    np.testing.assert_array_equal(result.arrays["originals"], split[1][:8])


def test_every_run_decodes_the_same_draws_of_the_prior(
    split: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Eight images from z ~ N(0, I), the same z whatever the seed, through the run's weights."""
    runs = [small_run(seed=seed, **OF_TWO) for seed in (0, 1)]
    results = train_stack(runs, 2, *split)
    z = np.random.default_rng(0x9817).standard_normal((8, runs[0].k))
    for result in results:
        hidden = np.maximum(z @ result.weights[-4] + result.weights[-3].ravel(), 0)
        decoded = hidden @ result.weights[-2] + result.weights[-1].ravel()
        np.testing.assert_allclose(result.arrays["prior_images"], sigmoid(decoded), atol=1e-5)
    one, other = (result.arrays["prior_images"] for result in results)
    assert not np.array_equal(one, other)
