"""Images and files of them; no folder of the machine's is seen."""

import gzip
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lossbench.data import Dataset, load
from lossbench.errors import DataError

PYTHON = sys.executable  # the fixture below puts a script in its place
TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"


def script(path: Path, line: str) -> str:
    """Write an executable script of one line; return its path."""
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o700)
    return str(path)


def random_images(n: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return images of random bytes, the brightest of which is white."""
    images = np.random.default_rng(seed).integers(256, size=(n, *shape), dtype=np.uint8)
    images[0].flat[0] = 255
    return images


def idx_bytes(images: NDArray[np.uint8]) -> bytes:
    """Return the bytes of an IDX file."""
    header = struct.pack(f">HBB{images.ndim}I", 0, 8, images.ndim, *images.shape)
    return header + images.tobytes()


def mnist_files(folder: Path, seed: int = 0) -> NDArray[np.uint8]:
    """Write 20 + 5 images as MNIST's files are named, and return the first 20."""
    folder.mkdir(parents=True, exist_ok=True)
    train = random_images(20, 28, 28, seed=seed)
    (folder / f"{TRAIN}.gz").write_bytes(gzip.compress(idx_bytes(train)))
    (folder / TEST).write_bytes(idx_bytes(random_images(5, 28, 28, seed=seed + 1)))
    return train


def holds(dataset: Dataset, train: NDArray[np.uint8]) -> bool:
    """Return whether a dataset trains on these images."""
    return np.array_equal(dataset.train, train.reshape(len(train), -1) / np.float32(255))


def sum_of_variances(rows: NDArray[np.float32]) -> float:
    """Return the variances of the columns, summed."""
    mean_square = np.einsum("nd,nd->", rows, rows, dtype=np.float64) / len(rows)
    return float(mean_square - (rows.mean(axis=0, dtype=np.float64) ** 2).sum())


def made(train: NDArray[np.float32]) -> Dataset:
    """Return a dataset that nobody read: the same rows for training and for testing."""
    return replace(load("digits", 64), name="made", train=train, test=train, sha256="hash")


def saved(tmp_path: Path, array: object, name: str = "images.npy") -> str:
    """Save an array; return its path."""
    np.save(tmp_path / name, np.asarray(array))
    return str(tmp_path / name)


def refusal_of(dataset: str, d: int | None = None, data_dir: Path | None = None) -> str:
    """Return the message of the DataError, every part of which must be there."""
    with pytest.raises(DataError) as caught:
        load(dataset, d, data_dir)
    error = caught.value
    assert all((error.problem, error.where, error.expected, error.received, error.remedy))
    return str(error)
