"""``lossbench data``: what a data set is, and which likelihoods it can have."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import random_images, saved

from lossbench import description, prediction
from lossbench.cli import main
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


def test_too_many_inputs_have_no_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their covariance would take minutes; the rest is told."""
    monkeypatch.setattr(description, "_MOST_D", 63)
    assert all(not fit.thresholds for fit in description.describe("digits").fits)
