"""Derived tables: plain CSV, rebuilt from records at will, byte-identical each time."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from lossbench.errors import ResultsError
from lossbench.experiment import layers_text
from lossbench.schema import (
    DERIVED_COLUMNS,
    HISTORY_COLUMNS,
    METRIC_COLUMNS,
    RUNS,
    SETTING_COLUMNS,
    TIMINGS,
    Column,
)
from lossbench.store.records import Record

Row = dict[str, str]

_LAST_TENTH = 0.9
_STILL_IMPROVING_NATS = 0.1


def cell(value: object) -> str:
    """Return the text of one cell; what is not known is empty, never 0."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def run_row(record: Record) -> Row:
    """Return the row of ``runs.csv`` that a record gives."""
    facts = {
        "run_id": record.run_id,
        "status": record.status,
        **record.settings,
        **record.derived,
        **record.metrics,
    }
    facts["hidden"] = layers_text(record.settings["hidden"])
    return {column.name: cell(facts.get(column.name)) for column in RUNS}


def history_rows(record: Record) -> list[Row]:
    """Return the rows of ``history.csv`` that a record gives."""
    columns = [record.history.get(name, []) for name in HISTORY_COLUMNS]
    return [
        {"run_id": record.run_id} | dict(zip(HISTORY_COLUMNS, map(cell, values), strict=True))
        for values in zip(*columns, strict=False)
    ]


def timing_row(record: Record) -> Row:
    """Return the row of ``timings.csv`` that a record gives."""
    facts = {"run_id": record.run_id, **record.timing}
    return {column.name: cell(facts.get(column.name)) for column in TIMINGS}


def csv_bytes(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    """Return a table as CSV with one header row and Unix line ends."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue().encode()


def rows(path: Path, columns: Sequence[Column]) -> list[Row]:
    """Return the rows of a table as text; none if there is no such table.

    ``ResultsError`` names the line that is not a row of these columns, such as a conflict that
    was left by a merge.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            found = [(reader.line_num, row) for row in reader]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, csv.Error) as error:
        raise _damaged(path, str(error)) from None
    for line, row in found:
        if None in row or None in row.values():
            raise _damaged(path, f"line {line} has another number of cells than the header")
        for column in columns:
            if not _is_of_kind(row.get(column.name, ""), column):
                raise _damaged(
                    path, f"line {line}: {row[column.name]!r} is no {column.kind} ({column.name})"
                )
    return [row for _, row in found]


def _is_of_kind(text: str, column: Column) -> bool:
    if column.kind == "text" or not text:
        return True
    if column.kind == "bool":
        return text in ("true", "false")
    try:
        float(text)
    except ValueError:
        return False
    return True


def _damaged(path: Path, what: str) -> ResultsError:
    return ResultsError(
        "the table is damaged",
        where=str(path),
        received=what,
        remedy="restore it from version control, or delete it: `lossbench sweep` derives it anew",
    )


def sort_key(row: Row) -> tuple[object, ...]:
    """Return the place of a run in ``runs.csv``: by its settings, whenever it was added."""
    numeric = {column.name for column in RUNS if column.kind in ("int", "float")}
    names = (*SETTING_COLUMNS, "seed", "run_id")
    return tuple(float(row[name] or "nan") if name in numeric else row[name] for name in names)


def frame(table: Sequence[Row], columns: Sequence[Column]) -> pd.DataFrame:
    """Return rows of text as typed columns; an empty cell is missing."""
    typed: dict[str, pd.Series] = {}
    for column in columns:
        text = pd.Series([row.get(column.name, "") for row in table], dtype="str")
        if column.kind == "text":
            typed[column.name] = text
        elif column.kind == "bool":
            typed[column.name] = text.map({"true": True, "false": False}).astype("boolean")
        else:
            numbers = pd.to_numeric(text.replace("", None), errors="coerce")
            typed[column.name] = numbers.astype("Int64" if column.kind == "int" else "float64")
    return pd.DataFrame(typed)


def summary(runs: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return one row a setting: the mean of every metric over its seeds, and its 95% interval.

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
    deviation = groups[metrics].std()
    count = groups[metrics].count()
    half_width = stdtrit((count - 1).clip(lower=1), 0.975) * deviation / np.sqrt(count)
    for name in metrics:
        table[name] = groups[name].mean()
        table[f"{name}_ci95"] = half_width[name]
    gain = groups["gain"].mean()
    table["still_improving"] = (gain > _STILL_IMPROVING_NATS).astype("boolean").where(gain.notna())
    order = [column.name for column in RUNS if column.name in (*settings, *DERIVED_COLUMNS)]
    return table.reset_index()[[*order, "n_seeds", *table.columns[len(DERIVED_COLUMNS) + 1 :]]]


def curves(runs: pd.DataFrame, history: pd.DataFrame) -> list[list[float]]:
    """Return the mean ELBO of every setting by epoch, in the order of ``summary``'s rows."""
    setting = runs.groupby(list(SETTING_COLUMNS), sort=False, dropna=False).ngroup()
    ended = runs["status"] == "ok"
    of_run = pd.Series(setting[ended].to_numpy(), index=runs.loc[ended, "run_id"])
    elbo = history["elbo"].groupby([history["run_id"].map(of_run), history["epoch"]]).mean()
    found: list[list[float]] = [[] for _ in range(int(setting.max()) + 1)]
    for number, value in zip(elbo.index.get_level_values(0), elbo, strict=True):
        found[int(number)].append(float(value))
    return found


def _last_gain(runs: pd.DataFrame, history: pd.DataFrame) -> pd.Series:
    """Return by run how many nats the ELBO rose in the last tenth of training."""
    epochs = history["run_id"].map(runs.set_index("run_id")["epochs"]).astype("float64")
    before = history[history["epoch"].astype("float64") <= _LAST_TENTH * epochs]
    first = before.groupby("run_id", sort=False)["elbo"].last()
    last = history.groupby("run_id", sort=False)["elbo"].last()
    return last - first


def frame_bytes(table: pd.DataFrame) -> bytes:
    """Return a derived table as CSV."""
    text = [[_frame_cell(value) for value in row] for row in table.itertuples(index=False)]
    columns = [str(name) for name in table.columns]
    return csv_bytes(columns, (dict(zip(columns, row, strict=True)) for row in text))


def _frame_cell(value: Any) -> str:
    return "" if pd.isna(value) else cell(value.item() if isinstance(value, np.generic) else value)
