"""The prediction: thresholds of the data, critical latent sizes, and every setting of the grid."""

import itertools
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lossbench.columns import MODEL_COLUMNS, end_note
from lossbench.prediction import CriticalLatents, Predicted, Prediction, Thresholds
from lossbench.settings import RunSettings, ranked
from lossbench.words import joined, setting, significant

_DECIDING = ("noise_std", "batch_size")  # what beta_eff at beta 1 and t_1 depend on besides d and k
_UNBOUNDED = 1000


def prediction_tables(prediction: Prediction, console: Console) -> RenderableType:
    """Return the whole prediction, in an order to read it in, as wide as the console."""
    parts: list[RenderableType] = []
    for thresholds in prediction.thresholds:
        facts = _facts(thresholds, scheduled=bool(prediction.schedules))
        parts += [*facts, *_settings(prediction, thresholds, console), Text()]
    held = [found.final_beta_eff for found in prediction.settings]
    whole = [found.run.beta_eff for found in prediction.settings]
    guessed = any(found.kl_guess is not None for found in prediction.settings)
    return Group(
        *parts,
        *(Text(f"w of {schedule}") for schedule in prediction.schedules),
        Text(
            "A setting collapses where beta_eff reaches t_1. The active units are exact for a "
            "linear model with mse, close near t_1, and an upper bound far below it."
            + " A KL with ~ is a guess, usually too low." * guessed
            + end_note(held, whole),
            style="dim",
        ),
    )


def _facts(thresholds: Thresholds, *, scheduled: bool) -> Iterator[Text]:
    told = [f"{name} {setting(value)}" for name, value in thresholds.parameters.items()]
    kind = ", ".join((thresholds.reconstruction_loss, *told))
    yield Text(f"{thresholds.dataset}, d {thresholds.d}, {kind}", style="bold")
    if thresholds.untold:
        yield Text(f"no threshold is told: {thresholds.untold}")
    else:
        yield from _largest(thresholds)
    nothing = thresholds.reconstruction_of_nothing
    yield Text(
        f"R_0 = {significant(nothing, 4)} nats, {significant(nothing / thresholds.d, 4)} a pixel: "
        "a reconstruction that stays there draws everybody the mean image"
    )
    weight = "a constant beta of 1" if scheduled else "beta 1"
    for loss in dict.fromkeys(critical.loss for critical in thresholds.critical):
        cases = [each for each in thresholds.critical if each.loss == loss]
        yield from _critical(cases, f"{loss} at {weight}")


def _largest(thresholds: Thresholds) -> Iterator[Text]:
    largest = " ".join(significant(t, 4) for t in thresholds.largest)
    plain = all(critical.noise_std == 1 for critical in thresholds.critical)
    yield Text(f"thresholds t_1, t_2, ... {'' if plain else 'at noise_std 1: '}{largest}")
    if thresholds.first is not None:
        yield from map(Text, thresholds.first.limits(thresholds.n_images))


def _critical(cases: Sequence[CriticalLatents], at: str) -> Iterator[Text]:
    """Yield up to which k one loss collapses, for each value of what that depends on.

    A sentence that names no noise holds at noise_std 1.
    """
    plain = any(case.noise_std == 1 for case in cases)
    names, k_of = next(
        (names, k_of)
        for n_names in range(len(_DECIDING) + 1)
        for names in itertools.combinations(_DECIDING, n_names)
        if (plain or "noise_std" in names) and (k_of := _by(names, cases)) is not None
    )
    for values, k in k_of.items():
        told = [f"{name} {setting(value)}" for name, value in zip(names, values, strict=True)]
        where = joined([at, *told])
        if k is None:
            yield Text(f"{where} collapses for every k")
        elif k == 0:
            yield Text(f"{where} does not collapse at k = 1")
        else:
            yield Text(f"{where} collapses for every k up to {k}")


def _by(
    names: Sequence[str], cases: Sequence[CriticalLatents]
) -> dict[tuple[float, ...], int | None] | None:
    """Return k by the values of these settings; None if it depends on others, too."""
    found: dict[tuple[float, ...], int | None] = {}
    for case in cases:
        values = tuple(getattr(case, name) for name in names)
        if found.setdefault(values, case.k) != case.k:
            return None
    return found


def _settings(
    prediction: Prediction, thresholds: Thresholds, console: Console
) -> Iterator[RenderableType]:
    """Yield one table of what differs; where it is too wide, one below each model's name."""
    chosen = [found for found in prediction.settings if _is_of(found.run, thresholds)]
    runs = [found.run for found in prediction.settings]
    differing = [name for name in MODEL_COLUMNS if len({getattr(run, name) for run in runs}) > 1]
    order = (*differing, "k", "beta", "loss")
    chosen.sort(key=lambda found: [ranked(getattr(found.run, name)) for name in order])
    whole = _table(differing, chosen)
    unbounded = console.options.update(width=_UNBOUNDED)
    if Measurement.get(console, unbounded, whole).maximum <= console.width:
        yield whole
        return
    for model, rows in itertools.groupby(chosen, lambda each: _texts(differing, each)):
        if differing:
            named = zip(differing, model, strict=True)
            yield Text(", ".join(f"{name} {text}" for name, text in named), style="bold")
        yield _table((), list(rows), narrow=True)


def _is_of(run: RunSettings, thresholds: Thresholds) -> bool:
    names = ("dataset", "d", "reconstruction_loss")
    return all(getattr(run, name) == getattr(thresholds, name) for name in names) and all(
        getattr(run, name) == value for name, value in thresholds.parameters.items()
    )


def _texts(differing: Sequence[str], found: Predicted) -> list[str]:
    return [setting(getattr(found.run, name)) for name in differing]


def _table(differing: Sequence[str], chosen: Sequence[Predicted], *, narrow: bool = False) -> Table:
    exact = any(found.elbo is not None for found in chosen)
    table = Table(box=None, pad_edge=False)
    headings = [name.replace("_", "_\n") for name in differing]
    headings += ["k", "beta", "beta_eff", "t_1", *(() if narrow else ("beta_eff\n/ t_1",))]
    headings += ["active\nunits", "kl"]
    headings += ["recon-\nstruction", "elbo"] if exact else []
    table.add_column("loss", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("collapses", no_wrap=True)
    for found in chosen:
        table.add_row(found.run.loss, *_texts(differing, found), *_cells(found, exact, narrow))
    return table


def _cells(found: Predicted, exact: bool, narrow: bool) -> Iterator[Text | str]:
    yield str(found.run.k)
    yield significant(found.run.beta, 4)
    yield significant(found.final_beta_eff, 4)
    yield _digits(found.threshold, 4)
    if not narrow:
        yield _digits(found.beta_eff_over_threshold, 3)
    units = found.predicted_active_units
    yield "" if units is None else f"{units} of {found.run.k}"
    yield f"~{found.kl_guess:.3f}" if found.kl_guess is not None else _number(found.kl)
    if exact:
        yield from map(_number, (found.reconstruction, found.elbo))
    if found.collapses is None:
        yield ""
    else:
        yield Text("yes", style="yellow") if found.collapses else Text("no")


def _digits(number: float | None, digits: int) -> str:
    return "" if number is None else significant(number, digits)


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"
