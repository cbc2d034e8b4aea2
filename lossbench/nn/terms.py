"""The terms of the objective ``a*R + b*K``, per example: R of every likelihood, and K.

z ~ N(z_mean, (noise_std * exp(z_log_var / 2))^2); R is summed over the d inputs, K over the k
latents.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import keras
import tensorflow as tf
from keras import ops

from lossbench.loss import LIKELIHOODS
from lossbench.nn.gradients import cross_entropy


def kl(z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Return K per example, KL(N(z_mean, exp(z_log_var)) || N(0, I)) summed over the latents.

    Kingma and Welling, Auto-Encoding Variational Bayes (2014), appendix B.
    """
    return -0.5 * ops.sum(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)


def sample(
    z_mean: tf.Tensor, z_log_var: tf.Tensor, noise: tf.Tensor, noise_std: float
) -> tf.Tensor:
    """Return z for standard normal ``noise`` of the shape of ``z_mean``."""
    return z_mean + noise_std * ops.exp(0.5 * z_log_var) * noise


def squared_error(image: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return the squared error of ``image``, summed over the last axis."""
    return ops.sum(ops.square(x - image), axis=-1)


@dataclass(frozen=True)
class Term:
    """The reconstruction term of one likelihood.

    ``summed`` takes the decoded logits (``from_logits``) or image, and x: R per example.
    ``as_keras`` makes the loss of Keras that is R / d, averaged over examples.
    """

    from_logits: bool
    summed: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    as_keras: Callable[[], keras.losses.Loss]


TERMS: Mapping[str, Term] = {
    "bce": Term(
        from_logits=True,
        summed=cross_entropy,
        as_keras=lambda: keras.losses.BinaryCrossentropy(from_logits=True),
    ),
    "mse": Term(from_logits=False, summed=squared_error, as_keras=keras.losses.MeanSquaredError),
}
if TERMS.keys() != LIKELIHOODS.keys():
    raise NotImplementedError(f"no term: {', '.join(LIKELIHOODS.keys() ^ TERMS.keys())}")
