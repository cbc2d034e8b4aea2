"""The figures of one case, and the sentence under each, from the tables alone."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lossbench.columns import kl_term
from lossbench.comparison import EQUAL_WITHIN_NATS, over_seeds
from lossbench.loss import CONSTANT, LIKELIHOODS, likelihood, schedule
from lossbench.report.cases import (
    Case,
    against_theory,
    by_data,
    has_collapsed,
    losses_of,
    measured,
    model_of,
    models,
    ratio_span,
    runs_of,
    shared_beta,
    shown_dataset,
    weighed,
)
from lossbench.report.style import (
    HEIGHT,
    INK,
    MUTED,
    SHADE,
    Drawing,
    Series,
    figure,
    legend,
    log_axis,
    mark,
    series_of,
)
from lossbench.words import counted, nats, plus_minus, setting, significant

_LABELS = {
    "elbo": "ELBO (nats per image)",
    "beta": "beta, as the loss writes it (no unit)",
    "beta_eff": "beta_eff = b/a (no unit)",
    "reconstruction": "reconstruction (nats per image)",
    "kl": "KL (nats per image)",
}
_TALL = 4.4
_LEGEND_ROWS, _LEGEND_ROW = 3, 0.19  # rows for which a figure has room, inches of each more
_LEAST_SPAN = 0.5  # nats: an axis of less would show noise


@dataclass(frozen=True, eq=False)
class FurthestPair:
    """Of ``n_pairs`` of settings with one weight and two losses, that whose ELBOs differ most."""

    n_pairs: int
    weight: float
    one: pd.Series
    other: pd.Series

    @property
    def apart(self) -> float:
        """How far apart their mean ELBOs are, in nats."""
        return float(abs(self.one["elbo"] - self.other["elbo"]))


def comparisons(case: Case, plane: Case, series: dict[str, Series]) -> Iterator[Drawing]:
    """Yield the figures that set the losses of one case against each other.

    ``plane`` is the case with every form of the KL term.
    """
    n_losses = case.rows["loss"].nunique()
    if n_losses > 1 and case.rows["beta"].nunique() > 1:
        yield elbo_against(case, series, "beta")
    if case.rows["beta_eff"].nunique() > 1:
        yield elbo_against(case.weighed, series, "beta_eff")
    if len(plane.rows) > 2:
        yield rate_distortion(plane, series)


def rate_distortion(plane: Case, series: dict[str, Series]) -> Drawing:
    """Draw KL against reconstruction: every setting of every loss, and of every form of its KL."""
    case, terms = _by_objective(plane)
    if len(terms) > 1:
        series = series_of(losses_of(case.rows))
    losses = losses_of(case.rows)
    drawn = figure(HEIGHT + _LEGEND_ROW * max(0, len(losses) - _LEGEND_ROWS))
    axes = drawn.add_subplot()
    for loss in losses:
        rows = case.rows[case.rows["loss"] == loss]
        axes.plot(
            rows["reconstruction"], rows["kl"], linestyle="", label=loss, **series[loss].options
        )
    axes.set_xlabel(_LABELS["reconstruction"])
    axes.set_ylabel(_LABELS["kl"])
    legend(axes)
    said = _on_one_curve(case) if len(terms) == 1 else _in_the_plane(case)
    return Drawing(
        f"rate-distortion-{case.slug}",
        f"Rate and distortion: {case.label}",
        said,
        f"Scatter plot of {case.label}: KL against reconstruction, one point a setting, for "
        f"{', '.join(losses)}. {said}",
        drawn,
    )


def elbo_against(case: Case, series: dict[str, Series], weight: str) -> Drawing:
    """Draw the ELBO of every loss against ``weight``, ``beta`` or ``beta_eff``."""
    drawn = figure()
    axes = drawn.add_subplot()
    losses = losses_of(case.rows)
    for loss in losses:
        rows = case.rows[case.rows["loss"] == loss].sort_values(weight)
        axes.errorbar(
            rows[weight],
            rows["elbo"],
            yerr=rows["elbo_ci95"].fillna(0.0),
            capsize=2.0,
            elinewidth=1.0,
            label=loss,
            **series[loss].options,
        )
    log_axis(axes, "x", case.rows[weight].tolist())
    axes.set_xlabel(_LABELS[weight])
    assumed = likelihood(case.reconstruction_loss).assumes.replace("^2", "²")
    axes.set_ylabel(_LABELS["elbo"].replace(")", f", {assumed})" if assumed else ")"))
    legend(axes)
    if weight == "beta_eff" and case.threshold <= case.rows["beta_eff"].max():
        axes.axvline(case.threshold, color="#6e7781", linewidth=1.0, linestyle=":")
        axes.annotate(
            "t_1 ", (case.threshold, 0.02), xycoords=("data", "axes fraction"), ha="right"
        )
    said = _apart(case, weight)
    return Drawing(
        f"elbo-{weight}-{case.slug}",
        f"ELBO against {weight}: {case.label}",
        said,
        f"Line chart of {case.label}: ELBO against {weight}, one line a loss, for "
        f"{', '.join(losses)}, with 95% intervals over the seeds. {said}",
        drawn,
    )


def pairs_at(rows: pd.DataFrame, weight: str) -> list[tuple[float, pd.Series, pd.Series]]:
    """Return every two settings of different losses that have the same ``weight``."""
    pairs = []
    for value, group in rows.groupby(weight):
        settings = [row for _, row in group.iterrows()]
        pairs += [
            (float(str(value)), one, other)
            for one, other in itertools.combinations(settings, 2)
            if one["loss"] != other["loss"]
        ]
    return pairs


def furthest(rows: pd.DataFrame, weight: str) -> FurthestPair | None:
    """Return the two settings at one ``weight`` whose ELBOs differ most; None if there are none."""
    pairs = pairs_at(rows, weight)
    if not pairs:
        return None
    value, one, other = max(pairs, key=lambda pair: abs(pair[1]["elbo"] - pair[2]["elbo"]))
    return FurthestPair(len(pairs), value, one, other)


def _apart(case: Case, weight: str) -> str:
    extreme = furthest(case.rows, weight)
    if extreme is None:
        best = case.rows.iloc[int(case.rows["elbo"].argmax())]
        n_losses = case.rows["loss"].nunique()
        return (
            f"The best ELBO is {best['elbo']:.2f} nats, of {best['loss']} at beta_eff "
            f"{significant(best['beta_eff'], 4)}"
            + ("; no two losses were trained at one beta_eff." if n_losses > 1 else ".")
        )
    one, other, difference = extreme.one, extreme.other, nats(extreme.apart)
    if weight == "beta":
        return (
            f"At the same beta the losses are up to {difference} nats apart: at beta "
            f"{setting(extreme.weight)}, {one['loss']} reaches {one['elbo']:.2f} and "
            f"{other['loss']} {other['elbo']:.2f}."
        )
    n_pairs = extreme.n_pairs
    shared = "the one beta_eff" if n_pairs == 1 else f"the {n_pairs} pairs of equal beta_eff"
    if extreme.apart <= EQUAL_WITHIN_NATS:
        return (
            f"Against beta_eff the curves coincide: over {shared} the mean ELBOs are at most "
            f"{difference} nats apart."
        )
    return (
        f"Over {shared} the mean ELBOs are up to {difference} nats apart, at beta_eff "
        f"{significant(extreme.weight, 4)}."
    )


def _on_one_curve(case: Case) -> str:
    rows = case.weighed.rows
    if rows.empty:
        return "One point a setting: no loss here has a beta_eff."
    course = (
        f"the KL goes from {nats(rows['kl'].max())} nats at beta_eff "
        f"{significant(rows['beta_eff'].min(), 4)} to {nats(max(rows['kl'].min(), 0.0))} at "
        f"{significant(rows['beta_eff'].max(), 4)}"
    )
    pairs = pairs_at(rows, "beta_eff")
    if not pairs:
        return f"Along the curve {course}."
    apart = max(_distance(one, other) for _, one, other in pairs)
    return (
        f"All losses lie on one curve, and beta_eff decides where on it: {course}. Two losses at "
        f"one beta_eff are at most {nats(apart)} nats apart."
    )


def _distance(one: pd.Series, other: pd.Series) -> float:
    """Return how far apart two settings are in the plane, in nats along its axes."""
    return float(
        abs(one["kl"] - other["kl"]) + abs(one["reconstruction"] - other["reconstruction"])
    )


def _by_objective(plane: Case) -> tuple[Case, list[str]]:
    """Return a case whose rows are named for the form of the KL term, and for a loss of several.

    The second are the forms. Of one form the case is what it was.
    """
    rows = plane.rows
    terms = [kl_term(row, with_bound=False) for _, row in rows.iterrows()]
    forms = list(dict.fromkeys(terms))
    if len(forms) == 1:
        return plane, forms
    several = rows["loss"].nunique() > 1
    names = [
        f"{loss}, {term}" if several else term
        for loss, term in zip(rows["loss"], terms, strict=True)
    ]
    return replace(plane, rows=rows.assign(loss=names)), forms


def _in_the_plane(case: Case) -> str:
    """Return how far apart in the plane two objectives are at one beta_eff."""
    rows = case.rows
    course = (
        f"Each objective has a mark of its own, and their KL goes from "
        f"{nats(max(rows['kl'].min(), 0.0))} to {nats(rows['kl'].max())} nats"
    )
    pairs = pairs_at(rows, "beta_eff")
    if not pairs:
        return f"{course}; no two were trained at one beta_eff."
    weight, one, other = max(pairs, key=lambda pair: _distance(*pair[1:]))
    apart = nats(_distance(one, other))
    return (
        f"{course}. At one beta_eff two of them are up to {apart} nats apart: "
        f"{one['loss']} and {other['loss']} at {significant(weight, 4)}."
    )


def kl_and_active_units(case: Case, series: dict[str, Series]) -> Drawing:
    """Draw KL and active units against beta_eff, with the predicted threshold and units."""
    drawn = figure(_TALL)
    above, below = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    losses = losses_of(case.rows)
    for loss in losses:
        rows = case.rows[case.rows["loss"] == loss]
        above.plot(rows["beta_eff"], rows["kl"], label=loss, **series[loss].options)
        below.plot(rows["beta_eff"], rows["active_units"], linestyle="", **series[loss].options)
    log_axis(above, "x", case.rows["beta_eff"].tolist())
    steps = case.rows.drop_duplicates("beta_eff")
    (predicted,) = below.plot(
        steps["beta_eff"],
        steps["predicted_active_units"].astype("float64"),
        color=INK,
        linestyle="",
        marker="_",
        markersize=13,
        markeredgewidth=1.6,
        zorder=4,
    )
    right = max(above.get_xlim()[1], case.threshold * 1.05)
    for axes in (above, below):
        axes.axvspan(case.threshold, right, color=SHADE, linewidth=0, zorder=0)
        axes.axvline(case.threshold, color=MUTED, linewidth=1.0, zorder=0)
    above.set_xlim(right=right)
    above.annotate(
        f"t_1 = {significant(case.threshold, 3)} ",
        (case.threshold, 0.94),
        xycoords=("data", "axes fraction"),
        ha="right",
        va="top",
    )
    above.set_ylabel("KL (nats per image)")
    below.set_ylabel("active units")
    below.set_xlabel("beta_eff = b/a (no unit)")
    below.set_ylim(-0.08 * case.k, 1.12 * case.k)
    below.yaxis.get_major_locator().set_params(integer=True)
    below.legend([predicted], ["predicted"], loc="lower left")
    legend(above)
    said = _where_it_vanishes(case)
    return Drawing(
        f"kl-{case.slug}",
        f"KL and active units: {case.label}",
        said,
        f"Two line charts of {case.label} against beta_eff: KL, and active units with the number "
        f"predicted; the region past the threshold is shaded. {said}",
        drawn,
    )


def _where_it_vanishes(case: Case) -> str:
    held = against_theory(case.rows)
    theory = (
        f"Theory puts the collapse at beta_eff {significant(case.threshold, 3)}: {held.n_past} of "
        f"{counted(held.n_settings, 'setting')} {'is' if held.n_past == 1 else 'are'} past it"
    )
    if held.n_right == held.n_settings:
        those = {0: "none", 1: "exactly this one"}.get(held.n_past, "exactly these")
        return f"{theory}, and {those} collapsed."
    return (
        f"{theory}, and {held.n_right} of {held.n_settings} did as predicted; the others have a "
        f"beta_eff of {ratio_span(held.wrong)} times the threshold."
    )


def d_sweeps(summary: pd.DataFrame, series: dict[str, Series]) -> Iterator[Drawing]:
    """Yield one figure for each dataset and kind of reconstruction that has several d.

    It shows the k and the model that have the most d (of several, the smaller k), at the beta
    nearest to 1 that the losses share.
    """
    for slug, group in by_data(weighed(measured(summary))):
        sweeps = []
        for rows in models(group, "k"):
            beta = shared_beta(rows)
            at_beta = rows[rows["beta"] == beta].sort_values(["d", "loss"])
            if at_beta["d"].nunique() > 1:
                sweeps.append(at_beta)
        if sweeps:
            most = max(sweeps, key=lambda rows: (rows["d"].nunique(), -rows["k"].iloc[0]))
            yield _d_sweep(slug, most, model_of(most, group), series)


def _d_sweep(slug: str, rows: pd.DataFrame, model: str, series: dict[str, Series]) -> Drawing:
    drawn = figure()
    axes = drawn.add_subplot()
    threshold = rows.drop_duplicates("d").set_index("d")["threshold"].astype("float64")
    losses = losses_of(rows)
    sizes = [float(d) for d in threshold.index]
    for loss in losses:
        own = rows[rows["loss"] == loss]
        axes.plot(own["d"], own["beta_eff"], color=series[loss].colour, zorder=2)
        for is_collapsed, points in own.groupby(has_collapsed(own)):
            axes.plot(
                points["d"],
                points["beta_eff"],
                linestyle="",
                zorder=3,
                **series[loss].options
                | {
                    "markersize": 7.0,
                    "markerfacecolor": series[loss].colour if is_collapsed else "#ffffff",
                },
            )
        axes.plot(
            [],
            [],
            label=loss,
            **series[loss].options | {"markersize": 7.0, "markerfacecolor": series[loss].colour},
        )
    axes.plot(sizes, threshold, color=INK, linestyle="--", label="threshold t_1")
    log_axis(axes, "x", sizes)
    log_axis(axes, "y", [*rows["beta_eff"], *threshold])
    axes.set_xticks(sizes, [setting(size) for size in sizes])
    low, high = axes.get_ylim()
    axes.fill_between(sizes, threshold, high, color=SHADE, linewidth=0, zorder=0)
    axes.set_ylim(low, high)
    axes.annotate(
        "collapse predicted\n(filled marker: measured)",
        (0.04, 0.96),
        xycoords="axes fraction",
        va="top",
        color=INK,
    )
    axes.set_xlabel("d, input dimension (pixels)")
    axes.set_ylabel("beta_eff = b/a (no unit)")
    legend(axes)
    first = rows.iloc[0]
    beta = float(first["beta"])
    label = (
        f"{shown_dataset(str(first['dataset']))}, {first['reconstruction_loss']}, "
        f"k {first['k']}{model}, beta {setting(beta)}"
    )
    said = _against_d(rows, beta, threshold)
    return Drawing(
        f"d-sweep-{slug}",
        f"The same beta at other sizes: {label}",
        said,
        f"Line chart of {label}: beta_eff of each loss and the threshold of collapse against d; "
        f"filled markers collapsed, open ones did not. {said}",
        drawn,
    )


def _against_d(rows: pd.DataFrame, beta: float, threshold: pd.Series) -> str:
    first, last = threshold.index[0], threshold.index[-1]
    parts = []
    for loss in losses_of(rows):
        own = rows[rows["loss"] == loss].set_index("d")
        n_collapsed = int(has_collapsed(own).sum())
        first_weight, last_weight = (significant(own["beta_eff"].iloc[end], 4) for end in (0, -1))
        goes = f"goes from {first_weight} to {last_weight}"
        went = goes if first_weight != last_weight else f"stays {first_weight}"
        parts.append(f"that of {loss} {went} ({n_collapsed} of {len(own)} collapsed)")
    return (
        f"From d {first} to {last} at beta {setting(beta)} the threshold goes from "
        f"{significant(threshold.iloc[0], 3)} to {significant(threshold.iloc[-1], 3)}, and the "
        f"beta_eff: {'; '.join(parts)}."
    )


def measured_against_predicted(table: pd.DataFrame) -> Drawing:
    """Draw the measured threshold against the predicted one, both on logarithmic axes."""
    drawn = figure()
    axes = drawn.add_subplot()
    ends = [
        table[["predicted", "measured"]].min().min() / 1.3,
        table[["predicted", "measured"]].max().max() * 1.3,
    ]
    axes.plot(ends, ends, color=MUTED, linewidth=1.0, label="measured = predicted")
    for kind, rows in table.groupby("reconstruction_loss", sort=True):
        colour, marker = mark(list(LIKELIHOODS).index(str(kind)))
        axes.plot(
            rows["predicted"],
            rows["measured"],
            linestyle="",
            color=colour,
            marker=marker,
            label=kind,
        )
    for name in ("x", "y"):
        log_axis(axes, name, ends)
    axes.set_xlabel("predicted threshold, beta_eff (no unit)")
    axes.set_ylabel("measured threshold, beta_eff (no unit)")
    legend(axes)
    names = ", ".join(dict.fromkeys(shown_dataset(str(name)) for name in table["dataset"]))
    said = (
        f"In {counted(len(table), 'case')} of {names}, from beta_eff "
        f"{nats(table['predicted'].min())} to {nats(table['predicted'].max())}, the measured "
        f"threshold is {ratio_span(table['ratio'])} times the predicted one."
    )
    return Drawing(
        "thresholds",
        "Where the model collapses, measured and predicted",
        said,
        f"Scatter plot of measured against predicted thresholds, on the diagonal. {said}",
        drawn,
    )


def learning_curves(
    case: Case, runs: pd.DataFrame, history: pd.DataFrame, series: dict[str, Series]
) -> Drawing | None:
    """Draw the ELBO over the epochs: every loss at one beta, and again at the first's beta_eff.

    None if the history of these runs is not known.
    """
    chosen = _chosen(case)
    curves = [
        (row, over_seeds(history, list(runs_of(row, runs)["run_id"])), is_converted)
        for row, is_converted in chosen
    ]
    curves = [(row, curve, converted) for row, curve, converted in curves if len(curve) > 1]
    if not curves:
        return None
    drawn, axes = _over_epochs({INK: curves[0][1]})  # all have one schedule: that of the model
    for row, curve, is_converted in curves:
        options = series[str(row["loss"])].options | {"marker": ""}
        axes.plot(
            curve.index.to_numpy(dtype=np.float64),
            curve["mean"],
            linestyle="--" if is_converted else "-",
            zorder=3,
            label=f"{row['loss']}, beta {significant(row['beta'], 4)}",
            **options,
        )
        if is_converted:
            continue  # its interval would cover that of the first one
        _band(axes, curve, series[str(row["loss"])].colour)
    axes.set_ylim(*_limits(curves))
    axes.set_ylabel("ELBO (nats per image)")
    legend(axes)
    said = _ends(curves)
    weight = schedule(str(case.rows["kl_schedule"].iloc[0]))
    if str(weight) != CONSTANT:
        said += f" The factor w on the weight of the KL: {weight.words}."
    return Drawing(
        f"learning-{case.slug}",
        f"Learning curves: {case.label}",
        said,
        f"Line chart of {case.label}: ELBO over the epochs, mean over the seeds with its 95% "
        f"interval. {said}",
        drawn,
    )


def _over_epochs(curve_of: Mapping[str, pd.DataFrame]) -> tuple[Figure, Axes]:
    """Return a figure over the epochs, and its panel; w lies below it where a schedule runs.

    ``curve_of`` maps the colour in which w is drawn to the curve that has it.
    """
    if all((curve["kl_weight"] == 1).all() for curve in curve_of.values()):
        drawn = figure()
        lowest = axes = drawn.add_subplot()
    else:
        drawn = figure(_TALL)
        axes, lowest = drawn.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for colour, curve in curve_of.items():
            lowest.plot(curve.index.to_numpy(dtype=np.float64), curve["kl_weight"], color=colour)
        lowest.set_ylabel("w on the KL")
        lowest.set_ylim(bottom=0)
    lowest.set_xlabel("epoch")
    return drawn, axes


def _band(axes: Axes, curve: pd.DataFrame, colour: str) -> None:
    """Draw the interval around a learning curve."""
    half_width = curve["half_width"].fillna(0.0)
    axes.fill_between(
        curve.index.to_numpy(dtype=np.float64),
        curve["mean"] - half_width,
        curve["mean"] + half_width,
        color=colour,
        alpha=0.18,
        linewidth=0,
    )


def _chosen(case: Case) -> list[tuple[pd.Series, bool]]:
    """Return the settings to draw, and whether each was converted to the first one's beta_eff."""
    rows = case.rows
    beta = shared_beta(rows)
    losses = losses_of(rows)
    if beta is None:
        return [(rows.iloc[int((rows["beta"] - 1).abs().argmin())], False)]
    at_beta = [rows[(rows["loss"] == loss) & (rows["beta"] == beta)] for loss in losses]
    chosen = [(of_loss.iloc[0], False) for of_loss in at_beta if len(of_loss)]
    leader = chosen[0][0]
    equal = rows[
        (rows["beta_eff"] == leader["beta_eff"])
        & (rows["loss"] != leader["loss"])
        & (rows["beta"] != beta)
    ]
    return chosen + [(row, True) for _, row in equal.drop_duplicates("loss").iterrows()]


