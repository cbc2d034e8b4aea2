"""A sweep: the grid minus what the store has, through the engine, into the store."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lossbench import commits, data, theory
from lossbench.data import Dataset
from lossbench.errors import ExperimentError, ResultsError, RunsFailedError
from lossbench.experiment import Experiment, RunSettings, extended, stacks
from lossbench.loss import ReconstructionLoss, implied_sigma
from lossbench.run import Record
from lossbench.schema import Status
from lossbench.store import Store

if TYPE_CHECKING:  # Dask need not load where nothing is left to train
    from lossbench.engine import Engine


@dataclass(frozen=True)
class Images:
    """Every dataset of an experiment at every d of its grid, loaded once."""

    datasets: dict[tuple[str, int], Dataset]

    def of(self, run: RunSettings) -> Dataset:
        """Return the images that a run trains on."""
        return self.datasets[run.dataset, run.d]

    @property
    def sha256(self) -> dict[str, str]:
        """The hash of each dataset, as it is frozen beside the experiment."""
        return {f"{name} at d={d}": images.sha256 for (name, d), images in self.datasets.items()}


@dataclass(frozen=True)
class Plan:
    """What a sweep would do: nothing is trained and nothing written until it is carried out."""

    experiment: Experiment
    runs: tuple[RunSettings, ...]
    images: Images
    store: Store
    retry_failed: bool = False
    save_weights: bool = False

    def missing(self, statuses: dict[str, Status]) -> tuple[RunSettings, ...]:
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
) -> Plan:
    """Check an experiment against its data and its results folder; write nothing.

    ``UsageError`` if a d cannot be had, a batch is larger than the training split, or the
    folder holds another experiment.
    """
    resolved = experiment.resolved(lambda name: data.native_sizes(name, data_dir))
    runs = resolved.runs()
    sizes = dict.fromkeys((run.dataset, run.d) for run in runs)
    images = Images({(name, d): data.load(name, d, data_dir) for name, d in sizes})
    for run in runs:
        n_train = len(images.of(run).train)
        if run.batch_size > n_train:
            raise ExperimentError(
                "`batch_size` is larger than the training split, so an epoch has no steps",
                where=f"dataset {run.dataset}",
                expected=f"at most {n_train}",
                received=str(run.batch_size),
            )
    asked = replace(resolved, data_sha256=images.sha256)
    store = Store(out)
    _joined(asked, store)
    return Plan(asked, runs, images, store, retry_failed, save_weights)


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
    for records in engine.records(planned, lambda stack: plan.images.of(stack.runs[0])):
        for trained in records:
            run = run_of[trained.run_id]
            record = completed(trained, run, plan.images.of(run), commit)
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


@functools.lru_cache(maxsize=64)
def _thresholds(images: Dataset, reconstruction_loss: ReconstructionLoss) -> NDArray[np.float64]:
    return theory.thresholds(theory.moments(images.train), reconstruction_loss)


def completed(record: Record, run: RunSettings, images: Dataset, commit: str | None) -> Record:
    """Return a worker's record with what its sweep knows: what theory says, and of which data.

    ``commit`` is that of the folder that the sweep was started in.
    """
    thresholds = _thresholds(images, run.reconstruction_loss)
    derived = {
        "a": run.a,
        "b": run.b,
        "beta_eff": run.beta_eff,
        "threshold": theory.collapse_threshold(thresholds, run.noise_std),
        "predicted_active_units": theory.predicted_active_units(
            thresholds, run.beta_eff, run.k, run.noise_std
        ),
        "implied_sigma": (
            implied_sigma(run.beta_eff) if run.reconstruction_loss == "mse" else None
        ),
    }
    data = {"data_sha256": images.sha256, "folder_commit": commit}
    return replace(record, derived=derived, provenance={**record.provenance, **data})
