"""A trained run as an ordinary Keras model, which loads wherever Keras does.

The model has nothing but Keras' own layers, losses and operations; what is random comes in from
outside, so that the same inputs give the same numbers. It maps ``x`` (n, d) and standard normal
``noise`` (n, k) to ``logits`` (the decoder's last layer before its sigmoid, if it has one),
``image`` and ``kl`` (K per example); ``encoder`` and ``decoder`` are layers of it. It is compiled
with the run's loss ``a*R + b*K``: R is the mean over the d inputs times d, and K the distance of
``kl`` from the zeros that are its target.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from lossbench.experiment import RunSettings
from lossbench.nn.model import kl, sample
from lossbench.nn.program import optimizer


def save(run: RunSettings, weights: Sequence[NDArray[np.floating]], path: Path) -> None:
    """Write the model of a run as a ``.keras`` file."""
    vae(run, weights).save(path)


def vae(run: RunSettings, weights: Sequence[NDArray[np.floating]]) -> keras.Model:
    """Return the compiled model with ``weights``: kernel and bias of every layer of the run.

    It is trained and evaluated on ``{"x": x, "noise": noise}`` with the targets
    ``{"logits": x, "kl": zeros (n, 1)}`` (``image`` in place of ``logits`` for ``mse``).
    """
    encoder, decoder = _encoder(run), _decoder(run)
    x = keras.Input((run.d,), name="x")
    z_mean, z_log_var = encoder(x)
    noise = keras.Input((run.k,), name="noise")
    logits, image = decoder(sample(z_mean, z_log_var, noise, run.noise_std))
    divergence = ops.expand_dims(kl(z_mean, z_log_var), -1)
    model = keras.Model(
        {"x": x, "noise": noise}, {"logits": logits, "image": image, "kl": divergence}, name="vae"
    )
    dense = [
        layer
        for part in (encoder, decoder)
        for layer in part.layers
        if isinstance(layer, keras.layers.Dense)
    ]
    for layer, kernel, bias in zip(dense, weights[::2], weights[1::2], strict=True):
        layer.set_weights([kernel, bias.reshape(-1)])
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    is_bce = run.reconstruction_loss == "bce"
    trained = {"logits": bce} if is_bce else {"image": keras.losses.MeanSquaredError()}
    (output,) = trained
    model.compile(
        optimizer=optimizer(run.optimizer, run.learning_rate, run.epsilon),
        loss=trained | {"kl": keras.losses.MeanAbsoluteError()},
        loss_weights={output: run.a * run.d, "kl": run.b},
    )
    model.optimizer.build(model.trainable_variables)
    return model


def _encoder(run: RunSettings) -> keras.Model:
    h = x = keras.Input((run.d,), name="x")
    for units in run.hidden:
        h = keras.layers.Dense(units, activation="relu")(h)
    z_mean = keras.layers.Dense(run.k, name="z_mean")(h)
    z_log_var = keras.layers.Dense(run.k, name="z_log_var")(h)
    return keras.Model(x, [z_mean, z_log_var], name="encoder")


def _decoder(run: RunSettings) -> keras.Model:
    h = z = keras.Input((run.k,), name="z")
    for units in reversed(run.hidden):
        h = keras.layers.Dense(units, activation="relu")(h)
    logits = keras.layers.Dense(run.d, name="logits")(h)
    is_sigmoid = bool(run.hidden) or run.reconstruction_loss == "bce"
    activation = keras.layers.Activation("sigmoid" if is_sigmoid else "linear", name="image")
    return keras.Model(z, [logits, activation(logits)], name="decoder")
