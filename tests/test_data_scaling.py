"""Scales: fitted on the training split alone, against scikit-learn's, and undone in figures."""

from pathlib import Path

import numpy as np
import pytest
from image_files import random_images, refusal_of, saved
from numpy.typing import NDArray
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from test_likelihoods import runs

from lossbench import theory
from lossbench.data import load
from lossbench.errors import DataError
from lossbench.experiment import read
from lossbench.loss import likelihood
from lossbench.nn.train import train_stack
from lossbench.store import Store
from lossbench.sweeping import completed, plan, sweep

ASKED = {
    "d": "4",
    "k": "2",
    "loss": "docs",
    "beta": "1",
    "seeds": "1",
    "reconstruction_loss": "mse",
}
THEIRS = {"standard": StandardScaler, "unit": MinMaxScaler, "max": MaxAbsScaler}


def _table(tmp_path: Path, rows: NDArray[np.float64], name: str = "mine.csv") -> str:
    path = tmp_path / name
    header = ",".join(f"c{number}" for number in range(rows.shape[1]))
    np.savetxt(path, rows, delimiter=",", header=header, comments="", fmt="%.17g")
    return str(path)


def _rows(n: int = 200) -> NDArray[np.float64]:
    """Return columns of very different units; one is a time of the clock."""
    noise = np.random.default_rng(1).standard_normal((n, 4))
    return noise * [1e-6, 1, 300, 5] + [0, -2, 1e4, 1.7e9]


