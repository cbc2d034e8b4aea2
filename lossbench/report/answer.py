"""The answer in a few sentences, with the numbers of the sweep."""

import pandas as pd

from lossbench.comparison import EQUAL_WITHIN_NATS
from lossbench.loss import LIKELIHOODS
from lossbench.report.cases import (
    Case,
    against_theory,
    cases,
    losses_of,
    measured,
    ratio_span,
    shared_beta,
    shown_dataset,
)
from lossbench.report.charts import furthest
from lossbench.words import counted, nats, plus_minus, setting, significant

_MOST_TOLD = 4  # data sets whose R_0 is told


def answer(summary: pd.DataFrame, thresholds: pd.DataFrame) -> list[str]:
    """Return the answer of a summary: a sentence for each question that it can answer.

    Are the losses the same at one beta? Are they the same at one beta_eff? Does a model collapse
    where theory says?
    """
    all_cases = cases(summary)
    weighed = (case.weighed for case in all_cases)
    compared = [case for case in weighed if case.rows["loss"].nunique() > 1]
    compared.sort(key=lambda case: list(LIKELIHOODS).index(case.reconstruction_loss))
    sentences = []
    if compared:
        sentences += [_at_one_beta(compared[0]), _at_one_beta_eff(compared)]
    sentences.append(_collapse(summary, thresholds))
    sentences.append(_nothing(all_cases))
    return [sentence for sentence in sentences if sentence]


def _at_one_beta(case: Case) -> str:
    beta = shared_beta(case.rows)
    if beta is None:
        return ""
    at_beta = case.rows[case.rows["beta"] == beta]
    one, other = (at_beta[at_beta["loss"] == loss].iloc[0] for loss in losses_of(at_beta)[:2])
    same = abs(one["beta_eff"] - other["beta_eff"]) <= 1e-9 * abs(one["beta_eff"])
    head = "Yes, the same up to a factor" if same else "No, not the same loss up to a factor"
    return (
        f"{head}: on {case.label}, beta {setting(beta)} is a beta_eff of "
        f"{significant(one['beta_eff'], 4)} for {one['loss']} and of "
        f"{significant(other['beta_eff'], 4)} for {other['loss']}; {_reached(one)}, "
        f"{_reached(other)}."
    )


def _reached(row: pd.Series) -> str:
    n_seeds = int(row["n_seeds"])
    n_collapsed = round(float(row["collapsed"]) * n_seeds)
    collapsed = f" ({n_collapsed} of {counted(n_seeds, 'run')} collapsed)" if n_collapsed else ""
    elbo = plus_minus(row["elbo"], row["elbo_ci95"])
    return f"{row['loss']} reaches an ELBO of {elbo} nats{collapsed}"


def _at_one_beta_eff(compared: list[Case]) -> str:
    extremes = [(case, furthest(case.rows, "beta_eff")) for case in compared]
    shared = [(case, pair) for case, pair in extremes if pair is not None]
    if not shared:
        return ""
    pairs = counted(sum(pair.n_pairs for _, pair in shared), "pair")
    apart = max(pair.apart for _, pair in shared)
    where = "; ".join(case.label for case, _ in shared)
    if apart <= EQUAL_WITHIN_NATS:
        return (
            f"At the same beta_eff they train the same VAE: over {pairs} of settings "
            f"({where}) the mean ELBOs are at most {nats(apart)} nats apart."
        )
    return (
        f"At the same beta_eff the mean ELBOs are up to {nats(apart)} nats apart, over {pairs} "
        f"of settings ({where})."
    )


def _nothing(all_cases: list[Case]) -> str:
    """Return what a loss shows where nothing is learned, for the data that tables know it of."""
    told: dict[str, None] = {}
    for case in all_cases:
        data = f"{shown_dataset(case.dataset)}, {case.reconstruction_loss}, d {case.d}"
        for nothing in dict.fromkeys(case.rows["reconstruction_of_nothing"].dropna()):
            a_pixel = significant(nothing / case.d, 4)
            told[f"{nats(nothing)} nats, {a_pixel} an input ({data})"] = None
    if not told:
        return ""
    few = "; ".join(list(told)[:_MOST_TOLD]) + ("; ..." if len(told) > _MOST_TOLD else "")
    return f"A reconstruction that stays at R_0 draws the mean image for everybody: {few}."


def _collapse(summary: pd.DataFrame, thresholds: pd.DataFrame) -> str:
    held = against_theory(measured(summary))
    if not held.n_settings:
        return ""
    ratios = f" (the others are at {ratio_span(held.wrong)} times t_1)" if len(held.wrong) else ""
    if len(thresholds):
        ratios += (
            f"; the measured threshold is {ratio_span(thresholds['ratio'])} times the predicted "
            f"one in {counted(len(thresholds), 'case')}"
        )
    return (
        f"Whether a model collapses is known before training, from beta_eff and the data's "
        f"threshold t_1: {held.n_collapsed} of {counted(held.n_settings, 'setting')} "
        f"collapsed, and the prediction was right in {held.n_right}{ratios}."
    )
