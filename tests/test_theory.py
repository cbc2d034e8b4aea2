"""What the images alone predict, against brute force and the design's measured table."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import skew

from lossbench.data import load
from lossbench.errors import DataError
from lossbench.loss import Gaussian, Objective, likelihood
from lossbench.store import Store
from lossbench.theory import (
    collapse_threshold,
    expected,
    first_direction,
    linear_optimum,
    moments,
    predicted_active_units,
    predicted_kl,
    reconstruction_of_nothing,
    shared_sigma_optimum,
    thresholds,
)


def thresholds_of(images: NDArray[np.float32], reconstruction_loss: str) -> NDArray[np.float64]:
    """Return the thresholds of images."""
    return thresholds(moments(images), likelihood(reconstruction_loss))


_MNIST_PLACES = (
    os.environ.get("LOSSBENCH_DATA_DIR", ""),
    str(Path(__file__).parents[2] / "shared" / "data" / "mnist"),
)
_REAL_MNIST = [
    Path(place) for place in _MNIST_PLACES if (Path(place) / "train-images-idx3-ubyte.gz").is_file()
][:1]

# Measured thresholds of the training splits. Two of its cells are rounded by more than 0.5%
# (0.80 and 0.71); they stand here with one more digit.
_DIGITS = [
    ("digits", 64, "bce", (3.32, 3.08, 2.70, 1.89)),
    ("digits", 64, "mse", (1.40, 1.28, 1.10, 0.7945)),
    ("digits", 16, "bce", (0.585, 0.545, 0.371, 0.255)),
]
_MNIST = [
    ("mnist", 784, "bce", (32.23, 22.88, 21.00, 16.18)),
    ("mnist", 196, "bce", (7.70, 5.39, 4.73, 3.66)),
    ("mnist", 49, "bce", (1.68, 1.13, 0.90, 0.705)),
    ("mnist", 784, "mse", (10.23, 7.48, 6.51, 5.68)),
    ("mnist", 196, "mse", (2.40, 1.65, 1.46, 1.29)),
]


@pytest.mark.parametrize(
    ("dataset", "d", "kind", "expected", "data_dir"),
    [pytest.param(*case, None) for case in _DIGITS]
    + [
        pytest.param(*case, place, marks=pytest.mark.slow)
        for place in _REAL_MNIST
        for case in _MNIST
    ],
)
def test_thresholds_are_those_that_were_measured(
    dataset: str,
    d: int,
    kind: str,
    expected: tuple[float, ...],
    data_dir: Path | None,
) -> None:
    """t_1 to t_4 reproduce the table that the trained models were compared with, to 0.5%."""
    found = thresholds_of(load(dataset, d, data_dir).train, kind)
    assert tuple(found[:4]) == pytest.approx(expected, rel=0.005)


def _images(n: int = 40, d: int = 6, seed: int = 0) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    shared = generator.uniform(size=(n, 1))
    return (0.6 * shared + 0.4 * generator.uniform(size=(n, d))).astype(np.float32)


def test_mse_thresholds_are_twice_the_eigenvalues_of_the_covariance() -> None:
    """Brute force: numpy's covariance of all images, divided by n, and its eigenvalues."""
    images = _images()
    eigenvalues = np.linalg.eigvals(np.cov(images.T.astype(np.float64), bias=True))
    np.testing.assert_allclose(
        thresholds_of(images, "mse"), sorted(2 * eigenvalues.real, reverse=True), rtol=1e-5
    )


