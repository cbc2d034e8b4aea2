"""Summaries as a sweep leaves them, and results folders that have nothing but their tables."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
from made_runs import Facts, made_run, write_runs

from lossbench.columns import HISTORY
from lossbench.store import Store
from lossbench.store.summary import summarised

# A made-up curve: each seed's ELBO over the epochs is its last one less these nats.
EPOCHS, BELOW_THE_LAST = (50, 100, 150, 200), (4.0, 1.0, 0.25, 0.0)


def history_of(runs: Iterable[Facts]) -> pd.DataFrame:
    """Return the history of made runs that ended well."""
    rows = [
        {
            "run_id": run["run_id"],
            "epoch": epoch,
            "elbo": float(str(run["elbo"])) - below,
            "reconstruction": run["reconstruction"],
            "kl": run["kl"],
            "active_units": run["active_units"],
            "objective": run["objective"],
        }
        for run in runs
        if run["status"] == "ok"
        for epoch, below in zip(EPOCHS, BELOW_THE_LAST, strict=True)
    ]
    return pd.DataFrame(rows, columns=[column.name for column in HISTORY])


def results_of(folder: Path, runs: Sequence[Facts]) -> Store:
    """Write the tables of made runs; return their store."""
    write_runs(folder, runs)
    history_of(runs).to_csv(folder / "history.csv", index=False)
    return Store(folder)


def summary_of(folder: Path, runs: Sequence[Facts]) -> pd.DataFrame:
    """Return the summary of made runs, whose tables are written to ``folder``."""
    store = results_of(folder, runs)
    return summarised(store.runs(), store.history())


def grid_of(
    *,
    losses: Sequence[str] = ("blog", "docs"),
    betas: Sequence[float] = (0.05, 0.5, 1.0, 4.0),
    sizes: Sequence[tuple[int, int]] = ((64, 2),),
    kinds: Sequence[str] = ("bce",),
    n_seeds: int = 3,
    **facts: object,
) -> list[Facts]:
    """Return the runs of a grid."""
    return [
        made_run(loss, beta, seed, d=d, k=k, kind=kind, **facts)
        for kind in kinds
        for d, k in sizes
        for loss in losses
        for beta in betas
        for seed in range(n_seeds)
    ]
