"""Learning curves: the ELBO over training, mean over seeds with its 95% interval."""

import numpy as np
import pandas as pd

from lossbench.comparison.curves import over_seeds
from lossbench.comparison.wording import factor
from lossbench.report.cases import Case, losses_of, runs_of, shared_beta
from lossbench.report.style import Drawing, Series, figure, legend

_LEAST_SPAN = 0.5  # nats: less is noise, and is drawn as a level line


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
    drawn = figure()
    axes = drawn.add_subplot()
    for row, curve, is_converted in curves:
        options = series[str(row["loss"])].options | {"marker": ""}
        epochs = curve.index.to_numpy(dtype=np.float64)
        axes.plot(
            epochs,
            curve["mean"],
            linestyle="--" if is_converted else "-",
            zorder=3,
            label=f"{row['loss']}, beta {factor(row['beta'], 4)}",
            **options,
        )
        if is_converted:
            continue  # its interval lies on the first one's
        band = curve["half_width"].fillna(0.0)
        axes.fill_between(
            epochs,
            curve["mean"] - band,
            curve["mean"] + band,
            color=options["color"],
            alpha=0.18,
            linewidth=0,
        )
    axes.set_ylim(*_limits(curves))
    axes.set_xlabel("epoch")
    axes.set_ylabel("ELBO (nats per image)")
    legend(axes)
    said = _ends(curves)
    return Drawing(
        f"learning-{case.slug}",
        f"Learning curves: {case.label}",
        said,
        f"Line chart of {case.label}: ELBO over the epochs, mean over the seeds with its 95% "
        f"interval. {said}",
        drawn,
    )


def _chosen(case: Case) -> list[tuple[pd.Series, bool]]:
    """Return the settings to draw, and whether each was converted to the first one's beta_eff."""
    rows = case.rows
    beta = shared_beta(rows)
    losses = losses_of(rows)
    if beta is None:
        nearest = int((rows["beta"] - 1).abs().argmin())
        return [(rows.iloc[nearest], False)]
    at_beta = [rows[(rows["loss"] == loss) & (rows["beta"] == beta)] for loss in losses]
    chosen = [(found.iloc[0], False) for found in at_beta if len(found)]
    leader = chosen[0][0]
    equal = rows[
        (rows["beta_eff"] == leader["beta_eff"])
        & (rows["loss"] != leader["loss"])
        & (rows["beta"] != beta)
    ]
    return chosen + [(row, True) for _, row in equal.drop_duplicates("loss").iterrows()]


def _limits(curves: list[tuple[pd.Series, pd.DataFrame, bool]]) -> tuple[float, float]:
    """Return limits that leave out the first steps' fall, if that would flatten the rest."""
    values = np.concatenate(
        [curve["mean"].to_numpy()[len(curve) // 10 :] for _, curve, _ in curves]
    )
    low, high = float(values.min()), float(values.max())
    margin = max(0.08 * (high - low), (_LEAST_SPAN - (high - low)) / 2)
    return low - margin, high + margin


def _ends(curves: list[tuple[pd.Series, pd.DataFrame, bool]]) -> str:
    ends = []
    for row, curve, is_converted in curves:
        half_width = curve["half_width"].iloc[-1]
        interval = "" if pd.isna(half_width) else f" ± {half_width:.2f}"
        at = f"beta {factor(row['beta'], 4)}"
        same = f" (beta_eff {factor(row['beta_eff'], 4)})" if is_converted else ""
        ends.append(f"{row['loss']} at {at}{same} ends at {curve['mean'].iloc[-1]:.2f}{interval}")
    epochs = int(curves[0][1].index[-1])
    return f"After {epochs} epochs {'; '.join(ends)} nats."
