"""The summary over seeds."""

import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_records import CURVES, grid_of_runs, record_of
from made_runs import made_run
from made_summaries import BELOW_THE_LAST, results_of
from rich.console import Console
from scipy.stats import t

from lossbench.columns import METRIC_COLUMNS
from lossbench.console.summary import summary_tables
from lossbench.run import Record
from lossbench.store import Store, summary


def _summary(store: Store, records: Sequence[Record]) -> pd.DataFrame:
    for record in records:
        store.save(record)
    store.rebuild()
    written = pd.read_csv(store.folder / "summary.csv")
    assert list(written.columns) == list(store.summary().columns)
    return written


def test_the_summary_has_a_t_interval_over_seeds(store: Store) -> None:
    """Mean and half width of three seeds are those of scipy's t distribution."""
    values = [-25.0, -25.5, -24.2]
    runs = grid_of_runs(loss="docs")
    (row,) = _summary(
        store, [record_of(run, elbo=elbo) for run, elbo in zip(runs, values, strict=True)]
    ).to_dict("records")
    low, high = t.interval(
        0.95, df=2, loc=np.mean(values), scale=np.std(values, ddof=1) / math.sqrt(3)
    )
    assert row["n_seeds"] == 3
    assert row["elbo"] == pytest.approx(np.mean(values), rel=1e-12)
    assert row["elbo_ci95"] == pytest.approx((high - low) / 2, rel=1e-9)
    assert (row["loss"], row["beta_eff"], row["threshold"]) == ("docs", 1.0, 3.32115419)
    assert "seed" not in row


def test_one_seed_has_a_mean_and_no_interval(store: Store) -> None:
    """With n_seeds 1 every half width is empty."""
    table = _summary(store, [record_of(grid_of_runs(loss="docs")[0], elbo=-25.0)])
    (row,) = table.to_dict("records")
    assert (row["n_seeds"], row["elbo"]) == (1, -25.0)
    assert all(math.isnan(row[f"{name}_ci95"]) for name in METRIC_COLUMNS)
    assert b",nan" not in (store.folder / "summary.csv").read_bytes().lower()


@pytest.mark.parametrize("status", ["nan", "crashed", "timeout"])
def test_a_run_that_failed_is_counted_out(store: Store, status: str) -> None:
    """Two good seeds of three are the mean of two, with the interval of two."""
    first, second, third = grid_of_runs(loss="docs")
    table = _summary(
        store,
        [
            record_of(first, elbo=-24.0),
            record_of(second, elbo=-26.0),
            record_of(third, status, -9e9),
        ],
    )
    (row,) = table.to_dict("records")
    assert (row["n_seeds"], row["elbo"]) == (2, -25.0)
    half_width = t.ppf(0.975, df=1) * math.sqrt(2) / math.sqrt(2)
    assert row["elbo_ci95"] == pytest.approx(half_width, rel=1e-9)


def test_a_setting_of_which_every_run_failed_is_empty(store: Store) -> None:
    """It stays in the summary with n_seeds 0 and no number."""
    table = _summary(store, [record_of(run, "nan") for run in grid_of_runs(loss="docs")])
    (row,) = table.to_dict("records")
    assert row["n_seeds"] == 0
    assert all(math.isnan(row[name]) for name in METRIC_COLUMNS)
    assert math.isnan(row["still_improving"])


def test_the_summary_has_a_row_a_setting(store: Store) -> None:
    """Settings are never mixed: every axis but the seed makes a row, collapse is a share."""
    runs = grid_of_runs(
        beta="0.1,1", hidden="64,linear", learning_rate="0.001,0.01", epsilon="1e-7,1e-8"
    )
    records = [record_of(run) for run in runs]
    records = [
        replace(record, metrics=record.metrics | {"collapsed": run.seed == 1})
        for run, record in zip(runs, records, strict=True)
    ]
    table = _summary(store, records)
    assert len(table) == 2 * 2 * 2 * 2 * 2
    assert set(table["n_seeds"]) == {3}
    np.testing.assert_allclose(table["collapsed"], 1 / 3)


@pytest.mark.parametrize(("gain", "expected"), [(0.3, True), (0.05, False), (-1.0, False)])
def test_a_setting_that_was_still_improving_is_marked(
    store: Store, gain: float, expected: bool
) -> None:
    """The mark is for a mean ELBO that rose by more than 0.1 nats in the last tenth."""
    records = []
    for run in grid_of_runs(loss="docs"):
        record = record_of(run)
        elbo = [-90.0, -30.0, -30.0 + gain * 0.9, -30.0 + gain]
        history = {name: [1.0] * 4 for name in CURVES} | {"elbo": elbo}
        records.append(replace(record, history=history | {"epoch": [100, 180, 190, 200]}))
    (row,) = _summary(store, records).to_dict("records")
    assert row["still_improving"] is expected


def test_every_setting_has_its_curve(tmp_path: Path) -> None:
    """The mean ELBO by epoch of the runs that ended well, in the order of the summary."""
    runs = [
        *(made_run("docs", 1.0, seed, elbo=-20.0 - 2 * seed) for seed in range(2)),
        made_run("docs", 1.0, 2, elbo=0.0, status="nan"),
        made_run("blog", 1.0, status="crashed"),
        made_run("docs", 2.0, elbo=-30.0),
    ]
    store = results_of(tmp_path, runs)
    curves = store.curves(store.summary())
    mean, none, single = curves
    assert mean == [-21.0 - below for below in BELOW_THE_LAST]
    assert none == []
    assert single == [-30.0 - below for below in BELOW_THE_LAST]


@pytest.mark.parametrize(
    ("n", "told"), [(500, "100 more settings are"), (401, "1 more setting is")]
)
def test_a_long_summary_shows_its_beginning_and_says_where_the_rest_is(
    tmp_path: Path, n: int, told: str
) -> None:
    """Of 500 settings 400 are laid out, and none is lost without a word."""
    store = results_of(tmp_path, [made_run("docs", 1 + number / 1000) for number in range(n)])
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(summary_tables(summary(store.folder), console))
    text = console.export_text()
    assert sum(line.startswith("docs") for line in text.splitlines()) == 400
    assert f"{told} in summary.csv" in text


def test_collapsed_settings_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    """Two schedules of one setting are two; one of every setting is not repeated."""
    runs = [
        made_run("blog", 1.0, seed, kl_schedule=form, final_beta_eff=32.0)
        for seed, form in enumerate(("constant", "linear:0.5"))
    ]
    terminal = Console(width=200, file=io.StringIO(), record=True, color_system=None)
    terminal.print(summary_tables(summary(results_of(tmp_path, runs).folder), terminal))
    (told,) = (line for line in terminal.export_text().splitlines() if "t_1/2 is" in line)
    assert told.count("k 2 constant at beta 1 (") == 1
    assert told.count("k 2 linear:0.5 at beta 1 (") == 1
    assert "epochs" not in told
