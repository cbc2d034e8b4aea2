"""The algebra: what a loss convention trains, and the yardstick for every run."""

from lossbench.conventions.convention import (
    CONVENTIONS,
    Coefficients,
    Convention,
    Sizes,
    convention,
)
from lossbench.conventions.yardstick import (
    ReconstructionLoss,
    bits_per_dim,
    elbo,
    elbo_best_sigma,
    implied_sigma,
)

__all__ = [
    "CONVENTIONS",
    "Coefficients",
    "Convention",
    "ReconstructionLoss",
    "Sizes",
    "bits_per_dim",
    "convention",
    "elbo",
    "elbo_best_sigma",
    "implied_sigma",
]
