"""The rows of one run in every table, as CSV text: of its record, or as a table has them."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import pandas as pd

from lossbench.columns import (
    HISTORY,
    HISTORY_COLUMNS,
    RUNS,
    SETTING_COLUMNS,
    TIMINGS,
    Status,
    as_texts,
    fill,
)
from lossbench.run import Record
from lossbench.store.tables import cell, csv_text

_NUMERIC = frozenset(column.name for column in RUNS if column.kind in ("int", "float"))
_PLACE = (*SETTING_COLUMNS, "seed", "run_id")


@dataclass(frozen=True)
class RunRows:
    """What the tables say of one run: a line of ``runs.csv`` and of ``timings.csv``, if there is
    one, and the lines of ``history.csv``.

    ``place`` orders runs by their settings, whenever they were added.
    """  # noqa: D205

    status: Status
    place: tuple[object, ...]
    run: str
    history: str
    timing: str


def rows_of(record: Record) -> RunRows:
    """Return the rows that a record gives."""
    facts = {
        "run_id": record.run_id,
        "status": record.status,
        **record.settings,
        **record.derived,
        **record.metrics,
    }
    facts |= as_texts(record.settings)
    fill(facts)
    unknown = [None] * len(record.history.get("epoch", []))
    columns = (map(cell, record.history.get(name, unknown)) for name in HISTORY_COLUMNS)
    history = ((record.run_id, *values) for values in zip(*columns, strict=False))
    timing = _timing(record.run_id, record.timing)
    return RunRows(record.status, _place(facts), _run(facts), csv_text(history), timing)


def kept(
    tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], renewed: Collection[str]
) -> Iterator[tuple[str, RunRows]]:
    """Yield the id and the rows of every run that is in the tables and not among ``renewed``.

    ``tables`` are ``runs.csv``, ``history.csv`` and ``timings.csv``, typed.
    """
    runs, history, timings = tables
    lines: dict[str, list[tuple[str, ...]]] = {}
    for row in _facts(history[~history["run_id"].isin(renewed)]):
        values = tuple(cell(row[column.name]) for column in HISTORY)
        lines.setdefault(values[0], []).append(values)
    times = {str(row["run_id"]): row for row in _facts(timings)}
    for facts in _facts(runs[~runs["run_id"].isin(renewed)]):
        run_id = str(facts["run_id"])
        status = cast(Status, facts["status"])
        history_lines = csv_text(lines.get(run_id, []))
        timing = _timing(run_id, times[run_id]) if run_id in times else ""
        yield run_id, RunRows(status, _place(facts), _run(facts), history_lines, timing)


def _facts(table: pd.DataFrame) -> Iterable[Mapping[str, object]]:
    known = table.astype(object).where(table.notna(), None)
    return ({str(name): value for name, value in row.items()} for row in known.to_dict("records"))


def _run(facts: Mapping[str, object]) -> str:
    return csv_text([[cell(facts.get(column.name)) for column in RUNS]])


def _timing(run_id: str, timing: Mapping[str, object]) -> str:
    facts = {**timing, "run_id": run_id}
    return csv_text([[cell(facts.get(column.name)) for column in TIMINGS]])


def _place(facts: Mapping[str, object]) -> tuple[object, ...]:
    """Return the sort key of a run; a number that is not known comes first."""
    return tuple(
        (-math.inf if facts.get(name) is None else facts[name])
        if name in _NUMERIC
        else str(facts.get(name) or "")
        for name in _PLACE
    )
