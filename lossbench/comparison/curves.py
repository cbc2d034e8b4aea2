"""The ELBO over training: mean over seeds with its 95% interval."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from lossbench.comparison.interval import CONFIDENCE
from lossbench.comparison.records import Comparison
from lossbench.store import Store


def over_seeds(history: pd.DataFrame, run_ids: Collection[str]) -> pd.DataFrame:
    """Return ``mean`` and ``half_width`` of the ELBO of these runs by epoch, in nats.

    The half width is of the 95% t-interval, missing for a single run.
    """
    by_epoch = history[history["run_id"].isin(run_ids)].groupby("epoch")["elbo"]
    count = by_epoch.count()
    t = stdtrit((count - 1).clip(lower=1), 0.5 + CONFIDENCE / 2)
    half_width = t * by_epoch.std() / np.sqrt(count)
    return pd.DataFrame({"mean": by_epoch.mean(), "half_width": half_width})


def elbo_curves(
    comparison: Comparison, a: pd.DataFrame, b: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Return the curve of A and of B over their pairs, as ``over_seeds`` gives it.

    ``a`` and ``b`` are the selections that were compared. Empty for several cells, and where
    the folders have no history.
    """
    if len(comparison.cells) != 1:
        return {}
    pairs = comparison.cells[0].pairs
    curves = {}
    for side, runs, run_ids in (
        ("A", a, [pair.run_a for pair in pairs]),
        ("B", b, [pair.run_b for pair in pairs]),
    ):
        places = sorted(set(runs.loc[runs["run_id"].isin(run_ids), "folder"]))
        history = pd.concat([Store(Path(place)).history() for place in places])
        curves[side] = over_seeds(history, run_ids)
    return curves if all(len(curve) > 1 for curve in curves.values()) else {}
