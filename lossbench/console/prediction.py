"""The prediction: thresholds of the data, critical weights, and every setting of the grid."""

import itertools
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from lossbench.columns import (
    MODEL_COLUMNS,
    NO_THRESHOLD,
    belongs,
    end_note,
    goes_without_saying,
    worth_saying,
)
from lossbench.prediction import CriticalBeta, Predicted, Prediction, Thresholds
from lossbench.settings import RunSettings, ranked
from lossbench.words import counted, joined, setting, significant

_DECIDING = ("noise_std", "batch_size")  # what a critical beta depends on besides d and k
_AT_DEFAULT = ("log_sigma_floor",)  # parameters that are told where they have another value
_NO_MINIMUM = " Without a minimum a sigma runs to its floor; at a larger beta there is one."
_READING = (
    "A setting collapses where beta_eff reaches t_1. The active units are exact for a linear model "
    "with mse, close near t_1, and an upper bound far below it."
)
_UNEVEN = 100.0  # times: variances of columns that share a sigma
_UNBOUNDED = 1000
_RATIO = "beta_eff\n/ t_1"
_HEADINGS = (
    *("k", "beta", "beta_eff", "t_1", _RATIO, "active\nunits", "kl"),
    *("recon-\nstruction", "elbo", "sigma", "beta_eff\nas mse", "collapses"),
)
_MOST_TOLD = 8  # latent sizes in one sentence


def prediction_tables(prediction: Prediction, console: Console) -> RenderableType:
    """Return the whole prediction, in an order to read it in, as wide as the console."""
    parts: list[RenderableType] = []
    for thresholds in prediction.thresholds:
        facts = _facts(thresholds, prediction)
        parts += [*facts, *_settings(prediction, thresholds, console), Text()]
    held = [found.final_beta_eff for found in prediction.settings]
    whole = [found.run.beta_eff for found in prediction.settings]
    learned = any(found.sigma is not None for found in prediction.settings)
    bounded = any(found.run.is_bounded for found in prediction.settings)
    guessed = any(found.kl_guess is not None for found in prediction.settings)
    reading = (
        _READING * any(found.threshold is not None for found in prediction.settings)
        + f"{NO_THRESHOLD} A nonlinear model may spread its KL over more latents." * bounded
        + " A KL with ~ is a guess, near t_1 usually too low." * guessed
        + " A sigma with ~ is one, too, usually too large." * (guessed and learned)
        + _NO_MINIMUM * any(found.is_unbounded for found in prediction.settings)
        + end_note(held, whole)
    ).strip()
    parts += [Text(f"w of {schedule}") for schedule in prediction.schedules]
    parts += map(Text, prediction.forms)
    return Group(*parts, *([Text(reading, style="dim")] if reading else []))


def _facts(thresholds: Thresholds, prediction: Prediction) -> Iterator[Text]:
    told = [
        f"{name} {setting(value)}"
        for name, value in thresholds.parameters.items()
        if name not in _AT_DEFAULT or not goes_without_saying(name, value)
    ]
    told += [] if thresholds.scale == "auto" else [f"scale {thresholds.scale}"]
    kind = ", ".join((thresholds.reconstruction_loss, *told))
    yield Text(f"{thresholds.dataset}, d {thresholds.d}, {kind}", style="bold")
    if thresholds.untold:
        yield Text(f"no threshold is told: {thresholds.untold}")
    else:
        yield from _largest(thresholds)
    nothing = thresholds.reconstruction_of_nothing
    yield from map(Text, _learned(thresholds))
    if thresholds.unevenness > _UNEVEN:
        yield Text(
            "the columns of squared errors are seen as they are and share a sigma: their variances "
            f"differ {significant(thresholds.unevenness, 2)} times, so that the widest alone "
            "decides t_1 and the first latents; divide each by its standard deviation in the file",
            style="yellow",
        )
    yield Text(
        f"R_0 = {significant(nothing, 4)} nats, {significant(nothing / thresholds.d, 4)} an input: "
        "a reconstruction that stays there gives every example the same"
    )
    bounded = any(found.run.is_bounded for found in prediction.settings)
    weight = "a constant beta of" if prediction.schedules else "beta"
    weight = "a constant beta without floor or capacity of" if bounded else weight
    for loss in dict.fromkeys(critical.loss for critical in thresholds.critical):
        yield from _critical([each for each in thresholds.critical if each.loss == loss], weight)


def _learned(thresholds: Thresholds) -> Iterator[str]:
    """Yield what a learned sigma brings with it."""
    how = thresholds.parameters.get("sigma")
    if how == "learned_per_input":
        yield (
            "a sigma for each input: from t_1 on the collapsed solution is stable, and an active "
            "optimum may stand beside it; which one is reached depends on the start"
        )
        if thresholds.n_constant:
            yield (
                f"{counted(thresholds.n_constant, 'input')} that never "
                f"{'varies' if thresholds.n_constant == 1 else 'vary'} in training: without a "
                "sigma, left out of R"
            )


