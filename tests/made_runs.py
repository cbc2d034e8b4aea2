"""Runs whose numbers hang together, and comparisons of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console

from lossbench.columns import METRICS, RUNS, fill
from lossbench.comparison import Comparison, MetricDifference, compare
from lossbench.console.comparison import comparison_table
from lossbench.loss import Sizes, bits_per_dim, convention, likelihood
from lossbench.store import tables

_THRESHOLDS = {("bce", 64): 3.3187, ("mse", 64): 1.4012, ("bce", 16): 0.585, ("mse", 16): 0.3}
ELBO = METRICS[0]
Facts = dict[str, object]


def made_run(
    loss: str = "docs",
    beta: float = 1.0,
    seed: int = 0,
    *,
    d: int = 64,
    k: int = 2,
    kind: str = "bce",
    gain: float = 0.0,
    **facts: object,
) -> Facts:
    """Return the facts of one run whose numbers hang together; ``gain`` lifts its ELBO."""
    coefficients = convention(loss).coefficients(Sizes(d=d, k=k), beta)
    beta_eff = float(coefficients.beta_eff)
    threshold = _THRESHOLDS[kind, d]
    collapsed = beta_eff >= threshold
    kl = 0.0001 if collapsed else 0.5 * float(np.log(threshold / max(beta_eff, 1e-9)))
    noise = float(np.random.default_rng([seed, d, k]).normal(0, 0.3))
    scale = 0.1 if kind == "mse" else 0.3
    reconstruction = scale * d + noise - 2 * kl - gain
    bound = likelihood(kind).elbo(reconstruction, kl, d)
    slug = f"{loss}-{kind}-beta{beta:g}-d{d}-k{k}-seed{seed}"
    return {
        "run_id": f"{slug}-{hashlib.sha256(slug.encode()).hexdigest()[:10]}",
        "dataset": "digits",
        "loss": loss,
        "reconstruction_loss": kind,
        "beta": float(beta),
        "d": d,
        "k": k,
        "seed": seed,
        "a": float(coefficients.a),
        "b": float(coefficients.b),
        "beta_eff": beta_eff,
        "threshold": threshold,
        "predicted_active_units": 0 if collapsed else k,
        "implied_sigma": None if kind == "bce" else (beta_eff / 2) ** 0.5,
        "hidden": "64",
        "epochs": 200,
        "batch_size": 128,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "noise_std": 1.0,
        "status": "ok",
        "elbo": bound,
        "reconstruction": reconstruction,
        "kl": kl,
        "bits_per_dim": bits_per_dim(bound, d),
        "elbo_best_sigma": likelihood(kind).elbo_best_sigma(reconstruction, kl, d),
        "active_units": 0 if collapsed else k,
        "collapsed": collapsed,
        "objective": float(coefficients.a) * reconstruction + float(coefficients.b) * kl,
        "train_elbo": bound + 0.2,
        "train_reconstruction": reconstruction - 0.2,
        "train_kl": kl,
        "learning_rate_decay": 1.0,
        "epsilon": 1e-7,
        "eval_every": 0,
    } | facts


def _csv(runs: Iterable[Facts]) -> bytes:
    names = [column.name for column in RUNS]
    whole = [dict(run) for run in runs]
    for run in whole:
        fill(run)
    rows = [[tables.cell(run.get(name)) for name in names] for run in whole]
    return tables.csv_text([names, *rows]).encode()


def frame_of(runs: Iterable[Facts]) -> pd.DataFrame:
    """Return runs as their table is read."""
    return tables.parsed(_csv(runs), RUNS, Path("runs.csv"))


def write_runs(folder: Path, runs: Iterable[Facts]) -> Path:
    """Write the table of a results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "runs.csv").write_bytes(_csv(runs))
    return folder


def seeds_of(loss: str, n_seeds: int = 3, beta: float = 1.0, **facts: object) -> list[Facts]:
    """Return one run a seed; a gain that a caller gives is made to differ between seeds."""
    lift = float(facts.pop("gain", 0.0))
    return [
        made_run(loss, beta, seed, gain=lift * (1 + seed / 50), **facts) for seed in range(n_seeds)
    ]


def compared(a: Iterable[Facts], b: Iterable[Facts]) -> Comparison:
    """Return the comparison of two sides."""
    return compare(frame_of(a), frame_of(b))


def printed(comparison: Comparison, width: int = 80) -> str:
    """Return a comparison as it is printed."""
    console = Console(width=width, highlight=False, markup=False, emoji=False, color_system=None)
    with console.capture() as capture:
        console.print(comparison_table(comparison))
    return capture.get()


def ends_of(one: MetricDifference) -> tuple[float, float]:
    """Return both ends of an interval."""
    assert one.low is not None
    assert one.high is not None
    return one.low, one.high
