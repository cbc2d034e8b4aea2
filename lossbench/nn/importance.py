"""The importance-weighted bound on log p(x): tighter than the ELBO, and exact in the limit.

log p(x) >= E log 1/S sum_s w_s with w_s = p(x, z_s) / q(z_s | x) and z_s drawn from q (Burda,
Grosse and Salakhutdinov, "Importance Weighted Autoencoders", 2016, equation 8).
"""

import math
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lossbench.nn.program import Program
from lossbench.nn.terms import sample

_SEED = 0x1AE
_SAMPLES_A_CALL = 32


class ImportanceWeighting:
    """Compiled importance weighting of a program's stack, in memory that does not grow with S."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._call = program.compiled(self._add_samples)

    def log_mean_weights(self, images: NDArray[Any], n_samples: int) -> NDArray[np.float64]:
        """Return for every member the mean over ``images (n, d)`` of log 1/S sum_s w_s.

        The reconstruction term stands for -log p(x|z) as it is summed, without a constant:
        ``(members,)``, nats per image. The noise is the same for every member.
        """
        shape = self._program.shape
        total = np.zeros(shape.width)
        for start in range(0, len(images), shape.n_chunk):
            chunk = images[start : start + shape.n_chunk]
            padded = np.pad(chunk, ((0, shape.n_chunk - len(chunk)), (0, 0)))
            generator = np.random.default_rng([_SEED, start])
            largest = tf.fill((shape.width, shape.n_chunk), tf.constant(-math.inf, tf.float64))
            scaled = tf.zeros_like(largest)
            for first in range(0, n_samples, _SAMPLES_A_CALL):
                noise = generator.standard_normal(
                    (_SAMPLES_A_CALL, shape.n_chunk, shape.network.k), dtype=np.float32
                )
                largest, scaled = self._call(
                    tf.constant(padded, shape.dtype),
                    tf.constant(noise, shape.dtype),
                    tf.constant(min(_SAMPLES_A_CALL, n_samples - first)),
                    largest,
                    scaled,
                )
            log_sums = np.asarray(largest) + np.log(np.asarray(scaled))
            total += log_sums[:, : len(chunk)].sum(axis=1)
        return total / len(images) - math.log(n_samples)

    def _add_samples(self, x, noise, n_samples, largest, scaled):  # type: ignore[no-untyped-def]
        """Add samples to a running log-sum-exp: log sum w = largest + log(scaled)."""
        model, shape = self._program.model, self._program.shape
        x = tf.broadcast_to(x, (shape.width, *x.shape))
        z_mean, z_log_var = model.encode(x)

        def draw(index, largest, scaled):  # type: ignore[no-untyped-def]
            z = sample(z_mean, z_log_var, noise[index], shape.noise_std)
            log_prior_over_posterior = 0.5 * tf.reduce_sum(
                tf.square(noise[index]) - tf.square(z) + z_log_var + 2 * math.log(shape.noise_std),
                axis=-1,
            )
            log_weight = log_prior_over_posterior - model.reconstruction(x, z)
            log_weight = tf.cast(log_weight, tf.float64)
            new = tf.maximum(largest, log_weight)
            return index + 1, new, scaled * tf.exp(largest - new) + tf.exp(log_weight - new)

        _, largest, scaled = tf.while_loop(
            lambda index, *_: index < n_samples, draw, [tf.constant(0), largest, scaled]
        )
        return largest, scaled
