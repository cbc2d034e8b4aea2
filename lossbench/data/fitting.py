"""Which likelihoods a data set can have, and why it cannot have another."""

from functools import lru_cache

from lossbench.data.dataset import Dataset
from lossbench.errors import DataError
from lossbench.loss import LIKELIHOODS, Likelihood, Scale
from lossbench.words import joined

_GROUPS = (
    "groups = 3 makes choices of three columns each, groups = 1-2+3-7 one of two and one of five",
    "groups = gaussian:1-2+categorical:3-5+poisson:6 names the likelihood of each group",
)


@lru_cache(maxsize=256)
def refuse_misfit(dataset: Dataset, kind: Likelihood, scale: Scale, values_output: str) -> None:
    """Raise DataError for data that a likelihood, or its decoder's sigmoid, cannot have.

    ``scale`` is the one that was asked for, and ``values_output`` what a decoder of any numbers
    ends in: another likelihood may see the data under another scale. The error names the first
    value, and the likelihoods that the data can have.
    """
    data = f"{dataset.name} at d = {dataset.d}"
    for number, rows in enumerate((dataset.train, dataset.test)):
        split = ("training", "test")[number]
        if (misfit := kind.misfit(rows)) is not None:
            if misfit.row is None or misfit.column is None:
                raise DataError(
                    f"these groups of {kind.name} do not fit this data",
                    where=data,
                    expected=f"the {dataset.d} columns in order, each in one group",
                    received=misfit.received,
                    remedy=_GROUPS[kind.output == "parts"],
                )
            raise DataError(
                f"this data cannot have the likelihood {kind.name}",
                where=f"{data}, {split} example {misfit.row + 1}, "
                + dataset.source.column(misfit.column),
                expected=misfit.takes or kind.takes,
                received=misfit.received,
                remedy=_others(dataset, scale, values_output),
            )
        if values_output == "sigmoid" and not _is_reached(kind, dataset):
            raise DataError(
                f"this decoder of {kind.name} ends in a sigmoid, which does not reach this data",
                where=f"{data}, {split} examples",
                expected="values from 0 to 1",
                received=f"{rows.min():g} to {rows.max():g}",
                remedy="output = identity, or scale = unit",
            )


def fitting(dataset: Dataset, scale: Scale) -> dict[Likelihood, Dataset]:
    """Return the likelihoods, at their default parameters, that a data set can have.

    Each is held against the data as it would see them where ``scale`` is asked for.
    """
    fits = {}
    for kind in LIKELIHOODS.values():
        try:
            seen = dataset.rescaled(kind.scale(scale))
        except DataError:
            continue
        if kind.misfit(seen.train) is None and kind.misfit(seen.test) is None:
            fits[kind] = seen
    return fits


def _is_reached(kind: Likelihood, dataset: Dataset) -> bool:
    """Tell whether a sigmoid reaches the data, where the likelihood ends in what is asked for."""
    parts = (dataset.train, dataset.test)
    return kind.output != "values" or all(x.min() >= 0 and x.max() <= 1 for x in parts)


def _others(dataset: Dataset, scale: Scale, values_output: str) -> str:
    fits = fitting(dataset, scale)
    names = [
        kind.name
        for kind, seen in fits.items()
        if values_output != "sigmoid" or _is_reached(kind, seen)
    ]
    return f"reconstruction_loss = {joined(names, 'or')}" if names else "other data"