def _parts(rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    order = np.random.default_rng(0).permutation(len(rows))
    n_train = 4 * len(rows) // 5
    return rows[order[:n_train]], rows[order[n_train:]]


@pytest.mark.parametrize("scale", THEIRS)
def test_tables_are_scaled_by_column_as_scikit_learn_does(tmp_path: Path, scale: str) -> None:
    """In double precision: a clock that moves by seconds keeps them."""
    data = load(_table(tmp_path, _rows()), None, scale=scale)  # type: ignore[arg-type]
    train, test = _parts(_rows())
    theirs = THEIRS[scale]().fit(train)
    np.testing.assert_allclose(data.train, theirs.transform(train), rtol=1e-6, atol=2e-6)
    low, high = {"standard": (-np.inf, np.inf), "unit": (0, 1), "max": (-1, 1)}[scale]
    outside = theirs.transform(test)
    np.testing.assert_allclose(data.test, outside.clip(low, high), rtol=1e-6, atol=2e-6)
    assert data.scaling.n_clipped == np.count_nonzero((outside < low) | (outside > high))
    assert (data.scaling.n_clipped > 0) == (scale == "unit")
    undone = data.scaling.undone(data.train)
    np.testing.assert_allclose(undone, train, rtol=1e-6, atol=1e-3)


@pytest.mark.parametrize(("scale", "low", "high"), [("unit", 0, 1), ("max", 40 / 250, 1)])
def test_images_are_scaled_by_all_pixels_together(
    tmp_path: Path, scale: str, low: float, high: float
) -> None:
    """A dark corner stays darker than the middle, which columns of their own would not leave."""
    images = np.clip(random_images(50, 4, 4), 40, 250)
    data = load(saved(tmp_path, images), None, scale=scale)  # type: ignore[arg-type]
    assert (data.train.min(), data.train.max()) == (np.float32(low), high)
    train = images[np.random.default_rng(0).permutation(50)[:40]].reshape(40, 16)
    np.testing.assert_allclose(data.scaling.undone(data.train), train, rtol=1e-6)


def test_none_leaves_the_numbers_as_they_are(tmp_path: Path) -> None:
    """Negative and large ones, too; what single precision cannot hold is refused."""
    rows = _rows()
    data = load(_table(tmp_path, rows), None, scale="none")
    np.testing.assert_array_equal(data.train, _parts(rows)[0].astype(np.float32))
    rows[5] = 1e39
    path = _table(tmp_path, rows, "large.csv")
    with pytest.raises(DataError, match="too large for single precision"):
        load(path, None, scale="none")
    assert load(path, None, scale="standard").d == 4


@pytest.mark.parametrize("scale", ["none", "unit", "standard", "max"])
def test_a_smaller_d_is_averaged_before_it_is_scaled(scale: str) -> None:
    """So the scale is that of what is trained on."""
    data = load("digits", 16, scale=scale)  # type: ignore[arg-type]
    grey = load("digits", 16)
    if scale == "standard":
        np.testing.assert_allclose(data.train.std(axis=0), 1, rtol=1e-5)
        np.testing.assert_allclose(data.scaling.undone(data.test), grey.test, atol=1e-6)
    else:
        span = {"none": (0, 1), "max": (0, grey.train.max())}
        low, high = span.get(scale, (grey.train.min(), grey.train.max()))
        np.testing.assert_allclose(data.train, (grey.train - low) / (high - low), rtol=1e-6)


def test_a_constant_column_has_no_standard_deviation(tmp_path: Path) -> None:
    """It is named, and under another scale it stays: the mean of equal numbers may be off a bit."""
    rows = _rows()
    rows[:, 2] = 0.1
    path = _table(tmp_path, rows)
    with pytest.raises(DataError, match="column 'c2'") as caught:
        load(path, None, scale="standard")
    assert f"{path}:-c2" in caught.value.remedy
    assert not load(path, None, scale="unit").train[:, 2].any()
    assert load(f"{path}:-c2", None, scale="standard").d == 3
    assert "row 1, column 'c" in refusal_of(path)


def test_thresholds_of_a_standardised_table_are_those_of_its_correlations(tmp_path: Path) -> None:
    """Twice the eigenvalues of the correlation matrix, for ``mse``."""
    data = load(_table(tmp_path, _rows()), None, scale="standard")
    correlations = np.linalg.eigvalsh(np.corrcoef(_parts(_rows())[0].T))[::-1]
    found = theory.thresholds(theory.moments(data.train), likelihood("mse"))
    np.testing.assert_allclose(found, 2 * correlations, rtol=1e-5)


def test_a_network_ends_in_a_sigmoid_where_the_scale_leads_to_0_to_1() -> None:
    """Unless another output is asked for."""
    asked = {"dataset": "digits", "d": "16", "loss": "docs", "reconstruction_loss": "mse"}
    outputs = {
        (run.scale, run.output, run.hidden): run.architecture.output
        for run in runs(**asked, scale="auto,standard", output="auto,sigmoid", hidden="4,linear")
    }
    assert outputs == {
        ("auto", "auto", (4,)): "sigmoid",
        ("auto", "auto", ()): "linear",
        ("standard", "auto", (4,)): "linear",
        ("standard", "auto", ()): "linear",
        **{
            (scale, "sigmoid", hidden): "sigmoid"
            for scale in ("auto", "standard")
            for hidden in ((), (4,))
        },
    }


def test_a_scale_is_frozen_with_its_data_and_undone_in_pictures(tmp_path: Path) -> None:
    """The hash of the scaled data stands beside its scale; the arrays are in the data's unit."""
    path = _table(tmp_path, _rows())
    asked = ASKED | {"dataset": path}
    found = plan(read(None, asked | {"scale": "standard", "epochs": "1"}), tmp_path / "out")
    (run,) = found.runs
    data = found.dataset(run)
    assert dict(found.experiment.data_sha256) == {f"{path} at d=4, scale standard": data.sha256}
    (trained,) = train_stack([run], 1, data.train, data.test)
    arrays = completed(trained, run, data, None).arrays
    np.testing.assert_allclose(arrays["originals"], _parts(_rows())[1][:8], rtol=1e-6, atol=1e-4)
    undone = data.scaling.undone(trained.arrays["reconstructions"])
    np.testing.assert_array_equal(arrays["reconstructions"], undone)


@pytest.mark.slow
def test_a_sweep_over_scales_keeps_them_apart(tmp_path: Path) -> None:
    """Two scales are two settings of one table, each with its thresholds."""
    path = _table(tmp_path, _rows())
    asked = ASKED | {"dataset": path}
    out = tmp_path / "out"
    sweep(plan(read(None, asked | {"scale": "standard,unit", "epochs": "2"}), out))
    table = Store(out).summary()
    assert dict(zip(table["scale"], table["output"], strict=True)) == {
        "standard": "auto",
        "unit": "auto",
    }
    assert table["threshold"].nunique() == 2
