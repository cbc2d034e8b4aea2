"""Training written out: one model, one step after the other, in float64."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from small_runs import BATCH, sigmoid

from lossbench.nn.model import initial_weights
from lossbench.nn.train import batches_and_noise
from lossbench.settings import RunSettings

N_STEPS = 20
Parts = NDArray[np.float64]


def of_mean(parts: Parts, step: int) -> Parts:  # noqa: ARG001 - others ask for the step
    """Return the slope of the mean of K over the batch in each of its parts."""
    return np.full_like(parts, 1 / BATCH)


def by_hand(
    run: RunSettings,
    images: NDArray[Any],
    weight_at: Callable[[int], float],
    slope: Callable[[Parts, int], Parts] = of_mean,
) -> list[NDArray[np.float64]]:
    """Return the weights that a plain loop ends with.

    The model has one hidden layer; the gradients of its loss ``a*R + b*w*F`` are written out:
    ``weight_at`` gives w at a step, ``slope`` that of F in K_ij ``(batch, k)`` at a step.
    """
    e, eb, m, mb, s, sb, h, hb, o, ob = (
        np.asarray(weight, np.float64) for weight in initial_weights(run.architecture, run.seed)
    )
    drawn = (batches_and_noise(run.seed, n, len(images), BATCH, run.k) for n in range(run.epochs))
    steps = [step for batches, noise in drawn for step in zip(batches, noise, strict=True)]
    assert len(steps) == N_STEPS
    for t, (batch, noise) in enumerate(steps):
        x = images[batch].astype(np.float64)
        before = x @ e + eb
        hidden = np.maximum(before, 0)
        mean, log_var = hidden @ m + mb, hidden @ s + sb
        spread = np.exp(log_var / 2) * noise
        z = mean + spread
        z_before = z @ h + hb
        z_hidden = np.maximum(z_before, 0)
        # R is a sum of binary cross-entropies, a mean over the batch.
        d_logits = run.a * (sigmoid(z_hidden @ o + ob) - x) / BATCH
        d_z_before = (d_logits @ o.T) * (z_before > 0)
        d_z = d_z_before @ h.T
        if run.kl_estimator == "sample":  # log q(z|x) - log p(z), with z and log q as they depend
            parts = (z**2 - noise.astype(np.float64) ** 2 - log_var) / 2
            pull = run.b * weight_at(t) * slope(parts, t)
            d_z = d_z + pull * z
            d_mean, d_log_var = d_z, d_z * spread / 2 - pull / 2
        else:
            parts = (np.exp(log_var) + mean**2 - 1 - log_var) / 2
            pull = run.b * weight_at(t) * slope(parts, t)
            d_mean = d_z + pull * mean
            d_log_var = d_z * spread / 2 + pull * (np.exp(log_var) - 1) / 2
        d_before = (d_mean @ m.T + d_log_var @ s.T) * (before > 0)
        pairs = (
            (x, d_before),
            (hidden, d_mean),
            (hidden, d_log_var),
            (z, d_z_before),
            (z_hidden, d_logits),
        )
        gradients = [part for a, b in pairs for part in (a.T @ b, b.sum(axis=0))]
        weights = (e, eb, m, mb, s, sb, h, hb, o, ob)
        e, eb, m, mb, s, sb, h, hb, o, ob = (
            weight - run.learning_rate * gradient
            for weight, gradient in zip(weights, gradients, strict=True)
        )
    return [e, eb, m, mb, s, sb, h, hb, o, ob]
