"""The network of a VAE, described without the library that trains it.

Its layers stand in the order of their weights, kernel before bias. How many weights there are,
whether the network is linear, the stacked model and the plain Keras model (``nn/model.py``) all
follow from the description. Another kind of layer is another record that answers what ``Dense``
answers: every layer takes a row of ``fan_in`` numbers and gives a row of ``units``.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

NetworkName = Literal["dense", "conv", "keras-io-conv"]
# The settings that mean something for each network.
OWN_LAYERS: Mapping[NetworkName, tuple[str, ...]] = {
    "dense": ("hidden",),
    "conv": ("hidden", "filters", "kernel_size"),
    "keras-io-conv": (),
}
KERAS_IO_HIDDEN = (16,)
_KERAS_IO_FILTERS, _KERAS_IO_KERNEL_SIZE = (32, 64), 3
_STRIDE = 2

Activation = Literal["linear", "relu", "sigmoid", "exponential", "softmax", "parts"]


@dataclass(frozen=True)
class Piece:
    """The columns of one part of a mixed likelihood, and what their logits go through.

    A "softmax" is over all of them; of what is "exponential" the encoder sees ln(1 + x).
    """

    output: Activation
    size: int


@dataclass(frozen=True)
class Dense:
    """``activation(x @ kernel + bias)``: kernel ``(fan_in, units)``, bias ``(units,)``."""

    fan_in: int
    units: int
    activation: Activation = "linear"

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """The shape of the weights that are multiplied with what comes in."""
        return self.fan_in, self.units

    @property
    def n_biases(self) -> int:
        """How many biases there are."""
        return self.units

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return math.prod(self.kernel_shape) + self.n_biases


@dataclass(frozen=True)
class Convolution:
    """A convolution with ``same`` padding of an ``image`` (height, width, channels) in a row.

    It takes every ``stride``-th pixel; a transposed one makes the image ``stride`` times as large
    instead, and keeps of it what ``crop`` (height, width) says.
    """

    image: tuple[int, int, int]
    filters: int
    kernel_size: int
    stride: int
    activation: Activation = "linear"
    crop: tuple[int, int] | None = None

    @property
    def is_transposed(self) -> bool:
        """Whether the image becomes larger."""
        return self.crop is not None

    @property
    def made(self) -> tuple[int, int, int]:
        """Height, width and channels of what comes out."""
        height, width = self.crop or (-(-side // self.stride) for side in self.image[:2])
        return height, width, self.filters

    @property
    def fan_in(self) -> int:
        """How many numbers come in."""
        return math.prod(self.image)

    @property
    def units(self) -> int:
        """How many numbers come out."""
        return math.prod(self.made)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Height, width and channels as Keras has them: those that come in first, or last."""
        ends = (self.image[2], self.filters)
        return self.kernel_size, self.kernel_size, *(ends[::-1] if self.is_transposed else ends)

    @property
    def n_biases(self) -> int:
        """How many biases there are."""
        return self.filters

    @property
    def n_parameters(self) -> int:
        """Weights and biases."""
        return math.prod(self.kernel_shape) + self.n_biases


Layer = Dense | Convolution


