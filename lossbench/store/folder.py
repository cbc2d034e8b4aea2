"""A results folder: its frozen experiment, its records, its lock and its derived tables."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from numpy.typing import NDArray

from lossbench.columns import HISTORY, RUNS, SUMMARY, TIMINGS, Column, Status
from lossbench.errors import ResultsError
from lossbench.experiment import Experiment, read, text_of
from lossbench.run import Record
from lossbench.store import tables
from lossbench.store.arrays import array_bytes, read_arrays
from lossbench.store.lock import RECORDS_FOLDER, held, refusals_told
from lossbench.store.records import (
    RECORD_SUFFIX,
    DamagedRecord,
    decoded,
    encoded,
    id_and_status,
    write_whole,
)
from lossbench.store.rows import RunRows, kept, rows_of
from lossbench.store.summary import curves, summarised
from lossbench.store.thresholds import measured_thresholds
from lossbench.words import Told

EXPERIMENT_FILE = "experiment.toml"
RUNS_TABLE = "runs.csv"
HISTORY_TABLE = "history.csv"
SUMMARY_TABLE = "summary.csv"
TIMINGS_TABLE = "timings.csv"
THRESHOLDS_TABLE = "thresholds.csv"
TABLES = (RUNS_TABLE, HISTORY_TABLE, SUMMARY_TABLE)
_Read = TypeVar("_Read")


class Store:
    """One results folder. Only the process that holds its lock may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = folder / RECORDS_FOLDER

    def locked(self, on_wait: Callable[[str], None]) -> AbstractContextManager[None]:
        """Hold the folder; ``on_wait`` is told who holds it before waiting for them."""
        return held(self.folder, on_wait)

    def frozen(self) -> Experiment | None:
        """Return the folder's own experiment, with the hashes of its data, if it has one."""
        path = self.folder / EXPERIMENT_FILE
        return read(path) if path.exists() else None

    def freeze(self, experiment: Experiment) -> None:
        """Write the complete experiment, with the files of the user's own beside it."""
        for loss in experiment.own_losses():
            if loss.source:
                self._write(loss.file_name, loss.source)
        for network in experiment.own_networks():
            if network.file.source:
                self._write(network.file.path.name, network.file.source)
        self._write(EXPERIMENT_FILE, text_of(experiment).encode())

    def statuses(self, *, set_aside: bool = True) -> dict[str, Status]:
        """Return the status of every run that has a whole record."""
        return dict(self._read(id_and_status, set_aside))

    def records(self, *, set_aside: bool = True) -> Iterator[Record]:
        """Yield every whole record.

        A damaged file is renamed to ``<name>.damaged``, or left alone without ``set_aside``.
        """
        return self._read(decoded, set_aside)

    def _read(self, reading: Callable[[bytes, str], _Read], set_aside: bool) -> Iterator[_Read]:
        """Yield what ``reading`` makes of every whole record, in the order of their ids."""
        if not self._records.exists():
            return
        with refusals_told(self.folder):
            files = sorted(file.path for file in os.scandir(self._records))
            for path in filter(_is_record, files):
                with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                    raw = file.read()  # a Path a record would cost as much as reading it
                try:
                    yield reading(raw, path)
                except DamagedRecord:
                    if set_aside:
                        Path(path).replace(f"{path}.damaged")

    def save(self, record: Record) -> None:
        """Write a record and its arrays; the run counts as done once the record is there."""
        if record.weights:
            numbered = {f"{number:03}": weight for number, weight in enumerate(record.weights)}
            write_whole(self._weights_of(record.run_id), array_bytes(numbered))
        if record.arrays:
            write_whole(self._records / f"{record.run_id}.npz", array_bytes(record.arrays))
        write_whole(self._records / f"{record.run_id}.json", encoded(record))

    def arrays(self, run_id: str) -> dict[str, NDArray[Any]]:
        """Return the arrays for figures that a run left; none if they are not there."""
        return read_arrays(self._records / f"{run_id}.npz")

    def weights(self, run_id: str) -> tuple[NDArray[Any], ...]:
        """Return the weights that a run was asked to keep; none if they are not there."""
        return tuple(read_arrays(self._weights_of(run_id)).values())

    def has_weights(self, run_id: str) -> bool:
        """Tell whether a run's weights were kept."""
        return self._weights_of(run_id).exists()

    def _weights_of(self, run_id: str) -> Path:
        return self._records / f"{run_id}.weights.npz"

    def tabulated(self) -> dict[str, Status]:
        """Return the status of every run that is in the tables; none if one of them is missing."""
        if not all((self.folder / name).exists() for name in TABLES):
            return {}
        runs = tables.read(self.folder / RUNS_TABLE, RUNS)
        return dict(zip(runs["run_id"], runs["status"], strict=True))

    def rows(self) -> dict[str, RunRows]:
        """Return what the tables have to say of every run that has a whole record."""
        return {record.run_id: rows_of(record) for record in self.records()}

    def rebuild(self) -> None:
        """Derive every table from the records; rows without a record are kept as they are."""
        self.tabulate(self.rows())

    def tabulate(self, rows: Mapping[str, RunRows]) -> None:
        """Write every table; of runs that are not among ``rows`` what it holds is kept."""
        before = (
            tables.read(self.folder / RUNS_TABLE, RUNS),
            tables.read(self.folder / HISTORY_TABLE, HISTORY),
            tables.read(self.folder / TIMINGS_TABLE, TIMINGS),
        )
        of_runs = {**rows, **dict(kept(before, rows.keys()))}
        ordered = sorted(of_runs.values(), key=lambda run: run.place)
        runs = self._write_table(RUNS_TABLE, RUNS, [run.run for run in ordered])
        history = self._write_table(HISTORY_TABLE, HISTORY, [run.history for run in ordered])
        self._write_table(TIMINGS_TABLE, TIMINGS, [run.timing for run in ordered])
        summary = summarised(runs, history)
        self._write(SUMMARY_TABLE, tables.csv_bytes(summary))
        measured = measured_thresholds(summary)
        if len(measured) or (self.folder / THRESHOLDS_TABLE).exists():
            self._write(THRESHOLDS_TABLE, tables.csv_bytes(measured))

    def _write_table(
        self, name: str, columns: Sequence[Column], lines: Sequence[str]
    ) -> pd.DataFrame:
        """Write a table from its lines; return it typed."""
        header = tables.csv_text([[column.name for column in columns]])
        content = "".join((header, *lines)).encode()
        self._write(name, content)
        return tables.parsed(content, columns, self.folder / name)

    def _write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        if not path.exists() or path.read_bytes() != content:
            write_whole(path, content)

    def runs(self) -> pd.DataFrame:
        """Return ``runs.csv``, typed; ``ResultsError`` if the folder has none."""
        path = self.folder / RUNS_TABLE
        if not path.exists():
            raise ResultsError(
                "there are no results here",
                where=str(self.folder),
                expected=f"a folder with {RUNS_TABLE}, as `lossbench sweep` leaves it",
                remedy="name one with its path, or run `lossbench sweep` first",
            )
        return tables.read(path, RUNS)

    def history(self) -> pd.DataFrame:
        """Return ``history.csv``, typed; empty if there is none."""
        return tables.read(self.folder / HISTORY_TABLE, HISTORY)

    def summary(self) -> pd.DataFrame:
        """Return one row a setting: ``summary.csv``, or if there is none what it would hold."""
        path = self.folder / SUMMARY_TABLE
        if path.exists():
            return tables.read(path, SUMMARY)
        return summarised(self.runs(), self.history())

    def curves(self, summary: pd.DataFrame) -> list[list[float]]:
        """Return the ELBO over training of every setting of a summary, in its order."""
        return curves(summary, self.runs(), self.history())


