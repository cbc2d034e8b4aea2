"""A likelihood's learned parameter: how it starts, is trained or fitted, and enters R."""

import math
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lossbench.loss import Gaussian, Learned, Likelihood, NegativeBinomial
from lossbench.nn.terms import negative_binomial


class LearnedParameter(Protocol):
    """A parameter of the likelihood of every member of a stack.

    ``name`` is that of its metric; ``raw`` is what is trained, unless the parameter ``is_fitted``:
    computed from the errors.
    """

    name: str
    raw: keras.Variable
    is_fitted: bool

    def start(self, train: NDArray[np.floating]) -> None:
        """Set it to what suits ``train (n, d)`` best if everybody is decoded to the mean."""

    def numbers(self) -> NDArray[np.float64]:
        """Return what the metric tells of every member: ``(members,)``."""

    def reconstruction(self, decoded: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return R per example, ``(members, batch)``."""

    def training_reconstruction(self, decoded: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return R per example as it is trained."""


def learned_parameter(kind: Likelihood, width: int, d: int, dtype: str) -> LearnedParameter | None:
    """Return the parameter that a likelihood learns, for a stack of ``width``; None without one."""
    match kind:
        case Gaussian() if kind.learns:
            return LearnedSigma(kind.learns, kind.log_sigma_floor, width, d, dtype)
        case NegativeBinomial() if kind.learns:
            return LearnedDispersion(kind, width, dtype)
    return None


class LearnedDispersion:
    """r of a negative binomial, one for all inputs: trained as its logarithm."""

    name = "trained_dispersion"
    is_fitted = False

    def __init__(self, kind: NegativeBinomial, width: int, dtype: str) -> None:
        self._kind = kind
        self.raw = keras.Variable(np.zeros((width, 1, 1)), dtype=dtype)

    def start(self, train: NDArray[np.floating]) -> None:
        """Set r to what suits ``train (n, d)`` best with the mean of every input."""
        self.raw.assign(np.full(self.raw.shape, math.log(self._kind.fitted(train).number)))

    def numbers(self) -> NDArray[np.float64]:
        """Return r of every member, ``(members,)``."""
        numbers: NDArray[np.float64] = np.exp(np.asarray(self.raw, np.float64))[:, 0, 0]
        return numbers

    def reconstruction(self, logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return R per example, ``(members, batch)``, of log means."""
        return negative_binomial(logits, x, self.raw.value)

    training_reconstruction = reconstruction


class LearnedSigma:
    """ln sigma of every member of a stack: one for all inputs, or one for each.

    It starts as that of the data, which suits a decoder that gives everybody the mean, and stays
    above its floor: ``floor + softplus(raw - floor)`` is trained as ``raw`` (Rybkin, Daniilidis and
    Levine, "Simple and Effective VAE Training with Calibrated Decoders", 2021). An ``optimal`` one
    is not trained: in training it is that of the batch, otherwise the one that was ``set``.
    """

    name = "trained_sigma"

    def __init__(self, how: Learned, floor: float, width: int, d: int, dtype: str) -> None:
        self.is_fitted = how == "optimal"
        self._by_input = how == "learned_per_input"
        self._floor = floor
        self._counts = tf.Variable(tf.ones(d, tf.bool), trainable=False)
        n = d if self._by_input else 1
        self.raw = keras.Variable(np.zeros((width, 1, n)), dtype=dtype)

    def start(self, train: NDArray[np.floating]) -> None:
        """Set sigma to that of ``train (n, d)``; constant inputs have none of their own."""
        spread = train.var(axis=0, dtype=np.float64)
        varies = train.min(axis=0) < train.max(axis=0)
        self._counts.assign(varies if self._by_input else np.full(len(spread), True))
        variance = np.where(varies, spread, 1.0) if self._by_input else spread.mean(keepdims=True)
        self.set(np.sqrt(variance))

    def set(self, sigma: NDArray[np.float64]) -> None:
        """Set ``sigma``, ``(1,)``, ``(members, 1)`` or ``(d,)``, or the floor where it is below."""
        above = np.maximum(np.log(np.maximum(sigma, 1e-300)) - self._floor, 1e-3)
        raw = self._floor + above + np.log(-np.expm1(-above))  # the inverse of softplus
        shape = self.raw.shape
        self.raw.assign(np.broadcast_to(raw.reshape(-1, 1, raw.shape[-1]), shape))

    @property
    def log(self) -> tf.Tensor:
        """The logarithm of sigma, ``(members, 1, d)`` or ``(members, 1, 1)``."""
        return self._floor + tf.nn.softplus(self.raw.value - self._floor)

    def numbers(self) -> NDArray[np.float64]:
        """Return the root mean square over the inputs of every member's sigma: ``(members,)``."""
        squares = np.exp(2 * np.asarray(self.log, np.float64))[:, 0]
        kept = np.asarray(self._counts) if self._by_input else slice(None)
        numbers: NDArray[np.float64] = np.sqrt(squares[:, kept].mean(axis=-1))
        return numbers

    def reconstruction(self, image: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return R per example, ``(members, batch)``."""
        return self._density(image, x, self.log)

    def training_reconstruction(self, image: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return R per example in training: with the batch's own sigma where it is fitted.

        It is taken as given: at its best value R does not depend on it to first order.
        """
        if not self.is_fitted:
            return self.reconstruction(image, x)
        errors = tf.reduce_mean(tf.square(x - image), axis=[-2, -1], keepdims=True)
        log_sigma = tf.stop_gradient(0.5 * tf.math.log(errors))
        return self._density(image, x, tf.maximum(log_sigma, self._floor))

    def _density(self, image: tf.Tensor, x: tf.Tensor, log_sigma: tf.Tensor) -> tf.Tensor:
        terms = 0.5 * tf.square(x - image) * tf.exp(-2 * log_sigma) + log_sigma
        terms += 0.5 * math.log(2 * math.pi)
        return tf.reduce_sum(tf.where(self._counts, terms, 0.0), -1)
