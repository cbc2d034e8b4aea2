"""Records whose numbers follow from their run's id, and the tables of a store."""

import random
from pathlib import Path
from typing import Any

from lossbench.columns import METRIC_COLUMNS
from lossbench.experiment import read
from lossbench.run import Record
from lossbench.settings import RunSettings
from lossbench.store import TABLES, Store

CURVES = ("elbo", "reconstruction", "kl", "active_units", "objective")
FILES = (*TABLES, "timings.csv")


def grid_of_runs(**overrides: str) -> tuple[RunSettings, ...]:
    """Return the runs of a small grid: two losses and three seeds."""
    single = {"reconstruction_loss": "bce", "beta": "1", "d": "64", "k": "2"}
    return read(overrides=single | overrides).runs()


def record_of(run: RunSettings, status: Any = "ok", elbo: float | None = None) -> Record:
    """Return a record whose numbers follow from the run's id."""
    random_number = random.Random(run.run_id).random  # noqa: S311 - nothing is kept secret
    metrics: dict[str, Any] = {name: random_number() for name in METRIC_COLUMNS}
    metrics |= {"elbo": -25 - random_number() if elbo is None else elbo}
    metrics |= {"active_units": 2, "collapsed": False}
    failed = status in ("crashed", "timeout")
    return Record(
        run_id=run.run_id,
        status=status,
        settings=run.identity(),
        derived={
            "a": run.a,
            "b": run.b,
            "beta_eff": run.beta_eff,
            "threshold": 3.32115419,
            "predicted_active_units": 2,
            "implied_sigma": None,
        },
        metrics={} if failed else metrics,
        history={}
        if failed
        else {"epoch": [100, 200]}
        | {name: [random_number(), -1.5] for name in CURVES}
        | {"active_units": [1, 2]},
        provenance={"python": "3.11.7", "threads": 1},
        timing={} if failed else {"wall_seconds": 0.25, "stack_members": 3, "host": "é"},
        message="line one\nline two" if failed else "",
    )


def path_of(store: Store, record: Record) -> Path:
    """Return where a store keeps a record."""
    return store.folder / "runs" / f"{record.run_id}.json"


def tables_of(store: Store) -> dict[str, bytes]:
    """Return the bytes of every table."""
    return {name: (store.folder / name).read_bytes() for name in FILES}
