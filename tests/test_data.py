"""The data room: what is read, how it is split, scaled and averaged, and what is refused."""

import contextlib
import gzip
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lossbench.data import Dataset, load, native_sizes
from lossbench.errors import DataError

_PYTHON = sys.executable  # the fixture below puts a script in its place
_TRAIN, _TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
_MNIST_PLACES = (
    os.environ.get("LOSSBENCH_DATA_DIR", ""),
    str(Path(__file__).parents[2] / "shared" / "data" / "mnist"),
)
_REAL_MNIST = [place for place in _MNIST_PLACES if (Path(place) / f"{_TRAIN}.gz").is_file()][:1]


@pytest.fixture(autouse=True)
def _nothing_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder of the machine's is seen, and no download can succeed."""
    monkeypatch.delenv("LOSSBENCH_DATA_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(
        sys, "executable", _script(tmp_path / "offline", "echo offline >&2; exit 1")
    )


def _script(path: Path, line: str) -> str:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o700)
    return str(path)


def _images(n: int, *shape: int, seed: int = 0) -> NDArray[np.uint8]:
    images = np.random.default_rng(seed).integers(256, size=(n, *shape), dtype=np.uint8)
    images[0].flat[0] = 255
    return images


def _idx(images: NDArray[np.uint8]) -> bytes:
    header = struct.pack(f">HBB{images.ndim}I", 0, 8, images.ndim, *images.shape)
    return header + images.tobytes()


def _mnist_files(folder: Path, seed: int = 0) -> NDArray[np.uint8]:
    """Write 20 + 5 images as MNIST's files are named, and return the first 20."""
    folder.mkdir(parents=True, exist_ok=True)
    train = _images(20, 28, 28, seed=seed)
    (folder / f"{_TRAIN}.gz").write_bytes(gzip.compress(_idx(train)))
    (folder / _TEST).write_bytes(_idx(_images(5, 28, 28, seed=seed + 1)))
    return train


def _is(dataset: Dataset, train: NDArray[np.uint8]) -> bool:
    return np.array_equal(dataset.train, train.reshape(len(train), -1) / np.float32(255))


def _sum_of_variances(rows: NDArray[np.float32]) -> float:
    mean_square = np.einsum("nd,nd->", rows, rows, dtype=np.float64) / len(rows)
    return float(mean_square - (rows.mean(axis=0, dtype=np.float64) ** 2).sum())


def _saved(tmp_path: Path, array: object, name: str = "images.npy") -> str:
    np.save(tmp_path / name, np.asarray(array))
    return str(tmp_path / name)


def _refusal(dataset: str, d: int | None = None, data_dir: Path | None = None) -> str:
    """Return the message of the DataError, every part of which must be there."""
    with pytest.raises(DataError) as caught:
        load(dataset, d, data_dir)
    error = caught.value
    assert all((error.problem, error.where, error.expected, error.received, error.remedy))
    return str(error)


# What comes out, whatever went in.


@pytest.mark.parametrize(("name", "d"), [("digits", None), ("digits", 16), ("patches", 49)])
def test_arrays_are_read_only_contiguous_float32_in_0_1(name: str, d: int | None) -> None:
    """Both arrays have d columns and the type, order and range that every other room counts on."""
    data = load(name, d)
    for array in (data.train, data.test):
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        assert not array.flags.writeable
        assert array.shape[1] == data.d == (d or 64)
        assert 0 <= array.min() < array.max() <= 1


def test_the_hash_is_stable_and_belongs_to_one_d() -> None:
    """The same data has the same hash in every session; another d has another."""
    assert load("digits", 64).sha256 == load("digits", None).sha256
    assert load("digits", None).sha256 == (
        "26739a4e17eb097acfe86241c98f07703ce1bf373126d172d421f004aeb847b1"
    )
    assert len({load("digits", d).sha256 for d in (64, 16, 4, 1)}) == 4


