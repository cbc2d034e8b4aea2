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
from lossbench.loss.kl_form import (
    FLOORS,
    SAMPLED,
    Capacity,
    Estimator,
    KLForm,
    Over,
    capacity,
    floor_told,
)
from lossbench.loss.likelihood import (
    ELBOS,
    LIKELIHOODS,
    NAMES,
    PARAMETERS,
    Categorical,
    Gaussian,
    Laplace,
    Likelihood,
    Misfit,
    NegativeBinomial,
    Output,
    ReconstructionLoss,
    bits_per_dim,
    group_sizes,
    likelihood,
)
from lossbench.loss.objective import FORM, Objective
from lossbench.loss.schedule import CONSTANT, SPELLINGS, Schedule, schedule

__all__ = [
    "CONSTANT",
    "ELBOS",
    "FLOORS",
    "FORM",
    "LIKELIHOODS",
    "NAMES",
    "PARAMETERS",
    "SAMPLED",
    "SPELLINGS",
    "Capacity",
    "Categorical",
    "Convention",
    "Entry",
    "Estimator",
    "Gaussian",
    "KLForm",
    "Laplace",
    "Likelihood",
    "Misfit",
    "NegativeBinomial",
    "Objective",
    "Output",
    "Over",
    "ReconstructionLoss",
    "Reduction",
    "Schedule",
    "Sizes",
    "bits_per_dim",
    "canonical",
    "capacity",
    "catalogue",
    "convention",
    "entry",
    "evaluate",
    "floor_told",
    "group_sizes",
    "likelihood",
    "schedule",
]
