"""The page of a comparison: what differs, the numbers of every cell, and both learning curves."""

from collections.abc import Mapping

import pandas as pd

from lossbench.comparison import Cell, Comparison, MetricDifference
from lossbench.comparison.wording import factor, probability, setting
from lossbench.report.style import Drawing, figure, legend, series_of
from lossbench.report.tables import Cell as Shown
from lossbench.report.tables import Heading, View

_METRIC_HEADINGS = (
    Heading("metric", is_number=False),
    Heading("A"),
    Heading("B"),
    Heading("B - A"),
    Heading("95% interval", is_number=False),
    Heading("p (Holm)"),
)


def settings_of(comparison: Comparison) -> View:
    """Return the settings in which A and B differ, beta_eff among them if there is one cell."""
    rows = [(name, setting(a), setting(b)) for name, (a, b) in comparison.differing.items()]
    if len(comparison.cells) == 1:
        sides = comparison.cells[0].objectives
        rows.append(("beta_eff", factor(sides.a.beta_eff), factor(sides.b.beta_eff)))
    headings = [Heading(name, is_number=False) for name in ("setting", "A", "B")]
    return View(
        "What differs", "", headings, [[Shown(text, text, False) for text in row] for row in rows]
    )


def cells_view(comparison: Comparison) -> list[View]:
    """Return one table of metrics a cell."""
    n_cells = len(comparison.cells)
    return [
        View(
            _label(cell) or "Metrics",
            f"Mean over {len(cell.pairs)} pairs"
            + (f", cell {number} of {n_cells}" if n_cells > 1 else ""),
            _METRIC_HEADINGS,
            [_row(metric) for metric in cell.metrics.values()],
        )
        for number, cell in enumerate(comparison.cells, start=1)
    ]


def _label(cell: Cell) -> str:
    return ", ".join(f"{name} {setting(value)}" for name, value in cell.settings.items())


def _row(metric: MetricDifference) -> list[Shown]:
    unit = f", {metric.unit}" if metric.unit else ""
    low, high = metric.low, metric.high
    interval = "" if low is None or high is None else f"{low:.4g} to {high:.4g}"
    return [
        Shown(f"{metric.metric}{unit}", metric.metric, False),
        _number(metric.a),
        _number(metric.b),
        _number(metric.difference) if metric.comparable else Shown("not comparable", ""),
        Shown(interval, interval, False),
        Shown(
            "" if metric.p_holm is None else probability(metric.p_holm).removeprefix("= "),
            "" if metric.p_holm is None else repr(metric.p_holm),
        ),
    ]


def _number(number: float | None) -> Shown:
    return Shown("", "") if number is None else Shown(f"{number:.6g}", repr(number))


def learning_of_sides(curves: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """Return the learning curves of A and B in one figure; none if there are no curves."""
    if not curves:
        return []
    series = series_of(list(curves))
    drawn = figure()
    axes = drawn.add_subplot()
    for side, curve in curves.items():
        band = curve["half_width"].fillna(0.0)
        axes.plot(curve.index, curve["mean"], color=series[side].colour, label=side)
        axes.fill_between(
            curve.index,
            curve["mean"] - band,
            curve["mean"] + band,
            color=series[side].colour,
            alpha=0.18,
            linewidth=0,
        )
    axes.set_xlabel("epoch")
    axes.set_ylabel("ELBO (nats per image)")
    legend(axes)
    said = "; ".join(
        f"{side} ends at {curve['mean'].iloc[-1]:.2f}" for side, curve in curves.items()
    )
    said = f"After {_last_epoch(curves)} epochs {said} nats."
    return [
        Drawing(
            "learning",
            "Learning curves of A and B",
            said,
            f"Line chart: ELBO over the epochs, mean over the seeds with its 95% interval. {said}",
            drawn,
        )
    ]


def _last_epoch(curves: Mapping[str, pd.DataFrame]) -> int:
    return max(int(curve.index[-1]) for curve in curves.values())
