"""The learning curves of a comparison: means over seeds, with their intervals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_runs import compared, frame_of, made_run, seeds_of, write_runs
from scipy import stats

from lossbench.columns import HISTORY
from lossbench.comparison import elbo_curves, over_seeds, select


def history_of(elbos: dict[str, list[float]]) -> pd.DataFrame:
    """Return a history of runs: epochs 4, 8, ... with these ELBOs."""
    rows = [
        {"run_id": run_id, "epoch": 4 * place, "elbo": elbo}
        for run_id, values in elbos.items()
        for place, elbo in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows).reindex(columns=[column.name for column in HISTORY])


@pytest.mark.parametrize("n", [2, 3, 10])
def test_a_curve_is_the_mean_with_the_t_interval_of_scipy(n: int) -> None:
    """By epoch, over the runs that are asked for and no others."""
    elbos = np.random.default_rng(n).normal(-25, 1, (n, 4))
    runs = {str(seed): list(values) for seed, values in enumerate(elbos)}
    curve = over_seeds(history_of(runs | {"other": [0.0] * 4}), list(runs))
    low, high = stats.t.interval(0.95, n - 1, elbos.mean(axis=0), stats.sem(elbos))
    np.testing.assert_allclose(curve["mean"], elbos.mean(axis=0))
    np.testing.assert_allclose(curve["half_width"], (high - low) / 2)
    assert list(curve.index) == [4, 8, 12, 16]


def test_a_single_run_has_a_curve_without_an_interval() -> None:
    """Its mean is itself."""
    curve = over_seeds(history_of({"a": [-3.0, -2.0]}), ["a"])
    assert list(curve["mean"]) == [-3.0, -2.0]
    assert curve["half_width"].isna().all()


def written(folder: Path, runs: list[dict[str, object]], elbos: list[list[float]]) -> Path:
    """Write the tables of runs with these histories."""
    write_runs(folder, runs)
    ids = [str(run["run_id"]) for run in runs]
    history_of(dict(zip(ids, elbos, strict=True))).to_csv(folder / "history.csv", index=False)
    return folder


def test_each_side_has_the_curve_of_its_own_pairs(tmp_path: Path) -> None:
    """A is A and B is B, from their own folders; a run without a partner is in no curve."""
    written(tmp_path / "a", seeds_of("docs"), [[-9.0, -1.0], [-9.0, -3.0], [0.0, 0.0]])
    written(tmp_path / "b", seeds_of("blog", 2), [[-8.0, -5.0], [-6.0, -7.0]])
    a, b = select(f"{tmp_path}/a:loss=docs"), select(f"{tmp_path}/b:loss=blog")
    curves = elbo_curves(compared(seeds_of("docs"), seeds_of("blog", 2)), a, b)
    assert list(curves) == ["A", "B"]
    assert list(curves["A"]["mean"]) == [-9.0, -2.0]
    assert list(curves["B"]["mean"]) == [-7.0, -6.0]


def test_without_a_history_or_of_several_cells_there_are_no_curves(tmp_path: Path) -> None:
    """A curve needs two points and one cell; a side without one takes the other's with it."""
    runs, other = seeds_of("docs", 2), seeds_of("blog", 2)
    written(tmp_path / "a", runs, [[-9.0, -1.0], [-9.0, -3.0]])
    written(tmp_path / "b", other, [[-8.0], [-6.0]])
    a, b = select(f"{tmp_path}/a:loss=docs"), select(f"{tmp_path}/b:loss=blog")
    assert elbo_curves(compared(runs, other), a, b) == {}
    grid = [[made_run(loss, beta) for beta in (0.5, 1)] for loss in ("docs", "blog")]
    assert elbo_curves(compared(*grid), frame_of(grid[0]), frame_of(grid[1])) == {}
