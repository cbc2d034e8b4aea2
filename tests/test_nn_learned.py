"""A learned sigma: its density, how it is trained and fitted, and the closed form."""

import math

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from scipy.stats import norm
from small_runs import small_run

from lossbench import theory
from lossbench.columns import learned_note
from lossbench.data import load
from lossbench.experiment import read
from lossbench.loss import Gaussian, Learned, NegativeBinomial
from lossbench.nn.learned import LearnedSigma
from lossbench.nn.train import train_stack
from lossbench.prediction import predict

LINEAR = {"d": 64, "k": 8, "hidden": (), "reconstruction_loss": "gaussian", "optimizer": "adam"}
TRAINED = {"learning_rate": 5e-3, "learning_rate_decay": 0.005, "batch_size": 64}


def _sigma(how: Learned, d: int = 3, width: int = 2) -> LearnedSigma:
    return LearnedSigma(how, -6.0, width, d, "float64")


@pytest.mark.parametrize("how", ["learned", "learned_per_input"])
def test_r_is_the_negative_log_density(how: Learned) -> None:
    """Against scipy's, for any sigma above the floor; at the floor it is e^-6."""
    rng = np.random.default_rng(0)
    x, image = rng.standard_normal((2, 2, 5, 3))
    sigma = _sigma(how)
    for number in (1e-9, 0.0025, 0.1, 1.0, 30.0):
        sigma.set(np.full(1, number))
        above = max(number, math.exp(-6 + 1e-3))
        theirs = -norm.logpdf(x, image, above).sum(axis=-1)
        ours = np.asarray(sigma.reconstruction(tf.constant(image), tf.constant(x)))
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        np.testing.assert_allclose(sigma.numbers(), above, rtol=1e-9)


def test_inputs_that_never_vary_have_no_sigma_and_no_say() -> None:
    """One sigma for each of the others; a shared one counts every input."""
    train = np.random.default_rng(0).standard_normal((50, 3)) * [1, 0, 3]
    sigma = _sigma("learned_per_input")
    sigma.start(train)
    spread = train.std(axis=0)
    np.testing.assert_allclose(sigma.numbers(), math.hypot(spread[0], spread[2]) / math.sqrt(2))
    x = np.broadcast_to(train[:4], (2, 4, 3))
    found = np.asarray(sigma.reconstruction(tf.zeros((2, 4, 3), tf.float64), tf.constant(x)))
    by_hand = -norm.logpdf(train[:4, [0, 2]], 0, spread[[0, 2]]).sum(axis=1)
    np.testing.assert_allclose(found[0], by_hand, rtol=1e-9)
    shared = _sigma("learned")
    shared.start(train)
    np.testing.assert_allclose(shared.numbers(), math.sqrt(train.var(axis=0).mean()))


def test_an_optimal_sigma_is_that_of_the_batch_and_moves_no_gradient() -> None:
    """The gradient is that of R with sigma as a function of the errors: sigma is at its best."""
    rng = np.random.default_rng(1)
    x, image = (tf.constant(part) for part in rng.standard_normal((2, 2, 5, 3)))
    sigma = _sigma("optimal")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(image)
        ours = tf.reduce_mean(sigma.training_reconstruction(image, x))
        errors = tf.reduce_mean(tf.square(x - image), axis=[1, 2])
        whole = tf.reduce_mean(1.5 * (tf.math.log(2 * math.pi * errors) + 1))
    assert float(ours) == pytest.approx(float(whole), rel=1e-12)
    np.testing.assert_allclose(tape.gradient(ours, image), tape.gradient(whole, image), rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["learned", "optimal"])
def test_a_linear_vae_with_a_learned_sigma_reaches_the_closed_form(how: str) -> None:
    """Sigma^2 and R to 2%, K to 2% or 0.02 nats, on the training split of digits."""
    data = load("digits", 64)
    weights = (0.5, 1, 2, 4, 8, 12)
    changes = LINEAR | TRAINED | {"sigma": how, "epochs": 1500, "eval_every": 1500}
    runs = [small_run("docs", weight, **changes) for weight in weights]
    moments = theory.moments(data.train)
    kind = runs[0].likelihood
    thresholds = theory.thresholds(moments, kind)
    for run, result in zip(runs, train_stack(runs, len(runs), data.train, data.test), strict=True):
        best = theory.expected(thresholds, moments, kind, run.beta_eff, run.k, 1.0)
        assert best.sigma is not None
        metrics = result.metrics
        print(how, run.beta_eff, best, metrics["trained_sigma"], metrics["train_kl"])
        assert metrics["trained_sigma"] ** 2 == pytest.approx(best.sigma**2, rel=0.02)
        assert metrics["train_kl"] == pytest.approx(best.kl, rel=0.02, abs=0.02)
        assert metrics["train_reconstruction"] == pytest.approx(
            best.reconstruction, rel=0.02, abs=0.02 * 32
        )


