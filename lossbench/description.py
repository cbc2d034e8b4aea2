"""What a data set is, and what follows from it for a VAE, before anything is trained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossbench import data, theory
from lossbench.words import Told

_MOST_D = 3_072  # covariances of more inputs take minutes
_SHOWN_THRESHOLDS = 8


@dataclass(frozen=True)
class Fit:
    """A likelihood that the data can have: its largest thresholds, and R_0 of both splits.

    ``thresholds`` is empty where the inputs are too many. R_0 is the reconstruction, in nats, when
    every example gets the mean of the training split; its parameters have their defaults.
    """

    reconstruction_loss: str
    thresholds: tuple[float, ...]
    reconstruction_of_nothing: float
    reconstruction_of_nothing_test: float


@dataclass(frozen=True)
class Description(Told):
    """A data set: sizes, range as it is trained on, inputs that never vary in training (from 1).

    ``constant_names`` are those of the same inputs, where the data is a table.
    """

    dataset: str
    shape: tuple[int, ...]
    d: int
    n_train: int
    n_test: int
    least: float
    largest: float
    mean: float
    divided_by: float
    constant_inputs: tuple[int, ...]
    constant_names: tuple[str, ...]
    sha256: str
    fits: tuple[Fit, ...]


def describe(
    dataset: str,
    d: int | None = None,
    data_dir: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Description:
    """Return what a data set is; ``DataError`` where it is missing or unfit.

    ``progress`` is called with how much of a folder of images has been read, and of how much.
    """
    reading = data.Reading(progress) if progress else data.Reading()
    loaded = data.load(dataset, d, data_dir, reading)
    train, test = loaded.train, loaded.test
    least = min(float(train.min()), float(test.min()))
    largest = max(float(train.max()), float(test.max()))
    mean = train.mean(dtype=np.float64)
    varies = (train != train[0]).any(axis=0)
    constant = [int(place) for place in np.flatnonzero(~varies)]
    names = data.input_names(dataset) if constant else ()
    moments = theory.moments(train) if loaded.d <= _MOST_D else None
    fits = []
    for kind in data.fitting(loaded):
        thresholds = () if moments is None else theory.thresholds(moments, kind)
        fits.append(
            Fit(
                kind.name,
                tuple(float(t) for t in thresholds[:_SHOWN_THRESHOLDS]),
                theory.reconstruction_of_nothing(train, train, kind),
                theory.reconstruction_of_nothing(test, train, kind),
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
        divided_by=loaded.divided_by,
        constant_inputs=tuple(place + 1 for place in constant),
        constant_names=tuple(names[place] for place in constant) if names else (),
        sha256=loaded.sha256,
        fits=tuple(fits),
    )
