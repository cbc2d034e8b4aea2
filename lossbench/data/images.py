"""Raw arrays in, checked and scaled images out; a smaller d by averaging blocks."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lossbench.data import scaling
from lossbench.data.scaling import Scaling
from lossbench.errors import DataError
from lossbench.loss import Scale
from lossbench.words import counted

Raw = NDArray[np.generic]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Source:
    """What was read: rows of d numbers, checked but for their range.

    ``shape`` is that of one image, (H, W), (H, W, C) or (d,); ``columns`` are the names of a
    table's; ``where`` is the name that errors give. ``rows`` are for each row of ``train`` and of
    ``test`` its place in what was read, from 0; they are empty where both were read as they are.
    """

    where: str
    shape: tuple[int, ...]
    train: Raw
    test: Raw
    columns: tuple[str, ...] = ()
    rows: tuple[NDArray[np.integer], ...] = ()

    @property
    def d(self) -> int:
        """The number of inputs, as they came."""
        return int(self.train.shape[1])

    @property
    def possible_d(self) -> tuple[int, ...]:
        """Every d that these images can be given at, the largest first."""
        side = self.shape[0]
        if self.shape != (side, side):
            return (self.d,)
        return tuple((side // block) ** 2 for block in range(1, side + 1) if side % block == 0)

    def column(self, place: int) -> str:
        """Return what a column, from 0, is called in an error."""
        return f"column {self.columns[place]!r}" if self.columns else f"column {place + 1}"

    def place(self, split: int, row: int, column: int) -> str:
        """Return where a value of the training (0) or the test split (1) stands."""
        if self.rows:
            where = f"row {int(self.rows[split][row]) + 1}"
        else:
            where = f"{('training', 'test')[split]} example {row + 1}"
        return f"{self.where}, {where}, {self.column(column)}"


@dataclass(frozen=True, eq=False)
class Images:
    """Rows of d numbers as they are trained on, read-only."""

    shape: tuple[int, ...]
    train: Floats
    test: Floats
    scaling: Scaling


def split(images: Raw) -> tuple[Raw, Raw]:
    """Return the first 80% (rounded down) and the rest of a permutation fixed by seed 0."""
    train, test = _split_rows(len(images))
    return images[train], images[test]


def _split_rows(n: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    order = np.random.default_rng(0).permutation(n)
    return order[: 4 * n // 5], order[4 * n // 5 :]


def checked(train: Raw, test: Raw | None, where: str, columns: Sequence[str] = ()) -> Source:
    """Return raw arrays, (n, d), (n, H, W) or (n, H, W, C), as a source.

    Without ``test``, ``train`` is split 80 / 20. Rows whose d is a square count as square grey
    images, unless they are those of a table, whose ``columns`` have names.

    Raises DataError for a shape or a type that break these rules, for values that are not finite,
    and for fewer than 2 training images or 1 test image.
    """
    shape = _image_shape(train, where)
    rows: tuple[NDArray[np.integer], ...] = ()
    if test is None:
        rows = _split_rows(len(train))
        train, test = train[rows[0]], train[rows[1]]
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
    extremes = [float(edge) for part in (train, test) for edge in (part.min(), part.max())]
    if not all(map(math.isfinite, extremes)):
        n_bad = sum(int(np.count_nonzero(~np.isfinite(x))) for x in (train, test))
        are = "is" if n_bad == 1 else "are"
        raise DataError(
            "the data has values that are not finite",
            where=where,
            expected="numbers",
            received=f"{counted(n_bad, 'value')} that {are} NaN or infinite",
            remedy="replace or leave out these values",
        )
    shape = train.shape[1:] if columns else shape
    flat = [part.reshape(len(part), -1) for part in (train, test)]
    return Source(where, shape, flat[0], flat[1], tuple(columns), rows)


def scaled(source: Source, scale: Scale, d: int | None) -> Images:
    """Return a source as it is trained on, at ``d`` inputs; None leaves the images as they came.

    ``auto``: unsigned integers of 8 and 16 bits are divided by the largest value of their type
    (255, 65535); other integers by the largest value present in both splits. Floats must lie in
    [0, 1] and are left as they are. The other scales are in ``scaling``. Under ``auto`` images are
    scaled, then averaged; else the other way round.

    Raises DataError for values that ``auto`` does not take, for a column that does not vary under
    ``standard``, when the blocks of no size give ``d``, and when all training images are the same.
    """
    d = source.d if d is None else d
    if d not in source.possible_d:
        raise DataError(
            f"the images cannot be given at d = {d}",
            where=source.where,
            expected=f"d = {' or '.join(map(str, source.possible_d))}",
            received=f"d = {d}",
            remedy="leave d out for the images as they are; only square grey images can be "
            "made smaller, by averaging blocks that divide their side",
        )
    if scale != "auto":
        return _fitted(source, scale, d)
    images = _automatic(source)
    if d == source.d:
        return images
    side = math.isqrt(d)
    train, test = _averaged(images.train, side), _averaged(images.test, side)
    return _frozen(
        replace(images, shape=(side, side), train=train, test=test), f"{source.where} at d = {d}"
    )


@lru_cache(maxsize=2)
def _automatic(source: Source) -> Images:
    by_type = scaling.divided_by("auto", _white(source))
    divisor = np.float32(by_type.factor)
    train, test = (
        np.ascontiguousarray(np.divide(x, divisor, dtype=np.float32, casting="unsafe"))
        for x in (source.train, source.test)
    )
    return _frozen(Images(source.shape, train, test, by_type), source.where)


@lru_cache(maxsize=2)
def _fitted(source: Source, scale: Scale, d: int) -> Images:
    train, test, shape = source.train, source.test, source.shape
    if d != source.d:
        shape = (math.isqrt(d),) * 2
        train, test = (_averaged(x, shape[0]) for x in (train, test))
    fitted = scaling.fit(scale, train, by_input=bool(source.columns))
    if fitted.is_by_input and not fitted.factor.all():
        _refuse_constant(source, fitted)
    images = Images(shape, fitted.of(train), fitted.of(test), fitted)
    for part in (images.train, images.test):
        if not np.isfinite(part).all():
            raise DataError(
                f"under scale = {scale} values are too large for single precision",
                where=source.where,
                expected="numbers up to 3e38",
                received="larger ones",
                remedy="scale = unit or standard",
            )
    clipped = replace(fitted, n_clipped=scaling.clipped(scale, images.test))
    return _frozen(replace(images, scaling=clipped), source.where)


def _refuse_constant(source: Source, fitted: Scaling) -> None:
    constant = np.flatnonzero(fitted.factor == 0)
    first = int(constant[0])
    name = source.columns[first] if source.columns else ""
    more = f", and so do {len(constant) - 1} more" if len(constant) > 1 else ""
    without = f"leave it out: '{source.where}:-{name}', or " if name else ""
    raise DataError(
        "an input that never varies has no standard deviation",
        where=f"{source.where}, {source.column(first)}",
        expected="under scale = standard, inputs that vary in the training split",
        received=f"it has the value {fitted.offset[first]:g} throughout{more}",
        remedy=f"{without}scale = unit",
    )


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


def _white(source: Source) -> float:
    """Return the value that stands for white under ``auto``; the two splits have one type."""
    parts = (source.train, source.test)
    lowest = min(float(part.min()) for part in parts)
    highest = max(float(part.max()) for part in parts)
    dtype = source.train.dtype
    if lowest < 0 or (dtype.kind == "f" and highest > 1):
        _refuse_range(source, f"{dtype} from {lowest:g} to {highest:g}")
    if dtype.kind in "bf":
        return 1.0
    if dtype.kind == "i" or dtype.itemsize > 2:
        return max(highest, 1.0)
    white = 2.0 ** (8 * dtype.itemsize) - 1
    if highest == 1:
        raise DataError(
            "the data looks binary, and would be divided by the largest value of its type",
            where=source.where,
            expected=f"{dtype} up to {white:g}, or bool for black and white",
            received=f"{dtype} from 0 to 1",
            remedy="save it as bool or as float32, or scale = none",
        )
    return white


def _refuse_range(source: Source, spans: str) -> None:
    """Name the first value that ``auto`` does not take, in the order of what was read."""
    is_float = source.train.dtype.kind == "f"
    found = []
    for number, part in enumerate((source.train, source.test)):
        numbers = part.astype(np.float64, copy=False)
        bad = (numbers < 0) | ((numbers > 1) & is_float)
        rows, columns = np.nonzero(bad)
        if len(rows):
            read = source.rows[number][rows] if source.rows else rows + number * len(source.train)
            first = int(np.lexsort((columns, read))[0])
            place = source.place(number, int(rows[first]), int(columns[first]))
            value = float(numbers[rows[first], columns[first]])
            found.append((int(read[first]), place, value, len(rows)))
    _, place, value, _ = min(found, key=lambda each: each[0])
    n_bad = sum(n for *_, n in found)
    raise DataError(
        "a value is out of range",
        where=place,
        expected="integers from 0, or floats in [0, 1]",
        received=f"{value:g}; {spans}, {counted(n_bad, 'value')} out of range",
        remedy="scale = unit or standard",
    )


def _averaged(rows: Raw, side: int) -> Floats:
    n, d = rows.shape
    block = math.isqrt(d) // side
    blocks = rows.reshape(n, side, block, side, block)
    # Summed in double precision, so that the result does not depend on the order of the sum.
    averages: Floats = blocks.mean(axis=(2, 4), dtype=np.float64).astype(np.float32)
    return averages.reshape(n, side * side)


def _frozen(images: Images, where: str) -> Images:
    """Refuse constant data, and make the arrays read-only: they are shared by every caller."""
    if np.array_equal(images.train.min(axis=0), images.train.max(axis=0)):
        raise DataError(
            "the data is constant: every training image is the same",
            where=where,
            expected="training images that differ",
            received=f"{counted(len(images.train), 'image')} equal to the first",
            remedy="give other images, or a larger d where they were averaged",
        )
    images.train.setflags(write=False)
    images.test.setflags(write=False)
    return images
