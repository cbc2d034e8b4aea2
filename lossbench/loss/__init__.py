"""The algebra: what a loss convention trains, and what each likelihood says of R and K."""

from lossbench.loss.catalogue import (
    Entry,
    catalogue,
    convention,
    entry,
)
from lossbench.loss.convention import (
    Convention,
    Reduction,
    Sizes,
)
from lossbench.loss.formula import canonical, evaluate
from lossbench.loss.likelihood import (
    ELBOS,
    LIKELIHOODS,
    NAMES,
    OWN_SETTINGS,
    Categorical,
    Gaussian,
    Laplace,
    Learned,
    Likelihood,
    Misfit,
    Mixed,
    NegativeBinomial,
    Output,
    ReconstructionLoss,
    Scale,
    Sigma,
    bits_per_dim,
    group_sizes,
    likelihood,
)
from lossbench.loss.objective import FORM, Objective
from lossbench.loss.schedule import CONSTANT, SPELLINGS, Schedule, schedule

__all__ = [
    "CONSTANT",
    "ELBOS",
    "FORM",
    "LIKELIHOODS",
    "NAMES",
    "OWN_SETTINGS",
    "SPELLINGS",
    "Categorical",
    "Convention",
    "Entry",
    "Gaussian",
    "Laplace",
    "Learned",
    "Likelihood",
    "Misfit",
    "Mixed",
    "NegativeBinomial",
    "Objective",
    "Output",
    "ReconstructionLoss",
    "Reduction",
    "Scale",
    "Schedule",
    "Sigma",
    "Sizes",
    "bits_per_dim",
    "canonical",
    "catalogue",
    "convention",
    "entry",
    "evaluate",
    "group_sizes",
    "likelihood",
    "schedule",
]
