"""The data room: what comes out whatever went in, and a smaller d."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from image_files import PYTHON, random_images, refusal_of, saved, sum_of_variances
from numpy.typing import NDArray
from PIL import Image

from lossbench.data import load

pytestmark = pytest.mark.usefixtures("nothing_given")


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
    images = random_images(10, 3)
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
    subprocess.run([PYTHON, "-c", code], check=True)


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
    assert sum_of_variances(every) == pytest.approx(4.693, abs=5e-4)
    assert sum_of_variances(data.train) == pytest.approx(4.681, abs=5e-4)


def test_enlarged_digits_lie_between_the_pixels_of_the_digits() -> None:
    """Within half a level of grey of a linear interpolation, in the same split."""
    small, large = (load(name, None) for name in ("digits", "digits_enlarged"))
    assert large.shape == (28, 28)
    places, pixels = (np.arange(28) + 0.5) * 8 / 28 - 0.5, np.arange(8)
    image = small.train[7].reshape(8, 8)
    wide = np.array([np.interp(places, pixels, row) for row in image])
    expected = np.array([np.interp(places, pixels, column) for column in wide.T]).T
    difference = 255 * abs(large.train[7].reshape(28, 28) - expected)
    assert 0.3 < difference.max() <= 0.501


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
    assert f"try: take d = {near}" in refusal_of("patches", d)


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
    path = saved(tmp_path, random_images(20, *shape))
    message = refusal_of(path, 25)
    assert f"expected: {possible}\n" in message
    assert "received: d = 25" in message
    for d in map(int, possible.removeprefix("d = ").split(" or ")):
        assert load(path, d).d == d
