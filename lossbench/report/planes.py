"""The losses against each other: the rate-distortion plane, and the ELBO by beta and beta_eff."""

import itertools
from collections.abc import Iterator

import pandas as pd

from lossbench.comparison.verdict import EQUAL_WITHIN_NATS
from lossbench.comparison.wording import amount, factor, setting
from lossbench.loss import likelihood
from lossbench.report.cases import Case, losses_of
from lossbench.report.style import Drawing, Series, figure, legend, log_axis

_LABELS = {
    "elbo": "ELBO (nats per image)",
    "beta": "beta, as the loss writes it (no unit)",
    "beta_eff": "beta_eff = b/a (no unit)",
    "reconstruction": "reconstruction (nats per image)",
    "kl": "KL (nats per image)",
}


def comparisons(case: Case, series: dict[str, Series]) -> Iterator[Drawing]:
    """Yield the figures that set the losses of one case against each other."""
    n_losses = case.rows["loss"].nunique()
    if n_losses > 1 and case.rows["beta"].nunique() > 1:
        yield elbo_curves(case, series, "beta")
    if case.rows["beta_eff"].nunique() > 1:
        yield elbo_curves(case, series, "beta_eff")
    if len(case.rows) > 2:
        yield rate_distortion(case, series)


def rate_distortion(case: Case, series: dict[str, Series]) -> Drawing:
    """Draw KL against reconstruction: every setting of every loss."""
    drawn = figure()
    axes = drawn.add_subplot()
    losses = losses_of(case.rows)
    for loss in losses:
        rows = case.rows[case.rows["loss"] == loss]
        axes.plot(
            rows["reconstruction"], rows["kl"], linestyle="", label=loss, **series[loss].options
        )
    axes.set_xlabel(_LABELS["reconstruction"])
    axes.set_ylabel(_LABELS["kl"])
    legend(axes)
    said = _on_one_curve(case)
    return Drawing(
        f"rate-distortion-{case.slug}",
        f"Rate and distortion: {case.label}",
        said,
        f"Scatter plot of {case.label}: KL against reconstruction, one point a setting, for "
        f"{', '.join(losses)}. {said}",
        drawn,
    )


def elbo_curves(case: Case, series: dict[str, Series], weight: str) -> Drawing:
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
    found = []
    for value, group in rows.groupby(weight):
        settings = [row for _, row in group.iterrows()]
        found += [
            (float(str(value)), one, other)
            for one, other in itertools.combinations(settings, 2)
            if one["loss"] != other["loss"]
        ]
    return found


def furthest(rows: pd.DataFrame, weight: str) -> tuple[int, float, pd.Series, pd.Series] | None:
    """Return how many equal weights two losses share, and the two whose ELBOs differ most.

    The number of pairs, the weight, and the two settings; None if they share none.
    """
    pairs = pairs_at(rows, weight)
    if not pairs:
        return None
    value, one, other = max(pairs, key=lambda pair: abs(pair[1]["elbo"] - pair[2]["elbo"]))
    return len(pairs), value, one, other


def _apart(case: Case, weight: str) -> str:
    found = furthest(case.rows, weight)
    if found is None:
        best = case.rows.iloc[int(case.rows["elbo"].argmax())]
        return (
            f"The best ELBO is {best['elbo']:.2f} nats, of {best['loss']} at beta_eff "
            f"{factor(best['beta_eff'], 4)}"
            + ("; no two losses were trained at one beta_eff." if _several(case) else ".")
        )
    n_pairs, value, one, other = found
    difference = amount(abs(one["elbo"] - other["elbo"]))
    if weight == "beta":
        return (
            f"At the same beta the losses are up to {difference} nats apart: at beta "
            f"{setting(value)}, {one['loss']} reaches {one['elbo']:.2f} and {other['loss']} "
            f"{other['elbo']:.2f}."
        )
    counted = "the one beta_eff" if n_pairs == 1 else f"the {n_pairs} pairs of equal beta_eff"
    return (
        f"Against beta_eff the curves coincide: over {counted} the mean ELBOs are at most "
        f"{difference} nats apart."
        if abs(one["elbo"] - other["elbo"]) <= EQUAL_WITHIN_NATS
        else f"Over {counted} the mean ELBOs are up to {difference} nats apart, at beta_eff "
        f"{factor(value, 4)}."
    )


def _several(case: Case) -> bool:
    return bool(case.rows["loss"].nunique() > 1)


def _on_one_curve(case: Case) -> str:
    rows = case.rows
    spread = (
        f"the KL goes from {amount(rows['kl'].max())} nats at beta_eff "
        f"{factor(rows['beta_eff'].min(), 4)} to {amount(max(rows['kl'].min(), 0.0))} at "
        f"{factor(rows['beta_eff'].max(), 4)}"
    )
    pairs = pairs_at(rows, "beta_eff")
    if not pairs:
        return f"Along the curve {spread}."
    apart = max(
        abs(one["kl"] - other["kl"]) + abs(one["reconstruction"] - other["reconstruction"])
        for _, one, other in pairs
    )
    return (
        f"The losses move along one curve, on which beta_eff is the place: {spread}, and two "
        f"losses at one beta_eff are at most {amount(apart)} nats apart."
    )
