"""The tables of a page: which columns, how a cell is shown and what it is sorted by."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from lossbench.columns import (
    HELD,
    METRICS,
    NO_THRESHOLD,
    REPORTED,
    RUNS,
    SETTING_COLUMNS,
    at_the_end,
    belongs,
    bounded,
    end_note,
    goes_without_saying,
    known_of,
    learned_note,
)
from lossbench.comparison import Cell, Comparison, MetricDifference
from lossbench.report.cases import shown_dataset
from lossbench.store import THRESHOLD_COLUMNS
from lossbench.words import counted, plus_minus, probability, setting, significant

_COLUMNS = {column.name: column for column in RUNS}
_ALWAYS = ("loss", "beta", "beta_eff", "threshold", "predicted_active_units")
_METRIC_HEADINGS = ("metric", "A", "B", "B - A", "95% interval", "p (Holm)")
_MOST_ROWS = 500  # of a table: nobody reads more, and the page would have megabytes


@dataclass(frozen=True)
class Heading:
    """A column's name, its unit, and its meaning, which shows under the pointer."""

    name: str
    unit: str = ""
    meaning: str = ""
    is_number: bool = True


@dataclass(frozen=True)
class Shown:
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
    rows: Sequence[Sequence[Shown]]


def summary_view(summary: pd.DataFrame) -> View:
    """Return one row a setting: what varies, the algebra, the prediction and the metrics."""
    settings = _varying(summary, [n for n in SETTING_COLUMNS if n not in _ALWAYS])
    metrics = known_of(REPORTED, summary["reconstruction_loss"].unique())
    names = [*settings, *_ALWAYS, *metrics, "active_units"]
    rows = []
    for _, row in at_the_end(summary.head(_MOST_ROWS)).iterrows():
        n_seeds = int(row["n_seeds"])
        n_collapsed = round(float(row["collapsed"]) * n_seeds) if n_seeds else 0
        rows.append(
            [
                *(
                    _cell(row[name], name) if belongs(name, row) else Shown("", "")
                    for name in (*settings, *_ALWAYS)
                ),
                *(_metric(row, name) for name in metrics),
                _cell(row["active_units"], "active_units"),
                Shown(f"{n_collapsed} of {n_seeds}", repr(n_collapsed / max(n_seeds, 1))),
            ]
        )
    headings = [_heading(name) for name in names]
    headings.append(Heading("collapsed", "", "runs that collapsed, of those that ended well"))
    return View(
        "Every setting",
        "Mean over the seeds ± half width of the 95% t-interval, on the test split. "
        "A setting collapses where beta_eff reaches its threshold."
        + NO_THRESHOLD * bool(bounded(summary).any())
        + end_note(summary[HELD], summary["beta_eff"])
        + learned_note(summary)
        + _left_out(len(summary), "summary.csv"),
        headings,
        rows,
    )


