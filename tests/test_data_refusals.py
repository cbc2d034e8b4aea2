"""Data that no VAE here can be trained on is refused."""

import contextlib
import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from image_files import idx_bytes, random_images, refusal_of, saved
from numpy.typing import NDArray

from lossbench.data import load
from lossbench.errors import DataError

pytestmark = pytest.mark.usefixtures("nothing_given")


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
        (np.linspace(-0.5, 3, 40).reshape(10, 4), "-0.5; float64 from -0.5 to 3, 29 values out"),
        (np.arange(-4, 36).reshape(10, 4), "-4; int64 from -4 to 35, 4 values out"),
        (np.eye(10, dtype=np.uint8), "uint8 from 0 to 1"),
        (np.eye(10, dtype=complex), "type complex128"),
        (np.full((10, 4), "a"), "type <U1"),
    ],
)
def test_unfit_data_is_refused_with_what_was_found(
    tmp_path: Path, array: object, received: str
) -> None:
    """Shapes, types and values that no VAE here can be trained on."""
    assert f"received: {received}" in refusal_of(saved(tmp_path, array))


def test_data_that_averaging_makes_constant_is_refused(tmp_path: Path) -> None:
    """Images that differ only inside a block are all the same at d = 1."""
    path = saved(tmp_path, np.eye(4)[np.arange(20) % 4])
    assert load(path, 4).d == 4
    assert "constant" in refusal_of(path, 1)


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
    refusal_of(f"trap{end}")
    Path(f"bare{end}").write_bytes(pickle.dumps(_Trap()))
    refusal_of(f"bare{end}")
    assert not Path("sprung").exists()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("digit", "did you mean 'digits'"),
        ("fashion", "did you mean 'fashion_mnist'?"),
        ("zebra", "digits, digits_counts, digits_levels, digits_enlarged, breast_cancer"),
        ("no/such/file", "the file does not exist"),
        ("none.npz", "the file does not exist"),
        ("/", "this is not a file"),
        ("no.csv", ".tsv or IDX file, or a folder of images"),
        (__file__, "the file is of no known format"),
        (__file__, ".csv or .tsv"),
    ],
)
def test_a_name_or_path_that_leads_nowhere_is_refused(name: str, says: str) -> None:
    """A misspelt name is answered with the nearest; a path with what is wrong about it."""
    assert says in refusal_of(name)


def test_several_arrays_without_the_known_names_are_listed(tmp_path: Path) -> None:
    """The reader does not guess which array holds the images."""
    np.savez(tmp_path / "a.npz", images=random_images(5, 4), labels=np.arange(5))
    assert "received: images, labels" in refusal_of(str(tmp_path / "a.npz"))


@pytest.mark.parametrize("test", [random_images(5, 5, 4), random_images(5, 4, 4) / 255])
def test_test_images_unlike_the_training_images_are_refused(
    tmp_path: Path, test: NDArray[np.generic]
) -> None:
    """Another shape or another type cannot be the same kind of image."""
    np.savez(tmp_path / "a.npz", x_train=random_images(5, 4, 4), x_test=test)
    assert "not like the training images" in refusal_of(str(tmp_path / "a.npz"))


def test_a_wrong_magic_number_is_refused(tmp_path: Path) -> None:
    """The bytes that were found are shown."""
    (tmp_path / "a.idx").write_bytes(b"\x89PNG and so on")
    assert "received: 89 50 4e 47" in refusal_of(str(tmp_path / "a.idx"))


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
        message = refusal_of(str(tmp_path / name))
        assert "too large" in message if size == 2**20 else "received: 99 bytes" in message


def test_a_zip_bomb_is_refused_by_its_declared_size(tmp_path: Path) -> None:
    """The sizes in the archive's directory count, before anything is unpacked."""
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x_train=random_images(5, 4), x_test=random_images(5, 4))
    content = path.read_bytes().split(b"PK\1\2")
    patched = [entry[:20] + b"\xf0\xff\xff\xff" + entry[24:] for entry in content[1:]]
    path.write_bytes(b"PK\1\2".join([content[0], *patched]))
    assert "received: 8,589,934,560 bytes" in refusal_of(str(path))


@pytest.mark.parametrize("end", [".npy", ".npz", ".idx", ".idx.gz"])
def test_damage_anywhere_ends_in_one_kind_of_error(tmp_path: Path, end: str) -> None:
    """A file cut short is always refused; one with a changed byte loads or is refused."""
    images = random_images(12, 4, 4)
    np.save(tmp_path / "whole.npy", images)
    np.savez_compressed(tmp_path / "whole.npz", x_train=images, x_test=images[:3])
    (tmp_path / "whole.idx").write_bytes(idx_bytes(images))
    (tmp_path / "whole.idx.gz").write_bytes(gzip.compress(idx_bytes(images)))
    whole = (tmp_path / f"whole{end}").read_bytes()
    rng = np.random.default_rng(3)
    for i, place in enumerate(rng.integers(len(whole), size=100)):
        path = tmp_path / f"{i}{end}"
        path.write_bytes(whole[:place])
        refusal_of(str(path))
        path = tmp_path / f"changed-{i}{end}"
        path.write_bytes(whole[:place] + rng.bytes(1) + whole[place + 1 :])
        with contextlib.suppress(DataError):
            load(str(path), None)
