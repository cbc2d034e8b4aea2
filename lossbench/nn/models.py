"""The models of whatever network: a stack to train, and plain Keras models of trained weights."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from lossbench.network import Architecture, Built
from lossbench.nn import model, own_network
from lossbench.nn.learned import LearnedParameter
from lossbench.nn.terms import Term


def stacked(
    network: Architecture,
    term: Term,
    width: int,
    dtype: str,
    learned: LearnedParameter | None = None,
) -> model.VAE:
    """Return ``width`` VAEs side by side; one of a user's own network, which stands alone."""
    if isinstance(network, Built):
        return own_network.OwnVAE(network, term, learned)
    return model.StackedVAE(network, term, width, dtype, learned)


def encoded(
    network: Architecture,
    term: Term,
    weights: Sequence[NDArray[np.floating]],
    images: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ``z_mean`` and ``z_log_var`` of ``images (n, d)`` by one model, each ``(n, k)``."""
    vae = stacked(network, term, 1, "float32")
    for variable, weight in zip(vae.variables, weights, strict=True):
        variable.assign(weight.reshape(variable.shape))
    z_mean, z_log_var = vae.encode(tf.constant(images[None]))
    return np.asarray(z_mean[0], np.float64), np.asarray(z_log_var[0], np.float64)


def plain(
    network: Architecture, weights: Sequence[NDArray[np.floating]]
) -> tuple[keras.Model, keras.Model]:
    """Return encoder (x -> z_mean, z_log_var) and decoder (z -> logits, image) of one model."""
    if isinstance(network, Built):
        return own_network.plain(network, weights)
    return model.plain(network, weights)
