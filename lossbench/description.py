"""What a data set is, and what follows from it for a VAE, before anything is trained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossbench import data, theory
from lossbench.data import Dataset
from lossbench.loss import Scale
from lossbench.words import Told

_MOST_D = 3_072  # covariances of more inputs take minutes
_SHOWN_THRESHOLDS = 8


@dataclass(frozen=True)
class Fit:
    """A likelihood that the data can have: its largest thresholds, and R_0 of both splits.

    ``thresholds`` is empty where the inputs are too many. R_0 is the reconstruction, in nats, when
    every example gets the mean of the training split; its parameters have their defaults. It sees
    the numbers under ``scale``: counts are left as they are.
    """

    reconstruction_loss: str
    scale: Scale
    thresholds: tuple[float, ...]
    reconstruction_of_nothing: float
    reconstruction_of_nothing_test: float


@dataclass(frozen=True)
class Description(Told):
    """A data set: sizes, range under its scale, inputs that never vary in training (from 1).

    ``n_clipped`` test values lay outside what the training split spans; ``constant_names`` are
    those of the inputs that never vary, where the data is a table.
    """

    dataset: str
    shape: tuple[int, ...]
    d: int
    n_train: int
    n_test: int
    least: float
    largest: float
    mean: float
    scale: Scale
    divided_by: float
    n_clipped: int
    constant_inputs: tuple[int, ...]
    constant_names: tuple[str, ...]
    sha256: str
    fits: tuple[Fit, ...]


def describe(
    dataset: str,
    d: int | None = None,
    data_dir: Path | None = None,
    scale: Scale | None = None,
) -> Description:
    """Return what a data set is; ``DataError`` where it is missing or unfit.

    Without a ``scale`` it is ``auto``, or ``none`` where ``auto`` does not take the numbers.
    """
    loaded = _loaded(dataset, d, data_dir, scale)
    train, test, scaling = loaded.train, loaded.test, loaded.scaling
    least = min(float(train.min()), float(test.min()))
    largest = max(float(train.max()), float(test.max()))
    mean = train.mean(dtype=np.float64)
    varies = (train != train[0]).any(axis=0)
    constant = [int(place) for place in np.flatnonzero(~varies)]
    names = loaded.source.columns
    fits = []
    moments: dict[Dataset, theory.Moments] = {}
    for kind, seen in data.fitting(loaded, loaded.scaling.scale).items():
        if loaded.d <= _MOST_D and seen not in moments:
            moments[seen] = theory.moments(seen.train)
        thresholds = theory.thresholds(moments[seen], kind) if seen in moments else ()
        fits.append(
            Fit(
                kind.name,
                seen.scaling.scale,
                tuple(float(t) for t in thresholds[:_SHOWN_THRESHOLDS]),
                theory.reconstruction_of_nothing(seen.train, seen.train, kind),
                theory.reconstruction_of_nothing(seen.test, seen.train, kind),
            )
        )
    return Description(
        dataset=dataset,
        shape=loaded.shape,
        d=loaded.d,
        n_train=len(train),
        n_test=len(test),
        least=least,
        largest=largest,
        mean=float(mean),
        scale=scaling.scale,
        divided_by=1.0 if scaling.is_by_input else float(scaling.factor),
        n_clipped=scaling.n_clipped,
        constant_inputs=tuple(place + 1 for place in constant),
        constant_names=tuple(names[place] for place in constant) if names else (),
        sha256=loaded.sha256,
        fits=tuple(fits),
    )


def _loaded(
    dataset: str,
    d: int | None,
    data_dir: Path | None,
    scale: Scale | None,
) -> Dataset:
    """Return the data under a scale: where none is asked for, under the first that takes it."""
    if scale is not None:
        return data.load(dataset, d, data_dir, scale)
    return data.load_or_as_it_is(dataset, d, data_dir)