def _limits(curves: list[tuple[pd.Series, pd.DataFrame, bool]]) -> tuple[float, float]:
    """Return limits of the ELBO's axis without the first tenth, which would flatten the rest."""
    values = np.concatenate(
        [curve["mean"].to_numpy()[len(curve) // 10 :] for _, curve, _ in curves]
    )
    low, high = float(values.min()), float(values.max())
    margin = max(0.08 * (high - low), (_LEAST_SPAN - (high - low)) / 2)
    return low - margin, high + margin


def _ends(curves: list[tuple[pd.Series, pd.DataFrame, bool]]) -> str:
    ends = []
    for row, curve, is_converted in curves:
        at = f"beta {significant(row['beta'], 4)}"
        same = f" (beta_eff {significant(row['beta_eff'], 4)})" if is_converted else ""
        end = plus_minus(curve["mean"].iloc[-1], curve["half_width"].iloc[-1])
        ends.append(f"{row['loss']} at {at}{same} ends at {end}")
    n_epochs = int(curves[0][1].index[-1])
    return f"After {counted(n_epochs, 'epoch')} {'; '.join(ends)} nats."


def learning_of_sides(curves: Mapping[str, pd.DataFrame]) -> list[Drawing]:
    """Return the learning curves of A and B in one figure; none if there are no curves."""
    if not curves:
        return []
    series = series_of(list(curves))
    drawn, axes = _over_epochs({series[side].colour: curve for side, curve in curves.items()})
    for side, curve in curves.items():
        axes.plot(curve.index, curve["mean"], color=series[side].colour, label=side)
        _band(axes, curve, series[side].colour)
    axes.set_ylabel("ELBO (nats per image)")
    legend(axes)
    said = "; ".join(
        f"{side} ends at {curve['mean'].iloc[-1]:.2f}" for side, curve in curves.items()
    )
    n_epochs = max(int(curve.index[-1]) for curve in curves.values())
    said = f"After {counted(n_epochs, 'epoch')} {said} nats."
    return [
        Drawing(
            "learning",
            "Learning curves of A and B",
            said,
            f"Line chart: ELBO over the epochs, mean over the seeds with its 95% interval. {said}",
            drawn,
        )
    ]
