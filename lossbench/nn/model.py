"""The models of a network: stacked, to train several at once, and plain, as Keras has them.

Both are built layer by layer from the description, and take their weights in its order.
"""

import functools
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops
from numpy.typing import NDArray

from lossbench.network import Architecture, Convolution, Layer, Network
from lossbench.nn.gradients import products, relu
from lossbench.nn.learned import LearnedParameter
from lossbench.nn.terms import Term, exponential, log_softmax

_ACTIVATIONS = {
    "linear": lambda x: x,
    "relu": relu,
    "sigmoid": ops.sigmoid,
    "exponential": exponential,
    "softmax": tf.nn.softmax,
}


def pieces_of(x: tf.Tensor, network: Architecture) -> list[tf.Tensor]:
    """Return the columns of each piece of a mixed likelihood."""
    parts: list[tf.Tensor] = tf.split(x, [piece.size for piece in network.pieces], axis=-1)
    return parts


def encoded_input(x: tf.Tensor, network: Architecture) -> tf.Tensor:
    """Return what the encoder sees of x: ln(1 + x) of counts, also beside other pieces."""
    if network.encodes_logarithm:
        return tf.math.log1p(x)
    if not any(piece.output == "exponential" for piece in network.pieces):
        return x
    return tf.concat(
        [
            tf.math.log1p(part) if piece.output == "exponential" else part
            for piece, part in zip(network.pieces, pieces_of(x, network), strict=True)
        ],
        axis=-1,
    )


def _output(network: Architecture) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return what turns a network's logits into its image."""
    if network.pieces:
        return lambda logits: tf.concat(
            [
                _ACTIVATIONS[piece.output](part)
                for piece, part in zip(network.pieces, pieces_of(logits, network), strict=True)
            ],
            axis=-1,
        )
    if network.groups:
        return lambda logits: tf.exp(log_softmax(logits, network.groups))
    return _ACTIVATIONS[network.output]


@functools.lru_cache(maxsize=64)
def initial_weights(network: Network, seed: int) -> tuple[NDArray[Any], ...]:
    """Return kernel and bias of every layer of one model.

    Kernels are Glorot uniform, biases zero. They are drawn for one member at a time: on a
    stacked shape an initializer would take the members for a part of the fan-out.
    """
    weights = (
        (_kernel(layer, _layer_seed(seed, index)), np.zeros(layer.n_biases, np.float32))
        for index, layer in enumerate(network.layers)
    )
    return tuple(itertools.chain.from_iterable(weights))


def _kernel(layer: Layer, seed: int) -> NDArray[Any]:
    return np.asarray(keras.initializers.GlorotUniform(seed=seed)(layer.kernel_shape))


def _layer_seed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1)[0] >> 1)


class StackedLayer:
    """A layer for every member of a stack; nothing couples two members.

    Input ``(members, batch, fan_in)``, kernel ``(members, *kernel_shape)``, bias
    ``(members, 1, n_biases)``, output ``(members, batch, units)``.
    """

    def __init__(self, layer: Layer, width: int, dtype: str) -> None:
        def zeros(*shape: int) -> keras.Variable:
            return keras.Variable(np.zeros(shape), dtype=dtype)

        self.kernel = zeros(width, *layer.kernel_shape)
        self.bias = zeros(width, 1, layer.n_biases)
        self._layer = layer
        self._activation = _ACTIVATIONS[layer.activation]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Return the activations of every member."""
        if isinstance(self._layer, Convolution):
            members = zip(*map(tf.unstack, (x, self.kernel.value, self.bias.value)), strict=True)
            return tf.stack([_convolved(self._layer, *each) for each in members])
        return self._activation(ops.matmul(x, self.kernel) + self.bias)


def _convolved(layer: Convolution, x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Return the activations of one member, ``(batch, units)``.

    Bias and activation are TensorFlow's own, whose gradients are the fastest where XLA does not
    compile them; nothing is cut where nothing is to be cut. Together a tenth of a step.
    """
    n_images, stride = x.shape[0], layer.stride
    images = tf.reshape(x, (n_images, *layer.image))
    if layer.crop is None:
        made = tf.nn.conv2d(images, kernel, stride, "SAME")
    else:
        height, width = (stride * side for side in layer.image[:2])
        larger = (n_images, height, width, layer.filters)
        made = tf.nn.conv2d_transpose(images, kernel, larger, stride, "SAME")
        if layer.crop != (height, width):
            made = made[:, : layer.crop[0], : layer.crop[1]]
    made = tf.nn.bias_add(made, tf.reshape(bias, [-1]))
    activation = tf.nn.relu if layer.activation == "relu" else _ACTIVATIONS[layer.activation]
    return tf.reshape(activation(made), (n_images, layer.units))


