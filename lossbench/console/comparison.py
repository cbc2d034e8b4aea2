"""A comparison: its algebra, what differs, the metrics side by side and the verdict."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.columns import COMPARED, METRICS, known_of
from lossbench.comparison import Cell, Comparison, MetricDifference, outcome
from lossbench.console.screen import settled_range, sparkline
from lossbench.loss import ELBOS, likelihood
from lossbench.words import counted, joined, probability, setting, significant

_COLUMNS = {metric.name: metric for metric in METRICS}
_MOST_UNPAIRED = 5
_MOST_CELLS = 200
_CURVE_WIDTH = 40


def comparison_table(comparison: Comparison, *, ascii_only: bool = False) -> RenderableType:
    """Return the whole comparison; fits 80 columns, and wraps rather than cuts a name."""
    parts = [
        Text(comparison.algebra, style="bold"),
        *_settings(comparison),
        *_left_out(comparison),
        *(_cells(comparison) if len(comparison.cells) > 1 else _metrics(comparison)),
        *_curves(comparison.curves, ascii_only),
        Text(),
        *(Text(sentence, style="bold") for sentence in comparison.verdict),
        *(Text(note, style="dim") for note in comparison.notes),
    ]
    return Group(*parts)


def _table(title: str = "", gap: int = 2) -> Table:
    return Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        collapse_padding=True,
        padding=(0, gap, 0, 0),
    )


def _settings(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield what differs, then what is common, then how the runs were paired."""
    cell = comparison.cells[0]
    n_pairs = sum(len(cell.pairs) for cell in comparison.cells)
    yield Text()
    if n_pairs == 1:
        yield Text(f"A  {cell.pairs[0].run_a}\nB  {cell.pairs[0].run_b}")
    table = _table()
    for heading in ("", "A", "B"):
        table.add_column(heading, overflow="fold")
    for name, (a, b) in comparison.differing.items():
        table.add_row(name, setting(a), setting(b))
    if len(comparison.cells) == 1:
        a, b = cell.objectives.a.beta_eff, cell.objectives.b.beta_eff
        table.add_row("beta_eff", significant(a), significant(b))
    if table.row_count:
        yield table
    if not comparison.differing:
        yield Text("No setting differs.")
    common = [f"{name} {setting(v)}" for name, v in comparison.common.items() if v is not None]
    yield Text(f"Common: {', '.join(common)}", style="dim")
    if n_pairs > 1:
        cells = f" in {len(comparison.cells)} cells" if len(comparison.cells) > 1 else ""
        yield Text(f"{n_pairs} pairs{cells}, by {joined(comparison.paired_by)}", style="dim")


def _left_out(comparison: Comparison) -> Iterator[Text]:
    """Yield the runs that have no partner, by name."""
    for side, run_ids in (("A", comparison.unpaired_a), ("B", comparison.unpaired_b)):
        if run_ids:
            shown = list(run_ids[:_MOST_UNPAIRED])
            rest = len(run_ids) - len(shown)
            lines = [*shown, f"and {rest} more"] if rest else shown
            heading = f"{counted(len(run_ids), 'run')} of {side} without a partner:"
            yield Text("\n  ".join([heading, *lines]), style="yellow")


