"""Trained VAEs reach the numbers of theory."""

from collections.abc import Sequence

import numpy as np
import pytest
from small_runs import small_run

from lossbench import theory
from lossbench.data import load
from lossbench.experiment import stacks
from lossbench.loss import LIKELIHOODS, Objective
from lossbench.nn.train import train_stack
from lossbench.run import Record
from lossbench.settings import RunSettings


def _mean(results: Sequence[Record], metric: str) -> float:
    return float(np.mean([result.metrics[metric] for result in results]))


@pytest.mark.slow
def test_the_seed_question_has_the_known_answer_on_digits() -> None:
    """At k = 2 the documentation's loss uses both latents, the blog's collapses at beta 1."""
    data = load("digits", 64)
    changes = {"d": 64, "k": 2, "hidden": (64,), "epochs": 200, "batch_size": 128}
    changes |= {"optimizer": "adam", "learning_rate": 1e-3, "eval_every": 50}
    cases = [("docs", 1.0), ("blog", 1.0), ("blog", 0.01)]
    runs = [
        small_run(loss, beta, seed=seed, **changes) for loss, beta in cases for seed in range(3)
    ]
    results: dict[RunSettings, Record] = {}
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
        small_run("docs", beta, **changes) for beta in (0.05, 0.1, 0.25, 0.4, 0.65, 0.95, 1, 1.2)
    ]
    thresholds = theory.thresholds(theory.moments(data.train), LIKELIHOODS["mse"])
    n_clear = 0
    for run, result in zip(runs, train_stack(runs, 8, data.train, data.test), strict=True):
        optimum = theory.linear_optimum(thresholds, run.beta_eff, run.k)
        reconstruction, kl = (result.metrics[f"train_{name}"] for name in ("reconstruction", "kl"))
        scaled = Objective(1.0, run.beta_eff)
        lowest = scaled.value(optimum.reconstruction, optimum.kl)
        assert scaled.value(reconstruction, kl) == pytest.approx(lowest, rel=0.02)
        assert reconstruction == pytest.approx(optimum.reconstruction, rel=0.02)
        assert kl == pytest.approx(optimum.kl, rel=0.02, abs=0.05)
        if np.abs(thresholds / run.beta_eff - 1).min() > 0.1:
            n_clear += 1
            assert result.metrics["active_units"] == optimum.active_units
    assert n_clear >= 3


@pytest.mark.slow
def test_a_linear_gaussian_vae_reaches_the_closed_form() -> None:
    """With sigma 0.2: it is mse at 12.5 times the weight, and R and the ELBO are whole densities.

    R to 2%, K to 2% or 0.02 nats.
    """
    data, sigma = load("digits", 64), 0.2
    changes = {"d": 64, "k": 16, "hidden": (), "reconstruction_loss": "gaussian", "sigma": sigma}
    changes |= {"optimizer": "adam", "learning_rate": 5e-3, "learning_rate_decay": 0.005}
    changes |= {"batch_size": 64, "eval_every": 1500, "epochs": 1500}
    weights = (0.05, 0.1, 0.25, 0.4, 0.65, 1.5, 3, 4)
    runs = [small_run("docs", beta / (2 * sigma**2), **changes) for beta in weights]
    kind = runs[0].likelihood
    thresholds = theory.thresholds(theory.moments(data.train), kind)
    found = train_stack(runs, 8, data.train, data.test)
    for run, result in zip(runs, found, strict=True):
        best = theory.linear_optimum(thresholds, run.beta_eff, 16, kind.without_error(64))
        reconstruction, kl, elbo = (
            result.metrics[f"train_{name}"] for name in ("reconstruction", "kl", "elbo")
        )
        assert elbo == -(reconstruction + kl)
        assert reconstruction == pytest.approx(best.reconstruction, rel=0.02)
        assert kl == pytest.approx(best.kl, rel=0.02, abs=0.02)
