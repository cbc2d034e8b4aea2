"""Keras ``model.fit`` of the documentation's VAE."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf
from keras import ops

from bench.size import BATCH_SIZE, LEARNING_RATE, Size


class VAE(keras.Model):
    """The VAE with its loss, binary cross-entropy of probabilities times d, and the KL."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.d = size.d
        self.encoder = keras.layers.Dense(size.hidden, "relu")
        self.z_mean = keras.layers.Dense(size.k)
        self.z_log_var = keras.layers.Dense(size.k)
        self.decoder = keras.layers.Dense(size.hidden, "relu")
        self.output_layer = keras.layers.Dense(size.d, "sigmoid")
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Return the decoded images of a batch and add its loss."""
        hidden = self.encoder(x)
        z_mean, z_log_var = self.z_mean(hidden), self.z_log_var(hidden)
        noise = keras.random.normal(ops.shape(z_mean), seed=self.seeds)
        z = z_mean + ops.exp(0.5 * z_log_var) * noise
        decoded = self.output_layer(self.decoder(z))
        kl = -0.5 * ops.sum(1 + z_log_var - z_mean**2 - ops.exp(z_log_var), axis=-1)
        self.add_loss(ops.mean(self.d * keras.losses.binary_crossentropy(x, decoded) + kl))
        return decoded


@contextmanager
def prepared(
    size: Size, one_thread: bool = False, **compiling: object
) -> Iterator[tuple[Callable[[int], None], int]]:
    """Give what trains so many epochs, and the number of models; ``compiling`` is Keras' own."""
    if one_thread:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    model = VAE(size)
    model.compile(optimizer=keras.optimizers.Adam(LEARNING_RATE), **compiling)
    images = size.images()

    def train(n_epochs: int) -> None:
        model.fit(images, batch_size=BATCH_SIZE, epochs=n_epochs, verbose=0)

    yield train, 1
