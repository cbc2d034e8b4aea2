"""The images that scikit-learn carries: handwritten digits, and patches of two photographs.

Their files are read where scikit-learn lies, without importing it, which takes longer than all else
that a finished sweep has to do.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossbench.data.images import Source, checked
from lossbench.errors import DataError

_PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # each 427 rows by 640 columns
_BORDER = 512  # the first column of the right 20%
_N_TRAIN, _N_TEST = 6_000, 1_500
_SIDES = range(2, 65)


@lru_cache(maxsize=1)
def digits() -> Source:
    """Return scikit-learn's 1,797 digits of 8 x 8, divided by 16, split 1,437 / 360."""
    return checked(_sixteenths() / 16, None, "digits")


@lru_cache(maxsize=1)
def digits_counts() -> Source:
    """Return the digits as the counts of dark points that they are: 0 to 16 in 64 pixels."""
    return checked(_sixteenths().astype(np.int64), None, "digits_counts")


@lru_cache(maxsize=1)
def digits_levels() -> Source:
    """Return the digits at 4 x 4 in four levels of grey, one-hot: 16 groups of 4 columns.

    A level has a quarter of the range, and the uppermost the full black, too.
    """
    means = _sixteenths().reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)).reshape(-1, 16)
    levels = np.minimum(means // 4, 3).astype(int)
    columns = [f"pixel {pixel} level {level}" for pixel in range(1, 17) for level in range(1, 5)]
    return checked(np.eye(4, dtype=bool)[levels].reshape(-1, 64), None, "digits_levels", columns)


@lru_cache(maxsize=1)
def digits_enlarged() -> Source:
    """Return the digits at 28 x 28, linear between their pixels, in 256 levels of grey.

    In integers, so that no rounding depends on the machine.
    """
    pixels, places = np.arange(8), np.clip(4 * np.arange(28) - 5, 0, 7 * 14)  # in 14ths of a pixel
    nearness = np.maximum(0, 14 - abs(places[:, None] - 14 * pixels))
    of_black = nearness @ _sixteenths().astype(int).reshape(-1, 8, 8) @ nearness.T
    black = 16 * 14 * 14
    levels = (255 * of_black + black // 2) // black
    return checked(levels.astype(np.uint8), None, "digits_enlarged")


@lru_cache(maxsize=1)
def breast_cancer() -> Source:
    """Return scikit-learn's 569 breast tumours: 30 columns of very different units, as they are."""
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415 - it takes a second

    return _table(load_breast_cancer(), "breast_cancer")


@lru_cache(maxsize=1)
def wine() -> Source:
    """Return scikit-learn's 178 wines: 13 columns of very different units, as they are."""
    from sklearn.datasets import load_wine  # noqa: PLC0415 - it takes a second

    return _table(load_wine(), "wine")


def _table(loaded: Any, name: str) -> Source:
    return checked(loaded.data, None, name, list(map(str, loaded.feature_names)))


@lru_cache(maxsize=1)
def _sixteenths() -> NDArray[np.float32]:
    """Return the pixels of the digits, (1797, 64), from 0 to 16."""
    path = _scikit_learn() / "data" / "digits.csv.gz"
    if path.is_file():
        return np.loadtxt(path, delimiter=",", dtype=np.float32, usecols=range(64))
    # laid out in another way: ask scikit-learn itself
    from sklearn.datasets import load_digits  # noqa: PLC0415

    pixels: NDArray[np.float32] = load_digits().data.astype(np.float32)
    return pixels


def patches(d: int) -> Source:
    """Return 6,000 + 1,500 windows of p x p, d = p * p, from scikit-learn's two photographs.

    The photographs are made grey by ITU-R 601 (0.299 R + 0.587 G + 0.114 B, rounded to 8 bits).
    They take turns. Training windows lie in the left 512 columns, test windows in the right 128, at
    positions drawn by ``default_rng([0, p])``; the halves differ in brightness.

    Raises DataError unless p is an integer from 2 to 64.
    """
    return _cut("patches", d, n_channels=1)


def patches_rgb(d: int) -> Source:
    """Return the windows of ``patches`` in colour: p x p x 3, d = 3 * p * p."""
    return _cut("patches_rgb", d, n_channels=3)


def _cut(name: str, d: int, *, n_channels: int) -> Source:
    side = next((p for p in _SIDES if n_channels * p * p == d), None)
    if side is None:
        times = "3 * " if n_channels == 3 else ""
        raise DataError(
            f"{name} cannot be cut at d = {d}",
            where=name,
            expected=f"d = {times}p * p with an integer p from {_SIDES[0]} to {_SIDES[-1]}",
            received=f"d = {d}",
            remedy=f"take d = {_nearest(d, n_channels)}",
        )
    photographs = _photographs("RGB" if n_channels == 3 else "L")
    rng = np.random.default_rng([0, side])
    train = _windows(photographs[:, :, :_BORDER], side, _N_TRAIN, rng)
    test = _windows(photographs[:, :, _BORDER:], side, _N_TEST, rng)
    return checked(train, test, name)


def _nearest(d: int, n_channels: int) -> int:
    return min((n_channels * p * p for p in _SIDES), key=lambda size: abs(size - d))


def _windows(
    photographs: NDArray[np.uint8], side: int, n: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return ``n`` windows, (n, side, side, ...), that lie wholly inside ``photographs``."""
    windows = np.lib.stride_tricks.sliding_window_view(photographs, (side, side), axis=(1, 2))
    rows = rng.integers(windows.shape[1], size=n)
    columns = rng.integers(windows.shape[2], size=n)
    found = windows[np.arange(n) % len(photographs), rows, columns]
    return found if photographs.ndim == 3 else np.moveaxis(found, 1, -1)


@lru_cache(maxsize=2)
def _photographs(mode: str) -> NDArray[np.uint8]:
    """Return the photographs, grey (2, 427, 640) or in colour (2, 427, 640, 3)."""
    from PIL import Image  # noqa: PLC0415 - only patches need it

    folder = _scikit_learn() / "images"
    read = []
    for name in _PHOTOGRAPHS:
        try:
            with Image.open(folder / name) as photograph:
                read.append(np.asarray(photograph.convert(mode)))
        except OSError as problem:
            raise DataError(
                "a photograph of scikit-learn cannot be read",
                where=str(folder / name),
                expected="the photographs that scikit-learn is installed with",
                received=str(problem),
                remedy="install scikit-learn again",
            ) from problem
    return np.stack(read)


def _scikit_learn() -> Path:
    """Return the folder of scikit-learn's datasets, without importing it."""
    spec = find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "scikit-learn is not installed",
            where="digits and patches",
            expected="scikit-learn, which carries these images",
            received="no such package",
            remedy="pip install scikit-learn",
        )
    return Path(next(iter(spec.submodule_search_locations))) / "datasets"
