"""The summary: loss x beta x d, mean over seeds with its interval, threshold beside beta_eff."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lossbench.columns import (
    HELD,
    METRICS,
    MODEL_COLUMNS,
    NO_THRESHOLD,
    SUMMARISED,
    at_the_end,
    belongs,
    bounded,
    end_note,
    learned_note,
    worth_saying,
)
from lossbench.console.screen import Indented, out, settled_range, show, show_json, sparkline
from lossbench.loss import likelihood
from lossbench.prediction import agreement
from lossbench.store import SUMMARY_TABLE, Summary
from lossbench.words import counted, plus_minus, setting, significant

_WIDE = 116
_UNBOUNDED = 1000
_CURVE_WIDTH = 5
_MOST_NAMED = 3
_BELOW = 0.95  # of t_1: the least at which a network's own was measured
_MOST_SETTINGS = 400  # nobody reads more, and they take seconds to lay out
_TABLE_COLUMNS = ("dataset", "reconstruction_loss", "k")
_ROW_COLUMNS = ("d", "beta", "loss")
_OPTIONAL = tuple(metric.name for metric in METRICS if metric.optional)
_NARROW = {
    "threshold": "thresh-\nold",
    "reconstruction": "recon.",
    "active_\nunits": "active",
    "trained_sigma": "trained\nsigma",
    "trained_dispersion": "trained\nr",
}  # headings where there is less room


def show_summary(found: Summary, *, as_json: bool) -> None:
    """Print the summary of a results folder, as JSON or as tables."""
    if as_json:
        show_json(found)
    else:
        show(summary_tables(found, out()))


def summary_tables(found: Summary, console: Console) -> RenderableType:
    """Return the summary as one table for each dataset, reconstruction loss and k.

    A narrow console shows the interval of the ELBO only, and its curves over training if they fit.
    Of a very long summary the first hundreds of settings are shown, without curves.
    """
    summary = at_the_end(found.settings)
    curves = found.curves() if len(summary) <= _MOST_SETTINGS else ()
    curve_of = dict(zip(summary.index, curves, strict=True)) if curves else {}
    wide = console.width >= _WIDE
    extra = [name for name in MODEL_COLUMNS if summary[name].nunique(dropna=False) > 1]
    parts: list[RenderableType] = []
    shown = summary
    if len(summary) > _MOST_SETTINGS:
        order = [*_TABLE_COLUMNS, *extra, *_ROW_COLUMNS]
        shown = summary.sort_values(order).head(_MOST_SETTINGS)
    for keys, group in shown.groupby([*_TABLE_COLUMNS, *extra], sort=False, dropna=False):
        facts: dict[str, Any] = dict(zip((*_TABLE_COLUMNS, *extra), keys, strict=True))
        title = ", ".join(
            f"{name} {setting(facts[name])}" if name != "dataset" else str(facts[name])
            for name in worth_saying([name for name in facts if belongs(name, facts)], facts)
        )
        rows = group.sort_values(list(_ROW_COLUMNS))
        drawn = _drawn(rows, curve_of, console.options.ascii_only)
        layouts = [_table(title, rows, wide, drawn), _table(title, rows, wide, {})]
        if wide:
            layouts.append(_table(title, rows, False, drawn))
        parts.append(next((each for each in layouts if _fits(each, console)), layouts[-1]))
    if len(shown) < len(summary):
        n_more = len(summary) - len(shown)
        are = "is" if n_more == 1 else "are"
        rest = f"{counted(n_more, 'more setting')} {are} in {SUMMARY_TABLE}"
        parts.append(Text(f"\n{rest}; --json prints all.", style="yellow"))
    return Group(*parts, *_notes(found.settings))


def _fits(table: Table, console: Console) -> bool:
    """Return whether a table, each cell on one line, is no wider than the console."""
    unbounded = console.options.update(width=_UNBOUNDED)
    return Measurement.get(console, unbounded, table).maximum <= console.width


def _drawn(
    rows: pd.DataFrame, curve_of: Mapping[Any, Sequence[float]], ascii_only: bool
) -> dict[Any, str]:
    """Return the curve of every row, on one scale for each d."""
    drawn: dict[Any, str] = {}
    for _, section in rows.groupby("d"):
        low, high = settled_range([curve_of.get(row, ()) for row in section.index])
        for row in section.index:
            curve = curve_of.get(row, ())
            drawn[row] = sparkline(curve, _CURVE_WIDTH, low, high, ascii_only=ascii_only)
    return drawn if any(drawn.values()) else {}


def _table(title: str, rows: pd.DataFrame, wide: bool, drawn: Mapping[Any, str]) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1) if wide else (0, 1, 0, 0),
    )
    table.add_column("loss", overflow="fold")  # half a name is another one's
    numbers = [name for name in SUMMARISED if name not in _OPTIONAL or rows[name].notna().any()]
    headings = ["d", "beta", "beta_eff", "threshold", *numbers]
    headings += ["pre-\ndicted", "active_\nunits"] if wide else ["active_\nunits"]
    for heading in headings:
        shown = heading if wide else _NARROW.get(heading, heading)
        table.add_column(shown, justify="right", no_wrap=True)
    table.add_column("col-\nlapsed")
    if drawn:
        table.add_column("elbo\ncurve", no_wrap=True)
    previous = None
    for place, row in zip(rows.index, rows.to_dict(orient="records"), strict=True):
        if previous is not None and row["d"] != previous:
            table.add_section()
        previous = row["d"]
        table.add_row(*_cells(row, numbers, wide), *([drawn[place]] if drawn else []))
    return table


def _cells(row: Mapping[Any, Any], numbers: Sequence[str], wide: bool) -> Iterator[Text | str]:
    yield str(row["loss"])
    yield str(row["d"])
    yield significant(row["beta"], 4)
    yield significant(row["beta_eff"], 4)
    yield "" if math.isnan(row["threshold"]) else f"{row['threshold']:.3f}"
    for name in numbers:
        interval = row[f"{name}_ci95"] if wide or name == "elbo" else float("nan")
        mark = "*" if name == "elbo" and row["still_improving"] is True else ""
        yield _number(row[name], interval) + mark
    if wide:
        yield "" if pd.isna(row["predicted_active_units"]) else str(row["predicted_active_units"])
    yield "" if pd.isna(row["active_units"]) else f"{row['active_units']:.2g} of {row['k']}"
    yield _collapsed(row)


def _number(mean: float, half_width: float) -> str:
    return "" if pd.isna(mean) else plus_minus(mean, half_width).replace("± ", "±")


def _collapsed(row: Mapping[Any, Any]) -> Text:
    n_seeds = int(row["n_seeds"])
    if n_seeds == 0:
        return Text("failed", style="red")
    n_collapsed = round(row["collapsed"] * n_seeds)
    if n_collapsed == 0:
        return Text("no")
    return Text("yes" if n_collapsed == n_seeds else f"{n_collapsed} of {n_seeds}", style="yellow")


def _of_collapsed(summary: pd.DataFrame) -> Iterator[RenderableType]:
    """Yield what to do about settings that collapsed: those well below t_1, and those above it."""
    telling = [name for name in ("reconstruction_loss", *MODEL_COLUMNS) if _tells(name, summary)]
    collapsed = summary[(summary["collapsed"] > 0) & summary["threshold"].notna()]
    below = collapsed[collapsed[HELD] < _BELOW * collapsed["threshold"]]
    above = collapsed[collapsed[HELD] >= collapsed["threshold"]]
    if len(below):
        yield Text("Collapsed below t_1: training ended before it left the collapsed solution")
        yield Indented(_named(below, telling))
        yield Indented(
            "try a far start (--kl-schedule far:0.3:0.1), a larger --learning-rate or more --epochs"
        )
    if len(above):
        yield Text("Collapsed above t_1: the objective asks for it, and a smaller beta does not")
        yield Indented(_named(above, telling, is_above=True))


def _tells(name: str, summary: pd.DataFrame) -> bool:
    """Return whether settings that have a column of the model differ in it."""
    has_it = summary.apply(lambda row: belongs(name, row), axis="columns").to_numpy(bool)
    return bool(summary.loc[has_it, name].nunique(dropna=False) > 1)


def _named(settings: pd.DataFrame, telling: Sequence[str], *, is_above: bool = False) -> str:
    """Return the first few settings, and for those above t_1 the beta to write instead.

    ``telling`` are the columns of the model in which the settings of the folder differ.
    """
    named = []
    for row in settings.sort_values(list(_ROW_COLUMNS)).to_dict(orient="records"):
        facts = {str(name): value for name, value in row.items()}
        model = "".join(
            f" {'' if name == 'reconstruction_loss' else f'{name} '}{setting(facts[name])}"
            for name in telling
            if belongs(name, facts)
        )
        half = row["beta"] * row["threshold"] / row[HELD] / 2
        instead = f" (t_1/2 is at beta {significant(half, 3)})" if is_above else ""
        beta = significant(row["beta"], 4)
        named.append(f"{row['loss']} d {row['d']} k {row['k']}{model} at beta {beta}{instead}")
    rest = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _notes(summary: pd.DataFrame) -> Iterator[RenderableType]:
    yield Text()
    n_seeds = sorted({int(n) for n in summary["n_seeds"]})
    seeds = (
        counted(n_seeds[0], "seed") if len(n_seeds) == 1 else f"{n_seeds[0]} to {n_seeds[-1]} seeds"
    )
    yield Text(
        f"Nats per image on the test split; mean over {seeds} ± 95% t-interval. "
        "A setting collapses where beta_eff reaches its threshold."
        + NO_THRESHOLD * bool(bounded(summary).any())
        + end_note(summary[HELD], summary["beta_eff"])
        + learned_note(summary),
        style="dim",
    )
    yield from _of_collapsed(summary)
    held = agreement(summary)
    if held.n_settings:
        yield Text(
            f"Predicted active units, where 0 < predicted < k: equal to the measured in "
            f"{held.n_equal} of {counted(held.n_settings, 'setting')}, within one in "
            f"{held.n_within_one}.",
            style="dim",
        )
    for kind in summary["reconstruction_loss"].unique():
        if caution := likelihood(kind).short_caution:
            yield Text(caution, style="dim")
    if (summary["still_improving"] == True).any():  # noqa: E712 - missing is neither
        yield Text(
            "* the ELBO rose by more than 0.1 nats in the last tenth of training: train longer.",
            style="dim",
        )
