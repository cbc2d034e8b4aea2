"""IDX, ``.npy`` and ``.npz`` files in, raw arrays out; nothing is read with pickle.

Every size is compared with a limit before memory is asked for, so that a small file cannot fill it.
"""

import gzip
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal, TypeAlias

import numpy as np
from numpy.lib import format as npy

from lossbench.data.images import Raw
from lossbench.errors import DataError

_Stream: TypeAlias = IO[bytes] | gzip.GzipFile
_LIMIT = 4 * 2**30  # bytes, uncompressed
_PIECE = 2**24  # bytes read at a time
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_NUMBERS = "buif"  # numpy's kinds: bool, unsigned, signed, float
# What gzip, zipfile and numpy raise when they meet bytes that they cannot make sense of.
_DAMAGE = (
    OSError,
    EOFError,
    TypeError,
    ValueError,
    RuntimeError,
    OverflowError,
    struct.error,
    tokenize.TokenError,
    zlib.error,
    zipfile.BadZipFile,
)


def read(path: Path) -> tuple[Raw, Raw | None]:
    """Return the training and the test array of a file, or its only array and None.

    Raises DataError when the file is of no known format, is damaged or holds no array of numbers.
    """
    name = path.name.lower()
    if name.endswith(".npz"):
        return _read_npz(path)
    if name.endswith(".npy"):
        with _damage_told(path), path.open("rb") as stream:
            return _npy_array(stream, str(path)), None
    if "idx" in name:
        return read_idx(path), None
    raise DataError(
        "the file is of no known format",
        where=str(path),
        expected="a name that ends in .npz, .npy, .csv or .tsv, or holds 'idx'",
        received=path.name,
        remedy="save the numbers with numpy.savez(path, x_train=..., x_test=...)",
    )


def read_idx(path: Path) -> Raw:
    """Return the array of an IDX file, gzipped or not.

    The format: two zero bytes, a type, the number of dimensions, their sizes as big-endian 32-bit
    integers, then the numbers. Raises DataError when the file does not keep to it.
    """
    with _damage_told(path), path.open("rb") as file:
        gzipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        with gzip.open(file) if gzipped else file as stream:
            magic = stream.read(4)
            if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_TYPES:
                raise DataError(
                    "this is not an IDX file: its magic number is wrong",
                    where=str(path),
                    expected="two zero bytes, a type and the number of dimensions",
                    received=magic.hex(" ") or "an empty file",
                    remedy="download the file again, or give an .npz file",
                )
            shape = struct.unpack(f">{magic[3]}I", stream.read(4 * magic[3]))
            return _array(stream, np.dtype(_IDX_TYPES[magic[2]]), shape, "C", str(path))


def _read_npz(path: Path) -> tuple[Raw, Raw | None]:
    with _damage_told(path), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if {"x_train", "x_test"} <= set(members):
            names = ["x_train", "x_test"]
        elif len(members) == 1:
            names = list(members)
        else:
            raise DataError(
                "the file does not say which array to take",
                where=str(path),
                expected="arrays named x_train and x_test, or exactly one array",
                received=", ".join(members) or "no array",
                remedy="save the images with numpy.savez(path, x_train=..., x_test=...)",
            )
        _refuse_huge(sum(members[name].file_size for name in names), str(path))
        arrays = []
        for name in names:
            with archive.open(members[name]) as stream:
                arrays.append(_npy_array(stream, f"{path}, {name}"))
        return arrays[0], arrays[1] if len(arrays) == 2 else None


def read_named(path: Path, needed: Sequence[str], also: Sequence[str] = ()) -> dict[str, Raw]:
    """Return arrays of an ``.npz`` file by their names: all that are ``needed``, and ``also`` some.

    Raises DataError when the file is no ``.npz`` file, is damaged, or lacks one.
    """
    if path.suffix.lower() != ".npz" or not path.is_file():
        raise DataError(
            "this is no .npz file" if path.exists() else "the file does not exist",
            where=str(path),
            expected=f"an .npz file with {', '.join(needed)}",
            received=path.name if path.exists() else "nothing",
            remedy=f"numpy.savez(path, {', '.join(f'{name}=...' for name in needed)})",
        )
    with _damage_told(path), zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        missing = [name for name in needed if name not in members]
        if missing:
            raise DataError(
                f"the file has no array {', '.join(missing)}",
                where=str(path),
                expected=", ".join(needed),
                received=", ".join(members) or "no array",
                remedy=f"numpy.savez(path, {', '.join(f'{name}=...' for name in needed)})",
            )
        names = [name for name in (*needed, *also) if name in members]
        _refuse_huge(sum(members[name].file_size for name in names), str(path))
        arrays = {}
        for name in names:
            with archive.open(members[name]) as stream:
                arrays[name] = _npy_array(stream, f"{path}, {name}")
        return arrays


def _npy_array(stream: _Stream, where: str) -> Raw:
    """Return the array of an open ``.npy`` file; its header is read as a literal, never run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a file that Python 2 wrote
        if npy.read_magic(stream) == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(stream)
        else:  # 2.0 allows a longer header; 3.0 is for names of fields, which are no images
            shape, fortran, dtype = npy.read_array_header_2_0(stream)
    return _array(stream, dtype, shape, "F" if fortran else "C", where)


def _array(
    stream: _Stream,
    dtype: np.dtype[np.generic],
    shape: tuple[int, ...],
    order: Literal["C", "F"],
    where: str,
) -> Raw:
    """Return the array that the rest of the stream is promised to hold, no more and no less."""
    if dtype.kind not in _NUMBERS:
        raise DataError(
            "the array holds no plain numbers",
            where=where,
            expected="floats, integers or bool; Python objects (pickles) are never read",
            received=f"type {dtype}",
            remedy="save the images as float32 in [0, 1], or as uint8",
        )
    if min(shape, default=1) < 1:
        raise DataError(
            "the array is empty",
            where=where,
            expected="at least one image of at least one pixel",
            received=f"shape {shape}",
            remedy="save the images again",
        )
    n_bytes = math.prod(shape) * dtype.itemsize
    _refuse_huge(n_bytes, where)
    # Piece by piece: what a header promises is not allocated before it has been seen.
    content = bytearray()
    while piece := stream.read(min(n_bytes - len(content), _PIECE)):
        content += piece
    if len(content) < n_bytes or stream.read(1):
        raise DataError(
            "the file is damaged: its length is not what its header says",
            where=where,
            expected=f"{n_bytes:,} bytes for shape {shape} of {dtype}",
            received=f"{len(content):,} bytes" if len(content) < n_bytes else "more bytes",
            remedy="copy or download the file again",
        )
    return np.ndarray(shape, dtype, buffer=content, order=order)


def _refuse_huge(n_bytes: int, where: str) -> None:
    if n_bytes > _LIMIT:
        raise DataError(
            "the data is too large to be read",
            where=where,
            expected=f"at most {_LIMIT:,} bytes, uncompressed",
            received=f"{n_bytes:,} bytes",
            remedy="save fewer images",
        )


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Turn what the readers raise on damaged bytes into one DataError."""
    try:
        yield
    except _DAMAGE as problem:
        raise DataError(
            "the file cannot be read, or is damaged",
            where=str(path),
            expected="a whole file, as numpy or the data's publisher wrote it",
            received=str(problem) or type(problem).__name__,
            remedy="copy, save or download the file again",
        ) from problem
