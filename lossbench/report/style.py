"""How figures look, and the bytes that they become: the same for the same numbers, every time.

Colours are those of Okabe and Ito, which colour-blind readers tell apart; every series has a
marker of its own besides. On a page the colours are CSS variables, so that a figure follows
the page from light to dark and onto paper.
"""

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from lossbench.words import significant

INK, MUTED, SHADE, PAPER = "#1f2328", "#6e7781", "#eceff2", "#ffffff"
_SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#9467bd")
_MARKERS = "osD^vPX*"
_VARIABLES = {INK: "--ink", MUTED: "--muted", SHADE: "--shade", PAPER: "--paper"} | {
    colour: f"--series-{number}" for number, colour in enumerate(_SERIES)
}
_DPI = 200
_FONT = "DejaVu Sans"  # comes with matplotlib; a page's other fonts are no wider
_FONTS = f"'{_FONT}', Verdana, sans-serif"
_ACROSS, _MARK = 56, 4  # characters that fit across a figure, and that a mark is wide
WIDTH, HEIGHT = 4.4, 3.3  # inches: legible on a phone, two side by side on a screen
STYLE = {
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.unicode_minus": True,
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "font.family": [_FONT],
    "font.size": 9.5,
    "image.cmap": "gray",
    "legend.fontsize": 9.0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.4,
    "lines.markersize": 5.0,
    "path.simplify": False,
    "savefig.dpi": _DPI,
    "svg.fonttype": "none",
    "svg.hashsalt": "lossbench",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 9.0,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 9.0,
}


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure with what is said of it.

    ``name`` is the stem of its files; ``reading`` one sentence, computed from the numbers;
    ``description`` says what is drawn, for those who do not see it.
    """

    name: str
    title: str
    reading: str
    description: str
    figure: Figure


@dataclass(frozen=True)
class Series:
    """How a loss is drawn; the first has a large open marker, in which another is still seen."""

    colour: str
    marker: str
    size: float
    is_open: bool

    @property
    def options(self) -> dict[str, Any]:
        """The options of ``Axes.plot`` for this series."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markersize": self.size,
            "markerfacecolor": PAPER if self.is_open else self.colour,
            "markeredgewidth": 1.4,
        }


def mark(number: int) -> tuple[str, str]:
    """Return the colour and the marker of the series of that number, from 0; no two have both."""
    turn, place = divmod(number, len(_SERIES))
    return _SERIES[place], _MARKERS[(place + turn) % len(_MARKERS)]


def series_of(losses: Sequence[str]) -> dict[str, Series]:
    """Return the series of every loss, in their order."""
    return {
        loss: Series(*mark(number), 8.0 if number == 0 else 4.5, number == 0)
        for number, loss in enumerate(losses)
    }


def figure(height: float = HEIGHT) -> Figure:
    """Return an empty figure, one panel wide."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def log_axis(axes: Axes, name: str, values: Sequence[float]) -> None:
    """Make one axis (``x`` or ``y``) logarithmic, with plain numbers; zero gets a place of its own.

    Without two distinct positive values the axis stays linear.
    """
    positive = sorted({value for value in values if value > 0})
    if len(positive) < 2:
        return
    scale = axes.set_xscale if name == "x" else axes.set_yscale
    if min(values) <= 0:
        scale("symlog", linthresh=positive[0], linscale=0.4)
    else:
        scale("log")
    axis = axes.xaxis if name == "x" else axes.yaxis
    narrow = positive[-1] / positive[0] < 30
    if min(values) > 0:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: significant(value)))


def legend(axes: Axes) -> None:
    """Put the legend above the panel, where it covers no number, in as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    n_columns = next(n for n in range(3, 0, -1) if n == 1 or _characters(labels, n) <= _ACROSS)
    figure = axes.get_figure(root=True)
    if figure is None:
        raise ValueError("the axes belong to no figure")
    figure.legend(
        handles,
        labels,
        loc="outside upper left",
        ncols=n_columns,
        borderaxespad=0.2,
        columnspacing=1.2,
        handlelength=1.8,
        alignment="left",
    )


def _characters(labels: Sequence[str], n_columns: int) -> int:
    """Return the width of labels with their marks in so many columns, in characters."""
    n_rows = -(-len(labels) // n_columns)
    columns = [labels[start : start + n_rows] for start in range(0, len(labels), n_rows)]
    return sum(max(map(len, column)) + _MARK for column in columns)


def png(drawing: Drawing) -> bytes:
    """Return the figure as PNG."""
    buffer = io.BytesIO()
    drawing.figure.savefig(buffer, format="png", metadata={"Software": "lossbench"})
    return buffer.getvalue()


def svg(drawing: Drawing) -> bytes:
    """Return the figure as SVG."""
    buffer = io.BytesIO()
    drawing.figure.savefig(
        buffer,
        format="svg",
        metadata={"Date": None, "Creator": "lossbench", "Title": drawing.title},
    )
    return buffer.getvalue().replace(f"'{_FONT}'".encode(), _FONTS.encode())


def inline(picture: bytes, drawing: Drawing, prefix: str) -> str:
    """Return an SVG as an element of a page: its size, its text alternative, the page's colours.

    Ids are made the figure's own with ``prefix`` and its name, and metadata is left out.
    """
    own = re.sub(r"\W+", "_", f"{prefix}-{drawing.name}".strip("-"))
    text = picture.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<title>.*?</title>", "", text, count=1, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)
    referenced = set(re.findall(r"#([\w-]+)", text))
    text = re.sub(
        r' id="([^"]+)"',
        lambda found: f' id="{own}-{found[1]}"' if found[1] in referenced else "",
        text,
    )
    text = re.sub(r'(url\(|href=")#', rf"\1#{own}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    width, height = (round(96 * inches) for inches in drawing.figure.get_size_inches())
    opening = (
        f'<svg role="img" aria-label="{escape(drawing.description, quote=True)}" '
        f'width="{width}" height="{height}" '
    )
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    return re.sub(r"\n\s*", "\n", text.replace("<svg ", opening, 1)).strip()


def neutral_params() -> dict[Any, Any]:
    """Return matplotlib's own defaults with ``STYLE`` on top, whatever the user has set."""
    return {**mpl.rcParamsDefault, **STYLE}
