"""The door: a dataset's name or path and a d in, arrays and their hash out."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lossbench.data import files, folders, mnist, sources, tables
from lossbench.data.images import Images, Source, checked, scaled
from lossbench.data.scaling import Scaling
from lossbench.errors import DataError, did_you_mean
from lossbench.loss import Scale

_IN_SCIKIT_LEARN = {
    "digits": sources.digits,
    "digits_counts": sources.digits_counts,
    "digits_levels": sources.digits_levels,
    "digits_enlarged": sources.digits_enlarged,
    "breast_cancer": sources.breast_cancer,
    "wine": sources.wine,
}
_CUT = {"patches": (sources.patches, 64), "patches_rgb": (sources.patches_rgb, 192)}
BUILT_IN: tuple[str, ...] = (*_IN_SCIKIT_LEARN, *_CUT, "mnist", "fashion_mnist")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images, or rows of a table, as rows of d numbers, split into training and test examples.

    ``train`` is (n_train, d), ``test`` is (n_test, d); both are C-contiguous and read-only.
    ``sha256`` is over the shapes and the bytes (little-endian float32) of both.
    ``shape`` is that of one image, (d,) where it is none; ``scaling`` is what was done to the
    numbers that were read from ``source``.
    """

    name: str
    train: NDArray[np.float32]
    test: NDArray[np.float32]
    sha256: str
    shape: tuple[int, ...]
    scaling: Scaling
    source: Source

    @property
    def d(self) -> int:
        """The number of pixels of an image."""
        return int(self.train.shape[1])

    def rescaled(self, scale: Scale) -> "Dataset":
        """Return the same data under another scale; raises DataError as ``load`` does."""
        return (
            self if scale == self.scaling.scale else _dataset(self.name, self.source, scale, self.d)
        )


def load(
    dataset: str,
    d: int | None,
    data_dir: Path | None = None,
    scale: Scale = "auto",
) -> Dataset:
    """Return a dataset at ``d`` pixels, scaled; None leaves the images as they are.

    ``dataset`` is one of BUILT_IN or the path of an ``.npz``, ``.npy``, ``.csv``, ``.tsv`` or IDX
    file or of a folder of images; ``data_dir`` is where the files of ``mnist`` and
    ``fashion_mnist`` are looked for first. A smaller d is the average over whole blocks of a square
    grey image; ``patches`` are cut at d.

    Raises DataError when the data is unknown, missing, damaged, unfit, or cannot be given at ``d``.
    """
    return _dataset(dataset, _source(dataset, d, data_dir), scale, d)


def _dataset(dataset: str, source: Source, scale: Scale, d: int | None) -> Dataset:
    images = scaled(source, scale, d)
    return Dataset(
        *(dataset, images.train, images.test, _sha256(images), images.shape),
        scaling=images.scaling,
        source=source,
    )


def load_or_as_it_is(
    dataset: str, d: int | None, data_dir: Path | None = None, scale: Scale = "auto"
) -> Dataset:
    """Return what ``load`` does; where the scale does not take the numbers, them as they are."""
    try:
        return load(dataset, d, data_dir, scale)
    except DataError as error:
        try:
            return load(dataset, d, data_dir, "none")
        except DataError:
            raise error from None


def native_sizes(dataset: str, data_dir: Path | None = None) -> tuple[int, int, tuple[str, ...]]:
    """Return the d that ``load`` gives when none is asked for, and the number of training images.

    Behind them stand the names of a table's columns. Raises DataError as ``load`` does.
    """
    source = _source(dataset, None, data_dir)
    return source.d, len(source.train), source.columns


def _source(
    dataset: str,
    d: int | None,
    data_dir: Path | None,
) -> Source:
    """Return what is read of a dataset; patches are cut at ``d``."""
    if dataset in _CUT:
        cut, native = _CUT[dataset]
        return cut(native if d is None else d)
    if dataset in _IN_SCIKIT_LEARN:
        return _IN_SCIKIT_LEARN[dataset]()
    if dataset in BUILT_IN:
        source = _in_files(*mnist.find(dataset, data_dir))
        if source.shape != mnist.SHAPE:
            raise DataError(
                f"these are not the images of {dataset}",
                where=source.where,
                expected=f"images of shape {mnist.SHAPE}",
                received=f"images of shape {source.shape}",
                remedy="give the path of the file as the dataset",
            )
        return source
    if tables.is_table(dataset) and not folders.is_folder(dataset):
        return _in_table(dataset)
    if folders.is_folder(dataset):
        return _folder_parsed(dataset, folders.where(dataset), folders.stamp(dataset))
    if not _is_path(dataset):
        raise DataError(
            f"unknown dataset {dataset!r}",
            where="dataset",
            expected=f"{', '.join(BUILT_IN)}, or the path of an .npz, .npy, .csv, .tsv or IDX file "
            "or of a folder of images",
            received=repr(dataset),
            remedy=did_you_mean(dataset, BUILT_IN) or "give one of these",
        )
    return _in_files(Path(dataset).absolute())


def _is_path(dataset: str) -> bool:
    return Path(dataset).suffix.lower() in (".npz", ".npy", ".gz") or any(
        part in dataset.lower() for part in ("/", "\\", "idx")
    )


def _in_table(dataset: str) -> Source:
    path = tables.path_of(dataset)
    _refuse_missing(path)
    stamp = path.stat()
    return _table_parsed(dataset, path, (stamp.st_mtime_ns, stamp.st_size))


@lru_cache(maxsize=2)
def _table_parsed(dataset: str, path: Path, _stamp: tuple[int, int]) -> Source:
    values, columns = tables.read(dataset)
    return checked(values, None, where=str(path), columns=columns)


@lru_cache(maxsize=2)
def _folder_parsed(dataset: str, where: str, _stamp: str) -> Source:
    return checked(folders.read(dataset), None, where=where)


def _in_files(*paths: Path) -> Source:
    _refuse_missing(*paths)
    stamps = [path.stat() for path in paths]
    return _parsed(paths, tuple((stamp.st_mtime_ns, stamp.st_size) for stamp in stamps))


def _refuse_missing(*paths: Path) -> None:
    for path in paths:
        if not path.is_file():
            raise DataError(
                "the file does not exist" if not path.exists() else "this is not a file",
                where=str(path),
                expected="an .npz, .npy, .csv, .tsv or IDX file, or a folder of images",
                received="nothing" if not path.exists() else "a folder or a device",
                remedy="correct the path; it is relative to the current folder",
            )


@lru_cache(maxsize=2)
def _parsed(paths: tuple[Path, ...], _stamps: tuple[tuple[int, int], ...]) -> Source:
    """Return the images of one file, or of one for training and one for testing.

    The files' times and sizes are part of the key, so that a changed file is read again.
    """
    if len(paths) == 1:
        return checked(*files.read(paths[0]), where=str(paths[0]))
    train, test = (files.read_idx(path) for path in paths)
    return checked(train, test, where=str(paths[0].parent))


def _sha256(images: Images) -> str:
    digest = hashlib.sha256()
    for array in (images.train, images.test):
        digest.update(repr(array.shape).encode())
        digest.update(array.astype("<f4", copy=False).data)
    return digest.hexdigest()
