"""The algebra: what a loss convention trains, and the yardstick for every run."""

from lossbench.loss.catalogue import (
    Entry,
    catalogue,
    convention,
    entry,
)
from lossbench.loss.convention import (
    FEELS_NO_FACTOR,
    Coefficients,
    Convention,
    Reduction,
    Sizes,
)
from lossbench.loss.formula import evaluate
from lossbench.loss.yardstick import (
    ReconstructionLoss,
    bits_per_dim,
    elbo,
    elbo_best_sigma,
    implied_sigma,
)

__all__ = [
    "FEELS_NO_FACTOR",
    "Coefficients",
    "Convention",
    "Entry",
    "ReconstructionLoss",
    "Reduction",
    "Sizes",
    "bits_per_dim",
    "catalogue",
    "convention",
    "elbo",
    "elbo_best_sigma",
    "entry",
    "evaluate",
    "implied_sigma",
]
