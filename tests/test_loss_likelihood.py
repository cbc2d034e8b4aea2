"""Likelihoods: what R and K are worth, against densities, and nobody else tells them apart."""

import ast
import inspect
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.stats import norm

import lossbench
from lossbench.columns import METRIC_COLUMNS
from lossbench.data import load
from lossbench.errors import UsageError
from lossbench.loss import ELBOS, LIKELIHOODS, NAMES, Likelihood, bits_per_dim, likelihood
from lossbench.theory import moments

HOUSE = Path(lossbench.__file__).parent
BCE, MSE = LIKELIHOODS["bce"], LIKELIHOODS["mse"]
Floats = NDArray[np.float64]
KINDS = [
    replace(kind, groups="mse:1-3+gaussian:4-5") if kind.name == "mixed" else kind
    for kind in LIKELIHOODS.values()
]
every = pytest.mark.parametrize("kind", KINDS, ids=LIKELIHOODS)


@pytest.fixture
def pixels() -> tuple[Floats, Floats]:
    """Return 50 images of 12 pixels and what they are decoded to."""
    return tuple(np.random.default_rng(3).uniform(0.01, 0.99, (2, 50, 12)))


# Of every likelihood.


def test_every_class_of_likelihood_is_offered_under_its_name() -> None:
    """None is forgotten, none has two names, and none can be inherited from."""
    classes = Likelihood.__subclasses__()
    assert [type(each) for each in LIKELIHOODS.values()] == classes
    assert all(name == each.name for name, each in LIKELIHOODS.items())
    assert all(each.__final__ for each in classes)
    assert inspect.isabstract(Likelihood)


def test_the_catalogue_has_one_likelihood_for_a_name() -> None:
    """No term of public code is claimed by two."""
    names = [name for each in LIKELIHOODS.values() for name in each.names]
    assert len(names) == len(set(names))


@every
def test_a_likelihood_says_what_people_call_it(kind: Likelihood) -> None:
    """Words, a formula, and cautions that come together or not at all."""
    assert kind.words
    assert kind.term
    assert bool(kind.caution) == bool(kind.short_caution)


@every
def test_the_elbo_is_what_r_and_k_and_the_constant_add_up_to(kind: Likelihood) -> None:
    """Whatever the likelihood."""
    assert kind.elbo(3.0, 2.0, 5) == -(3.0 + kind.constant(5) + 2.0)


@every
def test_a_likelihood_with_a_sigma_has_a_second_elbo(kind: Likelihood) -> None:
    """Without one the second is the first, and no column shows it."""
    has_sigma = kind.implied_sigma(1.0) is not None  # that of an objective, not of a setting
    assert ("elbo_best_sigma" in kind.elbos) == has_sigma == bool(kind.assumes)
    assert has_sigma or kind.elbo_best_sigma(3.0, 2.0, 5) == kind.elbo(3.0, 2.0, 5)
    assert set(kind.elbos) <= set(ELBOS) <= set(METRIC_COLUMNS)


@pytest.mark.parametrize("kind", ["bce", "mse", "gaussian", "poisson", "negative_binomial"])
def test_whitening_is_by_the_variance_at_the_mean(kind: str) -> None:
    """V^(-1/2) C V^(-1/2) by matrices, of the pixels that vary; the others have no say."""
    trained = LIKELIHOODS[kind]
    images = load("digits", 64).train
    known = moments(images)
    assert not known.varies.all()
    found = trained.whitened(known.mean, known.covariance, known.varies)
    variance = trained.variance(known.mean, known.covariance.diagonal())[known.varies]
    root = np.diag(variance**-0.5)
    covariance = np.cov(images[:, known.varies].T.astype(np.float64), bias=True)
    assert variance.shape == (known.varies.sum(),)
    assert variance.min() > 0
    np.testing.assert_allclose(found, root @ covariance @ root, atol=1e-5)


@every
def test_data_lie_in_the_domain(kind: Likelihood) -> None:
    """The images that lossbench carries are data of every likelihood that is not of counts.

    Pixels of 0 and 1 are data of all of them, if each image is one choice.
    """

    def grouped(groups: str) -> Likelihood:
        """Return it for so many columns."""
        return replace(kind, **({"groups": groups} if "groups" in kind.parameters else {}))

    mixed = kind.output == "parts"
    grey = grouped("bce:1-32+gaussian:33-64" if mixed else "64")
    assert (grey.misfit(load("digits", 64).train) is None) == (not kind.counts)
    choices = grouped("categorical:1-8" if mixed else "8")
    assert choices.misfit(np.eye(8)) is None


def test_an_unknown_likelihood_is_refused_with_the_nearest_name() -> None:
    """A slip of the pen is answered with the one that was meant."""
    with pytest.raises(UsageError) as caught:
        likelihood("bec")
    assert caught.value.remedy == "did you mean 'bce'?"
    assert caught.value.expected == NAMES
    assert NAMES.startswith("bce, mse, gaussian, ")
    assert likelihood("mse") is MSE


def comparisons(source: str) -> list[str]:
    """Return the lines of a module that ask for a likelihood by its name."""
    nodes = ast.walk(ast.parse(source))
    asked = [node for node in nodes if isinstance(node, ast.Compare | ast.MatchValue)]
    return [
        ast.unparse(node)
        for node in asked
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and part.value in LIKELIHOODS
    ]


