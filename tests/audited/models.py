"""Keras models whose losses are inside: one of each kind, as the documentation writes them."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers, ops


class Sampling(layers.Layer):
    """Draws z from z_mean and z_log_var."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seed_generator = keras.random.SeedGenerator(1337)

    def call(self, inputs: Any) -> Any:
        """Return one sample a row."""
        z_mean, z_log_var = inputs
        noise = keras.random.normal(ops.shape(z_mean), seed=self.seed_generator)
        return z_mean + ops.exp(0.5 * z_log_var) * noise


class Encoder(layers.Layer):
    """Maps images to (z_mean, z_log_var, z)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="encoder")
        self.dense_proj = layers.Dense(8, activation="relu")
        self.dense_mean = layers.Dense(latent_dim)
        self.dense_log_var = layers.Dense(latent_dim)
        self.sampling = Sampling()

    def call(self, inputs: Any) -> Any:
        """Return the latents."""
        x = self.dense_proj(inputs)
        z_mean, z_log_var = self.dense_mean(x), self.dense_log_var(x)
        return z_mean, z_log_var, self.sampling((z_mean, z_log_var))


class WithAddLoss(keras.Model):
    """The developer guide's: mean squared error from ``compile``, the KL from ``add_loss``."""

    def __init__(self, original_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.encoder = Encoder(latent_dim)
        self.decoder = keras.Sequential(
            [layers.Dense(8, activation="relu"), layers.Dense(original_dim, activation="sigmoid")]
        )

    def call(self, inputs: Any) -> Any:
        """Return the reconstruction."""
        z_mean, z_log_var, z = self.encoder(inputs)
        kl = -0.5 * ops.mean(z_log_var - ops.square(z_mean) - ops.exp(z_log_var) + 1)
        self.add_loss(kl)
        return self.decoder(z)


def build_guide(original_dim: int = 784, latent_dim: int = 32) -> keras.Model:
    vae = WithAddLoss(original_dim, latent_dim)
    vae.compile(optimizer="adam", loss=keras.losses.MeanSquaredError())
    return vae


class WithTrainStep(keras.Model):
    """The convolutional example's: everything in a custom ``train_step``."""

    def __init__(self, encoder: keras.Model, decoder: keras.Model) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.total_loss_tracker = keras.metrics.Mean(name="total_loss")

    def train_step(self, data: Any) -> Any:
        """Descend the summed cross-entropy plus the summed KL."""
        with tf.GradientTape() as tape:
            z_mean, z_log_var, z = self.encoder(data)
            reconstruction = self.decoder(z)
            bce = keras.losses.binary_crossentropy(data, reconstruction)
            kl = -0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var))
            total = ops.mean(ops.sum(bce, axis=(1, 2))) + ops.mean(ops.sum(kl, axis=1))
        gradients = tape.gradient(total, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.total_loss_tracker.update_state(total)
        return {"loss": self.total_loss_tracker.result()}


def build_convolutional() -> keras.Model:
    images = keras.Input((28, 28, 1))
    x = layers.Flatten()(layers.Conv2D(2, 3, strides=4, padding="same")(images))
    z_mean = layers.Dense(2, name="z_mean")(x)
    z_log_var = layers.Dense(2, name="z_log_var")(x)
    encoder = keras.Model(images, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])])
    codes = keras.Input((2,))
    x = layers.Reshape((28, 28, 1))(layers.Dense(784, activation="sigmoid")(codes))
    vae = WithTrainStep(encoder, keras.Model(codes, x, name="decoder"))
    vae.compile(optimizer="adam")
    return vae


def keras_blog(x: Any, x_decoded_mean: Any, z_mean: Any, z_log_sigma: Any) -> Any:
    bce = keras.losses.binary_crossentropy(x, x_decoded_mean)
    kl = -0.5 * ops.mean(1 + z_log_sigma - ops.square(z_mean) - ops.exp(z_log_sigma), axis=-1)
    return bce + kl


def _with_add_loss(d: int, hidden: int, k: int) -> Any:
    """Return a functional model, its encoder and its decoder; both terms are means."""
    images = keras.Input((d,))
    h = layers.Dense(hidden, activation="relu")(images)
    z_mean, z_log_var = layers.Dense(k, name="z_mean")(h), layers.Dense(k, name="z_log_var")(h)
    encoder = keras.Model(images, [z_mean, z_log_var, Sampling()([z_mean, z_log_var])])
    codes = keras.Input((k,))
    decoder = keras.Model(codes, layers.Dense(d)(layers.Dense(hidden)(codes)), name="decoder")

    class Vae(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = encoder, decoder

        def call(self, inputs: Any) -> Any:
            z_mean, z_log_var, z = self.encoder(inputs)
            kl = 0.5 * (ops.square(z_mean) + ops.exp(z_log_var) - 1 - z_log_var)
            self.add_loss(ops.mean(kl))
            return self.decoder(z)

    vae = Vae()
    vae.compile(optimizer="adam", loss="mse")
    return vae, encoder, decoder


class Pass(layers.Layer):
    """Adds the KL of the pair of latents that it hands on."""

    def call(self, inputs: Any) -> Any:
        mu, log_var = inputs
        kl = 0.5 * ops.sum(ops.square(mu) + ops.exp(log_var) - 1 - log_var, axis=-1)
        self.add_loss(ops.mean(kl))
        return inputs


class Both(layers.Layer):
    """Adds both terms, and hands the reconstruction on."""

    def call(self, inputs: Any) -> Any:
        images, drawn, mu, log_var = inputs
        kl = 0.5 * ops.mean(ops.square(mu) + ops.exp(log_var) - 1 - log_var)
        self.add_loss(ops.mean(ops.sum(ops.square(images - drawn), axis=-1)) + kl)
        return drawn


def build_with_a_layer(columns: int, code_size: int) -> Any:
    """Return models by name, the loss in a layer behind everything."""
    images = keras.Input((columns,))
    h = layers.Dense(5)(images)
    mu, log_var = layers.Dense(code_size)(h), layers.Dense(code_size)(h)
    codes = keras.Input((code_size,))
    inner = keras.Model(codes, layers.Dense(columns)(codes))
    drawn = Both()([images, inner(Sampling()([mu, log_var])), mu, log_var])
    return {"encoder": keras.Model(images, [mu, log_var]), "vae": keras.Model(images, drawn)}


def build_in_one(n_features: int, n_latent: int, start: str = "glorot_uniform") -> Any:
    """Return one functional model of unnamed layers; the KL is a layer's, the rest compiled."""
    images = keras.Input((n_features,))
    h = layers.Dense(n_latent, activation="relu", kernel_initializer=start)(images)
    mu, log_var = Pass()([layers.Dense(n_latent)(h), layers.Dense(n_latent)(h)])
    drawn = layers.Dense(n_features)(layers.Dense(6)(Sampling()([mu, log_var])))
    vae = keras.Model(images, drawn)
    vae.compile(optimizer="adam", loss="mse")
    return vae


fixed = _with_add_loss(12, 8, 5)[0]


def build_several(input_shape: Any = (784,), hidden: Any = None, *, n_z: int = 2) -> Any:
    return _with_add_loss(input_shape[0], hidden, n_z)
