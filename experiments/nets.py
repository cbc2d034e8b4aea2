"""Networks of one's own: ``--network experiments/nets.py:NAME``.

``colour`` is the network of public collections for 64 x 64 colour images: five strided layers
with batch normalisation and leaky ReLU (AntixK/PyTorch-VAE, models/vanilla_vae.py, among others).
"""

import math

import keras
from keras import layers

Models = tuple[keras.Model, keras.Model]


def dense(shape: tuple[int, ...], k: int) -> Models:
    """Return what lossbench's own dense network is with one hidden layer of 64."""
    images, z = keras.Input(shape), keras.Input((k,))
    hidden = layers.Dense(64, activation="relu")(layers.Flatten()(images))
    encoder = keras.Model(images, [layers.Dense(k)(hidden), layers.Dense(k)(hidden)])
    hidden = layers.Dense(64, activation="relu")(z)
    logits = layers.Reshape(shape)(layers.Dense(math.prod(shape))(hidden))
    return encoder, keras.Model(z, logits)


def normalised(shape: tuple[int, ...], k: int) -> Models:
    """Return dense layers with batch normalisation and dropout: their state is that of a run."""
    images, z = keras.Input(shape), keras.Input((k,))
    hidden = layers.Dense(64, use_bias=False)(layers.Flatten()(images))
    hidden = layers.BatchNormalization()(hidden)
    hidden = layers.Dropout(0.1)(layers.LeakyReLU()(hidden))
    encoder = keras.Model(images, [layers.Dense(k)(hidden), layers.Dense(k)(hidden)])
    hidden = layers.BatchNormalization()(layers.Dense(64, use_bias=False)(z))
    hidden = layers.LeakyReLU()(hidden)
    logits = layers.Reshape(shape)(layers.Dense(math.prod(shape))(hidden))
    return encoder, keras.Model(z, logits)


def recurrent(shape: tuple[int, ...], k: int) -> Models:
    """Return a network that reads an image row by row and looks back at all rows by attention."""
    images, z = keras.Input(shape), keras.Input((k,))
    rows = layers.Reshape((shape[0], math.prod(shape[1:])))(images)
    read = layers.GRU(32, return_sequences=True)(rows)
    seen = layers.MultiHeadAttention(2, 16)(read, read)
    hidden = layers.GlobalAveragePooling1D()(layers.Add()([read, seen]))
    encoder = keras.Model(images, [layers.Dense(k)(hidden), layers.Dense(k)(hidden)])
    hidden = layers.GRU(32, return_sequences=True)(layers.RepeatVector(shape[0])(z))
    logits = layers.Reshape(shape)(layers.Dense(math.prod(shape[1:]))(hidden))
    return encoder, keras.Model(z, logits)


def colour(
    shape: tuple[int, ...], k: int, filters: tuple[int, ...] = (32, 64, 128, 256, 512)
) -> Models:
    """Return five strided convolutions and their mirror; the sides must be divisible by 32."""

    def normed(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.LeakyReLU(0.01)(layers.BatchNormalization()(x))

    images, z = keras.Input(shape), keras.Input((k,))
    hidden = images
    for n_filters in filters:
        hidden = normed(layers.Conv2D(n_filters, 3, 2, "same")(hidden))
    inner = tuple(hidden.shape[1:])
    hidden = layers.Flatten()(hidden)
    encoder = keras.Model(images, [layers.Dense(k)(hidden), layers.Dense(k)(hidden)])
    hidden = layers.Reshape(inner)(layers.Dense(math.prod(inner))(z))
    for n_filters in (*filters[-2::-1], filters[0]):
        hidden = normed(layers.Conv2DTranspose(n_filters, 3, 2, "same")(hidden))
    return encoder, keras.Model(z, layers.Conv2D(shape[-1], 3, padding="same")(hidden))
