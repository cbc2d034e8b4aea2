"""The prediction: thresholds of the data, critical latent sizes, and every setting of the grid."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from lossbench.predict import CriticalLatents, Prediction, Setting, Thresholds


def prediction_tables(prediction: Prediction) -> RenderableType:
    """Return the whole prediction, in an order to read it in."""
    parts: list[RenderableType] = []
    for thresholds in prediction.thresholds:
        parts += [*_facts(thresholds), _settings(prediction, thresholds), Text()]
    return Group(
        *parts,
        Text(
            "A setting collapses where beta_eff reaches t_1. The active units are exact for a "
            "linear model with mse, close near t_1, and an upper bound far below it.",
            style="dim",
        ),
    )


def _facts(thresholds: Thresholds) -> Iterator[Text]:
    yield Text(
        f"{thresholds.dataset}, d {thresholds.d}, {thresholds.reconstruction_loss}", style="bold"
    )
    largest = " ".join(f"{t:.4g}" for t in thresholds.largest)
    yield Text(f"thresholds t_1, t_2, ... {largest}")
    for critical in thresholds.critical:
        yield Text(_critical(critical))


def _critical(critical: CriticalLatents) -> str:
    if critical.k is None:
        return f"{critical.loss} at beta 1 collapses for every k"
    if critical.k == 0:
        return f"{critical.loss} at beta 1 does not collapse at k = 1"
    return f"{critical.loss} at beta 1 collapses for every k up to {critical.k}"


def _settings(prediction: Prediction, thresholds: Thresholds) -> Table:
    key = (thresholds.dataset, thresholds.d, thresholds.reconstruction_loss)
    chosen = [s for s in prediction.settings if (s.dataset, s.d, s.reconstruction_loss) == key]
    exact = any(setting.elbo is not None for setting in chosen)
    table = Table(box=None, pad_edge=False)
    table.add_column("loss", no_wrap=True)
    headings = ["k", "beta", "beta_eff", "t_1", "active units"]
    for heading in [*headings, *(["kl", "reconstruction", "elbo"] if exact else [])]:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("collapses")
    for setting in sorted(chosen, key=lambda s: (s.k, s.beta, s.loss)):
        table.add_row(*_cells(setting, exact))
    return table


def _cells(setting: Setting, exact: bool) -> Iterator[Text | str]:
    yield setting.loss
    yield str(setting.k)
    yield f"{setting.beta:.4g}"
    yield f"{setting.beta_eff:.4g}"
    yield f"{setting.threshold:.4g}"
    yield f"{setting.predicted_active_units} of {setting.k}"
    if exact:
        for number in (setting.kl, setting.reconstruction, setting.elbo):
            yield "" if number is None else f"{number:.3f}"
    yield Text("yes", style="yellow") if setting.collapses else Text("no")
