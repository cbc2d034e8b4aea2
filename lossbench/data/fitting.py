"""Which likelihoods a data set can have, and why it cannot have another."""

from functools import lru_cache

from lossbench.data.dataset import Dataset
from lossbench.errors import DataError
from lossbench.loss import LIKELIHOODS, Likelihood
from lossbench.words import joined


@lru_cache(maxsize=256)
def refuse_misfit(dataset: Dataset, kind: Likelihood, *, has_hidden: bool) -> None:
    """Raise DataError for data that a likelihood, or its decoder's sigmoid, cannot have.

    A decoder of values ends in a sigmoid where it ``has_hidden`` layers. The error names the first
    value, and the likelihoods that the data can have.
    """
    data = f"{dataset.name} at d = {dataset.d}"
    for split, rows in (("training", dataset.train), ("test", dataset.test)):
        if (misfit := kind.misfit(rows)) is not None:
            places = [data]
            if misfit.row is not None and misfit.column is not None:
                places += [f"{split} example {misfit.row + 1}", f"column {misfit.column + 1}"]
            raise DataError(
                f"this data cannot have the likelihood {kind.name}",
                where=", ".join(places),
                expected=kind.takes,
                received=misfit.received,
                remedy=_others(dataset, has_hidden=has_hidden),
            )
        if has_hidden and not _is_reached(kind, dataset):
            raise DataError(
                f"a decoder of {kind.name} with hidden layers ends in a sigmoid, which does not "
                "reach this data",
                where=f"{data}, {split} examples",
                expected="values from 0 to 1",
                received=f"{rows.min():g} to {rows.max():g}",
                remedy=f"hidden = linear, or {_others(dataset, has_hidden=True)}",
            )


def fitting(dataset: Dataset) -> tuple[Likelihood, ...]:
    """Return the likelihoods, at their default parameters, that a data set can have."""
    return tuple(
        kind
        for kind in LIKELIHOODS.values()
        if kind.misfit(dataset.train) is None and kind.misfit(dataset.test) is None
    )


def _is_reached(kind: Likelihood, dataset: Dataset) -> bool:
    """Tell whether a decoder with hidden layers reaches the data."""
    parts = (dataset.train, dataset.test)
    return kind.output != "values" or all(x.min() >= 0 and x.max() <= 1 for x in parts)


def _others(dataset: Dataset, *, has_hidden: bool) -> str:
    names = [x.name for x in fitting(dataset) if not has_hidden or _is_reached(x, dataset)]
    return f"reconstruction_loss = {joined(names, 'or')}" if names else "other data"
