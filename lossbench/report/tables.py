"""The tables of the page: which columns, how a cell is shown and what it is sorted by."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lossbench.columns import METRICS, REPORTED, RUNS, SETTING_COLUMNS
from lossbench.loss import ELBOS, likelihood
from lossbench.report.cases import shown_dataset
from lossbench.store import THRESHOLD_COLUMNS

_COLUMNS = {column.name: column for column in RUNS}
_ALWAYS = ("loss", "beta", "beta_eff", "threshold", "predicted_active_units")
_MOST_ROWS = 500  # of a table: more are no reading matter, and a page of megabytes


@dataclass(frozen=True)
class Heading:
    """A column's name, its unit, and its meaning for whoever points at it."""

    name: str
    unit: str = ""
    meaning: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Cell:
    """What a cell shows, and the number or text that it is sorted by."""

    text: str
    key: str
    is_number: bool = True


@dataclass(frozen=True)
class View:
    """A table of the page."""

    title: str
    note: str
    headings: Sequence[Heading]
    rows: Sequence[Sequence[Cell]]


def _heading(name: str) -> Heading:
    column = _COLUMNS[name]
    return Heading(name, column.unit, column.meaning, column.kind != "text")


def _cell(value: object, name: str = "") -> Cell:
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return Cell("", "", name == "" or _COLUMNS[name].kind != "text")
    if isinstance(value, str):
        return Cell(shown_dataset(value) if name == "dataset" else value, value, False)
    if isinstance(value, bool):
        return Cell("true" if value else "false", str(int(value)))
    number = float(str(value))
    return Cell(f"{number:.6g}", repr(number))


def _metric(row: pd.Series, name: str) -> Cell:
    mean, half_width = float(str(row[name])), float(str(row[f"{name}_ci95"]))
    if pd.isna(mean):
        return Cell("", "")
    digits = _COLUMNS[name].decimals
    interval = "" if pd.isna(half_width) else f" ± {half_width:.{digits}f}"
    return Cell(f"{mean:.{digits}f}{interval}".replace("-", "\N{MINUS SIGN}"), repr(mean))


def _varying(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if table[name].nunique(dropna=False) > 1]


def summary_view(summary: pd.DataFrame) -> View:
    """Return one row a setting: what varies, the algebra, the prediction and the metrics."""
    settings = _varying(summary, [n for n in SETTING_COLUMNS if n not in _ALWAYS])
    kinds = summary["reconstruction_loss"].unique()
    elbos = {name for kind in kinds for name in likelihood(kind).elbos}
    metrics = [name for name in REPORTED if name not in ELBOS or name in elbos]
    names = [*settings, *_ALWAYS, *metrics, "active_units"]
    rows = []
    for _, row in summary.head(_MOST_ROWS).iterrows():
        n_seeds = int(row["n_seeds"])
        n_collapsed = round(float(row["collapsed"]) * n_seeds) if n_seeds else 0
        rows.append(
            [
                *(_cell(row[name], name) for name in (*settings, *_ALWAYS)),
                *(_metric(row, name) for name in metrics),
                _cell(row["active_units"], "active_units"),
                Cell(f"{n_collapsed} of {n_seeds}", repr(n_collapsed / max(n_seeds, 1))),
            ]
        )
    headings = [_heading(name) for name in names]
    headings.append(Heading("collapsed", "", "runs that collapsed, of those that ended well"))
    return View(
        "Every setting",
        "Mean over the seeds ± half width of the 95% t-interval, on the test split. "
        "A setting collapses where beta_eff reaches its threshold."
        + _left_out(len(summary), "summary.csv"),
        headings,
        rows,
    )


def _left_out(n_rows: int, file: str) -> str:
    """Return the sentence that says where the rest of a long table is."""
    if n_rows <= _MOST_ROWS:
        return ""
    return f" These are the first {_MOST_ROWS} of {n_rows:,}; {file} has all."


def thresholds_view(thresholds: pd.DataFrame) -> View:
    """Return the predicted and the measured thresholds, and what tells their models apart."""
    always = list(THRESHOLD_COLUMNS[: THRESHOLD_COLUMNS.index("ratio") + 1])
    names = [*always, *_varying(thresholds, THRESHOLD_COLUMNS[len(always) :])]
    texts = {name for name in names if name in _COLUMNS and _COLUMNS[name].kind == "text"}
    headings = [Heading(name, is_number=name not in texts) for name in names]
    rows = [
        [
            Cell("", "")
            if pd.isna(value)
            else Cell(f"{value:.4g}", repr(value))
            if isinstance(value, float)
            else Cell(shown_dataset(str(value)), str(value), not isinstance(value, str))
            for value in row
        ]
        for row in thresholds[names].itertuples(index=False)
    ]
    return View(
        "Thresholds, predicted and measured",
        "Measured: the beta_eff at which the KL falls below 0.02 nats, divided by e^-0.04.",
        headings,
        rows,
    )


def runs_view(runs: pd.DataFrame) -> View:
    """Return every run with the settings that vary, its coefficients, status and metrics."""
    settings = _varying(runs, [*SETTING_COLUMNS, "seed"])
    names = ["run_id", *settings, "a", "b", "beta_eff", "status", *(m.name for m in METRICS)]
    rows = [
        [_cell(row[name], name) for name in names]
        for row in runs.head(_MOST_ROWS).astype(object).to_dict(orient="records")
    ]
    note = _left_out(len(runs), "runs.csv").strip()
    return View(f"{len(runs):,} runs", note, [_heading(name) for name in names], rows)


def settled(summary: pd.DataFrame, runs: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return the settings that every run shares, where they have any: name, value, meaning."""
    varying = set(_varying(summary, SETTING_COLUMNS))
    shared = [name for name in SETTING_COLUMNS if name not in varying and runs[name].notna().any()]
    facts = [
        (name, _cell(runs[name].iloc[0], name).text, _COLUMNS[name].meaning) for name in shared
    ]
    seeds = sorted({int(seed) for seed in runs["seed"].dropna()})
    return [*facts, ("seed", ", ".join(map(str, seeds)), _COLUMNS["seed"].meaning)]
