"""A measurement on a terminal: sentences, the metrics, and what each latent carries."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.columns import METRICS
from lossbench.measurement import Measurement
from lossbench.words import counted, significant

_MOST_LATENTS = 16
_SHOWN = ("elbo", "reconstruction", "kl", "bits_per_dim", "active_units")


def measurement_tables(measured: Measurement) -> Group:
    """Return what was measured, what matters most first."""
    return Group(*_parts(measured))


def _parts(measured: Measurement) -> Iterator[RenderableType]:
    yield Text(
        f"{counted(measured.n_examples, 'example')}, {measured.reconstruction_loss}, "
        f"d {measured.d}, k {measured.k}",
        style="bold",
    )
    for sentence in measured.sentences():
        yield Text(sentence)
    yield Text()
    metrics = Table(box=None, pad_edge=False)
    cells = []
    for column in METRICS:
        if column.name in _SHOWN:
            metrics.add_column(column.name, justify="right")
            value = getattr(measured, column.name)
            cells.append(str(value) if column.kind == "int" else f"{value:.{column.decimals}f}")
    metrics.add_column("R_0", justify="right")
    cells.append(f"{measured.reconstruction_of_nothing:.2f}")
    if measured.threshold is not None:
        metrics.add_column("t_1", justify="right")
        cells.append(significant(measured.threshold, 4))
    metrics.add_row(*cells)
    yield metrics
    yield Text()
    yield _latents(measured)
    left_out = len(measured.latents) - _MOST_LATENTS
    if left_out > 0:
        yield Text(f"and {counted(left_out, 'latent')} with less; --json has all", style="dim")


def _latents(measured: Measurement) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("latent", "kl", "signal / noise", "active"):
        table.add_column(heading, justify="right" if heading != "active" else "left")
    for latent in measured.latents[:_MOST_LATENTS]:
        table.add_row(
            str(latent.latent),
            f"{latent.kl:.3f}",
            significant(latent.signal, 3),
            "yes" if latent.active else "no",
        )
    return table
