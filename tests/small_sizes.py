"""Small sizes of the benchmark, one for each kind of network that it has."""

from dataclasses import replace

from bench.size import SIZES, Size, colour
from lossbench.network import conv, keras_io_conv

IMAGES = 6
SMALL = (
    SIZES[0],
    Size("conv", conv((8, 4, 3), 2, (4, 6), 3, (5,), "sigmoid"), {}, IMAGES, 1, 1, (1,)),
    Size("keras-io", keras_io_conv((8, 4, 1), 2, "sigmoid"), {}, IMAGES, 1, 1, (1,)),
    replace(colour(8, 2, (4, 6)), n_images=IMAGES, is_normalised=False),
)
