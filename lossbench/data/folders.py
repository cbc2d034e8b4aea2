"""A folder of PNG and JPEG images in, one array (n, H, W, C) out; kept for the next start.

A path may end in ``:64``: the middle square of every image, made 64 x 64. What was read is kept
under the hash of every name and byte, so that it is never another folder's.
"""

import contextlib
import hashlib
import os
import re
import struct
import tempfile
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lossbench.data import files
from lossbench.data.images import Raw
from lossbench.errors import DataError
from lossbench.words import counted

if TYPE_CHECKING:
    from PIL.Image import Image

CACHE = "LOSSBENCH_CACHE_DIR"
_ENDS = (".png", ".jpg", ".jpeg")
_SIZED = re.compile(r"(?P<path>.+):(?P<size>[0-9]{1,4})", re.S)
_MOST_PIXELS = 2**25  # of one image: what a bomb unpacks to is never asked for
_MOST_FILE = 2**28  # bytes of one file
_LIMIT = 4 * 2**30  # bytes of all images as they are trained on
_BYTES = 4  # of a pixel there: float32
_MOST_ENTRIES = 500_000
_MOST_KEPT = 8  # folders
_FORM = 1  # of what is kept: another number where the same bytes are read in another way
_GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
# What Pillow raises on bytes that it cannot make sense of.
_DAMAGE = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)


_told: ContextVar[Callable[[int, int], None]] = ContextVar("told", default=lambda _done, _all: None)


@contextlib.contextmanager
def reading_told(told: Callable[[int, int], None]) -> Iterator[None]:
    """Tell of images as they are read: how much is done, and of how much."""
    before = _told.set(told)
    try:
        yield
    finally:
        _told.reset(before)


def is_folder(dataset: str) -> bool:
    """Return whether a dataset's name is that of a folder that exists, but for the root."""
    try:
        folder = _taken_apart(dataset)[0]
        return folder.is_dir() and folder != folder.parent
    except OSError:  # a name that no file can have
        return False


def _taken_apart(dataset: str) -> tuple[Path, int | None]:
    sized = _SIZED.fullmatch(dataset)
    if sized is None or Path(dataset).is_dir():
        return Path(dataset).absolute(), None
    return Path(sized["path"]).absolute(), int(sized["size"])


def where(dataset: str) -> str:
    """Return the folder's path, as errors name it."""
    return str(_taken_apart(dataset)[0])


def stamp(dataset: str) -> str:
    """Return what changes when a file of the folder does: its names, times and sizes.

    Raises DataError as ``read`` does for what the folder holds.
    """
    folder, _ = _taken_apart(dataset)
    digest = hashlib.sha256()
    for path in _found(folder):
        state = path.stat()
        digest.update(f"{path}\0{state.st_mtime_ns}\0{state.st_size}\0".encode(errors="replace"))
    return digest.hexdigest()


def read(dataset: str) -> Raw:
    """Return the images of a folder and of those in it, in the order of their names: uint8.

    The shape is (n, H, W, C): C is 1 where every image is grey, else 3; transparency is left out,
    and 16 bits become 8. Raises DataError where there are none, for several sizes unless a size is
    asked for, for a damaged or a huge image, and for a link that leads out of the folder.
    """
    folder, size = _taken_apart(dataset)
    if size is not None and not 1 <= size <= 1024:
        raise DataError(
            "images cannot be made of this size",
            where=str(folder),
            expected="a size from 1 to 1024",
            received=str(size),
            remedy=f"{folder.name}:64 makes images of 64 x 64",
        )
    paths = _found(folder)
    kept = _kept(folder, paths, size)
    if kept.is_file():
        with contextlib.suppress(DataError, OSError):  # what is damaged there is made again
            images, _ = files.read(kept)
            os.utime(kept)
            return images
    images = _decoded(paths, size, folder)
    with contextlib.suppress(OSError):  # no room, no right to write: read again the next time
        _keep(images, kept)
    return images


def _found(folder: Path) -> list[Path]:
    """Return the images in and below a folder, sorted; links must stay within."""
    root = folder.resolve()
    found: list[Path] = []
    n_seen = 0

    def unreadable(problem: OSError) -> None:
        raise _damaged(Path(problem.filename or folder), problem) from problem

    for place, folders, names in os.walk(folder, onerror=unreadable):
        n_seen += len(folders) + len(names)
        if n_seen > _MOST_ENTRIES:
            raise DataError(
                "the folder holds too many files",
                where=str(folder),
                expected=f"at most {_MOST_ENTRIES:,} files and folders",
                received=f"{n_seen:,} and more",
                remedy="give a folder that holds the images and nothing else",
            )
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in (*folders, *sorted(names)):
            path = Path(place) / name
            image = name.lower().endswith(_ENDS) and not name.startswith(".")
            if path.is_symlink() and (image or name in folders):
                _refuse_outside(path, root)
            if image and name not in folders:
                _refuse_odd(path)
                found.append(path)
    if not found:
        raise DataError(
            "the folder holds no images",
            where=str(folder),
            expected="files that end in .png, .jpg or .jpeg",
            received="none",
            remedy="correct the path; other formats are to be saved as PNG",
        )
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _refuse_outside(path: Path, root: Path) -> None:
    try:
        inside = path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise DataError(
            "a symbolic link leads out of the folder, or to nothing",
            where=str(path),
            expected="files of the folder itself",
            received="a symbolic link",
            remedy="copy what it leads to into the folder, or remove the link",
        )


