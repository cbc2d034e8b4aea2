"""What a figure shows, in words and numbers: its axes, lines, bands, texts and legend."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lossbench.report.style import Drawing


def numbers(values: object) -> str:
    """Return numbers to five digits."""
    return " ".join(f"{value:.5g}" for value in np.ravel(np.asarray(values, np.float64)))


def shown(drawing: Drawing) -> str:
    """Return a drawing as text: what is said of it, then everything that is drawn."""
    lines = [drawing.name, drawing.title, drawing.reading, drawing.description]
    figure = drawing.figure
    lines.append(f"inches {numbers(figure.get_size_inches())}")
    for axes in figure.axes:
        lines += ["", *_of_axes(axes)]
    return "\n".join([*lines, "", *_legends(figure)])


def _of_axes(axes: Axes) -> Iterator[str]:
    for name in ("x", "y"):
        axis = getattr(axes, f"{name}axis")
        label = axis.label
        look = (label.get_rotation(), label.get_fontsize(), label.get_ha(), label.get_va())
        yield (
            f"{name}: {label.get_text()!r} {' '.join(map(str, look))}, {axis.get_scale()}, from "
            f"{numbers(getattr(axes, f'get_{name}lim')())}, {len(axis.get_ticklocs())} ticks"
        )
    if axes.get_title():
        yield f"title: {axes.get_title()!r}"
    for line in axes.lines:
        yield _of_line(line)
    for collection in axes.collections:
        yield from _of_collection(collection)
    for patch in axes.patches:
        corners = patch.get_bbox().extents
        look = f"width {patch.get_linewidth():g}, order {patch.get_zorder():g}"
        yield f"area {to_hex(patch.get_facecolor())}, {look}: {numbers(corners)}"
    for image in axes.images:
        pixels = np.ma.filled(image.get_array(), -1.0)
        yield f"image {pixels.shape}, mean {pixels.mean():.4g}, limits {numbers(image.get_clim())}"
    for text in axes.texts:
        yield f"text {text.get_text()!r} at {numbers(text.get_position())}, {text.get_ha()}"


def _of_line(line: Line2D) -> str:
    look = (line.get_linestyle(), line.get_marker(), f"{line.get_markersize():g}")
    colours = (to_hex(line.get_color()), to_hex(line.get_markerfacecolor()))
    x, y = line.get_data()
    return (
        f"line {line.get_label()!r} {' '.join(map(str, (*look, *colours)))}, "
        f"width {line.get_linewidth():g}, order {line.get_zorder():g}: {numbers(x)} | {numbers(y)}"
    )


def _of_collection(collection: Collection) -> Iterator[str]:
    if isinstance(collection, LineCollection):
        yield f"segments: {'; '.join(map(numbers, collection.get_segments()))}"
        return
    (path,) = collection.get_paths()
    (colour,) = collection.get_facecolor()
    (width,) = collection.get_linewidth()
    look = f"width {width:g}, order {collection.get_zorder():g}"
    yield f"band {to_hex(colour, keep_alpha=True)}, {look}: {numbers(path.vertices)}"


def _legends(figure: Figure) -> Iterator[str]:
    inside = [axes.get_legend() for axes in figure.axes if axes.get_legend() is not None]
    for legend in [*figure.legends, *inside]:
        labels = [text.get_text() for text in legend.get_texts()]
        yield f"legend in {legend._ncols} columns: {', '.join(labels)}"
