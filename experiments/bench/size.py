"""The networks that are timed, the images that they see and the operations that they take."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BATCH_SIZE = 128
LEARNING_RATE = 1e-3


@dataclass(frozen=True)
class Size:
    """One network and its images.

    ``d`` inputs, one layer of ``hidden`` units in encoder and decoder each, ``k`` latents;
    ``n_images`` an epoch, whole batches; ``epochs`` that lossbench is timed for;
    ``usual_width`` and ``widths``: how many models JAX trains side by side, and is tried with.
    """

    d: int
    hidden: int
    k: int
    n_images: int
    epochs: int
    usual_width: int
    widths: tuple[int, ...]

    @property
    def name(self) -> str:
        """How the command line names it."""
        return f"{self.d}x{self.hidden}"

    @property
    def n_steps(self) -> int:
        """Steps an epoch."""
        return self.n_images // BATCH_SIZE

    @property
    def operations_per_epoch(self) -> int:
        """Additions and multiplications of one model's matrix products in an epoch."""
        return self.n_images * operations_per_image(self.d, self.hidden, self.k)

    def images(self) -> NDArray[np.float32]:
        """Return the images that every way trains on, ``(n_images, d)`` in [0, 1]."""
        return np.random.default_rng(0).random((self.n_images, self.d), dtype=np.float32)


SIZES = (
    Size(d=64, hidden=64, k=2, n_images=1408, epochs=320, usual_width=64, widths=(8, 16, 32)),
    Size(d=196, hidden=128, k=2, n_images=6400, epochs=48, usual_width=8, widths=(1, 2, 4)),
    Size(d=784, hidden=512, k=2, n_images=12800, epochs=4, usual_width=1, widths=(1, 2)),
    Size(d=784, hidden=400, k=20, n_images=12800, epochs=4, usual_width=1, widths=(1, 2)),
)


def operations_per_image(d: int, hidden: int, k: int) -> int:
    """Return the additions and multiplications in the matrix products of one training step.

    A layer of m inputs and n units takes 2*m*n forward, as many for the gradient of its kernel
    and as many for that of its inputs, which the first layer (d inputs) does not need.
    """
    first, others = d * hidden, 2 * hidden * k + k * hidden + hidden * d
    return 4 * first + 6 * others