@pytest.mark.parametrize(
    "module", sorted(HOUSE.rglob("*.py")), ids=lambda path: str(path.relative_to(HOUSE))
)
def test_nothing_asks_for_a_likelihood_by_its_name(module: Path) -> None:
    """A third one would get the answer of the second: what is asked is an attribute."""
    assert comparisons(module.read_text("utf-8")) == []


def test_the_check_of_comparisons_can_fail() -> None:
    """In any form."""
    for asked in ("kind == 'bce'", "kind in ('l1', 'mse')", "'mse' != kind"):
        assert comparisons(f"found = 1 if {asked} else 2")
    assert comparisons("match kind:\n    case 'bce':\n        pass")
    assert not comparisons("DEFAULT = {'reconstruction_loss': ('bce',)}")


# Of each of them.


def test_the_elbos_by_hand() -> None:
    """Of R = 4 and K = 1 at d = 2, written out."""
    assert BCE.elbo(4, 1, 2) == -5
    assert MSE.elbo(4, 1, 2) == pytest.approx(-(4 + math.log(math.pi) + 1))
    assert bits_per_dim(-5, 2) == pytest.approx(5 / (2 * math.log(2)))
    assert MSE.elbo_best_sigma(4, 1, 2) == pytest.approx(-(1 + math.log(4 * math.pi) + 1))
    assert BCE.elbo_best_sigma(4, 1, 2) == -5
    assert (MSE.implied_sigma(8), BCE.implied_sigma(8)) == (2, None)


def test_the_mse_elbo_is_a_gaussian_density_with_variance_one_half(
    pixels: tuple[Floats, Floats],
) -> None:
    """The ELBO is E[log N(x; decoded, 1/2)] - K, summed over pixels, by scipy's own density."""
    x, decoded = pixels
    log_density = norm.logpdf(x, decoded, math.sqrt(0.5)).sum(axis=1).mean()
    reconstruction = ((x - decoded) ** 2).sum(axis=1).mean()
    assert MSE.elbo(reconstruction, 1.25, 12) == pytest.approx(log_density - 1.25, rel=1e-12)
    assert MSE.variance(x[0], x[0]).tolist() == [0.5] * 12


def test_the_bce_elbo_is_a_bernoulli_likelihood_on_binary_images(
    pixels: tuple[Floats, Floats],
) -> None:
    """On pixels of 0 and 1, elbo = E[log p(x)] - K with p the decoded probability."""
    x, decoded = np.round(pixels[0]), pixels[1]
    probability = np.where(x == 1, decoded, 1 - decoded).prod(axis=1)
    reconstruction = -(x * np.log(decoded) + (1 - x) * np.log(1 - decoded)).sum(axis=1).mean()
    assert BCE.elbo(reconstruction, 1.25, 12) == pytest.approx(
        np.log(probability).mean() - 1.25, rel=1e-12
    )
    draws = np.random.default_rng(0).random((100_000, 12)) < decoded[0]
    np.testing.assert_allclose(BCE.variance(decoded[0], decoded[0]), draws.var(axis=0), atol=0.01)


def test_the_best_sigma_is_the_one_that_an_optimiser_finds(pixels: tuple[Floats, Floats]) -> None:
    """elbo_best_sigma is the maximum over sigma of the Gaussian ELBO, and sigma^2 is R/d."""
    x, decoded = pixels
    found = minimize_scalar(
        lambda log_sigma: -norm.logpdf(x, decoded, math.exp(log_sigma)).sum(axis=1).mean(),
        bounds=(-5, 5),
        method="bounded",
        options={"xatol": 1e-9},
    )
    reconstruction = float(((x - decoded) ** 2).sum(axis=1).mean())
    best = MSE.elbo_best_sigma(reconstruction, 1.25, 12)
    assert best == pytest.approx(-found.fun - 1.25, rel=1e-9)
    assert math.exp(2 * found.x) == pytest.approx(reconstruction / 12, rel=1e-5)
    assert best >= MSE.elbo(reconstruction, 1.25, 12)


def test_no_error_at_all_has_no_best_sigma() -> None:
    """A reconstruction of 0, or one that is not a number, gives no number, and no crash."""
    assert math.isnan(MSE.elbo_best_sigma(0.0, 1.0, 4))
    assert math.isnan(MSE.elbo_best_sigma(math.nan, 1.0, 4))


@given(sigma=st.floats(0.01, 100))
def test_implied_sigma_is_the_decoder_that_the_objective_believes_in(sigma: float) -> None:
    """R + beta_eff*K ranks as -log N(x; decoded, sigma^2) + K does: equal up to 2*sigma^2."""
    beta_eff, kl = 2 * sigma**2, 0.7
    assert MSE.implied_sigma(beta_eff) == pytest.approx(sigma)
    x, decoded = np.random.default_rng(4).uniform(0, 1, (2, 7, 4))
    negative_elbo = -norm.logpdf(x, decoded, sigma) + norm.logpdf(0, 0, sigma)
    assert 2 * sigma**2 * (negative_elbo.sum(axis=1).mean() + kl) == pytest.approx(
        ((x - decoded) ** 2).sum(axis=1).mean() + beta_eff * kl, rel=1e-6
    )


def test_a_fair_coin_costs_one_bit_a_pixel() -> None:
    """bits_per_dim of d pixels that are each heads or tails is 1."""
    assert bits_per_dim(BCE.elbo(784 * math.log(2), 0.0, 784), 784) == pytest.approx(1)
