"""Thresholds of collapse as they are measured."""

import math
from pathlib import Path

import pandas as pd
import pytest
from made_runs import made_run
from made_summaries import results_of, summary_of

from lossbench.store.thresholds import measured_thresholds


def one_loss(folder: Path, kls: dict[float, float]) -> pd.DataFrame:
    """Return the measured thresholds of one loss with this KL at each beta_eff."""
    runs = [made_run("docs", beta or 0.01, beta_eff=beta, kl=kl) for beta, kl in kls.items()]
    return measured_thresholds(summary_of(folder, runs))


def test_the_crossing_is_interpolated_between_two_neighbours(tmp_path: Path) -> None:
    """Where the KL falls from 0.03 to 0.01 it is 0.02 at their geometric mean."""
    (found,) = one_loss(tmp_path, {1.0: 0.5, 2.0: 0.03, 2.2: 0.01, 4.0: 0.0}).to_dict("records")
    measured = math.sqrt(2.0 * 2.2) * math.exp(0.04)
    assert found["measured"] == pytest.approx(measured)
    assert found["predicted"] == 3.3187
    assert found["ratio"] == pytest.approx(measured / 3.3187)
    (uneven,) = one_loss(tmp_path / "b", {2.0: 0.06, 2.2: 0.01}).to_dict("records")
    assert uneven["measured"] == pytest.approx(2.0 * 1.1**0.8 * math.exp(0.04))


@pytest.mark.parametrize(
    ("kls", "is_measured"),
    [
        ({2.0: 0.03, 2.59: 0.01}, True),
        ({2.0: 0.03, 2.61: 0.01}, False),  # a step of 1.3 at most is fine enough
        ({2.0: 0.03, 2.2: 0.025}, False),  # it never falls below
        ({2.0: 0.01, 2.2: 0.001}, False),  # it is never above
        ({0.0: 0.03, 0.1: 0.01}, False),
        ({2.0: 0.03, 2.2: 0.02}, False),  # at 0.02 it is not yet below
        ({2.0: 0.01, 2.2: 0.03, 2.4: 0.01}, True),  # it is the last crossing that counts
    ],
)
def test_a_threshold_is_measured_where_a_fine_grid_brackets_it(
    tmp_path: Path, kls: dict[float, float], is_measured: bool
) -> None:
    """Two neighbours no further apart than 1.3, the first above 0.02 nats, all the rest below."""
    assert len(one_loss(tmp_path, kls)) == is_measured


def test_a_rebuild_writes_the_thresholds_that_it_can_measure(tmp_path: Path) -> None:
    """As thresholds.csv beside the other tables; without any there is no such file."""
    for name, kl, is_there in (("fine", 0.01, True), ("never below", 0.025, False)):
        store = results_of(
            tmp_path / name, [made_run("docs", 2.0, kl=0.03), made_run("docs", 2.2, kl=kl)]
        )
        with store.locked(pytest.fail):
            store.rebuild()
        path = store.folder / "thresholds.csv"
        assert path.exists() == is_there
        if is_there:
            (row,) = pd.read_csv(path).to_dict("records")
            (found,) = measured_thresholds(store.summary()).to_dict("records")
            for column in ("predicted", "measured", "ratio"):
                assert row[column] == found[column]


def test_losses_of_one_beta_eff_are_averaged(tmp_path: Path) -> None:
    """At 2 the KL of docs and blog is 0.03 in the mean; a setting without a good run is none."""
    runs = [
        *(made_run("docs", beta, kl=kl) for beta, kl in ((2.0, 0.04), (2.2, 0.01))),
        *(made_run("blog", beta / 32, kl=kl) for beta, kl in ((2.0, 0.02), (2.2, 0.01))),
        *(made_run("docs", 2.2, kl=9.0, status="nan", hidden="8", seed=seed) for seed in (1, 2)),
    ]
    (found,) = measured_thresholds(summary_of(tmp_path, runs)).to_dict("records")
    assert found["measured"] == pytest.approx(math.sqrt(2.0 * 2.2) * math.exp(0.04))
