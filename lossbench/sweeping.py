"""A sweep: the grid minus what the store has, through the engine, into the store.

``sweep(plan(experiment, folder))`` does all of it. It prints nothing and handles no signals:
whoever wants to see it go on passes ``progress``, and whatever is raised meanwhile, by a signal
handler or by ``progress``, leaves no workers and every finished run.
"""

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lossbench import commits, data, theory
from lossbench.columns import HELD, Status
from lossbench.data import Dataset
from lossbench.errors import ExperimentError, ResultsError, RunsFailedError
from lossbench.experiment import Experiment, bytes_of, extended, largest_batch, stacks
from lossbench.loss import Likelihood, Scale
from lossbench.run import IMAGES, Record
from lossbench.settings import RunSettings
from lossbench.store import RunRows, Store, Summary, rows_of, summary
from lossbench.words import Told, counted

if TYPE_CHECKING:  # neither need load where nothing is left to train
    import pandas as pd

    from lossbench.engine import Engine

_GB = 1e9


@dataclass(frozen=True)
class Plan:
    """What a sweep would do: nothing is trained and nothing written until it is carried out."""

    experiment: Experiment
    runs: tuple[RunSettings, ...]
    datasets: Mapping[tuple[str, int, Scale], Dataset]
    store: Store
    retry_failed: bool = False
    save_weights: bool = False

    def dataset(self, run: RunSettings) -> Dataset:
        """Return the data that a run trains on."""
        return self.datasets[run.data]

    def missing(self, statuses: Mapping[str, Status]) -> tuple[RunSettings, ...]:
        """Return the runs to train: those with no record, and those that failed by chance.

        A run that turned non-finite would do so again; it is kept unless ``retry_failed``. Where
        weights are asked for, a run without them is trained again: it ends the same.
        """
        done = ("ok",) if self.retry_failed else ("ok", "nan")
        return tuple(
            run
            for run in self.runs
            if (status := statuses.get(run.run_id)) not in done
            or (self.save_weights and status == "ok" and not self.store.has_weights(run.run_id))
        )