def test_the_hash_sees_where_training_ends(tmp_path: Path) -> None:
    """The same bytes, split elsewhere, are another dataset."""
    images = _images(10, 3)
    hashes = set()
    for n in (6, 7):
        np.savez(tmp_path / f"{n}.npz", x_train=images[:n], x_test=images[n:])
        hashes.add(load(str(tmp_path / f"{n}.npz"), None).sha256)
    assert len(hashes) == 2


def test_loading_imports_no_framework() -> None:
    """Digits are read without TensorFlow, Keras or scikit-learn, the last for its slow import."""
    code = (
        "import sys; from lossbench.data import load; load('digits', 16); "
        "assert not {'tensorflow', 'keras', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([_PYTHON, "-c", code], check=True)


# The images that scikit-learn carries.


def test_digits_are_scikit_learns() -> None:
    """The 1,797 images of load_digits, divided by 16, in the order of the stated permutation."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - a second to import

    order = np.random.default_rng(0).permutation(1797)
    data = load("digits", None)
    assert data.train.shape == (1437, 64)
    assert data.test.shape == (360, 64)
    np.testing.assert_array_equal(
        np.concatenate([data.train, data.test]), (load_digits().data / 16)[order]
    )


def test_digits_have_the_known_variances() -> None:
    """The sum of variances of all images is the anchor 4.693; the training split's is 4.681."""
    data = load("digits", None)
    every = np.concatenate([data.train, data.test])
    assert _sum_of_variances(every) == pytest.approx(4.693, abs=5e-4)
    assert _sum_of_variances(data.train) == pytest.approx(4.681, abs=5e-4)


def test_digits_come_from_scikit_learn_itself_where_its_file_is_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slow way gives the same images as the quick one."""
    from lossbench.data import sources  # noqa: PLC0415 - no door of the room

    quick = sources.digits()
    monkeypatch.setattr(sources, "_scikit_learn", lambda: tmp_path)
    slow = sources.digits.__wrapped__()
    np.testing.assert_array_equal(quick.train, slow.train)


def _grey(name: str) -> NDArray[np.uint8]:
    import sklearn  # noqa: PLC0415 - a second to import

    folder = Path(sklearn.__file__).parent / "datasets" / "images"
    rgb = np.asarray(Image.open(folder / name), dtype=np.int64)
    # 0.299 R + 0.587 G + 0.114 B in 65536ths, the half added to round: exact, so ties agree.
    grey: NDArray[np.uint8] = ((rgb @ np.array([19595, 38470, 7471]) + 32768) // 65536).astype(
        np.uint8
    )
    return grey


def test_patches_come_from_their_own_side_of_the_photographs() -> None:
    """Every training window lies left of column 512 of a photograph, every test window right."""
    data = load("patches", 64)
    assert data.train.shape == (6000, 64)
    assert data.test.shape == (1500, 64)
    for windows, columns in ((data.train, slice(0, 512)), (data.test, slice(512, 640))):
        for i, name in enumerate(("china.jpg", "flower.jpg")):
            part = np.lib.stride_tricks.sliding_window_view(_grey(name)[:, columns], (8, 8))
            places = {window.tobytes() for row in part for window in row}
            cut = np.rint(windows[i::2] * 255).astype(np.uint8)
            assert {window.tobytes() for window in cut} <= places


def test_patches_are_cut_at_any_square_up_to_64() -> None:
    """The native d is 64; 4 and 4096 are the ends, and each d has windows of its own."""
    assert load("patches", None).sha256 == load("patches", 64).sha256
    assert load("patches", 4).d == 4
    assert load("patches", 4096).train.shape == (6000, 4096)


@pytest.mark.parametrize(("d", "near"), [(65, 64), (1, 4), (4225, 4096), (-4, 4)])
def test_patches_refuse_a_d_that_is_no_square_in_range(d: int, near: int) -> None:
    """The message offers the nearest d that can be cut."""
    assert f"try: take d = {near}" in _refusal("patches", d)


# A smaller d.


def test_a_smaller_d_is_the_average_over_whole_blocks() -> None:
    """Each pixel of digits at d = 16 is the mean of its 2 x 2 block, by brute force."""
    native, small = load("digits", 64), load("digits", 16)
    for n in range(0, 1437, 100):
        image, little = native.train[n].reshape(8, 8), small.train[n].reshape(4, 4)
        for row in range(4):
            for column in range(4):
                block = image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert little[row, column] == pytest.approx(block.mean(), abs=1e-7)


@pytest.mark.parametrize(
    ("shape", "possible"),
    [
        ((8, 8), "d = 64 or 16 or 4 or 1"),
        ((36,), "d = 36 or 9 or 4 or 1"),
        ((6, 6, 1), "d = 36 or 9 or 4 or 1"),
        ((6, 6, 3), "d = 108"),
        ((6, 4), "d = 24"),
        ((35,), "d = 35"),
    ],
)
def test_a_d_that_cannot_be_given_is_refused_with_those_that_can(
    tmp_path: Path, shape: tuple[int, ...], possible: str
) -> None:
    """Only square grey images, flat ones too, are averaged; each listed d does load."""
    path = _saved(tmp_path, _images(20, *shape))
    message = _refusal(path, 25)
    assert f"expected: {possible}\n" in message
    assert "received: d = 25" in message
    for d in map(int, possible.removeprefix("d = ").split(" or ")):
        assert load(path, d).d == d


# MNIST and Fashion-MNIST.


@pytest.mark.parametrize("folder", _REAL_MNIST)
def test_mnist_has_the_usual_split_and_the_known_variances(folder: str) -> None:
    """60,000 / 10,000 images whose sums of variances are the anchors at d = 784, 196 and 49."""
    for d, anchor in ((784, 52.725), (196, 10.10), (49, 1.404)):
        data = load("mnist", d, Path(folder))
        assert (len(data.train), len(data.test)) == (60_000, 10_000)
        assert _sum_of_variances(data.train) == pytest.approx(anchor, rel=5e-4)


@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("given", ["argument", "variable"])
def test_mnist_is_found_in_a_folder_or_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str, given: str
) -> None:
    """The files, one gzipped here, lie in --data-dir or LOSSBENCH_DATA_DIR or in their mnist."""
    train = _mnist_files(tmp_path / "files" / below)
    monkeypatch.setenv("LOSSBENCH_DATA_DIR", str(tmp_path / "files") if given == "variable" else "")
    data = load("mnist", None, tmp_path / "files" if given == "argument" else None)
    assert _is(data, train)
    assert data.test.shape == (5, 784)


def test_the_argument_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without the files is passed over for the next place."""
    first, second = _mnist_files(tmp_path / "a"), _mnist_files(tmp_path / "b", seed=5)
    monkeypatch.setenv("LOSSBENCH_DATA_DIR", str(tmp_path / "b"))
    assert _is(load("mnist", None, tmp_path / "a"), first)
    assert _is(load("mnist", None, tmp_path), second)


def test_the_other_spelling_of_the_files_is_read(tmp_path: Path) -> None:
    """train-images.idx3-ubyte is what some archives unpack to."""
    train = _mnist_files(tmp_path)
    (tmp_path / f"{_TRAIN}.gz").rename(tmp_path / "train-images.idx3-ubyte.gz")
    (tmp_path / _TEST).rename(tmp_path / "t10k-images.idx3-ubyte")
    assert _is(load("mnist", None, tmp_path), train)


@pytest.mark.parametrize("below", ["fashion_mnist", "fashion-mnist"])
def test_fashion_mnist_never_reads_files_that_lie_directly_in_a_folder(
    tmp_path: Path, below: str
) -> None:
    """IDX files have no name in them: only a folder named for fashion holds Fashion-MNIST."""
    folder = tmp_path / "files"  # pytest names its own folder after this test
    digits = _mnist_files(folder)
    assert "nowhere to be found" in _refusal("fashion_mnist", None, folder)
    clothes = _mnist_files(folder / below, seed=7)
    assert _is(load("fashion_mnist", None, folder), clothes)
    assert _is(load("fashion_mnist", None, folder / below), clothes)
    assert _is(load("mnist", None, folder), digits)
    assert "nowhere to be found" in _refusal("mnist", None, folder / below)


def test_the_cache_of_keras_is_read(tmp_path: Path) -> None:
    """MNIST as one .npz file, Fashion-MNIST as IDX files in a folder of its own."""
    clothes = _mnist_files(tmp_path / "keras" / "datasets" / "fashion-mnist", seed=7)
    digits, labels = _images(20, 28, 28), np.arange(20)
    np.savez(
        tmp_path / "keras" / "datasets" / "mnist.npz",
        x_train=digits,
        y_train=labels,
        x_test=digits[:5],
        y_test=labels[:5],
    )
    assert _is(load("mnist", None), digits)
    assert _is(load("fashion_mnist", None), clothes)


def test_a_download_fills_the_cache_of_keras(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child process is told the folder to write to, and what it wrote is read."""
    digits = _images(20, 28, 28)
    np.savez(tmp_path / "served.npz", x_train=digits, x_test=digits[:5])
    serve = f'cd "$KERAS_HOME"; mkdir datasets; cp {tmp_path}/served.npz datasets/mnist.npz'
    (tmp_path / "keras").mkdir()
    monkeypatch.setattr(sys, "executable", _script(tmp_path / "child", serve))
    assert _is(load("mnist", None), digits)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_download_that_fails_says_how_to_give_the_files(name: str) -> None:
    """The last line of the child's error stands beside --data-dir and LOSSBENCH_DATA_DIR."""
    message = _refusal(name)
    assert "received: a download that failed: offline" in message
    assert "--data-dir" in message
    assert "LOSSBENCH_DATA_DIR" in message


def test_a_download_that_leaves_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that ends well without the files is not believed."""
    monkeypatch.setattr(sys, "executable", "/bin/true")
    assert "after the download" in _refusal("mnist")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """A mistyped --data-dir does not end in a download."""
    assert "--data-dir: the data folder does not exist" in _refusal("mnist", None, tmp_path / "no")


def test_half_of_mnist_is_refused(tmp_path: Path) -> None:
    """One file of the two is a mistake, not a reason to look elsewhere."""
    _mnist_files(tmp_path)
    (tmp_path / _TEST).unlink()
    assert f"received: only {_TRAIN}.gz" in _refusal("mnist", None, tmp_path)


def test_files_of_another_size_are_not_mnist(tmp_path: Path) -> None:
    """The name promises 28 x 28."""
    for name in (_TRAIN, _TEST):
        (tmp_path / name).write_bytes(_idx(_images(20, 14, 14)))
    assert "received: images of shape (14, 14)" in _refusal("mnist", None, tmp_path)


def test_the_native_sizes_are_those_of_the_loaded_data(tmp_path: Path) -> None:
    """Callers may ask for d and the number of training images before they choose a d."""
    for name in ("digits", "patches", _saved(tmp_path, _images(10, 5, 4, 3))):
        assert native_sizes(name) == load(name, None).train.shape[::-1]


# Files of one's own.


@pytest.mark.parametrize("shape", [(12,), (4, 3), (2, 2, 3)])
@pytest.mark.parametrize("end", [".npy", ".npz", "-idx-ubyte", ".idx.gz"])
def test_one_array_is_split_80_20_by_a_fixed_permutation(
    tmp_path: Path, end: str, shape: tuple[int, ...]
) -> None:
    """Every format and shape gives the same rows: flat, H x W and H x W x C."""
    images, path = _images(11, *shape), tmp_path / f"mine{end}"
    match end:
        case ".npy":
            np.save(path, np.asfortranarray(images))
        case ".npz":
            np.savez_compressed(path, anything=images)
        case _:
            path.write_bytes(gzip.compress(_idx(images)) if end == ".idx.gz" else _idx(images))
    data = load(str(path), None)
    rows = images[np.random.default_rng(0).permutation(11)].reshape(11, 12) / np.float32(255)
    assert data.name == str(path)
    np.testing.assert_array_equal(data.train, rows[:8])
    np.testing.assert_array_equal(data.test, rows[8:])


def test_a_files_own_split_is_kept(tmp_path: Path) -> None:
    """x_train and x_test are taken as they are; other arrays are left alone."""
    images = _images(10, 4)
    np.savez(tmp_path / "a.npz", x_test=images[7:], x_train=images[:7], y_train=np.arange(7))
    data = load(str(tmp_path / "a.npz"), None)
    assert _is(data, images[:7])
    assert len(data.test) == 3


def test_a_relative_path_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with a known ending is a path even without a separator."""
    _saved(tmp_path, _images(10, 4))
    monkeypatch.chdir(tmp_path)
    assert load("images.npy", None).d == 4


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """What was read is kept for the next d, but not for another file under the same name."""
    path = _saved(tmp_path, _images(10, 4))
    first = load(path, None)
    assert load(path, None).train is first.train
    _saved(tmp_path, _images(11, 4))
    assert load(path, None).sha256 != first.sha256


@pytest.mark.parametrize(
    ("kind", "white"),
    [("u1", 255), (">u2", 65535), ("i2", 200), ("i8", 200), ("u4", 200), ("f8", 1), ("?", 1)],
)
def test_numbers_are_scaled_by_the_white_of_their_type(
    tmp_path: Path, kind: str, white: int
) -> None:
    """Unsigned 8 and 16 bits by the largest of their type, other integers by the largest seen."""
    raw = np.arange(1, 201).reshape(50, 4)
    images = raw / 200 if kind == "f8" else raw % 3 == 0 if kind == "?" else raw
    data = load(_saved(tmp_path, images.astype(kind)), None)
    expected = np.sort((images / white).astype(np.float32), axis=None)
    np.testing.assert_allclose(np.sort([*data.train.flat, *data.test.flat]), expected, rtol=1e-7)


# What is refused.


@pytest.mark.parametrize(
    ("array", "received"),
    [
        (np.arange(10.0) / 10, "shape (10,)"),
        (np.zeros((2, 2, 2, 2, 2)), "shape (2, 2, 2, 2, 2)"),
        (np.float32(0.5), "shape ()"),
        (np.zeros((0, 28, 28)), "shape (0, 28, 28)"),
        (np.eye(2), "1 and 1"),
        (np.full((10, 4), 0.3), "8 images equal to the first"),
        (np.tile(np.eye(2), (10, 1, 1)), "8 images equal to the first"),
        (np.where(np.eye(10) > 0, np.nan, 0.5), "10 values that are NaN or infinite"),
        (np.where(np.eye(10) > 0, np.inf, 0.5), "10 values that are NaN or infinite"),
        (np.linspace(-0.5, 3, 40).reshape(10, 4), "float64 from -0.5 to 3"),
        (np.arange(-4, 36).reshape(10, 4), "int64 from -4 to 35"),
        (np.eye(10, dtype=np.uint8), "uint8 from 0 to 1"),
        (np.eye(10, dtype=complex), "type complex128"),
        (np.full((10, 4), "a"), "type <U1"),
    ],
)
def test_unfit_data_is_refused_with_what_was_found(
    tmp_path: Path, array: object, received: str
) -> None:
    """Shapes, types and values that no VAE here can be trained on."""
    assert f"received: {received}" in _refusal(_saved(tmp_path, array))


def test_data_that_averaging_makes_constant_is_refused(tmp_path: Path) -> None:
    """Images that differ only inside a block are all the same at d = 1."""
    path = _saved(tmp_path, np.eye(4)[np.arange(20) % 4])
    assert load(path, 4).d == 4
    assert "constant" in _refusal(path, 1)


class _Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """Ask the reader to create a file."""
        return (Path.touch, (Path("sprung"),))  # type: ignore[return-value]


@pytest.mark.parametrize("end", [".npy", ".npz", ".idx"])
def test_a_pickle_is_refused_and_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    """Neither an array of objects nor a bare pickle under a known name runs anything."""
    monkeypatch.chdir(tmp_path)
    trap = np.array([[_Trap(), _Trap()]], dtype=object)
    if end == ".npy":
        np.save("trap.npy", trap, allow_pickle=True)
    elif end == ".npz":
        np.savez("trap.npz", x_train=trap, x_test=trap)
    else:
        Path("trap.idx").write_bytes(pickle.dumps(_Trap()))
    _refusal(f"trap{end}")
    Path(f"bare{end}").write_bytes(pickle.dumps(_Trap()))
    _refusal(f"bare{end}")
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digit", "did you mean 'digits'?"),
        ("fashion", "did you mean 'fashion_mnist'?"),
        ("zebra", "digits, patches, mnist, fashion_mnist"),
        ("no/such/file", "the file does not exist"),
        ("none.npz", "the file does not exist"),
        ("/", "this is not a file"),
        (__file__, "the file is of no known format"),
    ],
)
def test_a_name_or_path_that_leads_nowhere_is_refused(name: str, says: str) -> None:
    """A misspelt name is answered with the nearest; a path with what is wrong about it."""
    assert says in _refusal(name)


