"""Pictures have the shape and the colours of the data: not all images are square and grey."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from image_files import random_images
from made_runs import made_run
from made_summaries import results_of
from numpy.typing import NDArray
from PIL import Image

from lossbench.experiment import read
from lossbench.report.cases import cases
from lossbench.report.pictures import Arrays, pictures
from lossbench.report.style import Drawing, series_of
from lossbench.run import Record
from lossbench.sweeping import completed, plan


def drawn(folder: Path, arrays: Arrays, d: int = 16) -> dict[str, Drawing]:
    """Return the pictures of one run with these arrays."""
    store = results_of(folder, [made_run("docs", 1.0, d=d, k=8)])
    (case,) = cases(store.summary())
    found = pictures(replace(case, d=d), store.runs(), lambda _: arrays, series_of(["docs"]))
    return {drawing.name: drawing for drawing in found}


def first_of(drawing: Drawing, row: int) -> NDArray[np.float64]:
    """Return the pixels of a row of images."""
    return np.ma.filled(drawing.figure.axes[row].images[0].get_array(), np.nan)


def arrays_like(images: NDArray[np.float32]) -> Arrays:
    """Return arrays of a run: these images, the same reversed, and theirs squared."""
    return {
        "originals": images,
        "reconstructions": images[::-1],
        "prior_images": images**2,
        "latent_means": np.zeros((8, 8), np.float32),
    }


@pytest.mark.parametrize("shape", [(6, 4), (3, 9), (20, 30), (6, 4, 1), (6, 4, 3), (17, 5, 3)])
def test_images_are_drawn_with_their_sides_and_colours(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    """Each stands upright in its row, enlarged by a whole number; between them is nothing."""
    images = random_images(8, *shape).astype(np.float32) / 255
    found = drawn(tmp_path, arrays_like(images))
    assert list(found) == ["reconstructions-bce", "prior-bce"]
    original, reconstruction = (first_of(found["reconstructions-bce"], row) for row in (0, 1))
    scale = original.shape[0] // shape[0]
    step = (original.shape[1] - 8 * shape[1] * scale) // 7
    for strip, expected in ((original, images), (reconstruction, images[::-1])):
        for number in range(8):
            left = number * (shape[1] * scale + step)
            panel = strip[::scale, left : left + shape[1] * scale : scale]
            if shape[2:] == (3,):
                np.testing.assert_array_equal(panel[..., 3], 1.0)
                panel = panel[..., :3]
            np.testing.assert_allclose(panel, expected[number].reshape(panel.shape), atol=1e-6)
    between = original[:, shape[1] * scale : shape[1] * scale + step]
    assert between.size
    assert (between[..., 3] == 0).all() if shape[2:] == (3,) else np.isnan(between).all()


def test_rows_of_no_square_are_no_images(tmp_path: Path) -> None:
    """A table of 30 columns has no picture."""
    assert drawn(tmp_path, arrays_like(np.ones((8, 30), np.float32))) == {}


def test_a_sweep_gives_the_images_of_a_folder_their_shape(tmp_path: Path) -> None:
    """PNG of 6 x 4 pixels in colour: the record's arrays are the files' pixels."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(random_images(20, 6, 4, 3)):
        Image.fromarray(image).save(folder / f"{number:02}.png")
    asked = {
        "dataset": str(folder),
        "k": "2",
        "loss": "docs",
        "beta": "1",
        "seeds": "1",
        "d": "72",
        "batch_size": "8",
    }
    found = plan(read(None, asked | {"reconstruction_loss": "mse"}), tmp_path / "out")
    (run,) = found.runs
    data = found.dataset(run)
    rows = dict.fromkeys(("originals", "reconstructions", "prior_images"), data.test[:8])
    record = Record.trained(run, {"elbo": -1.0}, {}, rows)
    arrays = completed(record, run, data, None).arrays
    assert {array.shape[1:] for array in arrays.values()} == {(6, 4, 3)}
    np.testing.assert_array_equal(
        arrays["originals"].reshape(len(data.test[:8]), -1), data.test[:8]
    )