def test_bce_thresholds_are_eigenvalues_of_the_scaled_covariance() -> None:
    """Brute force: D^(-1/2) C D^(-1/2) with D the variance of a coin with the pixel's mean."""
    images = _images()
    mean = images.mean(axis=0, dtype=np.float64)
    root = np.linalg.inv(np.sqrt(np.diag(mean * (1 - mean))))
    covariance = np.cov(images.T.astype(np.float64), bias=True)
    np.testing.assert_allclose(
        thresholds_of(images, "bce"),
        sorted(np.linalg.eigvals(root @ covariance @ root).real, reverse=True),
        rtol=1e-5,
    )


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_constant_pixels_say_nothing(kind: str) -> None:
    """Pixels that are always 0, always 1 or always grey leave every threshold as it was."""
    images = _images()
    constant = np.broadcast_to(np.float32([0, 1, 0.3]), (len(images), 3))
    wider = np.hstack([constant[:, :2], images, constant[:, 2:]])
    np.testing.assert_allclose(thresholds_of(wider, kind), thresholds_of(images, kind), rtol=1e-5)


def test_images_that_are_all_alike_are_refused() -> None:
    """With nothing to encode there is no threshold."""
    with pytest.raises(DataError, match="every image is the same"):
        thresholds_of(np.full((5, 4), 0.5, np.float32), "mse")


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_thresholds_do_not_depend_on_order_or_sign(kind: str) -> None:
    """Shuffled images, shuffled pixels and the negative have the same thresholds."""
    images = _images()
    generator = np.random.default_rng(1)
    shuffled = generator.permutation(generator.permutation(images), axis=1)
    for other in (shuffled, 1 - images):
        np.testing.assert_allclose(
            thresholds_of(other, kind), thresholds_of(images, kind), rtol=1e-5
        )


def test_binary_pixels_share_out_one_threshold_each() -> None:
    """For pixels of 0 and 1 the scaled covariance is the correlation, whose trace is d."""
    images = np.round(_images())
    assert thresholds_of(images, "bce").sum() == pytest.approx(6)
    copies = np.repeat(images[:, :1], 4, axis=1)
    np.testing.assert_allclose(thresholds_of(copies, "bce"), [4, 0, 0, 0], atol=1e-7)


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_there_are_no_more_directions_than_images(kind: str) -> None:
    """Three images vary in two directions; the other thresholds are 0, never below."""
    found = thresholds_of(_images(n=3), kind)
    assert np.count_nonzero(found > 1e-6) == 2
    assert found.min() >= 0
    assert list(found) == sorted(found, reverse=True)


@pytest.mark.parametrize(
    ("beta_eff", "k", "noise_std", "expected"),
    [
        (1.0, 9, 1.0, 2),
        (1.0, 1, 1.0, 1),
        (2.0, 9, 1.0, 1),  # a direction at its threshold is not active
        (3.0, 9, 1.0, 0),
        (0.0, 9, 1.0, 3),
        (3.0, 9, 0.5, 2),  # half the noise: thresholds 12, 8, 2, 0
        (0.5, 9, 2.0, 1),  # twice the noise: thresholds 0.75, 0.5, 0.125, 0
    ],
)
def test_a_direction_is_active_if_its_threshold_is_above_beta_eff(
    beta_eff: float, k: int, noise_std: float, expected: int
) -> None:
    """Active units are counted by hand for the thresholds 3, 2, 0.5 and 0."""
    assert predicted_active_units(np.array([3.0, 2.0, 0.5, 0.0]), beta_eff, k, noise_std) == (
        expected
    )


@given(noise_std=st.sampled_from([0.01, 0.5, 1.0, 3.0]), seed=st.integers(0, 9))
def test_nothing_is_active_from_the_collapse_threshold_on(noise_std: float, seed: int) -> None:
    """At collapse_threshold the prediction is 0 active units, and just below it is 1."""
    found = thresholds_of(_images(seed=seed), "bce")
    edge = collapse_threshold(found, noise_std)
    assert predicted_active_units(found, edge, 3, noise_std) == 0
    assert predicted_active_units(found, edge * (1 - 1e-9), 3, noise_std) == 1