def _largest(thresholds: Thresholds) -> Iterator[Text]:
    largest = " ".join(significant(t, 4) for t in thresholds.largest)
    plain = all(critical.noise_std == 1 for critical in thresholds.critical)
    yield Text(f"thresholds t_1, t_2, ... {'' if plain else 'at noise_std 1: '}{largest}")
    if thresholds.first is not None:
        yield from map(Text, thresholds.first.limits(thresholds.n_images))


def _critical(cases: Sequence[CriticalBeta], weight: str) -> Iterator[Text]:
    """Yield from which beta on one loss collapses, for each value of what that depends on.

    A sentence that names no noise holds at noise_std 1.
    """
    plain = any(case.noise_std == 1 for case in cases)
    names, found = next(
        (names, found)
        for n_names in range(len(_DECIDING) + 1)
        for names in itertools.combinations(_DECIDING, n_names)
        if (plain or "noise_std" in names) and (found := _by(names, cases)) is not None
    )
    for values, beta_of in found.items():
        told = [f"{name} {setting(value)}" for name, value in zip(names, values, strict=True)]
        where = f" at {joined(told)}" if told else ""
        parts = [
            ("at no beta" if beta is None else f"from {weight} {significant(beta, 4)} on")
            + (f" at k {k}" if k else "")
            for k, beta in beta_of.items()
        ]
        rest = len(parts) - _MOST_TOLD
        parts[_MOST_TOLD:] = [f"so on at {rest} more k"] if rest > 0 else []
        yield Text(f"{cases[0].loss}{where} collapses {joined(parts)}")


def _by(
    names: Sequence[str], cases: Sequence[CriticalBeta]
) -> dict[tuple[float, ...], dict[int | None, float | None]] | None:
    """Return beta of each k by the values of these settings; None if it depends on others, too."""
    found: dict[tuple[float, ...], dict[int | None, float | None]] = {}
    for case in cases:
        beta_of = found.setdefault(tuple(getattr(case, name) for name in names), {})
        if beta_of.setdefault(case.k, case.beta) != case.beta:
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
    for _, of_model in itertools.groupby(chosen, lambda each: _texts(differing, each)):
        rows = list(of_model)
        facts = vars(rows[0].run)
        if differing:
            meant = [name for name in differing if belongs(name, facts)]
            named = (f"{name} {setting(facts[name])}" for name in worth_saying(meant, facts))
            yield Text(", ".join(named), style="bold")
        yield _table((), rows, narrow=True)


def _is_of(run: RunSettings, thresholds: Thresholds) -> bool:
    names = ("dataset", "d", "reconstruction_loss", "scale")
    return all(getattr(run, name) == getattr(thresholds, name) for name in names) and all(
        getattr(run, name) == value for name, value in thresholds.parameters.items()
    )


def _texts(differing: Sequence[str], found: Predicted) -> list[str]:
    facts = vars(found.run)
    return [setting(facts[name]) if belongs(name, facts) else "" for name in differing]


def _table(differing: Sequence[str], chosen: Sequence[Predicted], *, narrow: bool = False) -> Table:
    """Return a row for each setting; a column that would be empty is left out."""
    headings = ["loss", *(name.replace("_", "_\n") for name in differing), *_HEADINGS]
    rows = [[found.run.loss, *_texts(differing, found), *_cells(found)] for found in chosen]
    told = [any(map(str, cells)) for cells in zip(*rows, strict=True)]
    if narrow:
        told[headings.index(_RATIO)] = False
    table = Table(box=None, pad_edge=False)
    for heading in itertools.compress(headings, told):
        justify: JustifyMethod = "left" if heading in ("loss", "collapses") else "right"
        table.add_column(heading, justify=justify, no_wrap=True)
    for row in rows:
        table.add_row(*itertools.compress(row, told))
    return table


def _cells(found: Predicted) -> Iterator[Text | str]:
    yield str(found.run.k)
    yield significant(found.run.beta, 4)
    yield significant(found.final_beta_eff, 4)
    yield _digits(found.threshold, 4)
    yield _digits(found.beta_eff_over_threshold, 3)
    units = found.predicted_active_units
    yield "" if units is None else f"{units} of {found.run.k}"
    yield f"~{found.kl_guess:.3f}" if found.kl_guess is not None else _number(found.kl)
    yield from map(_number, (found.reconstruction, found.elbo))
    guess = "~" if found.kl_guess is not None and found.sigma is not None else ""
    for number in (found.sigma, found.beta_eff_as_mse):
        yield "" if number is None else guess + significant(number, 3)
    if found.is_unbounded:
        yield Text("no minimum", style="yellow")
    elif found.collapses is None:
        yield ""
    else:
        yield Text("yes", style="yellow") if found.collapses else Text("no")


def _digits(number: float | None, digits: int) -> str:
    return "" if number is None else significant(number, digits)


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.3f}"