def plan(
    experiment: Experiment,
    out: Path,
    data_dir: Path | None = None,
    *,
    retry_failed: bool = False,
    save_weights: bool = False,
    said: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Check an experiment against its data and its results folder; write nothing.

    ``UsageError`` if a d cannot be had, a batch is larger than the training split, or the
    folder holds another experiment. A loss of the user's own is audited; ``said`` hears of it.
    """
    _refuse_file(out)
    store = Store(out)
    if experiment.has_own_files:
        from lossbench import proving  # noqa: PLC0415 - few experiments need an audit

        experiment = proving.proved(experiment, data_dir, store.frozen(), said)
    resolved = experiment.resolved(lambda name: data.native_sizes(name, data_dir))
    runs = resolved.runs()
    datasets = {
        (name, d, scale): data.load(name, d, data_dir, scale)
        for name, d, scale in dict.fromkeys(run.data for run in runs)
    }
    resolved = resolved.shaped(runs, lambda run: datasets[run.data].shape)
    if resolved.image_shapes:
        runs = resolved.runs()
    for run in runs:
        n_train = len(datasets[run.data].train)
        if run.batch_size > n_train:
            raise ExperimentError(
                "`batch_size` is larger than the training split, so an epoch has no steps",
                where=f"dataset {run.dataset}",
                expected=f"at most {n_train}",
                received=str(run.batch_size),
            )
        data.refuse_misfit(datasets[run.data], run.likelihood, run.scale, run.values_output)
    hashes = {
        f"{name} at d={d}{'' if scale == 'auto' else f', scale {scale}'}": dataset.sha256
        for (name, d, scale), dataset in datasets.items()
    }
    asked = replace(resolved, data_sha256=hashes)
    _joined(asked, store)
    return Plan(asked, runs, datasets, store, retry_failed, save_weights)


def _refuse_file(out: Path) -> None:
    """Refuse results in or below what is a file."""
    for place in (out, *out.parents):
        if place.is_file():
            raise ResultsError(
                "this is a file, and results need a folder",
                where=str(place),
                expected="a folder, or a path where nothing is yet",
                received="a file",
                remedy=f"--out {_free(place)}",
            )


def _joined(asked: Experiment, store: Store) -> Experiment:
    """Return the folder's experiment with the asked-for grid; refuse another experiment."""
    out = store.folder
    frozen = store.frozen()
    if frozen is None:
        return asked
    try:
        return extended(frozen, asked)
    except ExperimentError as error:
        raise ResultsError(
            "the results folder holds another experiment",
            where=str(out),
            expected=error.expected,
            received=error.received,
            remedy=f"--out {_free(out)} keeps both",
        ) from None


def _free(out: Path) -> Path:
    """Return the first folder beside ``out`` that is not taken."""
    number = 2
    while (candidate := out.with_name(f"{out.name}-{number}")).exists():
        number += 1
    return candidate


@dataclass(frozen=True)
class Held:
    """The results folder is in use, by ``holder`` if that is known; the sweep waits."""

    holder: str


@dataclass(frozen=True)
class Begun:
    """The results folder is ours: these runs are missing."""

    missing: tuple[RunSettings, ...]


Event = Held | Begun | Record  # of a run that has just been written


@dataclass(frozen=True, repr=False)
class Swept(Told):
    """What a sweep left in its folder: the status of every run that has a record."""

    plan: Plan
    statuses: Mapping[str, Status]

    def __repr__(self) -> str:
        """Return how much there is, where, and how much of it failed."""
        n_runs = counted(len(self.plan.runs), "run")
        return f"<Swept {self.plan.store.folder}: {n_runs}, {len(self.failed)} failed>"

    @property
    def failed(self) -> dict[str, str]:
        """The runs that did not end well, each with its status."""
        found = {run.run_id: self.statuses.get(run.run_id, "not trained") for run in self.plan.runs}
        return {run_id: status for run_id, status in found.items() if status != "ok"}

    @property
    def summary(self) -> Summary:
        """The summary of the whole folder, earlier sweeps into it included."""
        return summary(self.plan.store.folder)

    def to_frame(self) -> "pd.DataFrame":
        """Return the summary, a row a setting."""
        return self.summary.to_frame()

    def facts(self) -> dict[str, object]:
        """Return the summary as JSON has it, and the runs that failed."""
        return {**self.summary.facts(), "failed": self.failed}


def sweep(
    plan: Plan,
    *,
    n_workers: int | None = None,
    scheduler: str = "",
    progress: Callable[[Event], None] = lambda _: None,
) -> Swept:
    """Train what is missing, on this machine or on the cluster of a Dask scheduler; tabulate all.

    ``n_workers`` is one a core by default; ``scheduler`` is an address. Each record is read once,
    but for those of a folder that is done as its tables say and is not. ``RunsFailedError`` if the
    workers cannot start, are all gone, or nothing succeeds: the tables then hold what is there.
    """
    store = plan.store
    with store.locked(lambda holder: progress(Held(holder))):
        tabulated = store.tabulated()
        rows = store.rows() if plan.missing(tabulated) else None
        statuses = _statuses(rows) if rows is not None else store.statuses()
        missing = plan.missing(statuses)
        progress(Begun(missing))
        if not missing and statuses.items() <= tabulated.items():
            return Swept(plan, statuses)
        rows = store.rows() if rows is None else rows
        try:
            if missing:
                with _workers(plan, missing, n_workers, scheduler) as engine:
                    for record in carry_out(plan, engine, missing):
                        rows[record.run_id] = rows_of(record)
                        progress(record)
        except RunsFailedError:
            store.tabulate(rows)
            raise
        store.tabulate(rows)
        return Swept(plan, _statuses(rows))


def _statuses(rows: Mapping[str, RunRows]) -> dict[str, Status]:
    return {run_id: of_run.status for run_id, of_run in rows.items()}


def _workers(
    plan: Plan, missing: Sequence[RunSettings], n_workers: int | None, scheduler: str
) -> AbstractContextManager["Engine"]:
    """Return the workers of a sweep: a cluster's, or no more of this machine than have a stack."""
    from lossbench import engine  # noqa: PLC0415 - Dask only if there is something to train

    if scheduler:
        return engine.join(scheduler)
    n_busy = min(n_workers or engine.n_cores(), len(stacks(missing)))
    _refuse_too_large(missing, engine.memory() // n_busy)
    return engine.workers(n_busy, plan.store.folder / "logs")


def _refuse_too_large(runs: Iterable[RunSettings], memory: int) -> None:
    """Raise ``ExperimentError`` for a run whose step does not fit into a worker's share."""
    for run in {run.shape: run for run in runs}.values():
        needed = bytes_of(run, run.batch_size)
        if needed > memory:
            fitting = largest_batch(run, memory)
            raise ExperimentError(
                "a training step does not fit into memory",
                where=run.run_id,
                expected=f"at most {memory / _GB:.1f} GB, the share of a worker",
                received=f"{needed / _GB:.1f} GB at least, with batch_size = {run.batch_size}",
                remedy=f"batch_size = {fitting}, or fewer workers"
                if fitting
                else "a smaller network, or fewer workers",
            )


def carry_out(plan: Plan, engine: "Engine", missing: Sequence[RunSettings]) -> Iterator[Record]:
    """Train what is missing, and yield each record once it is safely written.

    The folder must be locked. ``RunsFailedError`` after five stacks in a row without one
    success: the rest is left missing.
    """
    from lossbench.engine import Hope  # noqa: PLC0415

    plan.store.freeze(_joined(plan.experiment, plan.store))
    commit = commits.of_folder()
    planned = stacks(missing, keep_weights=plan.save_weights, device=engine.device)
    run_of = {run.run_id: run for run in missing}
    hope = Hope(planned)
    for records in engine.records(planned, lambda stack: plan.dataset(stack.runs[0])):
        for trained in records:
            run = run_of[trained.run_id]
            record = completed(trained, run, plan.dataset(run), commit)
            plan.store.save(record)
            yield record
            hope.note(record)
        if not hope:
            raise RunsFailedError(
                f"stopped: {hope.n_hopeless} stacks in a row had not one success",
                where=str(plan.store.folder),
                received=f"{record.run_id} {record.status}, the last of them",
                remedy="mend what the lines above tell, then run the same command again: "
                "what was finished is kept",
            )


def _known(number: float) -> float | None:
    """Return a number, or None for one that is not known: of a function that is trained itself."""
    return None if math.isnan(number) else number


@functools.lru_cache(maxsize=64)
def _thresholds(images: Dataset, kind: Likelihood) -> NDArray[np.float64]:
    return theory.thresholds(_moments(images), kind.fitted(images.train))


@functools.lru_cache(maxsize=64)
def _nothing(images: Dataset, kind: Likelihood) -> float:
    """Return R_0 of the test split: reconstructions are measured there."""
    return theory.reconstruction_of_nothing(images.test, images.train, kind.fitted(images.train))


@functools.lru_cache(maxsize=8)
def _moments(images: Dataset) -> theory.Moments:
    return theory.moments(images.train)


def completed(record: Record, run: RunSettings, images: Dataset, commit: str | None) -> Record:
    """Return a worker's record with what its sweep knows: what theory says, and of which data.

    ``commit`` is that of the folder that the sweep was started in.
    """
    thresholds = _thresholds(images, run.likelihood)
    told = theory.outlook(run, thresholds, _moments(images), len(images.train))
    held = told.final_beta_eff
    derived = {
        "a": _known(run.a),
        "b": _known(run.b),
        "beta_eff": _known(run.beta_eff),
        "threshold": told.threshold,
        "predicted_active_units": told.best.active_units,
        "implied_sigma": None
        if run.is_bounded or run.function
        else run.likelihood.implied_sigma(held),
        HELD: _known(held),
        "predicted_kl": told.best.kl,
        "predicted_sigma": told.best.sigma,
        "reconstruction_of_nothing": _nothing(images, run.likelihood),
    }
    data = {"data_sha256": images.sha256, "folder_commit": commit}
    arrays = dict(record.arrays)
    if images.scaling.is_fitted:
        arrays |= {name: images.scaling.undone(arrays[name]) for name in IMAGES if name in arrays}
    provenance = {**record.provenance, **data}
    return replace(record, derived=derived, provenance=provenance, arrays=arrays)