def _lowest_objective(covariance: NDArray[np.float64], beta_eff: float, k: int) -> float:
    """Return the least R + beta_eff*K of any linear VAE on centred data, found numerically.

    z = W x + s*noise and the reconstruction is V z, so
    R = tr((I - VW) C (I - VW)^T) + sum_j s_j^2 |V_j|^2 and
    K = 1/2 sum_j ((W C W^T)_jj + s_j^2 - 1 - ln s_j^2).
    """
    d = len(covariance)

    def objective(parameters: NDArray[np.float64]) -> float:
        encoder, decoder = parameters[: 2 * d * k].reshape(2, k, d)
        log_variance = parameters[2 * d * k :]
        variance = np.exp(log_variance)
        residual = np.eye(d) - decoder.T @ encoder
        reconstruction = np.trace(residual @ covariance @ residual.T)
        reconstruction += variance @ (decoder**2).sum(axis=1)
        signal = np.einsum("jd,de,je->j", encoder, covariance, encoder)
        kl = 0.5 * (signal + variance - 1 - log_variance).sum()
        return float(reconstruction + beta_eff * kl)

    generator = np.random.default_rng(k)
    starts = generator.normal(size=(3, 2 * d * k + k))
    return min(float(minimize(objective, start, method="BFGS").fun) for start in starts)


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("beta_eff", [0.05, 0.3, 1.0, 5.0])
def test_the_linear_optimum_is_the_best_that_an_optimiser_finds(beta_eff: float, k: int) -> None:
    """No linear VAE has a lower R + beta_eff*K than the closed form, and one reaches it."""
    generator = np.random.default_rng(3)
    basis = np.linalg.qr(generator.normal(size=(4, 4)))[0]
    eigenvalues = np.array([1.0, 0.4, 0.1, 0.01])
    optimum = linear_optimum(2 * eigenvalues, beta_eff, k)
    assert optimum.active_units == min(k, int((2 * eigenvalues > beta_eff).sum()))
    assert Objective(1.0, beta_eff).value(optimum.reconstruction, optimum.kl) == pytest.approx(
        _lowest_objective(basis @ np.diag(eigenvalues) @ basis.T, beta_eff, k), rel=1e-5
    )


def test_the_linear_optimum_is_water_filling() -> None:
    """By hand: thresholds 4 and 2 above beta_eff 1, 0.5 below it."""
    optimum = linear_optimum(np.array([4.0, 2.0, 0.5]), 1.0, k=3)
    assert optimum.active_units == 2
    assert optimum.kl == pytest.approx(0.5 * math.log(4 * 2))
    assert optimum.reconstruction == pytest.approx(0.25 + 2 * 0.5)


def test_a_collapsed_linear_optimum_is_the_mean_image() -> None:
    """Above t_1 nothing is coded: K is 0 and R the sum of the variances."""
    images = load("digits", 64).train
    found = thresholds_of(images, "mse")
    optimum = linear_optimum(found, float(found[0]), k=16)
    assert (optimum.active_units, optimum.kl) == (0, 0)
    assert optimum.reconstruction == pytest.approx(images.var(axis=0, dtype=float).sum(), rel=1e-6)


def test_the_linear_optimum_has_the_anchors_numbers() -> None:
    """The figures predicted for digits, k = 16; their covariance was divided by n - 1."""
    found = thresholds_of(load("digits", 64).train, "mse") * 1437 / 1436
    expected = {0.1: (16, 10.440), 0.2: (12, 5.460), 0.4: (6, 2.292), 0.6: (4, 1.245), 1.5: (0, 0)}
    for beta_eff, (active_units, kl) in expected.items():
        optimum = linear_optimum(found, beta_eff, k=16)
        assert optimum.active_units == active_units
        assert optimum.kl == pytest.approx(kl, abs=1e-3)
    assert linear_optimum(found, 0.1, k=16).reconstruction == pytest.approx(1.502, abs=1e-3)


