"""Thresholds of collapse as they are measured."""

import math

import pandas as pd
import pytest

from lossbench.store.thresholds import measured_thresholds


@pytest.mark.parametrize("threshold", [0.7, 3.3, 32.0])
def test_the_measured_threshold_is_where_the_kl_vanishes(threshold: float) -> None:
    """KL = 1/2 ln(t_1/beta_eff) below t_1 and 0 above gives t_1 back, from any fine grid."""
    rows = [
        {
            "dataset": "digits",
            "d": 64,
            "reconstruction_loss": "bce",
            "k": 2,
            "n_seeds": 3,
            "threshold": threshold,
            "beta_eff": threshold * ratio,
            "kl": max(0.0, -0.5 * math.log(ratio)),
        }
        for ratio in (0.5, 0.8, 0.9, 0.96, 1.05, 1.2, 2.0)
    ]
    (found,) = measured_thresholds(pd.DataFrame(rows)).to_dict(orient="records")
    assert found["predicted"] == threshold
    assert found["ratio"] == pytest.approx(1, abs=0.005)
    coarse = [row for row in rows if not 0.5 < row["beta_eff"] / threshold < 2]
    assert measured_thresholds(pd.DataFrame(coarse)).empty
    assert measured_thresholds(pd.DataFrame(rows[:3])).empty
