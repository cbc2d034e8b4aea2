"""The networks that are timed, the images that they see and the operations that they take.

Every way builds its model from the description that lossbench has of it, so a size is one entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossbench.network import (
    Convolution,
    Dense,
    Layer,
    Network,
    dense,
    doubled,
    keras_io_conv,
    strided,
)

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
_NETS = Path(__file__).parent.parent / "nets.py"


@dataclass(frozen=True)
class Size:
    """One network and its images.

    ``settings`` are what lossbench is asked for; ``n_images`` an epoch, whole batches; ``epochs``
    that lossbench is timed for; ``usual_width`` and ``widths``: how many models JAX trains side by
    side, and is tried with. Where it ``is_normalised``, batch normalisation and a leaky ReLU stand
    in place of the ReLU of every convolution.
    """

    name: str
    network: Network
    settings: Mapping[str, str]
    n_images: int
    epochs: int
    usual_width: int
    widths: tuple[int, ...]
    is_normalised: bool = False

    @property
    def d(self) -> int:
        """The number of inputs."""
        return self.network.d

    @property
    def k(self) -> int:
        """The number of latents."""
        return self.network.k

    @property
    def image(self) -> tuple[int, ...]:
        """The shape of what the network sees: ``(d,)``, or height, width and channels."""
        first = self.network.encoder[0]
        return first.image if isinstance(first, Convolution) else (self.d,)

    @property
    def facts(self) -> Mapping[str, str]:
        """What tells it from the others in the table."""
        told = {"network": "dense", "hidden": ""} | dict(self.settings)
        return {
            "d": str(self.d),
            "hidden": told["hidden"],
            "k": str(self.k),
            "network": Path(told["network"]).name,
        }

    @property
    def title(self) -> str:
        """What it is called in figure and README."""
        if len(self.image) == 1:
            return f"d {self.d}, hidden {self.facts['hidden']}, k {self.k}"
        return f"{self.name}, {'x'.join(map(str, self.image))}, k {self.k}"

    @property
    def n_steps(self) -> int:
        """Steps an epoch."""
        return self.n_images // BATCH_SIZE

    @property
    def n_parameters(self) -> int:
        """Weights and biases, with scale and offset of what is normalised."""
        normalised = (layer for layer in self.network.layers if self.normalises(layer))
        return self.network.n_parameters + sum(2 * layer.n_biases for layer in normalised)

    @property
    def operations_per_epoch(self) -> int:
        """Additions and multiplications of one model's matrix products in an epoch."""
        return self.n_images * operations_per_image(self.network)

    def normalises(self, layer: Layer) -> bool:
        """Tell whether batch normalisation and a leaky ReLU follow a layer."""
        return self.is_normalised and isinstance(layer, Convolution) and layer.activation == "relu"

    def images(self) -> NDArray[np.float32]:
        """Return the images that every way trains on, ``(n_images, *image)`` in [0, 1]."""
        shape = (self.n_images, *self.image)
        return np.random.default_rng(0).random(shape, dtype=np.float32)


def operations_per_image(network: Network) -> int:
    """Return the additions and multiplications in the products of one training step.

    A layer takes as many for the gradient of its kernel as forward, and as many for that of its
    inputs, which the first one does not need.
    """
    return 6 * sum(map(_products, network.layers)) - 2 * _products(network.layers[0])


def _products(layer: Layer) -> int:
    """Return the multiplications of a layer for one example, those of zeros at a border too."""
    if not isinstance(layer, Convolution):
        return layer.fan_in * layer.units
    height, width, _ = layer.image if layer.is_transposed else layer.made
    return height * width * layer.kernel_size**2 * layer.image[2] * layer.filters


def _dense(d: int, hidden: int, k: int, *timed: int, widths: tuple[int, ...]) -> Size:
    network = dense(d, k, (hidden,), "sigmoid")
    return Size(f"{d}x{hidden}", network, {"hidden": str(hidden)}, *timed, widths)


def _colour(side: int, k: int, filters: tuple[int, ...]) -> Network:
    """Return what ``colour`` of ``experiments/nets.py`` builds, but for what normalises it."""
    down = strided((side, side, 3), filters, 3)
    up = doubled(None, down[-1].made, (*filters[-2::-1], filters[0]), 3)
    head = Dense(down[-1].units, k)
    decoder = (Dense(k, down[-1].units), *up, Convolution(up[-1].made, 3, 3, 1))
    return Network(down, head, head, decoder, "sigmoid")


def colour(side: int, k: int, filters: tuple[int, ...] = (32, 64, 128, 256, 512)) -> Size:
    """Return the colour net of ``experiments/nets.py``; the side must be divisible by 32."""
    return Size(
        name="colour",
        network=_colour(side, k, filters),
        settings={"network": f"{_NETS}:colour"},
        n_images=256,
        epochs=8,
        usual_width=1,
        widths=(1,),
        is_normalised=True,
    )


SIZES = (
    _dense(64, 64, 2, 1408, 320, 64, widths=(8, 16, 32)),
    _dense(196, 128, 2, 6400, 48, 8, widths=(1, 2, 4)),
    _dense(784, 512, 2, 12800, 4, 1, widths=(1, 2)),
    _dense(784, 400, 20, 12800, 4, 1, widths=(1, 2)),
    Size(
        name="keras-io-conv",
        network=keras_io_conv((28, 28, 1), 2, "sigmoid"),
        settings={"network": "keras-io-conv"},
        n_images=1280,
        epochs=16,
        usual_width=1,
        widths=(1, 2),
    ),
    colour(64, 128),
)