@dataclass(frozen=True, eq=False)
class Summary(Told):
    """The summary of a results folder; ``settings`` has a row a setting, as ``summary.csv``."""

    folder: Path
    settings: pd.DataFrame

    def curves(self) -> list[list[float]]:
        """Return the ELBO over training of every setting, its mean over seeds."""
        return Store(self.folder).curves(self.settings)

    def to_frame(self) -> pd.DataFrame:
        """Return a copy of the settings."""
        return self.settings.copy()

    def facts(self) -> dict[str, object]:
        """Return the summary as JSON has it; what is missing is None."""
        known = self.settings.astype(object).where(self.settings.notna(), None)
        return {"folder": self.folder, "settings": known.to_dict(orient="records")}


def summary(folder: Path) -> Summary:
    """Return the summary of a folder; ``ResultsError`` if it has no results."""
    return Summary(folder, Store(folder).summary())


def _is_record(path: str) -> bool:
    return path.endswith(RECORD_SUFFIX)


def folders(results: Path | None = None) -> list[Path]:
    """Return the results folder asked for, or every one under ``results/``."""
    if results is not None:
        return [results]
    found = sorted(path.parent for path in Path("results").glob(f"*/{RUNS_TABLE}"))
    if not found:
        raise ResultsError(
            "there are no results yet",
            where="results/",
            remedy="run `lossbench sweep` first, or name a results folder",
        )
    return found
