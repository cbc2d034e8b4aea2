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
    KL_COLUMNS,
    METRICS,
    MODEL_COLUMNS,
    NO_THRESHOLD,
    SUMMARISED,
    at_the_end,
    belongs,
    bounded,
    end_note,
    kl_term,
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
_KL_TERM = "KL term"  # a column of its own, where something moves or bounds it
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
    apart = [*_TABLE_COLUMNS, *(name for name in extra if name not in KL_COLUMNS)]
    summary = summary.assign(**{_KL_TERM: [kl_term(row) for _, row in summary.iterrows()]})
    parts: list[RenderableType] = []
    shown = summary
    if len(summary) > _MOST_SETTINGS:
        shown = summary.sort_values([*apart, *_ROW_COLUMNS]).head(_MOST_SETTINGS)
    for _, group in shown.groupby(apart, sort=False, dropna=False):
        shared, first = _shared(group), group.iloc[0]
        names = [*_TABLE_COLUMNS, *(extra if _KL_TERM in shared else apart[len(_TABLE_COLUMNS) :])]
        names[2:2] = [name for name in shared if name != _KL_TERM]
        title = ", ".join(
            f"{name} {setting(first[name])}" if name != "dataset" else str(first[name])
            for name in worth_saying([name for name in names if belongs(name, first)], first)
        )
        rows = group.sort_values([*_ROW_COLUMNS, "free_bits"])
        drawn = _drawn(rows, curve_of, console.options.ascii_only)
        layouts = [_table(title, rows, wide, drawn, shared), _table(title, rows, wide, {}, shared)]
        if wide:
            layouts.append(_table(title, rows, False, drawn, shared))
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


def _shared(rows: pd.DataFrame) -> list[str]:
    """Return the columns that a table leaves to its title: there is room for one of KL terms.

    That one is left out if the KL term is the same in every row; else what is.
    """
    if rows[_KL_TERM].nunique() == 1:
        return [_KL_TERM]
    return [name for name in ("loss", "d") if rows[name].nunique() == 1]


def _table(
    title: str, rows: pd.DataFrame, wide: bool, drawn: Mapping[Any, str], shared: Sequence[str]
) -> Table:
    table = Table(
        title=f"\n{title}",
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        padding=(0, 1) if wide else (0, 1, 0, 0),
    )
    numbers = [name for name in SUMMARISED if name not in _OPTIONAL or rows[name].notna().any()]
    texts = ("loss", _KL_TERM)
    headings = ["loss", _KL_TERM, "d", "beta", "beta_eff", "threshold", *numbers]
    headings += ["pre-\ndicted", "active_\nunits"] if wide else ["active_\nunits"]
    headings = [heading for heading in headings if heading not in shared]
    for heading in headings:
        shown = heading if wide else _NARROW.get(heading, heading)
        is_text = heading in texts
        table.add_column(
            shown,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold" if is_text else "ellipsis",
        )
    table.add_column("col-\nlapsed")
    if drawn:
        table.add_column("elbo\ncurve", no_wrap=True)
    has_room = wide or _KL_TERM not in headings
    previous = None
    for place, row in zip(rows.index, rows.to_dict(orient="records"), strict=True):
        if previous is not None and row["d"] != previous:
            table.add_section()
        previous = row["d"]
        cells = _cells(row, numbers, wide, of_k=f" of {row['k']}" * has_room)
        table.add_row(
            *(cells[heading] for heading in headings),
            _collapsed(row),
            *([drawn[place]] if drawn else []),
        )
    return table


def _cells(
    row: Mapping[Any, Any], numbers: Sequence[str], wide: bool, *, of_k: str
) -> dict[str, str]:
    """Return the cells of one setting by the headings of their columns."""
    predicted = row["predicted_active_units"]
    cells = {
        "loss": str(row["loss"]),
        _KL_TERM: str(row.get(_KL_TERM)),
        "d": str(row["d"]),
        "beta": significant(row["beta"], 4),
        "beta_eff": significant(row["beta_eff"], 4),
        "threshold": "" if math.isnan(row["threshold"]) else f"{row['threshold']:.3f}",
        "pre-\ndicted": "" if pd.isna(predicted) else str(predicted),
        "active_\nunits": ""
        if pd.isna(row["active_units"])
        else f"{row['active_units']:.2g}{of_k}",
    }
    for name in numbers:
        interval = row[f"{name}_ci95"] if wide or name == "elbo" else float("nan")
        mark = "*" if name == "elbo" and row["still_improving"] is True else ""
        cells[name] = _number(row[name], interval) + mark
    return cells


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
    collapsed = summary[(summary["collapsed"] > 0) & summary["threshold"].notna()]
    below = collapsed[collapsed[HELD] < _BELOW * collapsed["threshold"]]
    above = collapsed[collapsed[HELD] >= collapsed["threshold"]]
    if len(below):
        yield Text("Collapsed below t_1: training ended before it left the collapsed solution")
        yield Indented(_named(below))
        yield Indented(
            "try a far start (--kl-schedule far:0.3:0.1), a larger --learning-rate or more --epochs"
        )
    if len(above):
        yield Text("Collapsed above t_1: the objective asks for it, and a smaller beta does not")
        yield Indented(_named(above, is_above=True))


def _named(settings: pd.DataFrame, *, is_above: bool = False) -> str:
    """Return the first few settings, and for those above t_1 the beta to write instead."""
    told = [name for name in ("reconstruction_loss", "dataset") if settings[name].nunique() > 1]
    bends = any(settings[name].nunique(dropna=False) > 1 for name in KL_COLUMNS)
    named = []
    for row in settings.sort_values(list(_ROW_COLUMNS)).to_dict(orient="records"):
        kind = "".join(f" {row[name]}" for name in told) + f" {kl_term(row)}" * bends
        half = row["beta"] * row["threshold"] / row[HELD] / 2
        instead = f" (t_1/2 is at beta {significant(half, 3)})" if is_above else ""
        beta = significant(row["beta"], 4)
        named.append(f"{row['loss']} d {row['d']} k {row['k']}{kind} at beta {beta}{instead}")
    rest = len(named) - _MOST_NAMED
    return ", ".join(named[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _notes(summary: pd.DataFrame) -> Iterator[RenderableType]:
    yield Text()
    n_seeds = sorted({int(n) for n in summary["n_seeds"]})
    seeds = (
        counted(n_seeds[0], "seed") if len(n_seeds) == 1 else f"{n_seeds[0]} to {n_seeds[-1]} seeds"
    )
    over = f"mean over {seeds} ± 95% t-interval" if n_seeds[-1] > 1 else "of one seed"
    yield Text(
        f"Nats per image on the test split; {over}. "
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
