"""What a figure shows: one dataset, one reconstruction loss and the size with most settings."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from lossbench.columns import KL_COLUMNS, MODEL_COLUMNS, SETTING_COLUMNS, at_the_end, worth_saying
from lossbench.words import setting, spread

_LEADING = ("docs", "blog")
_BUT_THE_KL_TERM = tuple(name for name in MODEL_COLUMNS if name not in KL_COLUMNS)


@dataclass(frozen=True, eq=False)
class Case:
    """Settings of one summary that differ in nothing but loss and beta.

    ``rows`` are in the order of beta_eff; ``slug`` is a name for files, unique in the summary;
    ``model`` names the further settings that tell these rows from others of the summary.
    """

    slug: str
    dataset: str
    reconstruction_loss: str
    d: int
    k: int
    rows: pd.DataFrame
    model: str = ""

    @property
    def label(self) -> str:
        """The settings that all rows share, in the words of the tables."""
        data = f"{shown_dataset(self.dataset)}, {self.reconstruction_loss}"
        return f"{data}, d {self.d}, k {self.k}{self.model}"

    @property
    def threshold(self) -> float:
        """The largest threshold t_1; NaN where it is not known."""
        return float(self.rows["threshold"].iloc[0])

    @property
    def weighed(self) -> "Case":
        """The settings that have a beta_eff: a function that is trained itself has none."""
        return replace(self, rows=weighed(self.rows))


def weighed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the settings that have a beta_eff."""
    return rows[rows["beta_eff"].notna()]


def shown_dataset(dataset: str) -> str:
    """Return a dataset's name; of a path the last part."""
    return Path(dataset).name or dataset


def losses_of(summary: pd.DataFrame) -> list[str]:
    """Return every loss of a summary: the seed question's first, then by name."""
    present = sorted({str(loss) for loss in summary["loss"]})
    return [loss for loss in _LEADING if loss in present] + [
        loss for loss in present if loss not in _LEADING
    ]


def measured(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the settings of which at least one run ended well, their beta_eff at the last step."""
    return at_the_end(summary[summary["n_seeds"] > 0])


def cases(summary: pd.DataFrame) -> list[Case]:
    """Return one case a dataset and kind of reconstruction: the size with the most settings.

    Of two sizes with as many settings it is the one with the larger d, then the smaller k.
    """
    return _cases(summary, MODEL_COLUMNS)


def planes(summary: pd.DataFrame) -> list[Case]:
    """Return what ``cases`` does, with the rows of every schedule, floor and capacity."""
    return _cases(summary, _BUT_THE_KL_TERM)


def _cases(summary: pd.DataFrame, apart: Sequence[str]) -> list[Case]:
    return [
        _case(slug, group, _best(group, apart), apart) for slug, group in by_data(measured(summary))
    ]


def by_data(summary: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of each dataset and kind of reconstruction, with a slug of its own."""
    several = summary["dataset"].nunique() > 1
    taken: set[str] = set()
    for (dataset, kind), group in summary.groupby(["dataset", "reconstruction_loss"], sort=False):
        stem = re.sub(r"[^A-Za-z0-9]+", "_", Path(str(dataset)).stem).strip("_")[:40]
        slug = f"{stem or 'data'}-{kind}" if several else str(kind)
        while slug in taken:
            slug += "_"
        taken.add(slug)
        yield slug, group


def _best(group: pd.DataFrame, apart: Sequence[str]) -> pd.DataFrame:
    sizes = models(group, "d", "k", apart=apart)
    return max(sizes, key=lambda rows: (len(rows), rows["d"].iloc[0], -rows["k"].iloc[0]))


def _case(slug: str, group: pd.DataFrame, rows: pd.DataFrame, apart: Sequence[str]) -> Case:
    first = group.iloc[0]
    return Case(
        slug,
        str(first["dataset"]),
        str(first["reconstruction_loss"]),
        int(rows["d"].iloc[0]),
        int(rows["k"].iloc[0]),
        rows.sort_values(["beta_eff", "loss"]),
        model_of(rows, group, apart),
    )


def models(
    group: pd.DataFrame, *sizes: str, apart: Sequence[str] = MODEL_COLUMNS
) -> list[pd.DataFrame]:
    """Return the rows of each model and of each of the ``sizes``, such as d and k."""
    return [rows for _, rows in group.groupby([*sizes, *apart], sort=False, dropna=False)]


def model_of(rows: pd.DataFrame, group: pd.DataFrame, apart: Sequence[str] = MODEL_COLUMNS) -> str:
    """Return the settings that tell ``rows`` from the rest of the group, as ``, hidden 64x64``."""
    first = rows.iloc[0]
    differing = [name for name in apart if group[name].nunique(dropna=False) > 1]
    return "".join(
        f", {name} {'none' if pd.isna(first[name]) else setting(first[name])}"
        for name in worth_saying(differing, first)
    )


def runs_of(row: pd.Series, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs of one setting of the summary that ended well."""
    mask = runs["status"] == "ok"
    for name in SETTING_COLUMNS:
        mask &= (runs[name] == row[name]) | (runs[name].isna() & pd.isna(row[name]))
    return runs[mask]


def has_collapsed(rows: pd.DataFrame) -> pd.Series:
    """Return whether at least half the runs of each setting collapsed."""
    return rows["collapsed"] >= 0.5


@dataclass(frozen=True, eq=False)
class AgainstTheory:
    """How many settings are past their threshold, how many collapsed, and how many as predicted.

    ``wrong`` are the ratios of beta_eff to the threshold where the prediction failed.
    """

    n_settings: int
    n_past: int
    n_collapsed: int
    n_right: int
    wrong: pd.Series


def against_theory(summary: pd.DataFrame) -> AgainstTheory:
    """Hold the settings whose threshold is known against the prediction of their collapse."""
    known = summary[summary["threshold"].notna()]
    past, collapsed = known["beta_eff"] >= known["threshold"], has_collapsed(known)
    wrong = (known["beta_eff"] / known["threshold"])[past != collapsed]
    n_right = len(known) - len(wrong)
    return AgainstTheory(len(known), int(past.sum()), int(collapsed.sum()), n_right, wrong)


def ratio_span(ratios: pd.Series) -> str:
    """Return the least and the largest of ratios to a threshold, in words."""
    return spread(f"{ratio:.2f}" for ratio in (ratios.min(), ratios.max()))


def shared_beta(rows: pd.DataFrame) -> float | None:
    """Return the beta nearest to 1 that most losses share; None if no two losses share one."""
    counts = rows.groupby("beta")["loss"].nunique()
    most = int(counts.max()) if len(counts) else 0
    if most < 2:
        return None
    candidates = counts[counts == most].index
    return float(min(candidates, key=lambda beta: (abs(float(beta) - 1), float(beta))))
