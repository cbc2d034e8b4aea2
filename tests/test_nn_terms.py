"""The terms of the likelihoods, in TensorFlow."""

import runpy

import numpy as np
import pytest
import tensorflow as tf
from small_runs import small_run
from test_loss_densities import decoded, drawn, every

import lossbench.loss
from lossbench.loss import LIKELIHOODS, Likelihood
from lossbench.nn import terms
from lossbench.nn.model import StackedVAE
from lossbench.nn.train import train_stack


def test_a_likelihood_without_a_term_is_found_when_a_worker_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in the middle of a sweep, and a third is never trained as the second."""
    runpy.run_path(terms.__file__)
    monkeypatch.setattr(lossbench.loss, "LIKELIHOODS", dict(LIKELIHOODS) | {"weibull": None})
    with pytest.raises(NotImplementedError, match="no term: weibull"):
        runpy.run_path(terms.__file__)


@every
@pytest.mark.parametrize("size", [1.0, 1e-3, 0.039, 0.041, 5.0])
def test_a_term_is_the_likelihood(kind: Likelihood, size: float) -> None:
    """In double precision the same number as NumPy's, and in single precision nearly."""
    x = drawn(kind)
    logits = size * np.random.default_rng(2).standard_normal(x.shape)
    term = terms.term(kind)
    x_hat = decoded(kind, logits)
    for dtype, rel in (("float64", 1e-9), ("float32", 1e-4)):
        given = tf.constant(logits if term.from_logits else x_hat, dtype)
        given = (given, tf.constant(x_hat, dtype)) if term.from_both else given
        found = np.asarray(term.summed(given, tf.constant(x, dtype)))
        assert found == pytest.approx(kind.reconstruction(x, x_hat), rel=rel, abs=rel)


@every
def test_a_term_and_its_slope_are_finite_at_the_edges(kind: Likelihood) -> None:
    """In single precision: logits of 0, of 100 and of -100, whatever the data."""
    x = drawn(kind)
    term = terms.term(kind)
    for size in (0.0, 1e-6, 100.0):
        logits = tf.constant(np.where(np.arange(6) % 2, size, -size) * np.ones_like(x), tf.float32)
        with tf.GradientTape() as tape:
            tape.watch(logits)
            given = (logits, logits) if term.from_both else logits  # its values are their logits
            cost = tf.reduce_sum(term.summed(given, tf.constant(x, tf.float32)))
        assert np.isfinite(float(cost))
        assert np.isfinite(np.asarray(tape.gradient(cost, logits))).all()


@every
def test_an_image_is_what_the_likelihood_decodes(kind: Likelihood) -> None:
    """The activation of the network is that which turns logits into x_hat."""
    run = small_run(
        d=6,
        k=2,
        hidden=(),
        reconstruction_loss=kind.name,
        **{name: getattr(kind, name) for name in kind.parameters},
    )
    assert run.likelihood == kind
    model = StackedVAE(run.architecture, terms.term(kind), 1, "float32")
    for variable in model.variables:
        variable.assign(np.random.default_rng(0).standard_normal(variable.shape))
    z = np.random.default_rng(1).standard_normal((1, 5, 2)).astype(np.float32)
    expected = decoded(kind, np.asarray(model.decode(z), np.float64))
    np.testing.assert_allclose(np.asarray(model.reconstruct(z)), expected, rtol=1e-4)


@pytest.mark.slow
@every
def test_every_likelihood_learns(kind: Likelihood) -> None:
    """At a small weight R falls below R_0 and latents are active; the ELBO is -(R + K)."""
    x = drawn(kind, n=256).astype(np.float32)
    run = small_run(
        d=6,
        k=2,
        beta=0.05,
        reconstruction_loss=kind.name,
        epochs=60,
        optimizer="adam",
        batch_size=32,
        learning_rate=0.01,
        eval_every=60,
        **{name: getattr(kind, name) for name in kind.parameters},
    )
    (record,) = train_stack([run], 1, x, x)
    metrics = record.metrics
    assert record.status == "ok"
    assert metrics["reconstruction"] < kind.of_nothing(x, kind.nothing(x)) - 0.1
    assert metrics["active_units"] >= 1
    assert metrics["elbo"] == kind.elbo(metrics["reconstruction"], metrics["kl"], 6)
