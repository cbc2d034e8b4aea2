"""The figures of a summary with several models: each is of one of them, and says of which."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lossbench.columns import SETTING_COLUMNS
from lossbench.report.cases import Case, cases, losses_of
from lossbench.report.charts import d_sweeps, learning_curves
from lossbench.report.pictures import pictures
from lossbench.report.style import series_of
from lossbench.store import Store
from lossbench.store.summary import summarised

RESULTS = Path(__file__).parent.parent / "results"
OTHER = {
    "hidden": "8",
    "network": "conv",
    "filters": "8",
    "kernel_size": 5,
    "epochs": 7,
    "batch_size": 16,
    "optimizer": "sgd",
    "learning_rate": 0.5,
    "noise_std": 0.25,
    "learning_rate_decay": 0.5,
    "epsilon": 0.01,
    "eval_every": 7,
    "kl_schedule": "linear:0.5",
    "sigma": "0.5",
    "log_sigma_floor": -4.0,
    "scale": "unit",
    "output": "identity",
    "dispersion": 2.0,
    "groups": "4",
    "iwae_samples": 100,
    "free_bits": 0.5,
    "free_bits_over": "total",
    "capacity": "25:0.5",
    "kl_estimator": "sample",
}
MODEL = [n for n in SETTING_COLUMNS if n not in ("dataset", "reconstruction_loss", "loss", "beta")]
MODEL = [name for name in MODEL if name not in ("d", "k")]


def two_models(name: str, chosen: dict[str, float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the runs of digits with bce and of a second model at the chosen settings, and both
    models' summary.

    The second differs in one setting, comes first in every table, and has the lower seeds.
    """  # noqa: D205
    runs = Store(RESULTS / "digits").runs()
    runs = runs[runs["reconstruction_loss"] == "bce"]
    other = runs
    for column, value in chosen.items():
        other = other[other[column] == value]
    other = other.assign(run_id="other-" + other["run_id"], **{name: OTHER[name]})
    other = other.assign(collapsed=True, elbo=-99.0)
    runs = runs.assign(seed=runs["seed"] + 10)
    both = pd.concat([other, runs], ignore_index=True).astype({"iwae_samples": "Int64"})
    history = Store(RESULTS / "digits").history()
    return both, summarised(both, history)


def drawn_runs(case: Case, runs: pd.DataFrame) -> list[str]:
    """Return the ids of the runs whose arrays the pictures of a case ask for."""
    asked: list[str] = []

    def arrays_of(run_id: str) -> Mapping[str, np.ndarray]:
        asked.append(run_id)
        return {}

    list(pictures(case, runs, arrays_of, series_of(losses_of(case.rows))))
    return asked


def test_every_setting_of_a_model_is_tried() -> None:
    """A setting that is added here tomorrow is one that tells models apart."""
    assert set(MODEL) == set(OTHER)


@pytest.mark.parametrize("name", MODEL)
def test_a_figure_is_of_the_model_that_it_names(name: str) -> None:
    """Pictures and curves are those of the case's own runs, and its label tells which it is."""
    runs, summary = two_models(name, {"beta": 1, "d": 64, "k": 2})
    (case,) = cases(summary)
    assert len(case.rows) > 2
    drawn = drawn_runs(case, runs)
    assert len(drawn) == 2
    assert not any(run_id.startswith("other-") for run_id in drawn)
    own = runs[~runs["run_id"].str.startswith("other-")].iloc[0][name]
    told = "none" if pd.isna(own) else f"{own:g}" if isinstance(own, float) else str(own)
    assert case.label == f"digits, bce, d 64, k 2, {name} {told}"
    history = Store(RESULTS / "digits").history()
    figure = learning_curves(case, runs, history, series_of(losses_of(case.rows)))
    assert figure is not None
    assert "ends at -25." in figure.reading


@pytest.mark.parametrize("name", MODEL)
def test_a_sweep_over_d_is_of_one_model_and_names_it(name: str) -> None:
    """The points at d 64 are not another model's, which collapsed there."""
    _, summary = two_models(name, {"beta": 1, "d": 64, "k": 2})
    (figure,) = d_sweeps(summary, series_of(losses_of(summary)))
    assert f", {name} " in figure.title
    assert "that of docs stays 1 (1 of 2 collapsed)" in figure.reading
    alone = summary[summary["elbo"] != -99.0]
    (plain,) = d_sweeps(alone, series_of(losses_of(alone)))
    assert figure.reading == plain.reading
    assert f", {name} " not in plain.title


def test_a_summary_of_one_model_names_none() -> None:
    """What does not vary needs no word."""
    labels = [case.label for case in cases(Store(RESULTS / "digits").summary())]
    assert labels == ["digits, bce, d 64, k 2", "digits, mse, d 64, k 2"]