@dataclass(frozen=True)
class Network:
    """A VAE: ``encoder`` and two heads, and ``decoder``, whose last layer gives the logits.

    Both heads see what the encoder gives; without layers it gives x. An image is ``output`` of
    its logits: a softmax over each group of so many columns as ``groups`` says, or that of each
    of the ``pieces``. Where it ``encodes_logarithm`` the encoder sees ln(1 + x).
    """

    encoder: tuple[Layer, ...]
    z_mean: Dense
    z_log_var: Dense
    decoder: tuple[Layer, ...]
    output: Activation
    groups: tuple[int, ...] = ()
    pieces: tuple[Piece, ...] = ()
    encodes_logarithm: bool = False

    @property
    def d(self) -> int:
        """The number of inputs."""
        return self.decoder[-1].units

    @property
    def k(self) -> int:
        """The number of latents."""
        return self.z_mean.units

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer, in the order of the weights."""
        return (*self.encoder, self.z_mean, self.z_log_var, *self.decoder)

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def n_activations(self) -> int:
        """The number of values that all layers give for one example, x among them."""
        return self.d + sum(layer.units for layer in self.layers)

    @property
    def has_convolutions(self) -> bool:
        """Whether a layer is a convolution."""
        return any(isinstance(layer, Convolution) for layer in self.layers)

    @property
    def is_linear(self) -> bool:
        """Whether nothing bends on the way from x to ``z_mean``, and from z to the image."""
        activations = (*(layer.activation for layer in self.layers), self.output)
        straight = all(activation == "linear" for activation in activations)
        return straight and not self.encodes_logarithm


@dataclass(frozen=True)
class Built:
    """A network of the user's own: what a function of a file builds for one shape and k.

    ``name`` is that of the file and the function, ``FILE.py:FUNCTION``; the encoder takes images
    of ``shape``, (height, width, channels) or (d,). ``n_parameters`` are those that are trained.
    Where the thresholds do not hold for it, ``untold`` says why; ``ends_in`` is "sigmoid" where the
    decoder is seen to end in one. ``output``, ``groups``, ``pieces``
    and ``encodes_logarithm`` are as those of a ``Network``. ``file`` is where it was found,
    ``source`` its bytes; neither makes it another one, ``sha256`` does.
    """

    name: str
    sha256: str
    shape: tuple[int, ...]
    k: int
    n_parameters: int
    n_activations: int
    untold: str = ""
    ends_in: str = ""
    output: Activation = "linear"
    groups: tuple[int, ...] = ()
    pieces: tuple[Piece, ...] = ()
    encodes_logarithm: bool = False
    file: Path = field(default=Path(), compare=False)
    source: bytes = field(default=b"", compare=False, repr=False)

    @property
    def function(self) -> str:
        """The name of the function within its file."""
        return self.name.rpartition(":")[2]

    @property
    def d(self) -> int:
        """The number of inputs."""
        return math.prod(self.shape)

    @property
    def has_convolutions(self) -> bool:
        """Whether a layer may be a convolution: what is inside is not looked at."""
        return True

    @property
    def is_linear(self) -> bool:
        """Whether nothing bends, which is not known."""
        return False


Architecture = Network | Built


@functools.lru_cache(maxsize=256)
def dense(
    d: int,
    k: int,
    hidden: tuple[int, ...],
    output: Activation | Literal["values"],
    groups: tuple[int, ...] = (),
    pieces: tuple[Piece, ...] = (),
    *,
    encodes_logarithm: bool = False,
) -> Network:
    """Return a network of ReLU layers of the sizes ``hidden``, mirrored in the decoder.

    Where its image is "values" it goes through a sigmoid if there is a hidden layer.

    >>> dense(64, 2, (64,), "sigmoid").n_parameters
    8772
    >>> dense(64, 2, (), "values").is_linear
    True
    """
    encoder, decoder = (d, *hidden), (k, *reversed(hidden))
    head = Dense(encoder[-1], k)
    if output == "values":
        output = "sigmoid" if hidden else "linear"
    return Network(
        encoder=_relu_layers(encoder),
        z_mean=head,
        z_log_var=head,
        decoder=(*_relu_layers(decoder), Dense(decoder[-1], d)),
        output=output,
        groups=groups,
        pieces=pieces,
        encodes_logarithm=encodes_logarithm,
    )


@functools.lru_cache(maxsize=256)
def conv(
    image: tuple[int, ...],
    k: int,
    filters: tuple[int, ...],
    kernel_size: int,
    hidden: tuple[int, ...],
    output: Activation,
    groups: tuple[int, ...] = (),
    pieces: tuple[Piece, ...] = (),
    *,
    encodes_logarithm: bool = False,
) -> Network:
    """Return a network of strided convolutions, then of dense layers ``hidden``, mirrored.

    ``image`` is (height, width) or (height, width, channels). Every layer but the last has a ReLU.
    The decoder doubles the sides as often as the encoder halves them, and is cropped at its end.

    >>> conv((5, 7, 3), 2, (8, 16), 3, (), "sigmoid").d
    105
    """
    down = strided(image, filters, kernel_size)
    sizes = (*(down[-1].units, *hidden),)
    up = doubled(image, down[-1].made, (*filters[-2::-1], _channels(image)), kernel_size)
    head = Dense(sizes[-1], k)
    return Network(
        encoder=(*down, *_relu_layers(sizes)),
        z_mean=head,
        z_log_var=head,
        decoder=(*_relu_layers((k, *reversed(sizes))), *up),
        output=output,
        groups=groups,
        pieces=pieces,
        encodes_logarithm=encodes_logarithm,
    )


@functools.lru_cache(maxsize=256)
def keras_io_conv(
    image: tuple[int, ...],
    k: int,
    output: Activation,
    groups: tuple[int, ...] = (),
    pieces: tuple[Piece, ...] = (),
    *,
    encodes_logarithm: bool = False,
) -> Network:
    """Return the network of Keras' example, https://keras.io/examples/generative/vae/.

    Its encoder ends in a dense layer of 16, which its decoder does not mirror; its decoder ends in
    a transposed convolution that doubles nothing.

    >>> keras_io_conv((28, 28), 2, "sigmoid").n_parameters == 69_076 + 65_089
    True
    """
    down = strided(image, _KERAS_IO_FILTERS, _KERAS_IO_KERNEL_SIZE)
    inner = down[-1].made
    up = doubled(None, inner, _KERAS_IO_FILTERS[::-1], _KERAS_IO_KERNEL_SIZE)
    last = Convolution(
        *(up[-1].made, _channels(image), _KERAS_IO_KERNEL_SIZE), stride=1, crop=_sides(image)
    )
    head = Dense(KERAS_IO_HIDDEN[-1], k)
    return Network(
        encoder=(*down, *_relu_layers((down[-1].units, *KERAS_IO_HIDDEN))),
        z_mean=head,
        z_log_var=head,
        decoder=(*_relu_layers((k, math.prod(inner))), *up, last),
        output=output,
        groups=groups,
        pieces=pieces,
        encodes_logarithm=encodes_logarithm,
    )


def _sides(image: tuple[int, ...]) -> tuple[int, int]:
    return image[0], image[1]


def _channels(image: tuple[int, ...]) -> int:
    return image[2] if len(image) > 2 else 1


def strided(
    image: tuple[int, ...], filters: Sequence[int], kernel_size: int
) -> tuple[Convolution, ...]:
    """Return convolutions, each of which halves the sides."""
    layers = [
        Convolution((*_sides(image), _channels(image)), filters[0], kernel_size, _STRIDE, "relu")
    ]
    for n_filters in filters[1:]:
        layers.append(Convolution(layers[-1].made, n_filters, kernel_size, _STRIDE, "relu"))
    return tuple(layers)


def doubled(
    image: tuple[int, ...] | None,
    inner: tuple[int, int, int],
    filters: Sequence[int],
    kernel_size: int,
) -> tuple[Convolution, ...]:
    """Return transposed convolutions from ``inner`` on; the last gives ``image``, if there is one.

    What gives an image has no ReLU.
    """
    layers: list[Convolution] = []
    for number, n_filters in enumerate(filters, start=1):
        crop = (_STRIDE * inner[0], _STRIDE * inner[1])
        activation: Activation = "relu"
        if image is not None and number == len(filters):
            crop, activation = _sides(image), "linear"
        layers.append(Convolution(inner, n_filters, kernel_size, _STRIDE, activation, crop))
        inner = layers[-1].made
    return tuple(layers)


def _relu_layers(sizes: Sequence[int]) -> tuple[Dense, ...]:
    return tuple(Dense(fan_in, units, "relu") for fan_in, units in itertools.pairwise(sizes))