def _refuse_odd(path: Path) -> None:
    try:
        odd = not path.is_file() or path.stat().st_size > _MOST_FILE
    except OSError as problem:
        raise _damaged(path, problem) from problem
    if odd:
        raise DataError(
            "this is no image file, or a huge one",
            where=str(path),
            expected=f"a file of at most {_MOST_FILE:,} bytes",
            received=f"{path.stat().st_size:,} bytes" if path.is_file() else "a device or a pipe",
            remedy="remove it from the folder",
        )


def _damaged(path: Path, problem: BaseException) -> DataError:
    return DataError(
        "the image cannot be read, or is damaged",
        where=str(path),
        expected="a whole PNG or JPEG file",
        received=str(problem).strip() or type(problem).__name__,
        remedy="copy or save it again, or remove it from the folder",
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator["Image"]:
    """Yield an image of which only the header has been read; a bomb is refused there."""
    from PIL import Image  # noqa: PLC0415 - only folders of images need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if image.width * image.height > _MOST_PIXELS:
                    raise _bomb(path, f"{image.width:,} x {image.height:,}")
                yield image
    except Image.DecompressionBombError as problem:
        raise _bomb(path, "far more") from problem
    except _DAMAGE as problem:
        raise _damaged(path, problem) from problem


def _bomb(path: Path, received: str) -> DataError:
    return DataError(
        "the image is too large to be unpacked",
        where=str(path),
        expected=f"at most {_MOST_PIXELS:,} pixels",
        received=received,
        remedy="make it smaller, or remove it from the folder",
    )


def _decoded(paths: Sequence[Path], size: int | None, folder: Path) -> NDArray[np.uint8]:
    """Return all images; their sizes and colours are known before memory is asked for."""
    told, n_steps = _told.get(), 2 * len(paths)
    sizes: Counter[tuple[int, int]] = Counter()
    first: dict[tuple[int, int], Path] = {}
    n_channels = 1
    for step, path in enumerate(paths, start=1):
        with _opened(path) as image:
            sizes[image.size] += 1
            first.setdefault(image.size, path)
            n_channels = n_channels if image.mode in _GREY else 3
        told(step, n_steps)
    if size is None and len(sizes) > 1:
        found = [
            f"{n} of {width} x {height} ({first[width, height].relative_to(folder)})"
            for (width, height), n in sizes.most_common(3)
        ]
        raise DataError(
            "the images have several sizes",
            where=str(folder),
            expected="one width and height",
            received=", ".join(found) + (f" and {len(sizes) - 3} more" if len(sizes) > 3 else ""),
            remedy=f"{folder.name}:64 takes the middle square of each, made 64 x 64",
        )
    width, height = (size, size) if size is not None else next(iter(sizes))
    n_bytes = len(paths) * height * width * n_channels * _BYTES
    if n_bytes > _LIMIT:
        raise DataError(
            "the images are too many to be read",
            where=str(folder),
            expected=f"at most {_LIMIT:,} bytes as float32",
            received=f"{n_bytes:,} bytes: {counted(len(paths), 'image')} of {width} x {height}"
            + (" in colour" if n_channels > 1 else ""),
            remedy=f"make them smaller: {folder.name}:64",
        )
    images = np.empty((len(paths), height, width, n_channels), np.uint8)
    for row, path in enumerate(paths):
        with _opened(path) as image:
            images[row] = _pixels(image, size, n_channels)
        told(len(paths) + row + 1, n_steps)
    return images


def _pixels(image: "Image", size: int | None, n_channels: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps  # noqa: PLC0415

    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64) >> 8
        image = Image.fromarray(wide.clip(0, 255).astype(np.uint8))
    elif image.format == "JPEG" and size is not None:
        image.draft(None, (2 * size, 2 * size))  # unpacks no more than what is needed
    plain = image.convert("L" if n_channels == 1 else "RGB")
    if size is not None:
        plain = ImageOps.fit(plain, (size, size), Image.Resampling.LANCZOS)
    return np.asarray(plain, np.uint8).reshape(plain.height, plain.width, n_channels)


def _kept(folder: Path, paths: Sequence[Path], size: int | None) -> Path:
    """Return where these images are kept: under the hash of every name and byte."""
    digest = hashlib.sha256(f"{_FORM} {size} {len(paths)}".encode())
    for path in paths:
        try:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except OSError as problem:
            raise _damaged(path, problem) from problem
        name = path.relative_to(folder).as_posix().encode(errors="surrogateescape")
        digest.update(hashlib.sha256(name).digest() + content)
    return _cache() / f"{digest.hexdigest()}.npz"


def _cache() -> Path:
    """Return the folder of what is kept: LOSSBENCH_CACHE_DIR, else in the user's cache."""
    if given := os.environ.get(CACHE):
        return Path(given).absolute()
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:  # a user without a home
        base = tempfile.gettempdir()
    return Path(base) / "lossbench"


def _keep(images: NDArray[np.uint8], kept: Path) -> None:
    """Write whole, then rename: whoever is killed in between leaves nothing that is read."""
    kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    number, name = tempfile.mkstemp(dir=kept.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(number, "wb") as file:
            np.savez(file, images=images)
            file.flush()
            os.fsync(file.fileno())
        part.replace(kept)
    finally:
        part.unlink(missing_ok=True)
    oldest_last = sorted(kept.parent.glob("*.npz"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in oldest_last[_MOST_KEPT:]:
        if re.fullmatch(r"[0-9a-f]{64}", old.stem):
            old.unlink(missing_ok=True)
