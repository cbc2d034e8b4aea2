"""Measured thresholds: where the KL vanishes, of one model at a time."""

import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from lossbench.columns import SETTING_COLUMNS, fill, goes_without_saying
from lossbench.report.tables import thresholds_view
from lossbench.store import THRESHOLD_COLUMNS, Store, measured_thresholds
from lossbench.store.tables import csv_bytes

RESULTS = Path(__file__).parent.parent / "results"
FINE = (0.5, 0.8, 0.9, 0.96, 1.05, 1.2, 2.0)
SETTINGS = {
    "dataset": "digits",
    "loss": "docs",
    "reconstruction_loss": "bce",
    "beta": 1.0,
    "d": 64,
    "k": 2,
    "hidden": "64",
    "network": "dense",
    "filters": "32x64",
    "kernel_size": 3,
    "epochs": 200,
    "batch_size": 128,
    "optimizer": "adam",
    "learning_rate": 0.001,
    "noise_std": 1.0,
    "learning_rate_decay": 1.0,
    "epsilon": 1e-7,
    "eval_every": 4,
    "iwae_samples": pd.NA,
    "kl_schedule": "constant",
    "sigma": "1",
    "log_sigma_floor": -6.0,
    "scale": "auto",
    "output": "auto",
    "dispersion": 1.0,
    "groups": "",
    "free_bits": 0.0,
    "free_bits_over": "latent",
    "capacity": "0",
    "kl_estimator": "closed",
}
OTHER = {
    "dataset": "patches",
    "reconstruction_loss": "mse",
    "hidden": "64x64",
    "network": "conv",
    "filters": "8",
    "kernel_size": 5,
    "optimizer": "rmsprop",
    "iwae_samples": 100,
    "kl_schedule": "linear:0.5",
    "groups": "4",
    "sigma": "2",
    "scale": "unit",
    "output": "identity",
    "free_bits": 0.5,
    "free_bits_over": "total",
    "capacity": "25:0.5",
    "kl_estimator": "sample",
}
MODEL = [name for name in SETTING_COLUMNS if name not in ("loss", "beta")]


def summary_of(*models: pd.DataFrame) -> pd.DataFrame:
    """Return one summary of several models."""
    return pd.concat(models, ignore_index=True).astype({"iwae_samples": "Int64"})


def model(threshold: float, ratios: tuple[float, ...] = FINE, **settings: object) -> pd.DataFrame:
    """Return the settings of a model whose KL is 1/2 ln(t_1/beta_eff) below t_1, and 0 above."""
    table = pd.DataFrame(
        [
            SETTINGS
            | settings
            | {
                "n_seeds": 3,
                "threshold": threshold,
                "beta_eff": threshold * ratio,
                "kl": max(0.0, -0.5 * math.log(ratio)),
            }
            for ratio in ratios
        ]
    )
    fill(table)
    return table


@pytest.mark.parametrize("threshold", [0.7, 3.3, 32.0])
def test_the_measured_threshold_is_where_the_kl_vanishes(threshold: float) -> None:
    """KL = 1/2 ln(t_1/beta_eff) below t_1 and 0 above gives t_1 back, from any fine grid."""
    (found,) = measured_thresholds(summary_of(model(threshold))).to_dict(orient="records")
    assert found["predicted"] == threshold
    assert found["ratio"] == pytest.approx(1, abs=0.005)
    for ratios in ((0.5, 2.0), FINE[:3]):
        table = measured_thresholds(summary_of(model(threshold, ratios)))
        assert table.empty
        assert tuple(table.columns) == THRESHOLD_COLUMNS


@pytest.mark.parametrize("name", MODEL)
def test_models_that_collapse_at_different_places_are_not_mixed(name: str) -> None:
    """Whatever tells two models apart, each has a row that says so and its own threshold."""
    value = OTHER.get(name) or (2 * SETTINGS[name])
    summary = summary_of(model(4.0), model(1.0, **{name: value}))
    table = measured_thresholds(summary.sort_values("beta_eff", ignore_index=True))
    assert sorted(table["predicted"]) == [1.0, 4.0]
    assert table["ratio"].tolist() == pytest.approx([1, 1], abs=0.005)
    first, other = (table[table["predicted"] == t].iloc[0] for t in (4.0, 1.0))
    assert other[name] == value
    assert str(first[name]) == str(SETTINGS[name])
    shown = [heading.name for heading in thresholds_view(table).headings]
    assert name in shown
    assert set(shown) == {*THRESHOLD_COLUMNS[:7], name}


def test_losses_are_averaged_where_the_optimizer_feels_no_factor() -> None:
    """Half of the grid by either loss gives a threshold under Adam, and none under SGD."""
    halves = {"docs": (0.5, 0.96), "blog": (0.8, 1.05, 2.0)}
    for optimizer, expected in (("adam", ["blog, docs"]), ("rmsprop", ["blog, docs"]), ("sgd", [])):
        models = [model(3.3, grid, loss=x, optimizer=optimizer) for x, grid in halves.items()]
        assert measured_thresholds(summary_of(*models))["loss"].tolist() == expected


def test_under_sgd_a_loss_has_a_threshold_of_its_own() -> None:
    """A factor on the loss is one on the learning rate, so that it stops elsewhere."""
    models = [model(3.3, optimizer="sgd"), model(1.1, loss="blog", optimizer="sgd")]
    table = measured_thresholds(summary_of(*models))
    assert dict(zip(table["loss"], table["predicted"], strict=True)) == {"docs": 3.3, "blog": 1.1}
    assert table["ratio"].tolist() == pytest.approx([1, 1], abs=0.005)


@pytest.mark.parametrize("name", ["thresholds", "thresholds-mnist"])
def test_the_committed_thresholds_are_those_of_the_committed_summary(name: str) -> None:
    """To the last byte: a column more, and today's cells stay."""
    table = measured_thresholds(Store(RESULTS / name).summary())
    committed = (RESULTS / name / "thresholds.csv").read_bytes()
    columns = committed.decode().partition("\n")[0].split(",")
    assert csv_bytes(table[columns]) == committed
    later = table.drop(columns=columns).to_dict("records")
    assert all(goes_without_saying(name, value) for row in later for name, value in row.items())


def test_a_threshold_that_no_model_has_does_not_stay_in_the_table(tmp_path: Path) -> None:
    """A row that an earlier version made of two networks is gone once the tables are derived."""
    shutil.copy(RESULTS / "mnist" / "runs.csv", tmp_path)
    (tmp_path / "thresholds.csv").write_text("dataset,measured,ratio\nmnist,3.84,0.96\n")
    Store(tmp_path).rebuild()
    assert (tmp_path / "thresholds.csv").read_text() == ",".join(THRESHOLD_COLUMNS) + "\n"


def test_runs_that_all_failed_have_no_threshold() -> None:
    """Nothing was measured, so the table has its columns and no row."""
    table = measured_thresholds(summary_of(model(4.0)).assign(n_seeds=0))
    assert (len(table), tuple(table.columns)) == (0, THRESHOLD_COLUMNS)
