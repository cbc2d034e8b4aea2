"""``results/speed.png``: a panel for each size, a row for each way, a mark for each variant."""

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.size import SIZES
from bench.table import LOSSBENCH, MATMUL, Row, of_size
from lossbench.report import style

_WAYS = {
    "keras-fit": "Keras fit",
    "pytorch-loop": "PyTorch loop",
    "jax-vmap": "JAX vmap, scan",
    "lossbench": "lossbench",
}
_PANEL = (4.4, 2.5)  # inches
_BEST = style.series_of(_WAYS)["keras-fit"].colour
_ONE = style.series_of(_WAYS)["pytorch-loop"].colour
_TITLE = "Time to train one VAE for one epoch"


def drawing(table: Sequence[Row]) -> style.Drawing:
    """Return the figure of a table of speeds."""
    sizes = [size for size in SIZES if of_size(table, size)]
    n_rows = -(-len(sizes) // 2)
    with mpl.rc_context(style.neutral_params()):
        figure = Figure(
            figsize=(_PANEL[0] * min(2, len(sizes)), _PANEL[1] * n_rows + 0.6),
            layout="constrained",
        )
        grid = figure.subplots(n_rows, min(2, len(sizes)), squeeze=False)
        for axes in grid.flat[len(sizes) :]:
            axes.remove()
        for axes, size in zip(grid.flat, sizes, strict=False):
            _draw(axes, size.title, of_size(table, size))
        figure.supxlabel("milliseconds per model and epoch", fontsize=9.5)
        figure.legend(
            *grid.flat[0].get_legend_handles_labels(),
            loc="outside upper left",
            ncols=min(3, 2 * len(sizes) - 1),
            columnspacing=1.2,
        )
    most = max(float(row["times_lossbench"]) for row in table)
    reading = f"The slowest way takes {most:.0f} times as long as lossbench with every core."
    return style.Drawing("speed", _TITLE, reading, f"{_TITLE}, by way, variant and size", figure)


def _draw(axes: Axes, title: str, rows: Sequence[Row]) -> None:
    milliseconds = {(row["way"], row["variant"]): float(row["ms_per_model_epoch"]) for row in rows}
    places = {way: -number for number, way in enumerate(_WAYS)}
    floor = milliseconds.pop(MATMUL)
    axes.axvline(
        floor, color=style.MUTED, linestyle=":", label="its matrix products at the machine's rate"
    )
    usual = {way: time for way, time in milliseconds.items() if way[1] != LOSSBENCH[1]}
    best = {way: time for way, time in milliseconds.items() if way[1] == LOSSBENCH[1]}
    for name, times, face, colour in (
        ("as usually run (lossbench: one worker)", usual, style.PAPER, _ONE),
        ("at its best on every core", best, _BEST, _BEST),
    ):
        axes.plot(
            list(times.values()),
            [places[way] for way, _ in times],
            "o",
            color=colour,
            markerfacecolor=face,
            markersize=6.5,
            markeredgewidth=1.4,
            label=name,
        )
        for (way, _), time in times.items():
            side = -1 if times is best else 1  # below the best, above the usual
            axes.annotate(
                f"{time:.3g}" if time < 1000 else f"{time:.0f}",
                (time, places[way]),
                (0, 6.5 * side),
                textcoords="offset points",
                ha="center",
                va="bottom" if side > 0 else "top",
                fontsize=7.5,
                color=colour,
            )
    style.log_axis(axes, "x", [floor, *milliseconds.values()])
    axes.set_xlim(floor / 1.6, 1.6 * max(milliseconds.values()))
    axes.set_ylim(0.7 - len(_WAYS) - 0.35, 0.65)
    axes.set_yticks(list(places.values()), [_WAYS[way] for way in places])
    axes.tick_params(axis="y", length=0)
    axes.set_title(title, loc="left", fontsize=9.5)
