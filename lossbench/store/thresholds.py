"""The measured threshold of collapse: where the KL vanishes along a fine grid of beta_eff."""

import math

import pandas as pd

from lossbench.columns import HELD, MODEL_COLUMNS
from lossbench.optimizer import FEELS_NO_FACTOR

_SIZES = ("dataset", "d", "reconstruction_loss", "k")
_FOUND = ("predicted", "measured", "ratio")
THRESHOLD_COLUMNS = (*_SIZES, *_FOUND, "loss", *MODEL_COLUMNS)

_KL_NATS = 0.02
_FINE_STEP = 1.3  # the largest ratio of two neighbours in beta_eff that is interpolated


def measured_thresholds(summary: pd.DataFrame) -> pd.DataFrame:
    """Return predicted and measured threshold of every model whose grid brackets it finely.

    Near t_1 the KL is 1/2 ln(t_1/beta_eff), so that it is 0.02 nats at t_1 e^-0.04: the
    measured threshold is the beta_eff at which the KL crosses 0.02 nats, interpolated linearly
    in ln(beta_eff), divided by e^-0.04. Where a schedule runs, it is the beta_eff of the last step.
    Where none is predicted none is told. A model is one in every setting but the weight on the KL.
    Seeds of one beta_eff are averaged, and so are losses where the optimizer does not feel the
    factor between them; ``loss`` names those that were.
    """
    known = summary[(summary["n_seeds"] > 0) & summary["threshold"].notna()]
    known = known.reset_index(drop=True)
    apart = known["loss"].mask(known["optimizer"].isin(FEELS_NO_FACTOR), "")
    models = known.groupby([*_SIZES, *MODEL_COLUMNS, apart], sort=False, dropna=False)
    found = {}
    for _, group in models:
        curve = group.groupby(HELD)["kl"].mean().sort_index()
        crossing = _crossing(list(zip(map(float, curve.index), map(float, curve), strict=True)))
        if crossing is not None:
            measured = crossing * math.exp(2 * _KL_NATS)
            predicted = float(group["threshold"].iloc[0])
            losses = ", ".join(sorted(set(group["loss"])))
            found[group.index[0]] = (predicted, measured, measured / predicted, losses)
    table = known.loc[list(found), [*_SIZES, *MODEL_COLUMNS]]
    facts = pd.DataFrame.from_dict(found, orient="index", columns=[*_FOUND, "loss"])
    return table.join(facts)[list(THRESHOLD_COLUMNS)].reset_index(drop=True)


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
