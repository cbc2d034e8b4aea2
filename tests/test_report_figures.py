"""Every figure of a report shows the numbers of its tables, and says what they are."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from drawn import shown
from made_runs import seeds_of
from made_summaries import grid_of, results_of
from syrupy.assertion import SnapshotAssertion

from lossbench.report.cases import cases, losses_of
from lossbench.report.charts import (
    comparisons,
    d_sweeps,
    kl_and_active_units,
    learning_curves,
)
from lossbench.report.pictures import pictures
from lossbench.report.style import Drawing, neutral_params, series_of
from lossbench.store import Store

RESULTS = Path(__file__).parent.parent / "results"


@pytest.fixture(autouse=True)
def _neutral() -> Iterator[None]:
    """Draw as a report draws."""
    with mpl.rc_context(neutral_params()):
        yield


def figures_of(store: Store, arrays: object = None) -> dict[str, Drawing]:
    """Return every figure of a results folder by its name."""
    summary, runs, history = store.summary(), store.runs(), store.history()
    series = series_of(losses_of(summary))
    drawings: list[Drawing | None] = list(d_sweeps(summary, series))
    for case in cases(summary):
        drawings += [*comparisons(case, case, series), kl_and_active_units(case, series)]
        drawings.append(learning_curves(case, runs, history, series))
        if arrays is not None:
            drawings += pictures(case, runs, arrays, series)
    return {drawing.name: drawing for drawing in drawings if drawing is not None}


def arrays_of(run_id: str) -> dict[str, np.ndarray]:
    """Return arrays that follow from a run's id: its letters' codes."""
    codes = np.frombuffer(run_id.encode(), np.uint8).astype(np.float32)
    image = np.resize(codes % 11 / 10, (8, 64))
    return {
        "originals": np.full((8, 64), 0.5, np.float32),
        "reconstructions": image,
        "prior_images": image[:, ::-1] ** 2,
        "latent_means": np.resize(codes % 7 - 3, (40, 2)),
    }


GRID = [
    *grid_of(betas=(0.05, 0.5, 1.0), sizes=((64, 2), (16, 2), (16, 8)), kinds=("bce", "mse")),
    *(run for beta_eff in (0.5, 1, 3) for run in seeds_of("blog", beta=beta_eff / 32)),
    *seeds_of("docs", beta=3),
    *seeds_of("keras-io-2020", 1),
]
NAMES = [
    *("d-sweep-bce", "d-sweep-mse", "elbo-beta-bce", "elbo-beta-mse", "elbo-beta_eff-bce"),
    *("elbo-beta_eff-mse", "kl-bce", "kl-mse", "latent-means-bce", "latent-means-mse"),
    *("learning-bce", "learning-mse", "prior-bce", "prior-mse", "rate-distortion-bce"),
    *("rate-distortion-mse", "reconstructions-bce", "reconstructions-mse"),
]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Drawing]:
    """Return the figures of a grid of two sizes, three losses and both kinds."""
    store = results_of(tmp_path_factory.mktemp("drawn") / "made", GRID)
    with mpl.rc_context(neutral_params()):
        return figures_of(store, arrays_of)


def test_a_grid_has_these_figures(drawn: dict[str, Drawing]) -> None:
    """None is missing, none is more."""
    assert sorted(drawn) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_shows_what_was_reviewed(
    drawn: dict[str, Drawing], name: str, snapshot: SnapshotAssertion
) -> None:
    """Its words, and every line, band, mark and label with its numbers, are as they were."""
    assert shown(drawn[name]) == snapshot
