"""The network of a VAE, described without the library that trains it.

Its layers stand in the order of their weights, kernel before bias. How many weights there are,
whether the network is linear, the stacked model and the plain Keras model (``nn/model.py``) all
follow from the description. Another kind of layer is another record that answers what ``Dense``
answers.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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
    def n_parameters(self) -> int:
        """Weights and biases."""
        return (self.fan_in + 1) * self.units


@dataclass(frozen=True)
class Network:
    """A VAE: ``encoder`` and two heads, and ``decoder``, whose last layer gives the logits.

    Both heads see what the encoder gives; without layers it gives x. An image is ``output`` of
    its logits: a softmax over each group of so many columns as ``groups`` says, or that of each
    of the ``pieces``. Where it ``encodes_logarithm`` the encoder sees ln(1 + x).
    """

    encoder: tuple[Dense, ...]
    z_mean: Dense
    z_log_var: Dense
    decoder: tuple[Dense, ...]
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
    def layers(self) -> tuple[Dense, ...]:
        """Every layer, in the order of the weights."""
        return (*self.encoder, self.z_mean, self.z_log_var, *self.decoder)

    @property
    def n_parameters(self) -> int:
        """The number of weights and biases."""
        return sum(layer.n_parameters for layer in self.layers)

    @property
    def is_linear(self) -> bool:
        """Whether nothing bends on the way from x to ``z_mean``, and from z to the image."""
        activations = (*(layer.activation for layer in self.layers), self.output)
        straight = all(activation == "linear" for activation in activations)
        return straight and not self.encodes_logarithm


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


def _relu_layers(sizes: Sequence[int]) -> tuple[Dense, ...]:
    return tuple(Dense(fan_in, units, "relu") for fan_in, units in itertools.pairwise(sizes))
