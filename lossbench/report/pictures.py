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
from lossbench.run import IMAGES
from lossbench.words import counted, significant

Arrays = Mapping[str, NDArray[np.float32]]
ArraysOf = Callable[[str], Arrays]

_ROW_INCHES = 0.62
_FLATTEST, _TALLEST = 0.6, 2.0  # height over width, beyond which a row of images keeps its height
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
    drawn_runs = _of_one_shape(drawn_runs)
    if _sides(drawn_runs[0][1]["originals"]):
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


def _of_one_shape(drawn_runs: list[tuple[pd.Series, Arrays]]) -> list[tuple[pd.Series, Arrays]]:
    """Return the runs with the shape of their images; older ones left them as rows of d."""
    shape = max((arrays["originals"].shape[1:] for _, arrays in drawn_runs), key=len)
    return [
        (
            row,
            {
                name: array.reshape(-1, *shape) if name in IMAGES else array
                for name, array in arrays.items()
            },
        )
        for row, arrays in drawn_runs
    ]


def _written(row: pd.Series) -> str:
    return f"{row['loss']} beta {significant(row['beta'], 4)}"


def _sides(images: NDArray[np.float32]) -> tuple[int, ...]:
    """Return (H, W) or (H, W, C) of the images, which are a square where they are rows of d.

    Rows of another d are no images, and have none.
    """
    if images.ndim > 2:
        return images.shape[1:]
    side = math.isqrt(images.shape[1])
    return (side, side) if side**2 == images.shape[1] else ()


def _panels(images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return images ``(n, H, W, 1)``, or ``(n, H, W, 3)`` in colour; others are averaged."""
    height, width, *channels = _sides(images)
    panels = images.reshape(len(images), height, width, *(channels or [1])).astype(np.float64)
    return panels if panels.shape[-1] == 3 else panels.mean(axis=-1, keepdims=True)


def _strip(panels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return panels side by side, with transparent gaps: ``(H, W)`` with NaN, or RGBA in colour."""
    _, height, width, n_channels = panels.shape
    scale = max(1, round(16 / max(height, width)))
    gap = max(1, round(_GAP * width * scale))
    if n_channels == 3:
        panels = np.concatenate([panels, np.ones_like(panels[..., :1])], axis=-1)
    enlarged = panels.repeat(scale, axis=1).repeat(scale, axis=2)
    nothing = np.nan if n_channels == 1 else 0.0
    between = np.full((height * scale, gap, panels.shape[-1]), nothing)
    parts = [part for panel in enlarged for part in (panel, between)][:-1]
    strip = np.concatenate(parts, axis=1)
    return strip if n_channels == 3 else strip[..., 0]


def _image_rows(rows: list[tuple[str, NDArray[np.float32]]]) -> Figure:
    """Draw rows of images; black and white are 0 and 1, or what the first row spans beyond."""
    black, white = min(0.0, float(rows[0][1].min())), max(1.0, float(rows[0][1].max()))
    height, width, *_ = _sides(rows[0][1])
    row_inches = _ROW_INCHES * min(max(height / width, _FLATTEST), _TALLEST)
    drawn = figure(row_inches * len(rows) + 0.1)
    for axes, (label, images) in zip(
        np.atleast_1d(drawn.subplots(len(rows), 1)), rows, strict=True
    ):
        panels = (np.clip(_panels(images), black, white) - black) / (white - black)
        axes.imshow(_strip(panels), vmin=0.0, vmax=1.0, interpolation="nearest")
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
