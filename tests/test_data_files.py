"""Files of one's own."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from image_files import holds, idx_bytes, random_images, saved

from lossbench.data import load

pytestmark = pytest.mark.usefixtures("nothing_given")


@pytest.mark.parametrize("shape", [(12,), (4, 3), (2, 2, 3)])
@pytest.mark.parametrize("end", [".npy", ".npz", "-idx-ubyte", ".idx.gz"])
def test_one_array_is_split_80_20_by_a_fixed_permutation(
    tmp_path: Path, end: str, shape: tuple[int, ...]
) -> None:
    """Every format and shape gives the same rows: flat, H x W and H x W x C."""
    images, path = random_images(11, *shape), tmp_path / f"mine{end}"
    match end:
        case ".npy":
            np.save(path, np.asfortranarray(images))
        case ".npz":
            np.savez_compressed(path, anything=images)
        case _:
            path.write_bytes(
                gzip.compress(idx_bytes(images)) if end == ".idx.gz" else idx_bytes(images)
            )
    data = load(str(path), None)
    rows = images[np.random.default_rng(0).permutation(11)].reshape(11, 12) / np.float32(255)
    assert data.name == str(path)
    np.testing.assert_array_equal(data.train, rows[:8])
    np.testing.assert_array_equal(data.test, rows[8:])


def test_a_files_own_split_is_kept(tmp_path: Path) -> None:
    """x_train and x_test are taken as they are; other arrays are left alone."""
    images = random_images(10, 4)
    np.savez(tmp_path / "a.npz", x_test=images[7:], x_train=images[:7], y_train=np.arange(7))
    data = load(str(tmp_path / "a.npz"), None)
    assert holds(data, images[:7])
    assert len(data.test) == 3


def test_a_relative_path_starts_at_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name with a known ending is a path even without a separator."""
    saved(tmp_path, random_images(10, 4))
    monkeypatch.chdir(tmp_path)
    assert load("images.npy", None).d == 4


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """What was read is kept for the next d, but not for another file under the same name."""
    path = saved(tmp_path, random_images(10, 4))
    first = load(path, None)
    assert load(path, None).train is first.train
    saved(tmp_path, random_images(11, 4))
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
    data = load(saved(tmp_path, images.astype(kind)), None)
    expected = np.sort((images / white).astype(np.float32), axis=None)
    np.testing.assert_allclose(np.sort([*data.train.flat, *data.test.flat]), expected, rtol=1e-7)


def test_an_array_that_python_2_wrote_is_read_without_a_warning(tmp_path: Path) -> None:
    """Its header has long integers."""
    path = Path(saved(tmp_path, np.eye(8, 4, dtype=np.float32)))
    path.write_bytes(path.read_bytes().replace(b"(8, 4), }  ", b"(8L, 4L), }"))
    assert b"8L" in path.read_bytes()
    assert load(str(path), None).d == 4
