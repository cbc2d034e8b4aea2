"""MNIST and Fashion-MNIST: where they are looked for."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import (
    TEST,
    TRAIN,
    holds,
    idx_bytes,
    mnist_files,
    random_images,
    refusal_of,
    saved,
    script,
    sum_of_variances,
)

from lossbench.data import load, native_sizes

pytestmark = pytest.mark.usefixtures("nothing_given")

_MNIST_PLACES = (
    os.environ.get("LOSSBENCH_DATA_DIR", ""),
    str(Path(__file__).parents[2] / "shared" / "data" / "mnist"),
)
_REAL_MNIST = [place for place in _MNIST_PLACES if (Path(place) / f"{TRAIN}.gz").is_file()][:1]


@pytest.mark.slow
@pytest.mark.parametrize("folder", _REAL_MNIST)
def test_mnist_has_the_usual_split_and_the_known_variances(folder: str) -> None:
    """60,000 / 10,000 images whose sums of variances are the anchors at d = 784, 196 and 49."""
    for d, anchor in ((784, 52.725), (196, 10.10), (49, 1.404)):
        data = load("mnist", d, Path(folder))
        assert (len(data.train), len(data.test)) == (60_000, 10_000)
        assert sum_of_variances(data.train) == pytest.approx(anchor, rel=5e-4)


@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("given", ["argument", "variable"])
def test_mnist_is_found_in_a_folder_or_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, given: str
) -> None:
    """The files, one gzipped here, lie in --data-dir or LOSSBENCH_DATA_DIR or in their mnist."""
    train = mnist_files(tmp_path / "files" / below)
    monkeypatch.setenv("LOSSBENCH_DATA_DIR", str(tmp_path / "files") if given == "variable" else "")
    data = load("mnist", None, tmp_path / "files" if given == "argument" else None)
    assert holds(data, train)
    assert data.test.shape == (5, 784)


def test_the_argument_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without the files is passed over for the next place."""
    first, second = mnist_files(tmp_path / "a"), mnist_files(tmp_path / "b", seed=5)
    monkeypatch.setenv("LOSSBENCH_DATA_DIR", str(tmp_path / "b"))
    assert holds(load("mnist", None, tmp_path / "a"), first)
    assert holds(load("mnist", None, tmp_path), second)


def test_the_other_spelling_of_the_files_is_read(tmp_path: Path) -> None:
    """train-images.idx3-ubyte is what some archives unpack to."""
    train = mnist_files(tmp_path)
    (tmp_path / f"{TRAIN}.gz").rename(tmp_path / "train-images.idx3-ubyte.gz")
    (tmp_path / TEST).rename(tmp_path / "t10k-images.idx3-ubyte")
    assert holds(load("mnist", None, tmp_path), train)


@pytest.mark.parametrize("below", ["fashion_mnist", "fashion-mnist"])
def test_fashion_mnist_never_reads_files_that_lie_directly_in_a_folder(
    tmp_path: Path, below: str
) -> None:
    """IDX files have no name in them: only a folder named for fashion holds Fashion-MNIST."""
    folder = tmp_path / "files"  # pytest names its own folder after this test
    digits = mnist_files(folder)
    assert "nowhere to be found" in refusal_of("fashion_mnist", None, folder)
    clothes = mnist_files(folder / below, seed=7)
    assert holds(load("fashion_mnist", None, folder), clothes)
    assert holds(load("fashion_mnist", None, folder / below), clothes)
    assert holds(load("mnist", None, folder), digits)
    assert "nowhere to be found" in refusal_of("mnist", None, folder / below)


def test_the_cache_of_keras_is_read(tmp_path: Path) -> None:
    """MNIST as one .npz file, Fashion-MNIST as IDX files in a folder of its own."""
    clothes = mnist_files(tmp_path / "keras" / "datasets" / "fashion-mnist", seed=7)
    digits, labels = random_images(20, 28, 28), np.arange(20)
    np.savez(
        tmp_path / "keras" / "datasets" / "mnist.npz",
        x_train=digits,
        y_train=labels,
        x_test=digits[:5],
        y_test=labels[:5],
    )
    assert holds(load("mnist", None), digits)
    assert holds(load("fashion_mnist", None), clothes)


def test_a_download_fills_the_cache_of_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child process is told the folder to write to, and what it wrote is read."""
    digits = random_images(20, 28, 28)
    np.savez(tmp_path / "served.npz", x_train=digits, x_test=digits[:5])
    serve = f'cd "$KERAS_HOME"; mkdir datasets; cp {tmp_path}/served.npz datasets/mnist.npz'
    (tmp_path / "keras").mkdir()
    monkeypatch.setattr(sys, "executable", script(tmp_path / "child", serve))
    assert holds(load("mnist", None), digits)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_download_that_fails_says_how_to_give_the_files(name: str) -> None:
    """The last line of the child's error stands beside --data-dir and LOSSBENCH_DATA_DIR."""
    message = refusal_of(name)
    assert "received: a download that failed: offline" in message
    assert "--data-dir" in message
    assert "LOSSBENCH_DATA_DIR" in message


def test_a_download_that_leaves_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends well without the files is not believed."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert "after the download" in refusal_of("mnist")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A mistyped --data-dir does not end in a download."""
    assert "--data-dir: the data folder does not exist" in refusal_of(
        "mnist", None, tmp_path / "no"
    )


def test_half_of_mnist_is_refused(tmp_path: Path) -> None:
    """One file of the two is a mistake, not a reason to look elsewhere."""
    mnist_files(tmp_path)
    (tmp_path / TEST).unlink()
    assert f"received: only {TRAIN}.gz" in refusal_of("mnist", None, tmp_path)


def test_files_of_another_size_are_not_mnist(tmp_path: Path) -> None:
    """The name promises 28 x 28."""
    for name in (TRAIN, TEST):
        (tmp_path / name).write_bytes(idx_bytes(random_images(20, 14, 14)))
    assert "received: images of shape (14, 14)" in refusal_of("mnist", None, tmp_path)


def test_the_native_sizes_are_those_of_the_loaded_data(tmp_path: Path) -> None:
    """Callers may ask for d and the number of training images before they choose a d."""
    for name in ("digits", "patches", saved(tmp_path, random_images(10, 5, 4, 3))):
        assert native_sizes(name) == (*load(name, None).train.shape[::-1], ())