def test_several_arrays_without_the_known_names_are_listed(tmp_path: Path) -> None:
    """The reader does not guess which array holds the images."""
    np.savez(tmp_path / "a.npz", images=_images(5, 4), labels=np.arange(5))
    assert "received: images, labels" in _refusal(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("test", [_images(5, 5, 4), _images(5, 4, 4) / 255])
def test_test_images_unlike_the_training_images_are_refused(
    tmp_path: Path, test: NDArray[np.generic]
) -> None:
    """Another shape or another type cannot be the same kind of image."""
    np.savez(tmp_path / "a.npz", x_train=_images(5, 4, 4), x_test=test)
    assert "not like the training images" in _refusal(str(tmp_path / "a.npz"))


def test_a_wrong_magic_number_is_refused(tmp_path: Path) -> None:
    """The bytes that were found are shown."""
    (tmp_path / "a.idx").write_bytes(b"\x89PNG and so on")
    assert "received: 89 50 4e 47" in _refusal(str(tmp_path / "a.idx"))


@pytest.mark.parametrize("size", [60_000, 2**20])
def test_a_header_that_promises_more_than_there_is_takes_no_memory(
    tmp_path: Path, size: int
) -> None:
    """In IDX and .npy alike, what is promised is neither believed nor allocated."""
    (tmp_path / "a.idx").write_bytes(struct.pack(">HBB3I", 0, 8, 3, size, 28, 200) + bytes(99))
    with (tmp_path / "a.npy").open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (size, 28, 200)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(99))
    for name in ("a.idx", "a.npy"):
        message = _refusal(str(tmp_path / name))
        assert "too large" in message if size == 2**20 else "received: 99 bytes" in message


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    """The sizes in the archive's directory count, before anything is unpacked."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=_images(5, 4), x_test=_images(5, 4))
    content = path.read_bytes().split(b"PK\1\2")
    patched = [entry[:20] + b"\xf0\xff\xff\xff" + entry[24:] for entry in content[1:]]
    path.write_bytes(b"PK\1\2".join([content[0], *patched]))
    assert "received: 8,589,934,560 bytes" in _refusal(str(path))


@pytest.mark.parametrize("end", [".npy", ".npz", ".idx", ".idx.gz"])
def test_damage_anywhere_ends_in_one_kind_of_error(tmp_path: Path, end: str) -> None:
    """A file cut short is always refused; one with a changed byte loads or is refused."""
    images = _images(12, 4, 4)
    np.save(tmp_path / "whole.npy", images)
    np.savez_compressed(tmp_path / "whole.npz", x_train=images, x_test=images[:3])
    (tmp_path / "whole.idx").write_bytes(_idx(images))
    (tmp_path / "whole.idx.gz").write_bytes(gzip.compress(_idx(images)))
    whole = (tmp_path / f"whole{end}").read_bytes()
    rng = np.random.default_rng(3)
    for i, place in enumerate(rng.integers(len(whole), size=100)):
        path = tmp_path / f"{i}{end}"
        path.write_bytes(whole[:place])
        _refusal(str(path))
        path = tmp_path / f"changed-{i}{end}"
        path.write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        with contextlib.suppress(DataError):
            load(str(path), None)
