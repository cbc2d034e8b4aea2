"""``lossbench data``: what a data set is, and which likelihoods it can have."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import random_images, saved
from PIL import Image

from lossbench import description, prediction
from lossbench.cli import main
from lossbench.data import reading_told
from lossbench.experiment import read

pytestmark = pytest.mark.usefixtures("nothing_given")


def _told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, str]:
    sys.argv = ["lossbench", "data", *arguments]
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code in (0, None)
    return tuple(capsys.readouterr())  # type: ignore[return-value]


def test_thresholds_are_those_of_predict() -> None:
    """The same numbers, for every likelihood."""
    found = prediction.predict(read(None, {"d": "16"}))
    known = {each.reconstruction_loss: each.largest for each in found.thresholds}
    described = description.describe("digits", 16)
    told = {fit.reconstruction_loss: fit.thresholds for fit in described.fits}
    assert {kind: told[kind] for kind in known} == known


def test_the_reconstruction_of_nothing_is_that_of_the_mean(tmp_path: Path) -> None:
    """For mse it is the sum of the variances; sizes, range and what never varies are told."""
    images = random_images(20, 6)
    images[:, 2] = 7
    described = description.describe(saved(tmp_path, images))
    order = np.random.default_rng(0).permutation(20)
    train = (images[order[:16]] / 255).astype(np.float32)
    (mse,) = (fit for fit in described.fits if fit.reconstruction_loss == "mse")
    assert mse.reconstruction_of_nothing == pytest.approx(train.var(axis=0).sum(), rel=1e-5)
    assert (described.shape, described.n_train, described.n_test) == ((6,), 16, 4)
    assert (described.constant_inputs, described.divided_by) == ((3,), 255)
    assert (described.least, described.largest) == (images.min() / np.float32(255), 1)


def test_the_command_tells_it_and_what_to_type_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns no line breaks but for a long name; JSON holds the same."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine and more.csv").write_text("a,b,t\n" + "0,4,x\n4,1,y\n2,2,z\n" * 5)
    name = "mine and more.csv:-t"
    table, following = _told(capsys, name)
    assert "12 training examples, 3 test examples" in table
    assert "divided by 4" in table
    assert all(len(line) <= 80 for line in table.splitlines())
    assert following == f"next: lossbench predict --dataset '{name}'\n"
    facts = json.loads(_told(capsys, name, "--json")[0])
    assert facts["d"] == 2
    assert [fit["reconstruction_loss"] for fit in facts["fits"]] == [
        "bce",
        "mse",
        "gaussian",
        "laplace",
        "continuous_bernoulli",
        "poisson",
        "negative_binomial",
        "multinomial",
    ]


def test_constant_columns_of_a_table_have_their_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the header among the columns that were chosen; without a header, their places."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    file = tmp_path / "named.csv"
    file.write_text("id,age,dose,unit\n" + "x,1,3,0\ny,2,3,0\nz,4,3,0\n" * 5)
    described = description.describe(f"{file}:-id")
    assert (described.constant_inputs, described.constant_names) == ((2, 3), ("dose", "unit"))
    assert "2 inputs never vary in training: dose, unit" in _told(capsys, f"{file}:-id")[0]
    file.write_text("1,3,4\n2,3,1\n4,3,2\n" * 5)
    assert description.describe(str(file)).constant_names == ("column 2",)


def test_a_bar_is_shown_while_a_folder_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes from the first step to the last; what is no terminal is spared it."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    for row, image in enumerate(random_images(10, 6, 6)):
        Image.fromarray(image).save(tmp_path / f"{row}.png")
    told: list[tuple[int, int]] = []
    with reading_told(lambda *counts: told.append(counts)):
        description.describe(str(tmp_path))
        assert told == [(step, 20) for step in range(1, 21)]
        description.describe(str(tmp_path))
    assert len(told) == 20, "what is read already is not read again"
    _, following = _told(capsys, str(tmp_path))
    assert following.startswith("next: ")


def test_too_many_inputs_have_no_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their covariance would take minutes; the rest is told."""
    monkeypatch.setattr(description, "_MOST_D", 63)
    assert all(not fit.thresholds for fit in description.describe("digits").fits)