class VAE(ABC):
    """The VAEs of a stack, members on a leading axis: from x to latents, from z to R."""

    variables: Sequence[keras.Variable]
    """All that a model is: what is trained, and the state that is not."""
    trained_layers: Sequence[keras.Variable]
    """The weights that are trained."""

    def __init__(self, network: Architecture, term: Term, learned: LearnedParameter | None) -> None:
        self.network = network
        self.learned = learned
        self.image = _output(network)
        self._term = term

    @abstractmethod
    def initial(self, seed: int) -> Sequence[NDArray[Any]]:
        """Return the first value of every variable of one member."""

    @abstractmethod
    def values(self) -> list[NDArray[Any]]:
        """Return the value of every variable, each with its members on the first axis."""

    @abstractmethod
    def encode(self, x: tf.Tensor, *, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return ``z_mean`` and ``z_log_var``, each ``(members, batch, k)``."""

    @abstractmethod
    def decode(self, z: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return the logits, ``(members, batch, d)``."""

    @property
    def trained(self) -> list[keras.Variable]:
        """All that is trained: weights of layers, and a parameter of the likelihood."""
        learned = self.learned
        return [*self.trained_layers, *([learned.raw] if learned and not learned.is_fitted else [])]

    def reconstruct(self, z: tf.Tensor) -> tf.Tensor:
        """Return the decoded images, ``(members, batch, d)``."""
        return self.image(self.decode(z))

    def reconstruction(self, x: tf.Tensor, z: tf.Tensor, *, training: bool = False) -> tf.Tensor:
        """Return R per example, summed over the inputs: ``(members, batch)``."""
        decoded = self.decode(z, training=training)
        if self._term.from_both:
            return self._term.summed((decoded, self.image(decoded)), x)
        if not self._term.from_logits:
            decoded = self.image(decoded)
        if self.learned is None:
            return self._term.summed(decoded, x)
        if training:
            return self.learned.training_reconstruction(decoded, x)
        return self.learned.reconstruction(decoded, x)


class StackedVAE(VAE):
    """``width`` VAEs of one network, side by side; their weights are zero."""

    def __init__(
        self,
        network: Network,
        term: Term,
        width: int,
        dtype: str,
        learned: LearnedParameter | None = None,
    ) -> None:
        super().__init__(network, term, learned)

        def stacked(layer: Layer) -> StackedLayer:
            return StackedLayer(layer, width, dtype)

        self._encoder = [stacked(layer) for layer in network.encoder]
        self._z_mean, self._z_log_var = stacked(network.z_mean), stacked(network.z_log_var)
        self._decoder = [stacked(layer) for layer in network.decoder]
        layers = [*self._encoder, self._z_mean, self._z_log_var, *self._decoder]
        self.variables = [each for layer in layers for each in (layer.kernel, layer.bias)]
        self.trained_layers = self.variables
        self._initial = functools.partial(initial_weights, network)

    def initial(self, seed: int) -> Sequence[NDArray[Any]]:
        """Return kernel and bias of every layer."""
        return self._initial(seed)

    def values(self) -> list[NDArray[Any]]:
        """Return kernel and bias of every layer, in the order of the network."""
        return [np.asarray(variable) for variable in self.variables]

    def encode(self, x: tf.Tensor, *, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:  # noqa: ARG002
        """Return ``z_mean`` and ``z_log_var``, each ``(members, batch, k)``."""
        x = encoded_input(x, self.network)
        for layer in self._encoder:
            x = layer(x)
        z_mean, z_log_var = products(x, self._z_mean.kernel.value, self._z_log_var.kernel.value)
        return z_mean + self._z_mean.bias, z_log_var + self._z_log_var.bias

    def decode(self, z: tf.Tensor, *, training: bool = False) -> tf.Tensor:  # noqa: ARG002
        """Return the logits, ``(members, batch, d)``."""
        for layer in self._decoder:
            z = layer(z)
        return z


def plain(
    network: Network, weights: Sequence[NDArray[np.floating]]
) -> tuple[keras.Model, keras.Model]:
    """Return encoder (x -> z_mean, z_log_var) and decoder (z -> logits, image) of one model."""
    layers = []

    def apply(layer: Layer, x: keras.KerasTensor, name: str | None = None) -> keras.KerasTensor:
        if isinstance(layer, Convolution):
            x = x if x.shape[1:] == layer.image else keras.layers.Reshape(layer.image)(x)
            layers.append(_plain_convolution(layer))
            x = layers[-1](x)
            if x.shape[1:] != layer.made:
                (height, width), made = x.shape[1:3], layer.made
                x = keras.layers.Cropping2D(((0, height - made[0]), (0, width - made[1])))(x)
            return keras.layers.Flatten(name=name)(x) if name else x
        x = x if len(x.shape) == 2 else keras.layers.Flatten()(x)
        layers.append(keras.layers.Dense(layer.units, layer.activation, name=name))
        return layers[-1](x)

    h = x = keras.Input((network.d,), name="x")
    for layer in network.encoder:
        h = apply(layer, h)
    heads = [apply(network.z_mean, h, "z_mean"), apply(network.z_log_var, h, "z_log_var")]
    encoder = keras.Model(x, heads, name="encoder")

    *hidden, last = network.decoder
    h = z = keras.Input((network.k,), name="z")
    for layer in hidden:
        h = apply(layer, h)
    logits = apply(last, h, "logits")
    image = keras.layers.Activation(network.output, name="image")(logits)
    decoder = keras.Model(z, [logits, image], name="decoder")

    for built, kernel, bias in zip(layers, weights[::2], weights[1::2], strict=True):
        built.set_weights([kernel, bias.reshape(-1)])
    return encoder, decoder


def _plain_convolution(layer: Convolution) -> keras.layers.Layer:
    kind = keras.layers.Conv2DTranspose if layer.is_transposed else keras.layers.Conv2D
    return kind(layer.filters, layer.kernel_size, layer.stride, "same", activation=layer.activation)
