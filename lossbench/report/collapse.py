"""Collapse, predicted and measured: KL and active units, the sweep over d, the thresholds."""

from collections.abc import Iterator

import pandas as pd

from lossbench.comparison.wording import amount, factor, setting
from lossbench.loss import LIKELIHOODS
from lossbench.report.cases import (
    Case,
    by_data,
    losses_of,
    measured,
    model_of,
    models,
    shared_beta,
    shown_dataset,
)
from lossbench.report.style import (
    INK,
    MUTED,
    SHADE,
    Drawing,
    Series,
    figure,
    legend,
    log_axis,
    mark,
)

_TALL = 4.4


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
        f"t_1 = {case.threshold:.3g} ",
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
    rows = case.rows[case.rows["threshold"].notna()]
    past = rows["beta_eff"] >= rows["threshold"]
    collapsed = rows["collapsed"] >= 0.5
    n_right = int((past == collapsed).sum())
    n_past = int(past.sum())
    told = (
        f"Theory puts the collapse at beta_eff {case.threshold:.3g}: {n_past} of "
        f"{len(rows)} settings {'is' if n_past == 1 else 'are'} past it"
    )
    if n_right == len(rows):
        return f"{told}, and exactly {'this one' if n_past == 1 else 'these'} collapsed."
    wrong = rows[past != collapsed]
    ratios = (wrong["beta_eff"] / wrong["threshold"]).sort_values()
    span = " to ".join(dict.fromkeys(f"{ratio:.2f}" for ratio in (ratios.iloc[0], ratios.iloc[-1])))
    return (
        f"{told}, and {n_right} of {len(rows)} did as predicted; the others have a beta_eff of "
        f"{span} times the threshold."
    )


def d_sweeps(summary: pd.DataFrame, series: dict[str, Series]) -> Iterator[Drawing]:
    """Yield one figure for each dataset and kind of reconstruction that has several d.

    It is drawn of the k and the model with the most d (of several, the smaller k), at the beta
    nearest to 1 that the losses share.
    """
    for slug, group in by_data(measured(summary)):
        found = []
        for rows in models(group, "k"):
            beta = shared_beta(rows)
            at_beta = rows[rows["beta"] == beta].sort_values(["d", "loss"])
            if at_beta["d"].nunique() > 1:
                found.append(at_beta)
        if found:
            most = max(found, key=lambda rows: (rows["d"].nunique(), -rows["k"].iloc[0]))
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
        for is_collapsed, points in own.groupby(own["collapsed"] >= 0.5):
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
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
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
        n_collapsed = int((own["collapsed"] >= 0.5).sum())
        ends = dict.fromkeys(factor(own["beta_eff"].iloc[place], 4) for place in (0, -1))
        went = f"goes from {' to '.join(ends)}" if len(ends) > 1 else f"stays {next(iter(ends))}"
        parts.append(f"that of {loss} {went} ({n_collapsed} of {len(own)} collapsed)")
    return (
        f"From d {first} to {last} at beta {setting(beta)} the threshold goes from "
        f"{threshold.iloc[0]:.3g} to {threshold.iloc[-1]:.3g}, and the beta_eff: "
        f"{'; '.join(parts)}."
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
    ratios = table["ratio"]
    names = ", ".join(dict.fromkeys(shown_dataset(str(name)) for name in table["dataset"]))
    said = (
        f"In {len(table)} cases of {names}, from beta_eff {amount(table['predicted'].min())} to "
        f"{amount(table['predicted'].max())}, the measured threshold is {ratios.min():.2f} to "
        f"{ratios.max():.2f} times the predicted one."
    )
    return Drawing(
        "thresholds",
        "Where the model collapses, measured and predicted",
        said,
        f"Scatter plot of measured against predicted thresholds, on the diagonal. {said}",
        drawn,
    )