def test_metrics_of_an_optimal_sigma_are_those_of_the_training_split() -> None:
    """R of the training split is that of its own best sigma: d/2 (1 + ln(2 pi sigma^2))."""
    data = load("digits", 16)
    changes = {"d": 16, "reconstruction_loss": "gaussian", "sigma": "optimal", "epochs": 3}
    (result,) = train_stack([small_run("docs", 1, **changes)], 1, data.train, data.test)
    sigma = result.metrics["trained_sigma"]
    own = 8 * (1 + math.log(2 * math.pi * sigma**2))
    assert result.metrics["train_reconstruction"] == pytest.approx(own, abs=1e-3)
    assert result.metrics["reconstruction"] != result.metrics["train_reconstruction"]


def test_r_0_is_that_of_the_sigma_that_suits_the_training_split() -> None:
    """Against scipy's densities, of both splits."""
    data = load("digits", 64)
    mean, spread = data.train.mean(axis=0), data.train.var(axis=0)
    shared = math.sqrt(spread.mean())
    kept = spread > 0
    for part in (data.train, data.test):
        found = theory.reconstruction_of_nothing(part, data.train, Gaussian(sigma="learned"))
        by_hand = -norm.logpdf(part.astype(float), mean, shared).sum(axis=1).mean()
        assert found == pytest.approx(by_hand, rel=1e-5)
        found = theory.reconstruction_of_nothing(
            part, data.train, Gaussian(sigma="learned_per_input")
        )
        own = -norm.logpdf(part[:, kept].astype(float), mean[kept], np.sqrt(spread[kept]))
        assert found == pytest.approx(own.sum(axis=1).mean(), rel=1e-5)


def test_a_sigma_at_its_floor_is_told() -> None:
    """A linear model of all latents has no minimum: predict says so, sigma falls, the table tells.

    A floor close by is reached in few epochs.
    """
    asked = {"dataset": "digits", "d": "4", "k": "4", "loss": "docs", "beta": "0.01", "seeds": "1"}
    asked |= {"reconstruction_loss": "gaussian", "sigma": "learned", "log_sigma_floor": "-2"}
    asked |= {"hidden": "linear", "epochs": "150", "learning_rate": "0.02"}
    experiment = read(None, asked)
    (setting,) = predict(experiment).settings
    assert (setting.is_unbounded, setting.kl, setting.predicted_active_units) == (True, None, None)
    (result,) = train_stack(
        experiment.runs(), 1, *(getattr(load("digits", 4), part) for part in ("train", "test"))
    )
    assert result.metrics["trained_sigma"] == pytest.approx(math.exp(-2), rel=0.04)
    table = pd.DataFrame(
        {"sigma": ["learned"] * 2, "log_sigma_floor": [-2.0] * 2, "trained_sigma": [0.137, 0.3]}
    ).assign(trained_dispersion=math.nan)
    assert "In 1 row sigma came to its floor" in learned_note(table)
    assert not learned_note(table.assign(trained_sigma=0.3, log_sigma_floor=-6.0))
    assert "In 2 rows the dispersion ran away" in learned_note(table.assign(trained_dispersion=1e5))
    assert "beside the collapsed one" in learned_note(table.assign(sigma="learned_per_input"))


@pytest.mark.slow
def test_a_learned_dispersion_is_that_of_the_data() -> None:
    """Above t_1 a model gives everybody the mean, and its r is the one fitted there."""
    data = load("digits", 64, scale="none")
    counts = load("digits_counts", 64, scale="none")
    changes = {"d": 64, "k": 2, "dataset": "digits_counts", "epochs": 150, "optimizer": "adam"}
    changes |= {"reconstruction_loss": "negative_binomial", "dispersion": "learned"}
    changes |= {"learning_rate": 2e-3, "learning_rate_decay": 0.05, "eval_every": 150}
    run = small_run("docs", 60, **changes)
    (result,) = train_stack([run], 1, counts.train, counts.test)
    assert np.array_equal(counts.train, data.train * 16)
    fitted = NegativeBinomial(dispersion="learned").fitted(counts.train)
    assert result.metrics["collapsed"]
    assert result.metrics["trained_dispersion"] == pytest.approx(fitted.number, rel=0.03)
    r_0 = theory.reconstruction_of_nothing(counts.train, counts.train, run.likelihood)
    assert result.metrics["train_reconstruction"] == pytest.approx(r_0, rel=0.005)
