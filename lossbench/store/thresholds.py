"""The measured threshold of collapse: where the KL vanishes along a fine grid of beta_eff."""

import math

import pandas as pd

COLUMNS = ("dataset", "d", "reconstruction_loss", "k", "predicted", "measured", "ratio")

_KL_NATS = 0.02
_FINE_STEP = 1.3  # the largest ratio of two neighbours in beta_eff that is interpolated


def measured_thresholds(summary: pd.DataFrame) -> pd.DataFrame:
    """Return predicted and measured threshold for every size whose grid brackets it finely.

    Near t_1 the KL is 1/2 ln(t_1/beta_eff), so that it is 0.02 nats at t_1 e^-0.04: the
    measured threshold is the beta_eff at which the KL crosses 0.02 nats, interpolated linearly
    in ln(beta_eff), divided by e^-0.04. Losses and seeds of one beta_eff are averaged.
    """
    keys = ["dataset", "d", "reconstruction_loss", "k"]
    rows = []
    for values, group in summary[summary["n_seeds"] > 0].groupby(keys, sort=False):
        curve = group.groupby("beta_eff")["kl"].mean().sort_index()
        crossing = _crossing(list(zip(map(float, curve.index), map(float, curve), strict=True)))
        if crossing is not None:
            measured = crossing * math.exp(2 * _KL_NATS)
            predicted = float(group["threshold"].iloc[0])
            rows.append((*values, predicted, measured, measured / predicted))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _crossing(curve: list[tuple[float, float]]) -> float | None:
    """Return the beta_eff at which the KL falls below 0.02 nats for good, or None."""
    below = next(
        (i for i in range(len(curve)) if all(kl < _KL_NATS for _, kl in curve[i:])), len(curve)
    )
    if not 0 < below < len(curve):
        return None
    (left, high), (right, low) = curve[below - 1], curve[below]
    if left <= 0 or right / left > _FINE_STEP:
        return None
    share = (high - _KL_NATS) / (high - low)
    return math.exp(math.log(left) + share * math.log(right / left))
