"""Raw arrays in, checked and scaled images out; a smaller d by averaging blocks."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lossbench.errors import DataError
from lossbench.words import counted

Raw = NDArray[np.generic]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Images:
    """Checked images: rows of d pixels in [0, 1], or counts or categories; read-only.

    ``shape`` is that of one image, (H, W), (H, W, C) or (d,); ``where`` is the name that errors
    give; the numbers of the file were divided by ``divided_by``.
    """

    where: str
    shape: tuple[int, ...]
    train: Floats
    test: Floats
    divided_by: float = 1.0

    @property
    def d(self) -> int:
        """The number of pixels of an image, as it came."""
        return int(self.train.shape[1])

    @property
    def possible_d(self) -> tuple[int, ...]:
        """Every d that these images can be given at, the largest first."""
        side = self.shape[0]
        if self.shape != (side, side):
            return (self.d,)
        return tuple((side // block) ** 2 for block in range(1, side + 1) if side % block == 0)

    def at(self, d: int) -> "Images":
        """Return the images at ``d`` pixels, each the average of a whole block.

        Raises DataError when the blocks of no size give ``d``, or give constant data.
        """
        if d == self.d:
            return self
        if d not in self.possible_d:
            raise DataError(
                f"the images cannot be given at d = {d}",
                where=self.where,
                expected=f"d = {' or '.join(map(str, self.possible_d))}",
                received=f"d = {d}",
                remedy="leave d out for the images as they are; only square grey images can be "
                "made smaller, by averaging blocks that divide their side",
            )
        side = math.isqrt(d)
        train, test = _averaged(self.train, side), _averaged(self.test, side)
        return _frozen(
            Images(f"{self.where} at d = {d}", (side, side), train, test, self.divided_by)
        )


def split(images: Raw) -> tuple[Raw, Raw]:
    """Return the first 80% (rounded down) and the rest of a permutation fixed by seed 0."""
    order = np.random.default_rng(0).permutation(len(images))
    n_train = 4 * len(images) // 5
    return images[order[:n_train]], images[order[n_train:]]


def checked(train: Raw, test: Raw | None, where: str, *, flat: bool = False) -> Images:
    """Return raw arrays, (n, d), (n, H, W) or (n, H, W, C), as images in [0, 1].

    Without ``test``, ``train`` is split 80 / 20. Unsigned integers of 8 and 16 bits are divided by
    the largest value of their type (255, 65535); other integers by the largest value present in
    both arrays. Floats must lie in [0, 1] and are left as they are. Flat images whose d is a square
    count as square grey images, unless they are ``flat``: the rows of a table.

    Raises DataError for a shape, a type or values that break these rules, for fewer than 2 training
    images or 1 test image, and when every training image is the same.
    """
    shape = _image_shape(train, where)
    if test is None:
        train, test = split(train)
    elif (test_shape := _image_shape(test, where)) != shape or test.dtype != train.dtype:
        raise DataError(
            "the test images are not like the training images",
            where=where,
            expected=f"test images of shape {shape} and type {train.dtype}",
            received=f"shape {test_shape} and type {test.dtype}",
            remedy="save both arrays with one image shape and one type",
        )
    if len(train) < 2 or len(test) < 1:
        raise DataError(
            "there are too few images",
            where=where,
            expected="at least 2 training images and 1 test image",
            received=f"{len(train)} and {len(test)}",
            remedy="give more images; a single array is split 80 / 20",
        )
    largest = _largest(train, test, where)
    shape = train.shape[1:] if flat else shape
    return _frozen(Images(where, shape, _scaled(train, largest), _scaled(test, largest), largest))


def unscaled(rows: Raw, shape: tuple[int, ...], where: str) -> Images:
    """Return rows of counts or categories ``(n, d)`` as they are, split 80 / 20."""
    train, test = (np.ascontiguousarray(part, dtype=np.float32) for part in split(rows))
    return _frozen(Images(where, shape, train, test))


def _image_shape(images: Raw, where: str) -> tuple[int, ...]:
    if images.ndim not in (2, 3, 4):
        raise DataError(
            "the array does not hold images",
            where=where,
            expected="shape (n, d), (n, H, W) or (n, H, W, C)",
            received=f"shape {images.shape}",
            remedy="reshape the array; a file of labels is not a file of images",
        )
    shape = images.shape[1:]
    if len(shape) == 3 and shape[2] == 1:
        return shape[:2]
    if len(shape) == 1 and math.isqrt(shape[0]) ** 2 == shape[0]:
        return (math.isqrt(shape[0]),) * 2
    return shape


def _largest(train: Raw, test: Raw, where: str) -> float:
    """Return the value that stands for white; the two arrays have one type."""
    lowest = min(float(train.min()), float(test.min()))
    highest = max(float(train.max()), float(test.max()))
    kind = train.dtype.kind
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        n_bad = sum(int(np.count_nonzero(~np.isfinite(x))) for x in (train, test))
        are = "is" if n_bad == 1 else "are"
        raise DataError(
            "the data has values that are not finite",
            where=where,
            expected="every value in [0, 1]",
            received=f"{counted(n_bad, 'value')} that {are} NaN or infinite",
            remedy="replace or leave out these values",
        )
    if lowest < 0 or (kind == "f" and highest > 1):
        raise DataError(
            "the data has values that are out of range",
            where=where,
            expected="floats in [0, 1], or integers from 0",
            received=f"{train.dtype} from {lowest:g} to {highest:g}",
            remedy="scale the data to [0, 1] and save it as float32",
        )
    if kind in "bf":
        return 1.0
    if kind == "i" or train.dtype.itemsize > 2:
        return max(highest, 1.0)
    white = 2.0 ** (8 * train.dtype.itemsize) - 1
    if highest == 1:
        raise DataError(
            "the data looks binary, and would be divided by the largest value of its type",
            where=where,
            expected=f"{train.dtype} up to {white:g}, or bool for black and white",
            received=f"{train.dtype} from 0 to 1",
            remedy="save it as bool or as float32",
        )
    return white


def _scaled(images: Raw, largest: float) -> Floats:
    rows = images.reshape(len(images), -1)
    return np.ascontiguousarray(np.divide(rows, largest, dtype=np.float32, casting="unsafe"))


def _averaged(rows: Floats, side: int) -> Floats:
    n, d = rows.shape
    block = math.isqrt(d) // side
    blocks = rows.reshape(n, side, block, side, block)
    # Summed in double precision, so that the result does not depend on the order of the sum.
    averages: Floats = blocks.mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return averages.reshape(n, side * side)


def _frozen(images: Images) -> Images:
    """Refuse constant data, and make the arrays read-only: they are shared by every caller."""
    if np.array_equal(images.train.min(axis=0), images.train.max(axis=0)):
        raise DataError(
            "the data is constant: every training image is the same",
            where=images.where,
            expected="training images that differ",
            received=f"{counted(len(images.train), 'image')} equal to the first",
            remedy="give other images, or a larger d where they were averaged",
        )
    images.train.setflags(write=False)
    images.test.setflags(write=False)
    return images
