"""A results folder: its frozen experiment, its records, its lock and its derived tables."""

import getpass
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import pandas as pd
from numpy.typing import NDArray

from lossbench.errors import ResultsError
from lossbench.experiment import Experiment, read, text_of
from lossbench.schema import HISTORY, RUNS, TIMINGS, Status
from lossbench.store import tables
from lossbench.store.arrays import array_bytes, read_arrays
from lossbench.store.records import (
    TEMPORARY_SUFFIX,
    DamagedRecord,
    Record,
    decoded,
    encoded,
    write_whole,
)
from lossbench.store.thresholds import measured_thresholds

EXPERIMENT_FILE = "experiment.toml"
RUNS_TABLE = "runs.csv"
HISTORY_TABLE = "history.csv"
SUMMARY_TABLE = "summary.csv"
TIMINGS_TABLE = "timings.csv"
THRESHOLDS_TABLE = "thresholds.csv"
TABLES = (RUNS_TABLE, HISTORY_TABLE, SUMMARY_TABLE)
_LOCK = ".lock"


class Store:
    """One results folder. Only the process that holds its lock may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._records = folder / "runs"

    @contextmanager
    def locked(self, on_wait: Callable[[str], None]) -> Iterator[None]:
        """Hold the folder; ``on_wait`` is told who holds it before waiting for them."""
        try:
            self._records.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResultsError(
                "the results folder cannot be made",
                where=str(self.folder),
                received=error.strerror or str(error),
                remedy="choose another folder with --out",
            ) from None
        lock = filelock.FileLock(self.folder / _LOCK)
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            on_wait((self.folder / _LOCK).read_text(encoding="utf-8").strip())
            lock.acquire()
        try:
            (self.folder / _LOCK).write_text(
                f"{getpass.getuser()} on {socket.gethostname()}, process {os.getpid()}\n",
                encoding="utf-8",
            )
            for place in (self.folder, self._records):
                for stray in place.glob(f".*{TEMPORARY_SUFFIX}"):
                    stray.unlink(missing_ok=True)
            yield
        finally:
            lock.release()

    def frozen(self) -> Experiment | None:
        """Return the folder's own experiment, with the hashes of its data, if it has one."""
        path = self.folder / EXPERIMENT_FILE
        return read(path) if path.exists() else None

    def freeze(self, experiment: Experiment) -> None:
        """Write the complete experiment."""
        self._write(EXPERIMENT_FILE, text_of(experiment).encode())

    def statuses(self, *, set_aside: bool = True) -> dict[str, Status]:
        """Return the status of every run that has a whole record."""
        return {record.run_id: record.status for record in self.records(set_aside=set_aside)}

    def records(self, *, set_aside: bool = True) -> Iterator[Record]:
        """Yield every whole record.

        A damaged file is renamed to ``<name>.damaged``, or left alone without ``set_aside``.
        """
        for path in sorted(self._records.glob("*.json")):
            try:
                yield decoded(path.read_bytes(), path)
            except DamagedRecord:
                if set_aside:
                    path.replace(path.with_name(f"{path.name}.damaged"))

    def save(
        self,
        record: Record,
        arrays: Mapping[str, NDArray[Any]],
        weights: Mapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """Write one record and its arrays; the run counts as done once the record is there."""
        if weights:
            write_whole(self._weights_of(record.run_id), array_bytes(weights))
        if arrays:
            write_whole(self._records / f"{record.run_id}.npz", array_bytes(arrays))
        write_whole(self._records / f"{record.run_id}.json", encoded(record))

    def arrays(self, run_id: str) -> dict[str, NDArray[Any]]:
        """Return the arrays for figures that a run left; none if they are not there."""
        return read_arrays(self._records / f"{run_id}.npz")

    def weights(self, run_id: str) -> dict[str, NDArray[Any]]:
        """Return the weights that a run was asked to keep; none if they are not there."""
        return read_arrays(self._weights_of(run_id))

    def has_weights(self, run_id: str) -> bool:
        """Tell whether a run's weights were kept."""
        return self._weights_of(run_id).exists()

    def _weights_of(self, run_id: str) -> Path:
        return self._records / f"{run_id}.weights.npz"

    def is_tabulated(self, statuses: Mapping[str, Status]) -> bool:
        """Tell whether the tables already hold every run with its status."""
        if not all((self.folder / name).exists() for name in TABLES):
            return False
        rows = tables.rows(self.folder / RUNS_TABLE, RUNS)
        return statuses.items() <= {row["run_id"]: row["status"] for row in rows}.items()

    def rebuild(self) -> None:
        """Derive every table from the records; rows without a record are kept as they are."""
        runs = {row["run_id"]: row for row in tables.rows(self.folder / RUNS_TABLE, RUNS)}
        timings = {row["run_id"]: row for row in tables.rows(self.folder / TIMINGS_TABLE, TIMINGS)}
        history: dict[str, list[tables.Row]] = {}
        for row in tables.rows(self.folder / HISTORY_TABLE, HISTORY):
            history.setdefault(row["run_id"], []).append(row)
        for record in self.records():
            runs[record.run_id] = tables.run_row(record)
            history[record.run_id] = tables.history_rows(record)
            timings[record.run_id] = tables.timing_row(record)
        ordered = sorted(runs.values(), key=tables.sort_key)
        run_history = [row for run in ordered for row in history.get(run["run_id"], [])]
        run_timings = [timings[run["run_id"]] for run in ordered if run["run_id"] in timings]
        self._write(RUNS_TABLE, tables.csv_bytes([c.name for c in RUNS], ordered))
        self._write(HISTORY_TABLE, tables.csv_bytes([c.name for c in HISTORY], run_history))
        self._write(TIMINGS_TABLE, tables.csv_bytes([c.name for c in TIMINGS], run_timings))
        summary = tables.summary(tables.frame(ordered, RUNS), tables.frame(run_history, HISTORY))
        self._write(SUMMARY_TABLE, tables.frame_bytes(summary))
        measured = measured_thresholds(summary)
        if len(measured):
            self._write(THRESHOLDS_TABLE, tables.frame_bytes(measured))

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
        return tables.frame(tables.rows(path, RUNS), RUNS)

    def history(self) -> pd.DataFrame:
        """Return ``history.csv``, typed; empty if there is none."""
        return tables.frame(tables.rows(self.folder / HISTORY_TABLE, HISTORY), HISTORY)

    def summary(self) -> pd.DataFrame:
        """Return one row a setting, derived from the tables alone."""
        return tables.summary(self.runs(), self.history())

    def curves(self) -> list[list[float]]:
        """Return the ELBO over training of every setting of the summary, in its order."""
        return tables.curves(self.runs(), self.history())


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
