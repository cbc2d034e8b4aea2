"""Losses as people write them that once were told wrongly; TensorFlow and Keras."""

from typing import Any

import keras
import tensorflow as tf


def mse(x: Any, x_hat: Any) -> Any:
    return tf.reduce_mean(tf.reduce_sum((x - x_hat) ** 2, 1))


def kl(mu: Any, log_var: Any) -> Any:
    each = 0.5 * (mu**2 + tf.exp(log_var) - 1 - log_var)
    return tf.reduce_mean(tf.reduce_sum(each, 1))


def weight_of_gradient(x: Any, x_hat: Any, mu: Any, log_var: Any, w: float = 0.1) -> Any:
    k = kl(mu, log_var)
    return mse(x, x_hat) + w * k + tf.stop_gradient((1 - w) * k)


def frozen_variance(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    return mse(x, x_hat) + kl(mu, tf.stop_gradient(log_var))


def logged(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    k = kl(mu, log_var)
    return {"loss": mse(x, x_hat) + k, "kl": tf.stop_gradient(k), "epoch": "first"}


class OfKeras(keras.losses.Loss):
    """Of which Keras calls what it calls."""

    def call(self, y_true: Any, inputs: Any) -> Any:
        y_pred, z_mean, z_log_var = inputs
        return mse(y_true, y_pred) + 2 * kl(z_mean, z_log_var)


def in_half_precision(x: Any, x_hat: Any, mu: Any, log_var: Any) -> Any:
    half = [tf.cast(each, tf.float16) for each in (x, x_hat, mu, log_var)]
    return mse(*half[:2]) + kl(*half[2:])


class Tape(keras.Model):
    """A model with a training step of its own, which trains the KL a tenth."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.z_mean = keras.layers.Dense(latent_dim)
        self.z_log_var = keras.layers.Dense(latent_dim)
        self.decoder = keras.layers.Dense(12)

    def train_step(self, data: Any) -> Any:
        with tf.GradientTape() as tape:
            mu, log_var = self.z_mean(data), self.z_log_var(data)
            z = mu + tf.exp(log_var / 2) * tf.random.normal(tf.shape(mu))
            k = kl(mu, log_var)
            loss = mse(data, self.decoder(z)) + 0.1 * k + 0.9 * tf.stop_gradient(k)
        self.optimizer.apply_gradients(
            zip(
                tape.gradient(loss, self.trainable_variables),
                self.trainable_variables,
                strict=True,
            )
        )
        return {"loss": loss}


def tape(latent_dim: int) -> Tape:
    return Tape(latent_dim)
