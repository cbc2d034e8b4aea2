"""Keras ``model.fit`` of the documentation's VAE."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras import layers as kinds
from keras import ops
from numpy.typing import NDArray

from bench.size import BATCH_SIZE, LEARNING_RATE, Size
from lossbench.network import Convolution, Layer


class VAE(keras.Model):
    """The VAE with its loss, binary cross-entropy of probabilities times d, and the KL."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.d = size.d
        self.encoder = keras.Sequential(_layers(size, size.network.encoder))
        if isinstance(size.network.encoder[-1], Convolution):
            self.encoder.add(kinds.Flatten())
        self.z_mean = kinds.Dense(size.k)
        self.z_log_var = kinds.Dense(size.k)
        last = kinds.Activation("sigmoid")
        self.decoder = keras.Sequential([*_layers(size, size.network.decoder), last])
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the decoded images of a batch and add its loss."""
        hidden = self.encoder(x, training=training)
        z_mean, z_log_var = self.z_mean(hidden), self.z_log_var(hidden)
        noise = keras.random.normal(ops.shape(z_mean), seed=self.seeds)
        z = z_mean + ops.exp(0.5 * z_log_var) * noise
        decoded = self.decoder(z, training=training)
        rows = (ops.reshape(images, (-1, self.d)) for images in (x, decoded))
        bce = self.d * keras.losses.binary_crossentropy(*rows)
        kl = -0.5 * ops.sum(1 + z_log_var - z_mean**2 - ops.exp(z_log_var), axis=-1)
        self.add_loss(ops.mean(bce + kl))
        return decoded


def _layers(size: Size, layers: Sequence[Layer]) -> Iterator[kinds.Layer]:
    """Yield layers, each with its activation; images are (height, width, channels)."""
    before = None
    for layer in layers:
        normalised = size.normalises(layer)
        activation = "linear" if normalised else layer.activation
        if isinstance(layer, Convolution):
            if before and not isinstance(before, Convolution):
                yield kinds.Reshape(layer.image)
            kind = kinds.Conv2DTranspose if layer.is_transposed else kinds.Conv2D
            sizes = (layer.filters, layer.kernel_size, layer.stride, "same")
            yield kind(*sizes, activation=activation)
            if layer.is_transposed:
                grown = (layer.stride * side for side in layer.image[:2])
                beyond = [
                    (0, more - side) for more, side in zip(grown, layer.made[:2], strict=True)
                ]
                if any(more for _, more in beyond):
                    yield kinds.Cropping2D(beyond)
        else:
            if isinstance(before, Convolution):
                yield kinds.Flatten()
            yield kinds.Dense(layer.units, activation)
        if normalised:
            yield kinds.BatchNormalization()
            yield kinds.LeakyReLU(0.01)
        before = layer


def _batches(images: NDArray[np.float32]) -> tf.data.Dataset:
    """Return shuffled batches whose reading is not tuned while they are read.

    At the end of an epoch ``fit`` waits for what tunes it, up to as long as the epoch took.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    rows = tf.data.Dataset.from_tensor_slices(images)
    return rows.shuffle(len(images)).batch(BATCH_SIZE).with_options(options)


@contextmanager
def prepared(
    size: Size, one_thread: bool = False, tuned: bool = True, **compiling: object
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs, and the number of models; ``compiling`` is Keras' own.

    Where reading is ``tuned``, ``fit`` is given the images themselves, as is usual.
    """
    if one_thread:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    model = VAE(size)
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), **compiling)
    images = size.images()
    given = {"x": images, "batch_size": BATCH_SIZE} if tuned else {"x": _batches(images)}

    def train(n_epochs: int) -> None:
        model.fit(**given, epochs=n_epochs, verbose=0)

    yield train, 1
