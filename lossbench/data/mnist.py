"""Where the files of MNIST and Fashion-MNIST lie, or a download of them.

IDX files carry no name, and both datasets use the same file names. Files that lie directly in a
folder are therefore MNIST's; Fashion-MNIST's lie in a folder that has "fashion" in its name.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from lossbench.errors import DataError

VARIABLE = "LOSSBENCH_DATA_DIR"
SHAPE = (28, 28)
_FOLDERS = {"mnist": ("mnist",), "fashion_mnist": ("fashion_mnist", "fashion-mnist")}
_STEMS = ("train-images", "t10k-images")
_ENDS = ("-idx3-ubyte", "-idx3-ubyte.gz", ".idx3-ubyte", ".idx3-ubyte.gz")
_TIMEOUT = 600  # seconds; Keras' own download has none


def find(dataset: str, data_dir: Path | None) -> tuple[Path, ...]:
    """Return the IDX files of the training and the test images, or Keras' one ``.npz`` file.

    Looks in ``data_dir``, then in LOSSBENCH_DATA_DIR, then in Keras' cache; then lets Keras
    download the files into its cache. Raises DataError when a folder does not exist or holds one
    file of the two, and when the download fails.
    """
    for folder in _given(data_dir):
        if files := _pair_in_any(dataset, folder):
            return files
    if files := _in_cache(dataset):
        return files
    _download(dataset)
    if files := _in_cache(dataset):
        return files
    raise _not_found(dataset, f"nothing in {_cache()} after the download")


def _given(data_dir: Path | None) -> Iterator[Path]:
    """Yield the folders that the user named; one that does not exist is a mistake."""
    variable = os.environ.get(VARIABLE)
    for where, folder in (
        ("--data-dir", data_dir),
        (VARIABLE, Path(variable) if variable else None),
    ):
        if folder is None:
            continue
        if not folder.is_dir():
            raise DataError(
                "the data folder does not exist",
                where=where,
                expected="a folder that holds IDX files",
                received=str(folder),
                remedy=f"correct {where}, or leave it out",
            )
        yield folder.absolute()


def _pair_in_any(dataset: str, folder: Path) -> tuple[Path, ...]:
    named = "fashion_mnist" if "fashion" in folder.name.lower() else "mnist"
    folders = [folder / name for name in _FOLDERS[dataset]]
    for place in [folder, *folders] if named == dataset else folders:
        if files := _pair(place):
            return files
    return ()


def _pair(folder: Path) -> tuple[Path, ...]:
    """Return the files of the training and the test images in ``folder``, or nothing."""
    files = [
        next((path for end in _ENDS if (path := folder / f"{stem}{end}").is_file()), None)
        for stem in _STEMS
    ]
    found = tuple(path for path in files if path is not None)
    if len(found) == 1:
        raise DataError(
            "one of the two files of images is missing",
            where=str(folder),
            expected=" and ".join(f"{stem}{_ENDS[0]}" for stem in _STEMS) + ", each with or "
            "without .gz",
            received=f"only {found[0].name}",
            remedy="put both files there",
        )
    return found


def _cache() -> Path:
    return Path(os.environ.get("KERAS_HOME") or _home() / ".keras") / "datasets"


def _home() -> Path:
    """Return the user's home; as in Keras, another place if a user of a container has none."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())


def _in_cache(dataset: str) -> tuple[Path, ...]:
    """Return what ``keras.datasets`` has cached: MNIST as one file, Fashion-MNIST as IDX files."""
    if dataset == "fashion_mnist":
        return _pair(_cache() / "fashion-mnist")
    file = _cache() / "mnist.npz"
    return (file,) if file.is_file() else ()


def _download(dataset: str) -> None:
    """Let ``keras.datasets`` fill its cache, in a process of its own: Keras stays out of ours."""
    code = f"import keras; keras.datasets.{dataset}.load_data()"
    environment = os.environ | {"KERAS_HOME": str(_cache().parent)}
    try:
        child = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise _not_found(dataset, f"a download that failed: {problem}") from problem
    if child.returncode != 0:
        last_line = (child.stderr.strip() or "no message").splitlines()[-1]
        raise _not_found(dataset, f"a download that failed: {last_line}")


def _not_found(dataset: str, received: str) -> DataError:
    below = _FOLDERS[dataset][0]
    return DataError(
        f"the files of {dataset} are nowhere to be found",
        where=dataset,
        expected="train-images-idx3-ubyte and t10k-images-idx3-ubyte (each with or without .gz) "
        f"in the folder {below} of --data-dir or {VARIABLE}, or Keras' cache, or a download",
        received=received,
        remedy=f"put the files in FOLDER/{below} and give --data-dir FOLDER, or set {VARIABLE}",
    )
