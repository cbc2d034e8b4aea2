"""Pictures from the arrays that a run leaves: reconstructions, prior draws, latent means.

Arrays are not committed with the tables; where they are missing, so are these figures.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lossbench.report.cases import Case, losses_of, runs_of, shared_beta
from lossbench.report.style import MUTED, WIDTH, Drawing, Series, figure
from lossbench.words import counted, significant

Arrays = Mapping[str, NDArray[np.float32]]
ArraysOf = Callable[[str], Arrays]

_ROW_INCHES = 0.62
_GAP = 0.12  # of an image's side, between two images


def pictures(
    case: Case, runs: pd.DataFrame, arrays_of: ArraysOf, series: dict[str, Series]
) -> Iterator[Drawing]:
    """Yield the pictures of one case: of each loss at the shared beta, the run of the lowest seed.

    ``arrays_of`` returns the arrays of a run, none if they are not there.
    """
    drawn_runs = [
        (row, arrays) for row in _shown(case, runs) if (arrays := arrays_of(str(row["run_id"])))
    ]
    if not drawn_runs:
        return
    if math.isqrt(case.d) ** 2 == case.d:
        yield _reconstructions(case, drawn_runs)
        if all("prior_images" in arrays for _, arrays in drawn_runs):
            yield _prior_draws(case, drawn_runs)
    if case.k == 2:
        yield _latent_means(case, drawn_runs, series)


def _shown(case: Case, runs: pd.DataFrame) -> list[pd.Series]:
    beta = shared_beta(case.rows)
    rows = case.rows if beta is None else case.rows[case.rows["beta"] == beta]
    rows = rows.loc[(rows["beta"] - 1).abs().sort_values(kind="stable").index]
    shown = []
    for loss in losses_of(rows):
        setting_of_loss = rows[rows["loss"] == loss].iloc[0]
        shown.append(runs_of(setting_of_loss, runs).sort_values("seed").iloc[0])
    return shown


def _written(row: pd.Series) -> str:
    return f"{row['loss']} beta {significant(row['beta'], 4)}"


def _strip(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return square images ``(n, d)`` side by side, with transparent gaps (NaN)."""
    side = math.isqrt(images.shape[1])
    scale = max(1, round(16 / side))
    gap = max(1, round(_GAP * side * scale))
    squares = [np.kron(image.reshape(side, side), np.ones((scale, scale))) for image in images]
    between = np.full((side * scale, gap), np.nan)
    parts = [part for square in squares for part in (square, between)][:-1]
    return np.concatenate(parts, axis=1)


def _image_rows(rows: list[tuple[str, NDArray[np.float32]]]) -> Figure:
    """Draw rows of images; black and white are 0 and 1, or what the first row spans beyond."""
    black, white = min(0.0, float(rows[0][1].min())), max(1.0, float(rows[0][1].max()))
    drawn = figure(_ROW_INCHES * len(rows) + 0.1)
    for axes, (label, images) in zip(
        np.atleast_1d(drawn.subplots(len(rows), 1)), rows, strict=True
    ):
        grey = np.clip(images, black, white)
        axes.imshow(_strip(grey), vmin=black, vmax=white, interpolation="nearest")
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    return drawn


def _two_lines(row: pd.Series) -> str:
    return f"{row['loss']}\nbeta {significant(row['beta'], 4)}"


def _reconstructions(case: Case, drawn_runs: list[tuple[pd.Series, Arrays]]) -> Drawing:
    originals = drawn_runs[0][1]["originals"]
    rows = [("original", originals)]
    rows += [(_two_lines(row), arrays["reconstructions"]) for row, arrays in drawn_runs]
    errors = ", ".join(
        f"{np.mean((arrays['reconstructions'] - originals) ** 2):.3f} for {_written(row)}"
        for row, arrays in drawn_runs
    )
    said = (
        f"Mean squared error a pixel over these {counted(len(originals), 'test image')}: {errors}."
    )
    return Drawing(
        f"reconstructions-{case.slug}",
        f"Reconstructions: {case.label}",
        said,
        f"Rows of images of {case.label}: the originals, then the reconstructions by "
        f"{', '.join(_written(row) for row, _ in drawn_runs)}. {said}",
        _image_rows(rows),
    )


def _prior_draws(case: Case, drawn_runs: list[tuple[pd.Series, Arrays]]) -> Drawing:
    spread = ", ".join(
        f"{arrays['prior_images'].std(axis=0).mean():.3f} for {_written(row)}"
        for row, arrays in drawn_runs
    )
    said = (
        "Standard deviation of a pixel over these draws, zero where every draw is one image: "
        f"{spread}."
    )
    return Drawing(
        f"prior-{case.slug}",
        f"Images drawn from the prior: {case.label}",
        said,
        f"Rows of images of {case.label}, decoded from z drawn from N(0, I) by "
        f"{', '.join(_written(row) for row, _ in drawn_runs)}. {said}",
        _image_rows([(_two_lines(row), arrays["prior_images"]) for row, arrays in drawn_runs]),
    )


def _latent_means(
    case: Case, drawn_runs: list[tuple[pd.Series, Arrays]], series: dict[str, Series]
) -> Drawing:
    drawn_runs = drawn_runs[:4]
    n_rows = math.ceil(len(drawn_runs) / 2)
    n_columns = min(2, len(drawn_runs))
    drawn = figure(WIDTH / n_columns * n_rows + 0.35)
    largest = max(float(np.abs(arrays["latent_means"]).max()) for _, arrays in drawn_runs)
    limit = 1.08 * max(largest, 1.0)
    for number, (row, arrays) in enumerate(drawn_runs, start=1):
        axes = drawn.add_subplot(n_rows, n_columns, number)
        z_mean = arrays["latent_means"]
        axes.plot(
            z_mean[:, 0],
            z_mean[:, 1],
            linestyle="",
            marker=".",
            markersize=3,
            color=series[str(row["loss"])].colour,
        )
        axes.axhline(0, color=MUTED, linewidth=0.5, zorder=0)
        axes.axvline(0, color=MUTED, linewidth=0.5, zorder=0)
        axes.set_xlim(-limit, limit)
        axes.set_ylim(-limit, limit)
        axes.set_aspect("equal")
        axes.set_title(_written(row), fontsize=9.5)
        axes.set_xlabel("mean of z_1 (prior std)")
        axes.set_ylabel("mean of z_2 (prior std)")
    widths = ", ".join(
        f"{float(arrays['latent_means'].std(axis=0).max()):.2g} for {_written(row)}"
        for row, arrays in drawn_runs
    )
    said = f"Largest standard deviation of the latent means over the test images: {widths}."
    return Drawing(
        f"latent-means-{case.slug}",
        f"Latent means: {case.label}",
        said,
        f"Scatter plots of {case.label}: the two latent means of "
        f"{counted(len(drawn_runs[0][1]['latent_means']), 'test image')}. {said}",
        drawn,
    )