def test_an_optimum_needs_a_weight_above_zero() -> None:
    """At 0 every direction would be coded without end."""
    for beta_eff in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="must be above 0, received"):
            linear_optimum(np.array([2.0]), beta_eff, k=1)
    assert linear_optimum(np.array([2.0]), 1e-9, k=1).active_units == 1


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_no_constant_image_costs_less_than_the_mean(kind: str) -> None:
    """R_0 is what the best of all constant images reaches, as an optimiser finds it."""
    images = _images()
    trained = likelihood(kind)

    def cost(constant: NDArray[np.float64]) -> float:
        given = np.tile(constant, (len(images), 1))
        return float(trained.reconstruction(images.astype(np.float64), given).mean())

    best = minimize(cost, np.full(6, 0.5), bounds=[(0.01, 0.99)] * 6)
    found = reconstruction_of_nothing(images, images, trained)
    assert found == pytest.approx(best.fun, rel=1e-6)
    assert found == pytest.approx(cost(images.mean(axis=0)), rel=1e-6)
    other = np.linspace(0.2, 0.8, 6)
    assert trained.of_nothing(images, other) == pytest.approx(cost(other), rel=1e-6)


def test_the_reconstruction_of_nothing_is_what_collapsed_runs_have() -> None:
    """Of digits it is what the committed runs end at; of MNIST's test split 0.2625 a pixel."""
    digits = load("digits", 64)
    of_train = reconstruction_of_nothing(digits.train, digits.train, likelihood("bce"))
    runs = Store(Path(__file__).parent.parent / "results" / "digits").runs()
    collapsed = runs[(runs["d"] == 64) & (runs["reconstruction_loss"] == "bce") & runs["collapsed"]]
    assert collapsed["train_reconstruction"].to_numpy() == pytest.approx(of_train, rel=0.002)
    for place in _REAL_MNIST:
        mnist = load("mnist", 784, place)
        of_test = reconstruction_of_nothing(mnist.test, mnist.train, likelihood("bce"))
        assert of_test == pytest.approx(205.8, abs=0.1)


@pytest.mark.parametrize("kind", ["bce", "mse"])
def test_the_first_direction_has_the_variance_t_1(kind: str) -> None:
    """Brute force: scores along it, their skewness, and how many images carry them."""
    images = _images(seed=3)
    mean, covariance = images.mean(axis=0, dtype=np.float64), np.cov(images.T, bias=True)
    scale = 1 / np.sqrt(likelihood(kind).variance(mean, mean))
    _, vectors = np.linalg.eigh(covariance * scale[:, None] * scale)
    scores = ((images - mean) * scale) @ vectors[:, -1]
    assert scores.var() == pytest.approx(thresholds_of(images, kind)[0], rel=1e-5)
    found = first_direction(images, moments(images), likelihood(kind))
    assert found is not None
    assert found.skewness == pytest.approx(abs(skew(scores)), rel=1e-4)
    weights = scores**2 / (scores**2).sum()
    assert found.n_carrying == pytest.approx(1 / (weights**2).sum(), rel=1e-4)


def test_a_direction_of_one_image_is_carried_by_one() -> None:
    """One image in 400 lights a pixel that all others have dark."""
    images = np.full((400, 3), 0.5, dtype=np.float32)
    images[:, 0] += 0.001 * np.random.default_rng(0).standard_normal(400)
    images[7, 2] = 1
    found = first_direction(images, moments(images), likelihood("mse"))
    assert found is not None
    assert found.n_carrying == pytest.approx(1, abs=0.02)
    assert found.skewness > 15


@pytest.mark.parametrize("ratio", [0.2, 0.5, 0.9, 1.0, 1.5])
def test_the_predicted_kl_is_that_of_a_linear_optimum(ratio: float) -> None:
    """Water-filling by hand; nothing from t_1 on."""
    known = thresholds_of(_images(), "mse")
    by_hand = sum(0.5 * math.log(t / (ratio * known[0])) for t in known[:4] if t > ratio * known[0])
    assert predicted_kl(known, ratio * known[0], 4) == pytest.approx(by_hand, abs=1e-12)


MADE = moments(np.random.default_rng(0).standard_normal((9, 6)))


