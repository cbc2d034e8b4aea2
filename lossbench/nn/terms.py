"""The terms of the objective ``a*R + b*F``, per example: R of every likelihood, and K of F.

z ~ N(z_mean, (noise_std * exp(z_log_var / 2))^2); R is summed over the d inputs, K over the k
latents.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from lossbench.loss import (
    LIKELIHOODS,
    Categorical,
    Gaussian,
    Laplace,
    Likelihood,
    Mixed,
    NegativeBinomial,
)
from lossbench.nn.gradients import cross_entropy


def kl(z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Return K per example, KL(N(z_mean, exp(z_log_var)) || N(0, I)) summed over the latents.

    Kingma and Welling, Auto-Encoding Variational Bayes (2014), appendix B.
    """
    return -0.5 * ops.sum(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)


def kl_parts(z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Return what each latent adds to ``kl``, per example: of the shape of ``z_mean``."""
    return -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))


def sampled_kl_parts(z: tf.Tensor, z_log_var: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Return log q(z|x) - log p(z) of each latent, at z = z_mean + exp(z_log_var / 2) * noise."""
    return 0.5 * (ops.square(z) - ops.square(noise) - z_log_var)


def sample(
    z_mean: tf.Tensor, z_log_var: tf.Tensor, noise: tf.Tensor, noise_std: float
) -> tf.Tensor:
    """Return z for standard normal ``noise`` of the shape of ``z_mean``."""
    return z_mean + noise_std * ops.exp(0.5 * z_log_var) * noise


def squared_error(image: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return the squared error of ``image``, summed over the last axis."""
    return ops.sum(ops.square(x - image), axis=-1)


_LARGEST_LOG = 80.0  # its exponential is a number in single precision
_SMALL = 0.02  # below it ln(sinh(x)/x) is its series


def exponential(logits: tf.Tensor) -> tf.Tensor:
    """Return ``e^logits``, which goes on as a straight line from e^80: it never overflows."""
    return tf.exp(tf.minimum(logits, _LARGEST_LOG)) * (1 + tf.nn.relu(logits - _LARGEST_LOG))


def log_softmax(logits: tf.Tensor, sizes: Sequence[int]) -> tf.Tensor:
    """Return the logarithm of the softmax over each group of so many columns."""
    if len(set(sizes)) == 1:
        grouped = tf.reshape(logits, (*logits.shape[:-1], len(sizes), sizes[0]))
        return tf.reshape(tf.nn.log_softmax(grouped), logits.shape)
    parts = tf.split(logits, list(sizes), axis=-1)
    return tf.concat([tf.nn.log_softmax(part) for part in parts], axis=-1)


def continuous_bernoulli(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return ``sum ln((e^l - 1)/l) - l x`` = ``l (1/2 - x) + ln(sinh(l/2)/(l/2))``."""
    half = tf.abs(logits) / 2
    large = tf.maximum(half, _SMALL)
    of_large = large + tf.math.log1p(-tf.exp(-2 * large)) - tf.math.log(2 * large)
    of_small = tf.square(logits) / 24 - tf.square(tf.square(logits)) / 2880
    log_constant = tf.where(half < _SMALL, of_small, of_large)
    return tf.reduce_sum(logits * (0.5 - x) + log_constant, -1)


def poisson(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return ``sum e^l - x l + ln x!`` of log means l."""
    return tf.reduce_sum(exponential(logits) - x * logits + tf.math.lgamma(x + 1), -1)


def _absolute(kind: Laplace) -> "Term":
    def summed(image: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        distance = tf.reduce_sum(tf.abs(x - image), -1)
        return distance / kind.sigma + kind.without_error(x.shape[-1])

    return Term(from_logits=False, summed=summed)


def _gaussian(kind: Gaussian) -> "Term":
    if kind.learns:  # R is that of ``LearnedSigma``
        return Term(from_logits=False, summed=squared_error)

    def summed(image: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return squared_error(image, x) / (2 * kind.number**2) + kind.without_error(x.shape[-1])

    return Term(from_logits=False, summed=summed)


def negative_binomial(logits: tf.Tensor, x: tf.Tensor, log_r: tf.Tensor) -> tf.Tensor:
    """Return the negative log-probability of counts with log means ``logits`` and dispersion r."""
    exact = tf.cast(x, tf.float64)  # what is left of two large logarithms
    r = tf.exp(tf.cast(log_r, tf.float64))
    ways = tf.math.lgamma(exact + r) - tf.math.lgamma(r) - tf.math.lgamma(exact + 1)
    over_r = logits - log_r
    terms = (x + tf.exp(log_r)) * tf.math.softplus(over_r) - x * over_r
    return tf.reduce_sum(terms, -1) - tf.cast(tf.reduce_sum(ways, -1), x.dtype)


def _negative_binomial(kind: NegativeBinomial) -> "Term":
    log_r = 0.0 if kind.learns else math.log(kind.number)  # a learned one is ``LearnedDispersion``

    def summed(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return negative_binomial(logits, x, tf.constant(log_r, x.dtype))

    return Term(from_logits=True, summed=summed)


def _categorical(kind: Categorical) -> "Term":
    def summed(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        return -tf.reduce_sum(x * log_softmax(logits, kind.choices(x.shape[-1])), -1)

    return Term(from_logits=True, summed=summed)


def multinomial(logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """Return ``-sum x ln p - ln(n_x! / prod x!)`` with p the softmax of the logits."""
    exact = tf.cast(x, tf.float64)
    ways = tf.math.lgamma(tf.reduce_sum(exact, -1) + 1)
    ways -= tf.reduce_sum(tf.math.lgamma(exact + 1), -1)
    return -tf.reduce_sum(x * tf.nn.log_softmax(logits), -1) - tf.cast(ways, x.dtype)


def _mixed(kind: Mixed) -> "Term":
    def summed(logits_and_image: tuple[tf.Tensor, tf.Tensor], x: tf.Tensor) -> tf.Tensor:
        parts = kind.parts(x.shape[-1])
        sizes = [size for _, size in parts]
        columns = (tf.split(y, sizes, axis=-1) for y in (*logits_and_image, x))
        total = 0.0
        for (part, _), logits, image, own in zip(parts, *columns, strict=True):
            of = term(part)
            total += of.summed(logits if of.from_logits else image, own)
        return total

    return Term(from_logits=True, summed=summed, from_both=True)


@dataclass(frozen=True)
class Term:
    """The reconstruction term of one likelihood.

    ``summed`` takes the decoded logits (``from_logits``) or image, or a pair of both
    (``from_both``), and x: R per example.
    ``as_keras`` makes the loss of Keras that is R / d, averaged over examples, where it has one.
    """

    from_logits: bool
    summed: Callable[[Any, tf.Tensor], tf.Tensor]
    as_keras: Callable[[], keras.losses.Loss] | None = None
    from_both: bool = False


_BCE = Term(
    from_logits=True,
    summed=cross_entropy,
    as_keras=lambda: keras.losses.BinaryCrossentropy(from_logits=True),
)
_MSE = Term(from_logits=False, summed=squared_error, as_keras=keras.losses.MeanSquaredError)
TERMS: Mapping[str, Callable[[Any], Term]] = {
    "bce": lambda _: _BCE,
    "mse": lambda _: _MSE,
    "gaussian": _gaussian,
    "laplace": _absolute,
    "continuous_bernoulli": lambda _: Term(from_logits=True, summed=continuous_bernoulli),
    "poisson": lambda _: Term(from_logits=True, summed=poisson),
    "negative_binomial": _negative_binomial,
    "categorical": _categorical,
    "mixed": _mixed,
    "multinomial": lambda _: Term(from_logits=True, summed=multinomial),
}
if TERMS.keys() != LIKELIHOODS.keys():
    raise NotImplementedError(f"no term: {', '.join(LIKELIHOODS.keys() ^ TERMS.keys())}")


def term(kind: Likelihood) -> Term:
    """Return the reconstruction term of a likelihood, at its parameters."""
    return TERMS[kind.name](kind)
