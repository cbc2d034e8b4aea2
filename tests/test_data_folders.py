"""Folders of images: what is read, what is kept for the next start, and what is refused."""

import contextlib
import os
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_files import holds, random_images, refusal_of
from numpy.typing import NDArray
from PIL import Image

from lossbench.data import folders, load
from lossbench.errors import DataError

pytestmark = pytest.mark.usefixtures("nothing_given")


def _folder(tmp_path: Path, images: NDArray[np.uint8], name: str = "photos") -> Path:
    folder = tmp_path / name
    folder.mkdir()
    for row, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{row:03}.png")
    return folder


def _split(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    order = np.random.default_rng(0).permutation(len(images))
    return images[order][: 4 * len(images) // 5]


@pytest.mark.parametrize("shape", [(6, 6), (6, 4), (6, 4, 3)])
def test_a_folder_gives_the_rows_of_its_array(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """Grey and colour, split as one array is, and read again from what was kept."""
    images = random_images(10, *shape)
    folder = _folder(tmp_path, images)
    assert holds(load(str(folder), None), _split(images))
    assert len(list((tmp_path / "cache").iterdir())) == 1
    np.testing.assert_array_equal(folders.read(str(folder)), images.reshape(*images.shape[:3], -1))
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_what_was_kept_is_never_another_folders(tmp_path: Path) -> None:
    """A changed byte, another name, another size: read anew; what is damaged, too."""
    images = random_images(10, 6, 6)
    folder = _folder(tmp_path, images)
    folders.read(str(folder))
    (kept,) = (tmp_path / "cache").iterdir()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    np.testing.assert_array_equal(folders.read(str(folder))[..., 0], images)
    images[3] = 0
    Image.fromarray(images[3]).save(folder / "003.png")
    np.testing.assert_array_equal(folders.read(str(folder))[..., 0], images)
    assert folders.read(f"{folder}:3").shape == (10, 3, 3, 1)
    (folder / "003.png").rename(folder / "999.png")
    np.testing.assert_array_equal(folders.read(str(folder))[-1, ..., 0], images[3])


def test_a_folder_that_cannot_be_written_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be kept is read again."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LOSSBENCH_CACHE_DIR", str(tmp_path / "file" / "below"))
    images = random_images(10, 6, 6)
    assert holds(load(str(_folder(tmp_path, images)), None), _split(images))


def test_folders_below_other_files_and_kinds_of_pixels(tmp_path: Path) -> None:
    """Files below count, other files do not; palettes and transparency become colour."""
    folder = _folder(tmp_path, random_images(6, 5, 5))
    (folder / "notes.txt").write_text("not an image")
    (folder / "below").mkdir()
    for mode in ("P", "RGBA", "1", "LA"):
        Image.new(mode, (5, 5), 1).save(folder / "below" / f"{mode}.png")
    Image.new("CMYK", (5, 5)).save(folder / "below" / "a.JPEG")
    Image.fromarray(np.full((5, 5), 0x8000, np.uint16)).save(folder / "deep.png")
    images = folders.read(str(folder))
    assert images.shape == (12, 5, 5, 3)
    assert (images[-1] == 0x80).all()
    (folder / "link.png").symlink_to(folder / "000.png")
    assert len(folders.read(str(folder))) == 13


def test_images_of_several_sizes_need_one(tmp_path: Path) -> None:
    """They are refused with an example of each; `:4` makes all of them 4 x 4."""
    folder = _folder(tmp_path, random_images(6, 5, 5))
    Image.new("L", (8, 4)).save(folder / "wide.png")
    message = refusal_of(str(folder))
    assert "6 of 5 x 5 (000.png), 1 of 8 x 4 (wide.png)" in message
    assert load(f"{folder}:4", None).d == 16
    assert "from 1 to 1024" in refusal_of(f"{folder}:0")


def _png(width: int, height: int) -> bytes:
    """Return a PNG that promises many pixels and holds a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_what_is_no_folder_of_images_is_refused(tmp_path: Path) -> None:
    """Nothing, damage, bombs, links that lead out, pipes: by their path."""
    folder = _folder(tmp_path, random_images(6, 40, 40))
    bad = folder / "bad.png"
    bad.write_bytes((folder / "000.png").read_bytes()[:900])
    assert "bad.png: the image cannot be read" in refusal_of(str(folder))
    bad.write_bytes(_png(40, 40))
    assert "bad.png: the image cannot be read" in refusal_of(str(folder))
    for side in (6_000, 12_000, 60_000):
        bad.write_bytes(_png(side, side))
        assert "bad.png: the image is too large" in refusal_of(f"{folder}:8")
    bad.write_bytes(b"GIF89a")
    assert "bad.png: the image cannot be read" in refusal_of(str(folder))
    bad.unlink()
    os.mkfifo(bad)
    assert "a pipe" in refusal_of(str(folder))
    bad.unlink()
    bad.symlink_to("/etc/passwd")
    assert "bad.png: a symbolic link" in refusal_of(str(folder))
    bad.unlink()
    bad.symlink_to(bad)
    assert "bad.png: a symbolic link" in refusal_of(str(folder))
    bad.unlink()
    (folder / "out").symlink_to(tmp_path)
    assert "out: a symbolic link" in refusal_of(str(folder))
    (tmp_path / "empty").mkdir()
    assert "holds no images" in refusal_of(str(tmp_path / "empty"))


@pytest.mark.slow
def test_the_limit_is_that_of_what_is_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four bytes a pixel, as float32 has them, and one a pixel in the files."""
    folder = _folder(tmp_path, random_images(10, 6, 4))
    monkeypatch.setattr(folders, "_LIMIT", 4 * 240 - 1)
    with pytest.raises(DataError) as refused:
        folders.read(str(folder))
    assert refused.value.expected == "at most 959 bytes as float32"
    assert refused.value.received == "960 bytes: 10 images of 4 x 6"
    monkeypatch.setattr(folders, "_LIMIT", 4 * 240)
    assert folders.read(str(folder)).shape == (10, 6, 4, 1)


def test_damaged_images_never_end_in_a_traceback(tmp_path: Path) -> None:
    """Images with bytes changed or cut are read or refused."""
    rng = np.random.default_rng(0)
    folder = _folder(tmp_path, random_images(6, 12, 12, 3))
    Image.fromarray(random_images(1, 12, 12, 3)[0]).save(tmp_path / "a.jpg")
    whole = {"a.png": (folder / "000.png").read_bytes(), "a.jpg": (tmp_path / "a.jpg").read_bytes()}
    for case in range(500):
        name = ("a.png", "a.jpg")[case % 2]
        content = bytearray(whole[name])
        for _ in range(rng.integers(1, 6)):
            content[int(rng.integers(len(content)))] = int(rng.integers(256))
        (folder / name).write_bytes(content[: int(rng.integers(1, 2 * len(content)))])
        with contextlib.suppress(DataError):
            load(str(folder), None)
        (folder / name).unlink()


@pytest.mark.slow
def test_many_images_are_read_in_seconds(tmp_path: Path) -> None:
    """20,000 PNG of 64 x 64: 30 s on an idle machine, 100 where others work too."""
    folder = _folder(tmp_path, random_images(200, 64, 64, 3))
    for row in range(200, 20_000):
        os.link(folder / f"{row % 200:03}.png", folder / f"{row}.png")
    times = []
    for _ in range(2):
        start = time.perf_counter()
        assert folders.read(str(folder)).shape == (20_000, 64, 64, 3)
        times.append(time.perf_counter() - start)
    print(f"{times[0]:.1f} s, then {times[1]:.1f} s")
    assert times[0] < 100
