"""The summary: one row a setting, the mean of every metric over its seeds and its interval."""

import math

import numpy as np
import pandas as pd

from lossbench.columns import DERIVED_COLUMNS, METRIC_COLUMNS, SETTING_COLUMNS, SUMMARY

_Numbers = pd.Series | pd.DataFrame
_LAST_TENTH = 0.9
_STILL_IMPROVING_NATS = 0.1


def summarised(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of ``SUMMARY`` for the typed tables ``runs.csv`` and ``history.csv``.

    ``<metric>_ci95`` is the half width of the t-interval, empty for fewer than two seeds;
    ``collapsed`` is the share of seeds that collapsed. ``still_improving`` tells whether the
    mean ELBO rose by more than 0.1 nats in the last tenth of training.
    """
    settings = list(SETTING_COLUMNS)
    metrics = list(METRIC_COLUMNS)
    measured = runs.assign(**{name: runs[name].astype("float64") for name in metrics})
    measured["gain"] = measured["run_id"].map(_last_gain(runs, history))
    measured.loc[measured["status"] != "ok", [*metrics, "gain"]] = math.nan
    groups = measured.groupby(settings, sort=False, dropna=False)
    table = groups[list(DERIVED_COLUMNS)].first()
    table["n_seeds"] = groups["elbo"].count()
    half_widths = half_width(groups[metrics].std(), groups[metrics].count())
    for name in metrics:
        table[name] = groups[name].mean()
        table[f"{name}_ci95"] = half_widths[name]
    gain = groups["gain"].mean()
    table["still_improving"] = (gain > _STILL_IMPROVING_NATS).astype("boolean").where(gain.notna())
    return table.reset_index()[[column.name for column in SUMMARY]]


def half_width(deviation: _Numbers, count: _Numbers) -> _Numbers:
    """Return half the width of the 95% t-interval of each mean; not known where there is one run.

    ``deviation`` is the standard deviation of ``count`` values.
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - `show` reads tables, and needs none

    widths: _Numbers = stdtrit((count - 1).clip(lower=1), 0.975) * deviation / np.sqrt(count)
    return widths


def curves(summary: pd.DataFrame, runs: pd.DataFrame, history: pd.DataFrame) -> list[list[float]]:
    """Return the mean ELBO by epoch of every setting, in the order of the summary's rows."""
    ended = runs[runs["status"] == "ok"]
    of_run = pd.Series(_settings(ended), index=ended["run_id"], dtype="str")
    elbo = history["elbo"].groupby([history["run_id"].map(of_run), history["epoch"]]).mean()
    found: dict[str, list[float]] = {}
    for setting, value in zip(elbo.index.get_level_values(0), elbo, strict=True):
        found.setdefault(str(setting), []).append(float(value))
    return [found.get(setting, []) for setting in _settings(summary)]


def _settings(table: pd.DataFrame) -> list[str]:
    """Return a text for every row that is the same for rows of one setting."""
    return [repr(row) for row in table[list(SETTING_COLUMNS)].itertuples(index=False, name=None)]


def _last_gain(runs: pd.DataFrame, history: pd.DataFrame) -> pd.Series:
    """Return by run how many nats the ELBO rose in the last tenth of training."""
    epochs = history["run_id"].map(runs.set_index("run_id")["epochs"]).astype("float64")
    before = history[history["epoch"].astype("float64") <= _LAST_TENTH * epochs]
    first = before.groupby("run_id", sort=False)["elbo"].last()
    last = history.groupby("run_id", sort=False)["elbo"].last()
    return last - first