def thresholds_view(thresholds: pd.DataFrame) -> View:
    """Return the predicted and the measured thresholds, and what tells their models apart."""
    always = list(THRESHOLD_COLUMNS[: THRESHOLD_COLUMNS.index("ratio") + 1])
    names = [*always, *_varying(thresholds, THRESHOLD_COLUMNS[len(always) :])]
    texts = {name for name in names if name in _COLUMNS and _COLUMNS[name].kind == "text"}
    headings = [Heading(name, is_number=name not in texts) for name in names]
    rows = [
        [
            Shown("", "")
            if pd.isna(value)
            else Shown(significant(value, 4), repr(value))
            if isinstance(value, float)
            else Shown(shown_dataset(str(value)), str(value), not isinstance(value, str))
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
    names = ["run_id", *settings, "a", "b", "beta_eff", "status", *_shown_of(runs)]
    rows = [
        [_cell(row[name], name) for name in names]
        for row in runs.head(_MOST_ROWS).astype(object).to_dict(orient="records")
    ]
    note = _left_out(len(runs), "runs.csv").strip()
    return View(counted(len(runs), "run"), note, [_heading(name) for name in names], rows)


def settled(summary: pd.DataFrame, runs: pd.DataFrame) -> list[tuple[str, str, str]]:
    """Return the settings that every run shares, where they have any: name, value, meaning.

    Later settings at their default go without saying.
    """
    varying = set(_varying(summary, SETTING_COLUMNS))
    shared = [
        name
        for name in SETTING_COLUMNS
        if name not in varying
        and runs[name].notna().any()
        and not goes_without_saying(name, runs[name].iloc[0])
    ]
    facts = [
        (name, _cell(runs[name].iloc[0], name).text, _COLUMNS[name].meaning) for name in shared
    ]
    seeds = sorted({int(seed) for seed in runs["seed"].dropna()})
    return [*facts, ("seed", ", ".join(map(str, seeds)), _COLUMNS["seed"].meaning)]


def settings_of(comparison: Comparison) -> View:
    """Return the settings in which A and B differ, beta_eff among them if there is one cell."""
    rows = [(name, setting(a), setting(b)) for name, (a, b) in comparison.differing.items()]
    if len(comparison.cells) == 1:
        sides = comparison.cells[0].objectives
        rows.append(("beta_eff", significant(sides.a.beta_eff), significant(sides.b.beta_eff)))
    headings = [Heading(name, is_number=False) for name in ("setting", "A", "B")]
    return View(
        "What differs", "", headings, [[Shown(text, text, False) for text in row] for row in rows]
    )


def cells_view(comparison: Comparison) -> list[View]:
    """Return one table of metrics a cell."""
    n_cells = len(comparison.cells)
    headings = [
        Heading(name, is_number=name not in ("metric", "95% interval")) for name in _METRIC_HEADINGS
    ]
    return [
        View(
            _label(cell) or "Metrics",
            f"Mean over {counted(len(cell.pairs), 'pair')}"
            + (f", cell {number} of {n_cells}" if n_cells > 1 else ""),
            headings,
            [
                _row(metric)
                for name, metric in cell.metrics.items()
                if metric.n or not _COLUMNS[name].optional
            ],
        )
        for number, cell in enumerate(comparison.cells, start=1)
    ]


def _heading(name: str) -> Heading:
    column = _COLUMNS[name]
    return Heading(name, column.unit, column.meaning, column.kind != "text")


def _cell(value: object, name: str = "") -> Shown:
    if value is None or value is pd.NA or (isinstance(value, float) and pd.isna(value)):
        return Shown("", "", name == "" or _COLUMNS[name].kind != "text")
    if isinstance(value, str):
        return Shown(shown_dataset(value) if name == "dataset" else value, value, False)
    if isinstance(value, bool):
        return Shown("true" if value else "false", str(int(value)))
    number = float(str(value))
    return Shown(significant(number), repr(number))


def _metric(row: pd.Series, name: str) -> Shown:
    mean, half_width = float(str(row[name])), float(str(row[f"{name}_ci95"]))
    if pd.isna(mean):
        return Shown("", "")
    text = plus_minus(mean, half_width, _COLUMNS[name].decimals)
    return Shown(text.replace("-", "\N{MINUS SIGN}"), repr(mean))


def _shown_of(runs: pd.DataFrame) -> list[str]:
    """Return the metrics of a table of runs: those that are optional where a run has them."""
    return [m.name for m in METRICS if not m.optional or runs[m.name].notna().any()]


def _varying(table: pd.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if table[name].nunique(dropna=False) > 1]


def _left_out(n_rows: int, file: str) -> str:
    """Return the sentence that says where the rest of a long table is."""
    if n_rows <= _MOST_ROWS:
        return ""
    return f" These are the first {_MOST_ROWS} of {n_rows:,}; {file} has all."


def _label(cell: Cell) -> str:
    return ", ".join(f"{name} {setting(value)}" for name, value in cell.settings.items())


def _row(metric: MetricDifference) -> list[Shown]:
    unit = f", {metric.unit}" if metric.unit else ""
    low, high = metric.low, metric.high
    interval = (
        "" if low is None or high is None else f"{significant(low, 4)} to {significant(high, 4)}"
    )
    return [
        Shown(f"{metric.metric}{unit}", metric.metric, False),
        _number(metric.a),
        _number(metric.b),
        _number(metric.difference) if metric.comparable else Shown("not comparable", ""),
        Shown(interval, interval, False),
        Shown(
            "" if metric.p_holm is None else probability(metric.p_holm),
            "" if metric.p_holm is None else repr(metric.p_holm),
        ),
    ]


def _number(number: float | None) -> Shown:
    return Shown("", "") if number is None else Shown(significant(number), repr(number))