def _metrics(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield the one cell's metrics, one a row."""
    (cell,) = comparison.cells
    kinds = {cell.reconstruction_loss, *comparison.differing.get("reconstruction_loss", ())}
    table = _table()
    table.add_column("metric", no_wrap=True)
    for heading in ("A", "B", "B - A", "95% interval", "p"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name in known_of(COMPARED, map(str, kinds)):
        metric = cell.metrics[name]
        if metric.n or not _COLUMNS[name].optional:
            table.add_row(
                name,
                *_sides(metric),
                _signed(metric),
                _interval(metric),
                "" if metric.p is None else probability(metric.p),
            )
    yield Text()
    yield table
    over = f"; mean over {len(cell.pairs)} seeds" if len(cell.pairs) > 1 else ""
    yield Text(f"Nats per image on the test split{over}; objective is what was trained", "dim")


def _curves(curves: Mapping[str, pd.DataFrame], ascii_only: bool) -> Iterator[Text]:
    """Yield the ELBO of either side over training, on one scale."""
    if not curves:
        return
    means = {side: [float(mean) for mean in curve["mean"]] for side, curve in curves.items()}
    low, high = settled_range(list(means.values()))
    last = max(int(curve.index[-1]) for curve in curves.values())
    yield Text(f"\nelbo over {counted(last, 'epoch')}, from {low:.2f} to {high:.2f}", "dim")
    for side, mean in means.items():
        drawn = sparkline(mean, _CURVE_WIDTH, low, high, ascii_only=ascii_only)
        yield Text(f"{side}  {drawn}  {mean[-1]:.2f}")


def _cells(comparison: Comparison) -> Iterator[RenderableType]:
    """Yield one table a reconstruction loss and main metric, one cell a row."""
    for kind in dict.fromkeys(cell.reconstruction_loss for cell in comparison.cells):
        cells = [cell for cell in comparison.cells if cell.reconstruction_loss == kind]
        first = cells[0].metrics
        names = [name for name in likelihood(kind).elbos if first[name].comparable]
        if not names:
            names = ["bits_per_dim"] if first["bits_per_dim"].comparable else ["kl"]
        for name in names:
            title = f"{name}, {first[name].unit}"
            if "reconstruction_loss" not in comparison.differing:
                title += f" ({kind})"
            yield Text()
            yield _cell_table(title, cells[:_MOST_CELLS], name)
            if len(cells) > _MOST_CELLS:
                rest = f"{counted(len(cells) - _MOST_CELLS, 'more cell')}; --json prints all."
                yield Text(rest, style="yellow")


def _cell_table(title: str, cells: Sequence[Cell], name: str) -> Table:
    table = _table(title, gap=1)
    table.add_column("cell", overflow="fold")
    for heading in ("beta_eff\nof A", "\nof B", "\nA", "\nB", "\nB - A", "\n±95%", "p\n(Holm)"):
        table.add_column(heading, justify="right", no_wrap=True)
    if name in ELBOS:
        table.add_column("\nB is", no_wrap=True)
    for label, cell in zip(_labels(cells), cells, strict=True):
        metric, sides = cell.metrics[name], cell.objectives
        width = metric.half_width
        table.add_row(
            label,
            significant(sides.a.beta_eff, 4),
            significant(sides.b.beta_eff, 4),
            *_sides(metric),
            _signed(metric),
            "" if width is None else _text(width, name),
            "" if metric.p_holm is None else probability(metric.p_holm),
            *([outcome(metric)] if name in ELBOS else []),
        )
    return table


def _labels(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield each cell's settings, aligned: ``digits  beta  0.5  d 64``."""
    names = _telling([name for name in cells[0].settings if name != "reconstruction_loss"], cells)
    texts = [[setting(cell.settings[name]) for name in names] for cell in cells]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        aligned = zip(names, row, widths, strict=True)
        yield "  ".join(
            f"{text:<{width}}" if name == "dataset" else f"{name} {text:>{width}}"
            for name, text, width in aligned
        )


def _telling(names: list[str], cells: Sequence[Cell]) -> list[str]:
    """Return the settings without those that follow from the ones before, as epochs from data."""
    kept: list[str] = []
    for name in names:
        told = [tuple(setting(cell.settings[each]) for each in kept) for cell in cells]
        more = {(*row, setting(cell.settings[name])) for row, cell in zip(told, cells, strict=True)}
        if len(more) > len(set(told)):
            kept.append(name)
    return kept


def _sides(metric: MetricDifference) -> Iterator[str]:
    for mean in (metric.a, metric.b):
        if mean is not None and metric.metric == "collapsed":
            yield f"{round(mean * metric.n)} of {metric.n}"
        else:
            yield "" if mean is None else _text(mean, metric.metric)


def _text(number: float, name: str) -> str:
    """Return a number with the metric's decimals, or two digits if those would hide it."""
    metric = _COLUMNS[name]
    if metric.kind in ("int", "bool") and number.is_integer():
        return f"{number:.0f}"
    decimals = metric.decimals
    return f"{number:.2g}" if 0 < abs(number) < 10**-decimals else f"{number:.{decimals}f}"


def _signed(metric: MetricDifference) -> str:
    if metric.difference is None:
        return ""
    text = _text(metric.difference, metric.metric)
    return f"+{text}" if metric.difference > 0 else text


def _interval(metric: MetricDifference) -> str:
    if not metric.comparable:
        return "not comparable"
    if metric.low is None or metric.high is None:
        return ""
    return f"{_text(metric.low, metric.metric)} to {_text(metric.high, metric.metric)}"
