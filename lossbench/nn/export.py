"""A trained run as an ordinary Keras model, which loads wherever Keras does.

The model has nothing but Keras' own layers, losses and operations; what is random comes in from
outside, so that the same inputs give the same numbers. It maps ``x`` (n, d) and standard normal
``noise`` (n, k) to ``logits`` (the decoder's last layer before its sigmoid, if it has one),
``image`` and ``kl`` (K per example); ``encoder`` and ``decoder`` are layers of it. It is compiled
with the run's loss ``a*R + b*K``: R is the mean over the d inputs times d, and K the distance of
``kl`` from the zeros that are its target. With a floor or a capacity under K it is not compiled.
"""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from lossbench.errors import UsageError
from lossbench.nn.models import plain
from lossbench.nn.program import optimizer
from lossbench.nn.terms import kl, sample, term
from lossbench.settings import RunSettings


def save(run: RunSettings, weights: Sequence[NDArray[np.floating]], path: Path) -> None:
    """Write the model of a run as a ``.keras`` file."""
    vae(run, weights).save(path)


def vae(run: RunSettings, weights: Sequence[NDArray[np.floating]]) -> keras.Model:
    """Return the model with ``weights``: kernel and bias of every layer of the run.

    It is trained and evaluated on ``{"x": x, "noise": noise}`` with the targets
    ``{"logits": x, "kl": zeros (n, 1)}`` (``image`` in place of ``logits`` for ``mse``).
    """
    trained = term(run.likelihood)
    if trained.as_keras is None:
        raise UsageError(
            f"the loss of {run.reconstruction_loss} is none of Keras' own, so its model is not "
            "exported",
            where=run.run_id,
            expected="a run with a loss of Keras: bce or mse",
            received=run.reconstruction_loss,
        )
    encoder, decoder = plain(run.architecture, weights)
    x = keras.Input((run.d,), name="x")
    z_mean, z_log_var = encoder(x)
    noise = keras.Input((run.k,), name="noise")
    logits, image = decoder(sample(z_mean, z_log_var, noise, run.noise_std))
    divergence = ops.expand_dims(kl(z_mean, z_log_var), -1)
    model = keras.Model(
        {"x": x, "noise": noise}, {"logits": logits, "image": image, "kl": divergence}, name="vae"
    )
    if run.is_bounded or run.function:  # no loss of Keras' own
        return model
    output = "logits" if trained.from_logits else "image"
    model.compile(
        optimizer=optimizer(run.optimizer, run.learning_rate, run.epsilon),
        loss={output: trained.as_keras(), "kl": keras.losses.MeanAbsoluteError()},
        loss_weights={output: run.a * run.d, "kl": run.b},
    )
    model.optimizer.build(model.trainable_variables)
    return model