@pytest.mark.parametrize("seed", range(12))
def test_the_optimum_of_a_shared_sigma_is_the_least_over_all_sigmas(seed: int) -> None:
    """Brute force: water-filling at every sigma, the objective minimised over it."""
    rng = np.random.default_rng(seed)
    d, k = int(rng.integers(4, 12)), int(rng.integers(1, 4))
    eigenvalues = np.sort(rng.exponential(size=d) ** 3)[::-1]
    beta_eff = float(rng.choice([0.3, 1.0, 2.0, 5.0]))
    variance = float(eigenvalues.mean())

    def objective(log_sigma: float) -> float:
        kind = Gaussian(sigma=math.exp(log_sigma))
        best = linear_optimum(
            eigenvalues * math.exp(-2 * log_sigma), beta_eff, k, kind.without_error(d)
        )
        return best.reconstruction + beta_eff * best.kl

    grid = np.linspace(-8, 3, 400)
    start = float(grid[np.argmin([objective(x) for x in grid])])
    least = minimize_scalar(objective, bounds=(start - 0.1, start + 0.1), method="bounded")
    found = shared_sigma_optimum(eigenvalues / variance, variance, d, beta_eff, k)
    assert found is not None
    assert found.reconstruction + beta_eff * found.kl == pytest.approx(least.fun, abs=1e-6)
    assert found.sigma == pytest.approx(math.exp(least.x), rel=1e-3)


def test_a_shared_sigma_has_no_minimum_where_the_latents_carry_everything() -> None:
    """Of rank 3 in 6 inputs: k = 3 at weights up to d/rank = 2, and no smaller k."""
    t = 6 * np.array([0.6, 0.3, 0.1, 0.0])
    unbounded = [
        (k, beta_eff)
        for k in (1, 2, 3, 4)
        for beta_eff in (0.5, 1.0, 2.0, 2.5)
        if shared_sigma_optimum(t, 0.1, 6, beta_eff, k) is None
    ]
    assert unbounded == [(k, beta_eff) for k in (3, 4) for beta_eff in (0.5, 1.0, 2.0)]
    assert shared_sigma_optimum(t, 0.1, 6, 3.7, 3).active_units == 0  # type: ignore[union-attr]
    assert expected(t, MADE, Gaussian(sigma="learned"), 1.0, 3, 1.0).is_unbounded


@pytest.mark.parametrize("factor", [1e-25, 1e-18, 1e18, 1e30])
def test_moments_of_tiny_and_huge_numbers_neither_vanish_nor_overflow(factor: float) -> None:
    """They are those of the same images, times the factor's square."""
    images = np.random.default_rng(0).normal(size=(50, 3))
    expected_covariance = np.cov(images.T, bias=True) * factor**2
    found = moments((images * factor).astype(np.float32)).covariance
    np.testing.assert_allclose(found, expected_covariance, rtol=1e-4)


def test_counts_whose_shares_never_vary_have_a_threshold_of_0_and_no_direction() -> None:
    """A multinomial of one column that is ever drawn: nothing is left to encode."""
    counts = np.array([[3, 0], [2, 0], [5, 0]], np.float32)
    kind = likelihood("multinomial")
    assert thresholds_of(counts, "multinomial").tolist() == [0]
    assert first_direction(counts, moments(counts), kind) is None


def test_what_a_learned_sigma_leaves_open_is_not_told() -> None:
    """With another noise, and below t_1 with a sigma for each input."""
    t = np.array([3.0, 2.0, 1.0])
    for how, beta_eff, noise_std, active in (
        ("learned", 1.0, 0.5, None),
        ("learned", 13.0, 0.5, 0),
        ("learned_per_input", 2.0, 1.0, None),
        ("learned_per_input", 3.0, 1.0, None),
    ):
        found = expected(t, MADE, Gaussian(sigma=how), beta_eff, 2, noise_std)  # type: ignore[arg-type]
        assert (found.active_units, found.is_unbounded) == (active, False)
    assert expected(t, MADE, Gaussian(sigma="learned_per_input"), 0.9, 2, 1.0).is_unbounded
