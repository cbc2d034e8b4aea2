"""The VAE, its two loss terms per example, and the objective they are weighed into.

z ~ N(z_mean, (noise_std * exp(z_log_var / 2))^2); R is summed over the d inputs, K over the k
latents; a member's objective is ``a * mean(R) + b * mean(K)`` over its batch.
"""

import itertools

import keras
import tensorflow as tf
from keras import ops

from lossbench.nn.gradients import cross_entropy, products, relu
from lossbench.nn.layers import StackedDense


class StackedVAE(keras.layers.Layer):
    """Several VAEs of one shape, side by side on a leading axis.

    ``d`` inputs, ``k`` latents, ReLU layers of the sizes ``hidden``, mirrored in the decoder.
    The decoder ends in the logits of a sigmoid, or in the identity for a linear ``mse`` model.
    """

    def __init__(
        self,
        d: int,
        k: int,
        hidden: tuple[int, ...],
        reconstruction_loss: str,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        self.k = k
        self.reconstruction_loss = reconstruction_loss
        self.sigmoid_output = bool(hidden) or reconstruction_loss == "bce"
        self.encoder = [StackedDense(units, relu, dtype=dtype) for units in hidden]
        self.z_mean = StackedDense(k, dtype=dtype)
        self.z_log_var = StackedDense(k, dtype=dtype)
        self.decoder = [StackedDense(units, relu, dtype=dtype) for units in reversed(hidden)]
        self.output_layer = StackedDense(d, dtype=dtype)
        encoder, decoder = (d, *hidden), (k, *reversed(hidden), d)
        self.shapes = (
            *itertools.pairwise(encoder),
            (encoder[-1], k),
            (encoder[-1], k),
            *itertools.pairwise(decoder),
        )

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create every weight, in the order of ``shapes``."""
        members, batch, _ = input_shape
        for layer, (fan_in, _) in zip(self.dense_layers, self.shapes, strict=True):
            layer.build((members, batch, fan_in))

    @property
    def dense_layers(self) -> list[StackedDense]:
        """Every dense layer, in the order of ``shapes``."""
        return [*self.encoder, self.z_mean, self.z_log_var, *self.decoder, self.output_layer]

    def encode(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return ``z_mean`` and ``z_log_var``, each ``(members, batch, k)``."""
        for layer in self.encoder:
            x = layer(x)
        z_mean, z_log_var = products(x, self.z_mean.kernel.value, self.z_log_var.kernel.value)
        return z_mean + self.z_mean.bias, z_log_var + self.z_log_var.bias

    def decode(self, z: tf.Tensor) -> tf.Tensor:
        """Return the decoder's last layer before its sigmoid, ``(members, batch, d)``."""
        for layer in self.decoder:
            z = layer(z)
        return self.output_layer(z)

    def reconstruct(self, z: tf.Tensor) -> tf.Tensor:
        """Return the decoded images, ``(members, batch, d)``."""
        decoded = self.decode(z)
        return ops.sigmoid(decoded) if self.sigmoid_output else decoded

    def reconstruction(self, x: tf.Tensor, z: tf.Tensor) -> tf.Tensor:
        """Return R per example, summed over the inputs: ``(members, batch)``."""
        if self.reconstruction_loss == "bce":
            return cross_entropy(self.decode(z), x)
        return ops.sum(ops.square(x - self.reconstruct(z)), axis=-1)


def kl(z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Return K per example, KL(N(z_mean, exp(z_log_var)) || N(0, I)) summed over the latents.

    Kingma and Welling, Auto-Encoding Variational Bayes (2014), appendix B.
    """
    return -0.5 * ops.sum(1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var), axis=-1)


def sample(
    z_mean: tf.Tensor, z_log_var: tf.Tensor, noise: tf.Tensor, noise_std: float
) -> tf.Tensor:
    """Return z for standard normal ``noise`` of the shape of ``z_mean``."""
    return z_mean + noise_std * ops.exp(0.5 * z_log_var) * noise
